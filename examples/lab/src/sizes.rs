//! Distributions in powers of two, as D's `quantize()` counts them: bars on a terminal, and a histogram.

use std::collections::BTreeMap;
use std::io::{self, Write};

use kuva::plot::Histogram;
use kuva::render::figure::Figure;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;

use crate::picture::{Error, Picture, colour};

/// How often a bucket's values occurred, by its smallest value: 0, 1, 2, 4, 8 and so on.
pub type Counts = BTreeMap<i64, i64>;

/// Writes a number of bytes or of anything else with the prefixes for powers of 1,024.
#[must_use]
pub fn short(value: i64) -> String {
    const PREFIXES: [&str; 6] = ["", "Ki", "Mi", "Gi", "Ti", "Pi"];
    let mut rest = value;
    let mut prefixes = PREFIXES.iter();
    let mut prefix = prefixes.next();
    while rest >= 1024 && rest % 1024 == 0 {
        let Some(next) = prefixes.next() else { break };
        (rest, prefix) = (rest / 1024, Some(next));
    }
    format!("{rest}{}", prefix.unwrap_or(&""))
}

/// Returns how many there were in all.
#[must_use]
pub fn sum(counts: &Counts) -> i128 {
    counts.values().copied().map(i128::from).sum()
}

/// How many characters the longest bar has.
const BAR: i64 = 40;

/// Prints a distribution as bars, from its first bucket to its last.
///
/// # Errors
/// The text cannot be written.
pub fn write_bars(counts: &Counts, mut out: impl Write) -> io::Result<()> {
    let Some(most) = counts.values().max() else { return Ok(()) };
    for lower in buckets(counts) {
        let count = counts.get(&lower).copied().unwrap_or(0);
        let bar = "@".repeat(usize::try_from(bar_length(count, *most)).unwrap_or(0));
        writeln!(out, "{:>8} |{bar:<40} {count}", short(lower))?;
    }
    Ok(())
}

/// Rounds up: however few there were, they are seen.
fn bar_length(count: i64, most: i64) -> i128 {
    let (count, most) = (i128::from(count), i128::from(most).max(1));
    (count * i128::from(BAR) + most - 1) / most
}

/// Returns the smallest values of all buckets from the first to the last with a count.
pub(crate) fn buckets(counts: &Counts) -> Vec<i64> {
    let (Some((first, _)), Some((last, _))) = (counts.first_key_value(), counts.last_key_value())
    else {
        return Vec::new();
    };
    let all = std::iter::once(0).chain((0..63).map(|bit| 1 << bit));
    all.skip_while(|lower| lower < first).take_while(|lower| lower <= last).collect()
}

/// Returns where a bucket begins on an axis on which all have the same width.
fn position(lower: i64) -> f64 {
    if lower == 0 { -1.0 } else { f64::from(lower.ilog2()) }
}

/// Returns what stands at a position of that axis.
fn label(position: f64) -> String {
    if position < 0.0 { "0".to_owned() } else { short(1 << (position.round() as i64).min(62)) }
}

/// Draws one histogram for each named distribution, below each other, with the same axis.
///
/// # Errors
/// Nothing was counted.
pub fn draw(distributions: &BTreeMap<String, Counts>) -> Result<Picture, Error> {
    let all: Counts = distributions.values().flat_map(Clone::clone).collect();
    let buckets = buckets(&all);
    let (Some(first), Some(last)) = (buckets.first(), buckets.last()) else {
        return Err(Error::Empty("nothing was counted"));
    };
    let (left, right) = (position(*first), position(*last) + 1.0);
    let plots: Vec<Vec<Plot>> =
        distributions.values().map(|counts| vec![histogram(counts, &buckets)]).collect();
    let layouts = plots.iter().zip(distributions).map(|(plots, (name, counts))| {
        Layout::auto_from_plots(plots)
            .with_title(format!("{name}: {} calls", sum(counts)))
            .with_x_label("Bytes")
            .with_y_label("Calls")
            .with_x_axis_min(left)
            .with_x_axis_max(right)
            .with_x_tick_step(if right - left > 14.0 { 2.0 } else { 1.0 })
            .with_x_tick_format(TickFormat::Custom(std::sync::Arc::new(label)))
    });
    let layouts: Vec<Layout> = layouts.collect();
    let rows = layouts.len();
    Ok(Picture::of_figure(
        Figure::new(rows, 1)
            .with_structure((0..rows).map(|row| vec![row]).collect())
            .with_plots(plots)
            .with_layouts(layouts)
            .with_cell_size(760.0, 300.0),
    ))
}

fn histogram(counts: &Counts, buckets: &[i64]) -> Plot {
    let last = buckets.last().map_or(0.0, |last| position(*last) + 1.0);
    let edges = buckets.iter().map(|lower| position(*lower)).chain([last]).collect();
    let heights = buckets.iter().map(|it| counts.get(it).copied().unwrap_or(0) as f64).collect();
    Histogram::from_bins(edges, heights).with_color(colour::BLUE).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_prefixes_where_nothing_is_lost() {
        let written = [0, 1, 512, 1024, 1025, 65_536, 1 << 20, 3 << 30].map(short);
        assert_eq!(written, ["0", "1", "512", "1Ki", "1025", "64Ki", "1Mi", "3Gi"]);
    }

    #[test]
    fn bars_have_a_line_for_each_bucket_between_the_first_and_the_last() {
        let mut text = Vec::new();
        write_bars(&Counts::from([(0, 1), (4, 80), (8, 2)]), &mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split('|').collect()).collect();
        let begins: Vec<&str> = lines.iter().map(|line| line[0].trim()).collect();
        assert_eq!(begins, ["0", "1", "2", "4", "8"]);
        let bars: Vec<usize> = lines.iter().map(|line| line[1].matches('@').count()).collect();
        assert_eq!(bars, [1, 0, 0, 40, 1]);
    }

    #[test]
    fn the_axis_names_the_buckets() {
        assert_eq!([-1.0, 0.0, 3.0, 10.0, 12.0].map(label), ["0", "1", "8", "1Ki", "4Ki"]);
        assert_eq!([0, 1, 2, 1024].map(position), [-1.0, 0.0, 1.0, 10.0]);
    }

    #[test]
    fn without_counts_there_is_no_picture() {
        let nothing = BTreeMap::from([("read".to_owned(), Counts::new())]);
        for distributions in [BTreeMap::new(), nothing] {
            let error = draw(&distributions).expect_err("there is nothing to show");
            assert_eq!(error.to_string(), "there is no picture, because nothing was counted");
        }
    }
}

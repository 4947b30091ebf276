//! A latency heat map: how often a call of each size took how long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kuva::plot::{ColorMap, Heatmap};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use crate::picture::{Error, Picture};
use crate::sizes::{Counts, buckets, short, sum};
use crate::time::Unit;

/// For each size in bytes, how often a call took so many nanoseconds, in powers of two.
pub type Latencies = BTreeMap<i64, Counts>;

/// Draws one heat map for each named set, side by side, with the same axes and shades. A shade is the share of
/// the calls of that size, because there may be more calls of one size than of another.
///
/// # Errors
/// There are no calls.
pub fn draw(sets: &[(String, Latencies)]) -> Result<Picture, Error> {
    let all = || sets.iter().flat_map(|(_, set)| set);
    let sizes: BTreeSet<i64> = all().map(|(size, _)| *size).collect();
    let rows = buckets(&all().flat_map(|(_, counts)| counts.clone()).collect());
    if rows.is_empty() {
        return Err(Error::Empty("no call was timed"));
    }
    let shares: Vec<Shares> = sets.iter().map(|(_, set)| Shares::of(set, &sizes, &rows)).collect();
    let most = shares.iter().flat_map(Shares::all).fold(0.0, f64::max);
    let columns: Vec<String> = sizes.iter().map(|size| short(*size)).collect();
    let row_names: Vec<String> = rows.iter().map(|row| rounded(*row)).collect();
    let plots: Vec<Vec<Plot>> = shares.into_iter().map(|it| vec![it.plot(most)]).collect();
    let layouts = plots.iter().zip(sets).map(|(plots, (name, _))| {
        Layout::auto_from_plots(plots)
            .with_title(name.clone())
            .with_subtitle("darker: a larger share of the reads of that size, in %")
            .with_x_categories(columns.clone())
            .with_y_categories(row_names.clone())
            .with_x_label("Size of a read in bytes")
            .with_y_label("Time: lower end of a row")
            .with_x_tick_rotate(-45.0)
    });
    let layouts: Vec<Layout> = layouts.collect();
    let count = layouts.len();
    Ok(Picture::of_figure(
        Figure::new(1, count)
            .with_structure((0..count).map(|at| vec![at]).collect())
            .with_plots(plots)
            .with_layouts(layouts)
            .with_cell_size(560.0, 520.0),
    ))
}

/// Paper is white where there is nothing. A little is seen; more is darker, also in grey.
fn shade(part: f64) -> String {
    const LITTLE: [f64; 3] = [214.0, 230.0, 244.0];
    const ALL: [f64; 3] = [8.0, 48.0, 107.0];
    if part <= 0.0 {
        return "#ffffff".to_owned();
    }
    let part = part.clamp(0.0, 1.0);
    let [red, green, blue] =
        std::array::from_fn(|at| (LITTLE[at] + (ALL[at] - LITTLE[at]) * part).round() as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// The share of each size's calls in each row, in percent.
struct Shares(Vec<Vec<f64>>);

impl Shares {
    fn of(set: &Latencies, sizes: &BTreeSet<i64>, rows: &[i64]) -> Shares {
        let row = |row: &i64| sizes.iter().map(|size| share(set.get(size), *row)).collect();
        Shares(rows.iter().map(row).collect())
    }

    fn all(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flatten().copied()
    }

    /// Draws it with shades that reach to `most`, so that maps can be compared.
    fn plot(self, most: f64) -> Plot {
        // The library scales each map from its own smallest value to its own largest.
        let (low, high) = (self.all().fold(most, f64::min), self.all().fold(0.0, f64::max));
        let shaded = move |part: f64| shade((low + part * (high - low)) / most);
        Heatmap::new()
            .with_data::<f64, _, _>(self.0)
            .with_color_map(ColorMap::Custom(Arc::new(shaded)))
            .with_legend("% of calls")
            .into()
    }
}

/// Returns the share of these calls that lie in a bucket, in percent.
fn share(counts: Option<&Counts>, bucket: i64) -> f64 {
    let Some(counts) = counts else { return 0.0 };
    let (all, here) = (sum(counts), counts.get(&bucket).copied().unwrap_or(0));
    if all == 0 { 0.0 } else { 100.0 * here as f64 / all as f64 }
}

/// Returns a time with its unit, rounded to two or three digits.
#[must_use]
pub fn rounded(nanoseconds: i64) -> String {
    let nanoseconds = u64::try_from(nanoseconds).unwrap_or(0);
    let unit = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => Unit::Microseconds,
        1_000_000..1_000_000_000 => Unit::Milliseconds,
        _ => Unit::Seconds,
    };
    let value = unit.of(nanoseconds);
    let digits = if value < 10.0 { 1 } else { 0 };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_their_units() {
        let written = [512, 1024, 16_384, 1 << 20, 1 << 30].map(rounded);
        assert_eq!(written, ["512 ns", "1.0 µs", "16 µs", "1.0 ms", "1.1 s"]);
    }

    #[test]
    fn a_share_is_that_of_the_calls_of_one_size() {
        let counts = Counts::from([(1024, 3), (4096, 1)]);
        assert_eq!(
            [1024, 2048, 4096].map(|bucket| share(Some(&counts), bucket)),
            [75.0, 0.0, 25.0]
        );
        assert_eq!(share(None, 1024), 0.0);
    }

    #[test]
    fn a_map_has_all_sizes_and_all_times_between_the_first_and_the_last() {
        let few = Latencies::from([(512, Counts::from([(1024, 1)]))]);
        let more = Latencies::from([(4096, Counts::from([(8192, 5)]))]);
        let picture =
            draw(&[("few".to_owned(), few), ("more".to_owned(), more)]).expect("a picture");
        for text in ["512", "4Ki", "1.0 µs", "2.0 µs", "4.1 µs", "8.2 µs", "few", "more"] {
            assert!(picture.svg().contains(text), "{text}");
        }
    }

    #[test]
    fn without_calls_there_is_no_picture() {
        let error = draw(&[("none".to_owned(), Latencies::new())]).expect_err("nothing to show");
        assert_eq!(error.to_string(), "there is no picture, because no call was timed");
    }
}

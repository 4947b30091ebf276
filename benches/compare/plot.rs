//! How are quantities shown that grow?

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use dtrace_lab::picture::{Picture, colour};
use kuva::plot::{LegendPosition, LinePlot, ScatterPlot};
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots;

use crate::growth::Plot;

const COLOURS: [&str; 3] = [colour::BLUE, colour::ORANGE, colour::GREY];

/// Draws a plot. Both axes are logarithmic.
pub(crate) fn draw(plot: &Plot) -> Picture {
    let mut drawn = Vec::new();
    for (curve, colour) in plot.curves.iter().zip(COLOURS) {
        let points = curve.points.iter().map(|(by, value)| (f64::from(*by), *value));
        let line =
            LinePlot::new().with_data(points.clone()).with_color(colour).with_legend(curve.name);
        let places = ScatterPlot::new().with_data(points).with_color(colour);
        drawn.extend([plots::Plot::from(line), places.into()]);
    }
    // Each is a 1, 2 or 5 with zeros.
    let times =
        TickFormat::Custom(Arc::new(|seconds| format!("{:.0?}", Duration::from_secs_f64(seconds))));
    let layout = Layout::auto_from_plots(&drawn)
        .with_title(plot.title)
        .with_x_label(plot.by)
        .with_y_tick_format(times)
        .with_log_scale()
        .with_width(700.0)
        .with_height(400.0)
        // For the widest labels.
        .with_force_margins(80.0, 170.0)
        .with_legend_position(LegendPosition::OutsideRightTop);
    Picture::of(drawn, layout)
}

/// Returns the figures of a plot as a table, after its picture.
pub(crate) fn table(plot: &Plot) -> String {
    let mut text = format!("![{}](performance/{}.svg)\n\n| {} |", plot.title, plot.name, plot.by);
    for curve in &plot.curves {
        let _ = write!(text, " {} |", curve.name);
    }
    let _ = write!(text, "\n|---|{}\n", "---|".repeat(plot.curves.len()));
    let mut all: Vec<u32> =
        plot.curves.iter().flat_map(|curve| curve.points.iter().map(|point| point.0)).collect();
    all.sort_unstable();
    all.dedup();
    for by in all {
        let _ = write!(text, "| {by} |");
        for curve in &plot.curves {
            let value = curve.points.iter().find(|point| point.0 == by);
            let value = value.map_or_else(|| "–".to_owned(), |(_, value)| in_words(*value));
            let _ = write!(text, " {value} |");
        }
        text.push('\n');
    }
    text
}

fn in_words(seconds: f64) -> String {
    format!("{:.2?}", Duration::from_secs_f64(seconds))
}

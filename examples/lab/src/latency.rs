//! How does a TCP connection's bandwidth depend on the latency, and what do its windows do meanwhile?

use std::collections::{BTreeMap, BTreeSet};

use kuva::plot::scatter::MarkerShape;
use kuva::plot::{LegendEntry, LegendPosition, LegendShape, LinePlot, LineStyle, ScatterPlot};
use kuva::render::figure::Figure;
use kuva::render::layout::{Layout, TickFormat};
use kuva::render::plots::Plot;
use serde::{Deserialize, Serialize};

use crate::picture::{Error, Picture, colour};

/// How the sizes of the socket buffers are determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Buffers {
    /// By the program, once.
    Fixed,
    /// By the kernel, which resizes them as needed.
    Auto,
}

impl Buffers {
    /// All kinds, in the order of the results.
    pub const ALL: [Buffers; 2] = [Buffers::Fixed, Buffers::Auto];

    /// Returns its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Buffers::Fixed => "fixed",
            Buffers::Auto => "auto",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Buffers::Fixed => "fixed buffers",
            Buffers::Auto => "auto-resized buffers",
        }
    }

    fn medians(self) -> &'static str {
        match self {
            Buffers::Fixed => "median, fixed buffers",
            Buffers::Auto => "median, auto-resized buffers",
        }
    }

    fn style(self) -> (&'static str, MarkerShape, LineStyle) {
        match self {
            Buffers::Fixed => (colour::BLUE, MarkerShape::Circle, LineStyle::Solid),
            Buffers::Auto => (colour::RED, MarkerShape::Square, LineStyle::Dashed),
        }
    }
}

/// The result of one transfer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The delay in one direction, in milliseconds.
    pub delay_ms: u32,
    /// The socket buffers.
    pub buffers: Buffers,
    /// Bytes a second.
    pub bandwidth: f64,
}

/// The windows of a connection at its sending end, when an acknowledgement arrives.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Seconds since the first acknowledgement.
    pub time: f64,
    /// How many bytes may be in flight for fear of congestion.
    pub congestion: u64,
    /// How many bytes more the receiver accepts.
    pub advertised: u64,
    /// How many bytes have been sent and not been acknowledged.
    pub in_flight: u64,
    /// How many bytes have been acknowledged since the first acknowledgement.
    pub acknowledged: u64,
}

/// The windows of one connection over time.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The connection's socket buffers.
    pub buffers: Buffers,
    /// The delay in one direction, in milliseconds.
    pub delay_ms: u32,
    /// In the order of time.
    pub windows: Vec<Windows>,
}

/// A bandwidth in a row of the results.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// The delay in one direction, in milliseconds.
    pub delay_ms: u32,
    /// The socket buffers.
    pub buffers: Buffers,
    /// How many transfers there were.
    pub repetitions: usize,
    /// The smallest bandwidth, in bytes a second.
    pub minimum: f64,
    /// The median.
    pub median: f64,
    /// The largest.
    pub maximum: f64,
}

/// Summarizes the repetitions of each delay, in the order of the buffers and the delays.
#[must_use]
pub fn summaries(measurements: &[Measurement]) -> Vec<Summary> {
    let mut groups: BTreeMap<(Buffers, u32), Vec<f64>> = BTreeMap::new();
    for it in measurements {
        groups.entry((it.buffers, it.delay_ms)).or_default().push(it.bandwidth);
    }
    groups
        .into_iter()
        .filter_map(|((buffers, delay_ms), mut values)| {
            values.sort_by(f64::total_cmp);
            let (&minimum, &maximum) = (values.first()?, values.last()?);
            let repetitions = values.len();
            let median = (values[(repetitions - 1) / 2] + values[repetitions / 2]) / 2.0;
            Some(Summary { delay_ms, buffers, repetitions, minimum, median, maximum })
        })
        .collect()
}

const MB: f64 = 1e6;
const KIB: f64 = 1024.0;

/// Draws the bandwidth against the delay: a point for each transfer, and a line through the medians.
///
/// # Errors
/// There is no measurement.
pub fn bandwidth(measurements: &[Measurement], subtitle: &str) -> Result<Picture, Error> {
    // The axis is logarithmic.
    let drawn: Vec<Measurement> =
        measurements.iter().copied().filter(|it| it.bandwidth > 0.0).collect();
    if drawn.is_empty() {
        return Err(Error::Empty("nothing was measured"));
    }
    let (mut plots, mut legend) = (Vec::new(), Vec::new());
    let summaries = summaries(&drawn);
    for buffers in Buffers::ALL {
        let (color, marker, style) = buffers.style();
        let medians: Vec<(f64, f64)> = summaries
            .iter()
            .filter(|it| it.buffers == buffers)
            .map(|it| (f64::from(it.delay_ms), it.median / MB))
            .collect();
        if medians.is_empty() {
            continue;
        }
        let points = drawn
            .iter()
            .filter(|it| it.buffers == buffers)
            .map(|it| (f64::from(it.delay_ms), it.bandwidth / MB));
        plots.push(line(medians, color, &style));
        plots.push(Plot::Scatter(
            ScatterPlot::new()
                .with_data(points)
                .with_color(color)
                .with_marker(marker)
                .with_size(4.5)
                .with_marker_opacity(0.6)
                .with_marker_stroke_width(1.0),
        ));
        legend.push(entry(buffers.words(), color, LegendShape::Marker(marker), &style));
        legend.push(entry(buffers.medians(), color, LegendShape::Line, &style));
    }
    let longest = drawn.iter().map(|it| it.delay_ms).max().unwrap_or_default();
    // Room for a whole marker at the ends.
    let margin = f64::from(longest.max(1)) / 30.0;
    let layout = Layout::auto_from_plots(&plots)
        .with_x_axis_min(-margin)
        .with_x_axis_max(f64::from(longest) + margin)
        .with_title("Bandwidth of a TCP connection against its latency")
        .with_subtitle(subtitle)
        .with_subtitle_wrap(90)
        .with_x_label("delay in one direction (ms)")
        .with_y_label("bandwidth (MB/s, logarithmic)")
        .with_y_tick_format(plain_numbers())
        .with_log_y()
        .with_width(720.0)
        .with_height(480.0)
        .with_legend_position(LegendPosition::InsideTopRight)
        .with_legend_entries(legend);
    Ok(Picture::of(plots, layout))
}

/// Draws the windows of connections against time, and their bandwidths below.
///
/// # Errors
/// There is no acknowledgement.
pub fn windows(traces: &[Trace], subtitle: &str) -> Result<Picture, Error> {
    let traces: Vec<&Trace> = traces.iter().filter(|it| !it.windows.is_empty()).collect();
    if traces.is_empty() {
        return Err(Error::Empty("no acknowledgement was traced"));
    }
    let columns = traces.len();
    let (mut cells, mut layouts) = (Vec::new(), Vec::new());
    for trace in &traces {
        let plots = window_lines(trace);
        let title = format!("{}, {} ms in one direction", trace.buffers.words(), trace.delay_ms);
        layouts.push(
            Layout::auto_from_plots(&plots)
                .with_x_axis_min(0.0)
                .with_x_axis_max(end(trace))
                .with_title(title)
                .with_title_size(14)
                .with_x_label("time (s)")
                .with_y_label("window (KiB)"),
        );
        cells.push(plots);
    }
    for trace in &traces {
        let mut rates = rates(&trace.windows, interval(trace.delay_ms));
        // The last step has its length, too.
        let last = rates.last().map(|(_, rate)| *rate);
        rates.extend(last.map(|rate| (end(trace), rate)));
        let points = rates.into_iter().map(|(time, rate)| (time, rate / MB)).collect();
        let Plot::Line(points) = line(points, colour::BLACK, &LineStyle::Solid) else { continue };
        let plots = vec![Plot::Line(points.with_step())];
        layouts.push(
            Layout::auto_from_plots(&plots)
                .with_x_axis_min(0.0)
                .with_x_axis_max(end(trace))
                .with_x_label("time (s)")
                .with_y_label("bandwidth (MB/s)"),
        );
        cells.push(plots);
    }
    let legend = WINDOWS
        .iter()
        .map(|(name, color, style, _)| entry(name, color, LegendShape::Line, style))
        .collect();
    let figure = Figure::new(2, columns)
        .with_title(subtitle)
        .with_title_size(14)
        .with_cell_size(420.0, 280.0)
        .with_plots(cells)
        .with_layouts(layouts)
        .with_shared_legend_bottom()
        .with_shared_legend_entries(legend);
    Ok(Picture::of_figure(figure))
}

/// What the upper plots show: the name, the colour, the style, and which value.
type Shown = (&'static str, &'static str, LineStyle, fn(&Windows) -> u64);

const WINDOWS: [Shown; 3] = [
    ("advertised by the receiver", colour::ORANGE, LineStyle::Dashed, |it| it.advertised),
    ("congestion window", colour::BLUE, LineStyle::Solid, |it| it.congestion),
    ("in flight", colour::BLACK, LineStyle::Dotted, |it| it.in_flight),
];

fn window_lines(trace: &Trace) -> Vec<Plot> {
    WINDOWS
        .iter()
        .map(|(_, color, style, value)| {
            let points = trace.windows.iter().map(|it| (it.time, value(it) as f64 / KIB));
            line(thinned(points.collect()), color, style)
        })
        .collect()
}

/// How many columns of pixels a plot of the windows has, or fewer.
const COLUMNS: usize = 250;

/// Keeps the lowest and the highest point of each column of pixels, so that the picture of a long connection has
/// a bounded size and still shows all peaks.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    if points.len() <= 2 * COLUMNS {
        return points;
    }
    let end = points.last().map_or(0.0, |it| it.0);
    let column = |point: &(f64, f64)| ((point.0 / end) * COLUMNS as f64) as usize;
    points
        .chunk_by(|one, next| column(one) == column(next))
        .flat_map(|points| {
            let places = 0..points.len();
            let by_height = |a: &usize, b: &usize| points[*a].1.total_cmp(&points[*b].1);
            let lowest = places.clone().min_by(by_height).unwrap_or(0);
            let highest = places.max_by(by_height).unwrap_or(0);
            let kept: BTreeSet<usize> = [lowest, highest].into();
            kept.into_iter().map(|place| points[place])
        })
        .collect()
}

/// Returns when the last acknowledgement arrived; both plots of a connection end there.
fn end(trace: &Trace) -> f64 {
    trace.windows.last().map_or(0.0, |it| it.time)
}

/// Returns over which time a bandwidth is computed, in seconds: a round trip, but at least 10 ms.
fn interval(delay_ms: u32) -> f64 {
    f64::from(delay_ms.max(5)) * 2.0 / 1000.0
}

/// Returns the bandwidth in each interval, in bytes a second, with the time of its beginning.
fn rates(windows: &[Windows], interval: f64) -> Vec<(f64, f64)> {
    let mut rates = Vec::new();
    let (mut next, mut before) = (interval, 0);
    let mut latest = 0;
    for it in windows {
        while it.time >= next {
            rates.push((next - interval, (latest - before) as f64 / interval));
            (before, next) = (latest, next + interval);
        }
        latest = latest.max(it.acknowledged);
    }
    // The last interval is not complete.
    if let Some(last) = windows.last()
        && last.time > next - interval
    {
        let length = last.time - (next - interval);
        rates.push((next - interval, (latest - before) as f64 / length));
    }
    rates
}

fn line(points: Vec<(f64, f64)>, color: &str, style: &LineStyle) -> Plot {
    Plot::Line(
        LinePlot::new()
            .with_data(points)
            .with_color(color)
            .with_stroke_width(1.8)
            .with_line_style(style.clone()),
    )
}

fn entry(label: &str, color: &str, shape: LegendShape, style: &LineStyle) -> LegendEntry {
    LegendEntry {
        label: label.to_owned(),
        color: color.to_owned(),
        shape,
        dasharray: style.dasharray(),
    }
}

/// Writes 0.5, 10 and 1000 as they are.
fn plain_numbers() -> TickFormat {
    TickFormat::Custom(std::sync::Arc::new(|value| format!("{value}")))
}

#[cfg(test)]
mod tests;

//! The time-sequence graph of a TCP connection: what was sent and acknowledged, and when.

use std::collections::BTreeMap;

use kuva::plot::{LegendPosition, LinePlot, MarkerShape, ScatterPlot};
use kuva::render::figure::Figure;
use kuva::render::layout::Layout;
use kuva::render::plots::Plot;

use crate::picture::{Error, Picture, colour};
use crate::time::Unit;

/// A TCP segment, as one end saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// When, in nanoseconds.
    pub time: u64,
    /// Whether it was seen as it was sent, not as it was received.
    pub sent: bool,
    /// The source port.
    pub from: u16,
    /// The destination port.
    pub to: u16,
    /// The sequence number of its first byte.
    pub seq: u32,
    /// The sequence number that its sender expects next.
    pub ack: u32,
    /// The number of bytes of data.
    pub length: u32,
    /// Whether it begins the connection's direction (SYN).
    pub begins: bool,
    /// Whether it ends that direction (FIN).
    pub ends: bool,
    /// Whether `ack` counts (ACK).
    pub acknowledges: bool,
}

impl Segment {
    /// The sequence numbers that it uses. SYN and FIN use one each.
    fn advance(&self) -> i64 {
        i64::from(self.length) + i64::from(self.begins) + i64::from(self.ends)
    }
}

/// Sequence numbers wrap around at 2³². These do not, and begin with 0.
#[derive(Debug, Default)]
struct Unwrapped {
    last: Option<(u32, i64)>,
}

impl Unwrapped {
    fn of(&mut self, number: u32) -> i64 {
        let unwrapped = match self.last {
            // The nearest of all that it may be.
            Some((last, at)) => at + i64::from(number.wrapping_sub(last).cast_signed()),
            None => 0,
        };
        self.last = Some((number, unwrapped));
        unwrapped
    }
}

/// One direction of a connection. Times are in nanoseconds since the first segment of all.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// The source port.
    pub from: u16,
    /// The destination port.
    pub to: u16,
    /// What was sent: when, the first number and the one behind the last.
    pub sent: Vec<(u64, i64, i64)>,
    /// Which of them had been sent before, at least in part.
    pub again: Vec<usize>,
    /// Which of them begin or end the direction.
    pub marks: Vec<usize>,
    /// What was acknowledged: when, and the number that was expected next.
    pub acknowledged: Vec<(u64, i64)>,
}

impl Direction {
    /// Takes what concerns the direction `from` → `to` out of segments in the order of their times.
    fn new(segments: &[Segment], (from, to): (u16, u16)) -> Direction {
        let start = segments.first().map_or(0, |first| first.time);
        let ours: Vec<_> = segments.iter().filter(|s| (s.from, s.to) == (from, to)).collect();
        let theirs: Vec<_> = segments.iter().filter(|s| (s.from, s.to) == (to, from)).collect();
        // On the loopback device each segment is seen twice, where a script sees all. The sender's end counts,
        // unless the other end saw more.
        let sent_here = mostly(&ours, |s| s.sent);
        let received_here = mostly(&theirs, |s| !s.sent);

        let mut direction = Direction { from, to, ..Direction::default() };
        let mut numbers = Unwrapped::default();
        let mut highest = 0;
        let ours = ours.into_iter().filter(|s| s.sent == sent_here && s.advance() > 0);
        let first = ours.clone().next();
        for segment in ours {
            let first = numbers.of(segment.seq);
            let behind = first + segment.advance();
            let index = direction.sent.len();
            if index > 0 && first < highest {
                direction.again.push(index);
            }
            if segment.begins || segment.ends {
                direction.marks.push(index);
            }
            highest = highest.max(behind);
            direction.sent.push((segment.time - start, first, behind));
        }
        // Relative to what was sent first, not to what was acknowledged first.
        let mut numbers = Unwrapped { last: first.map(|segment| (segment.seq, 0)) };
        for segment in theirs.into_iter().filter(|s| s.acknowledges && s.sent != received_here) {
            direction.acknowledged.push((segment.time - start, numbers.of(segment.ack)));
        }
        direction
    }

    /// Returns how many sequence numbers the direction spans, those of SYN and FIN included.
    fn span(&self) -> i64 {
        self.sent.iter().map(|(.., behind)| *behind).max().unwrap_or(0)
    }

    /// Draws it.
    fn plots(&self, unit: Unit) -> Vec<Plot> {
        let at = |time: u64| unit.of(time);
        let sent = self.sent.iter().scan(0, |highest, (time, _, behind)| {
            *highest = (*behind).max(*highest);
            Some((at(*time), *highest as f64))
        });
        let acknowledged =
            self.acknowledged.iter().map(|(time, number)| (at(*time), *number as f64));
        let points = |indices: &[usize]| -> Vec<(f64, f64)> {
            let points = indices.iter().map(|index| &self.sent[*index]);
            points.map(|(time, _, behind)| (at(*time), *behind as f64)).collect()
        };
        let scatter = |points, shape, colour, size| {
            let plot = ScatterPlot::new().with_data::<f64, f64, _>(points);
            plot.with_marker(shape).with_color(colour).with_size(size)
        };
        let all: Vec<usize> = (0..self.sent.len()).collect();
        let mut plots = vec![
            line(stairs(sent.collect()), colour::BLUE).into(),
            scatter(points(&all), MarkerShape::Circle, colour::BLUE, 3.0)
                .with_legend("segment sent")
                .into(),
            line(stairs(acknowledged.collect()), colour::ORANGE)
                .with_dashed()
                .with_legend("acknowledged")
                .into(),
        ];
        for (indices, shape, colour, size, name) in [
            (&self.marks, MarkerShape::Diamond, colour::BLACK, 5.0, "SYN or FIN"),
            (&self.again, MarkerShape::Cross, colour::RED, 6.0, "sent again"),
        ] {
            if !indices.is_empty() {
                plots.push(scatter(points(indices), shape, colour, size).with_legend(name).into());
            }
        }
        plots
    }
}

/// Whether this is so for at least as many as it is not.
fn mostly(segments: &[&Segment], is_so: impl Fn(&Segment) -> bool) -> bool {
    2 * segments.iter().filter(|segment| is_so(segment)).count() >= segments.len()
}

fn line(points: Vec<(f64, f64)>, colour: &str) -> LinePlot {
    LinePlot::new().with_data(points).with_color(colour).with_stroke_width(1.2)
}

/// A value holds until the next one.
fn stairs(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let mut stairs: Vec<(f64, f64)> = Vec::with_capacity(2 * points.len());
    for (x, y) in points {
        if let Some((_, before)) = stairs.last().copied() {
            stairs.push((x, before));
        }
        stairs.push((x, y));
    }
    stairs
}

/// Returns the directions in which data were sent, the one with the most first. Connections are told apart by
/// their ports only.
#[must_use]
pub fn directions(segments: &[Segment]) -> Vec<Direction> {
    let mut segments = segments.to_vec();
    segments.sort_by_key(|segment| segment.time);
    let mut bytes: BTreeMap<(u16, u16), u64> = BTreeMap::new();
    for segment in &segments {
        *bytes.entry((segment.from, segment.to)).or_default() += u64::from(segment.length);
    }
    bytes.retain(|_, bytes| *bytes > 0);
    let mut directions: Vec<_> =
        bytes.into_keys().map(|ports| Direction::new(&segments, ports)).collect();
    directions.sort_by_key(|direction| std::cmp::Reverse(direction.span()));
    directions
}

/// How many directions a picture shows.
const MOST: usize = 4;

/// Draws the directions with the most data.
///
/// # Errors
/// No segment carries data.
pub fn draw(segments: &[Segment]) -> Result<Picture, Error> {
    let directions = directions(segments);
    if directions.is_empty() {
        return Err(Error::Empty("no TCP segment with data was seen"));
    }
    let shown = &directions[..directions.len().min(MOST)];
    let last = |direction: &Direction| {
        let times = direction.sent.iter().map(|sent| sent.0);
        times.chain(direction.acknowledged.iter().map(|it| it.0)).max()
    };
    let span = shown.iter().filter_map(last).max().unwrap_or(0);
    let unit = Unit::for_span(span);
    // Marks at the edges are not cut.
    let margin = 0.02 * unit.of(span);
    let plots: Vec<Vec<Plot>> = shown.iter().map(|it| it.plots(unit)).collect();
    let layouts = plots.iter().zip(shown).map(|(plots, direction)| {
        let margin_above = 0.02 * direction.span() as f64;
        Layout::auto_from_plots(plots)
            .with_x_axis_min(-margin)
            .with_x_axis_max(unit.of(span) + margin)
            .with_y_axis_min(-margin_above)
            .with_y_axis_max(direction.span() as f64 + margin_above)
            .with_title(format!("Port {} to port {}", direction.from, direction.to))
            .with_x_label(format!("Time in {unit}"))
            .with_y_label("Sequence number, from the first")
            .with_legend_position(LegendPosition::OutsideRightTop)
    });
    let layouts: Vec<Layout> = layouts.collect();
    let rows = shown.len();
    Ok(Picture::of_figure(
        Figure::new(rows, 1)
            .with_structure((0..rows).map(|row| vec![row]).collect())
            .with_plots(plots)
            .with_layouts(layouts)
            .with_cell_size(840.0, if rows == 1 { 460.0 } else { 340.0 }),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A segment of the client, port 1, or the server, port 2. They are seen as they are sent.
    fn segment(time: u64, from: u16, seq: u32, ack: u32, length: u32) -> Segment {
        let to = 3 - from;
        let (begins, ends) = (false, false);
        Segment { time, sent: true, from, to, seq, ack, length, begins, ends, acknowledges: true }
    }

    /// 300 bytes of the client, whose numbers begin with `first`, with one segment twice.
    fn connection(first: u32) -> Vec<Segment> {
        let number = |n: u32| first.wrapping_add(n);
        vec![
            Segment { begins: true, acknowledges: false, ..segment(1000, 1, first, 0, 0) },
            Segment { begins: true, ..segment(1010, 2, 7, number(1), 0) },
            segment(1020, 1, number(1), 8, 100),
            segment(1030, 1, number(101), 8, 100),
            segment(1040, 2, 8, number(101), 0),
            segment(1050, 1, number(101), 8, 100),
            segment(1060, 2, 8, number(201), 0),
            segment(1070, 1, number(201), 8, 100),
            Segment { ends: true, ..segment(1080, 1, number(301), 8, 0) },
            segment(1090, 2, 8, number(302), 0),
        ]
    }

    #[test]
    fn a_direction_has_what_was_sent_again_and_acknowledged() {
        for first in [0, 5000, u32::MAX - 150, u32::MAX] {
            let [direction] = &directions(&connection(first))[..] else { panic!("one has data") };
            assert_eq!((direction.from, direction.to), (1, 2));
            let sent: Vec<_> =
                direction.sent.iter().map(|(time, _, behind)| (*time, *behind)).collect();
            assert_eq!(sent, [(0, 1), (20, 101), (30, 201), (50, 201), (70, 301), (80, 302)]);
            assert_eq!(direction.again, [3]);
            assert_eq!(direction.marks, [0, 5]);
            assert_eq!(direction.acknowledged, [(10, 1), (40, 101), (60, 201), (90, 302)]);
        }
    }

    #[test]
    fn a_segment_that_both_ends_saw_is_shown_once() {
        let once = connection(5000);
        let received = once.iter().map(|s| Segment { sent: false, time: s.time + 5, ..*s });
        let twice: Vec<_> = once.iter().copied().chain(received).collect();
        let (once, twice) = (directions(&once), directions(&twice));
        assert_eq!((&once[0].sent, &once[0].again), (&twice[0].sent, &twice[0].again));
        // Acknowledgements are shown when the sender of the data receives them.
        assert_eq!(twice[0].acknowledged, [(15, 1), (45, 101), (65, 201), (95, 302)]);
    }

    #[test]
    fn the_order_of_segments_does_not_matter() {
        let mut segments = connection(5000);
        let in_order = directions(&segments);
        segments.reverse();
        assert_eq!(directions(&segments), in_order);
    }

    #[test]
    fn without_data_there_is_no_picture() {
        let control: Vec<_> = connection(0).into_iter().filter(|s| s.length == 0).collect();
        for segments in [&[][..], &control] {
            let error = draw(segments).expect_err("there is nothing to show");
            assert_eq!(
                error.to_string(),
                "there is no picture, because no TCP segment with data was seen"
            );
        }
    }
}

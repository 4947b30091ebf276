//! The state diagram, with each state where textbooks have it.

use std::fmt::Write;

use super::{PROTOCOL, State, Taken, is_expected, is_visited};
use crate::picture::colour;

/// Half the size of a box.
const BOX: (f64, f64) = (66.0, 17.0);

const SIZE: (f64, f64) = (850.0, 700.0);

/// The centre of a state's box.
fn place(state: State) -> (f64, f64) {
    let (column, row) = match state {
        State::Closed => (1.0, 0.0),
        State::Listen => (0.0, 1.0),
        State::SynReceived => (0.0, 2.0),
        State::SynSent => (2.0, 2.0),
        State::Established => (1.0, 3.0),
        State::FinWait1 => (0.0, 4.0),
        State::CloseWait => (2.0, 4.0),
        State::FinWait2 => (0.0, 5.0),
        State::Closing => (1.0, 5.0),
        State::LastAck => (2.0, 5.0),
        State::TimeWait => (1.0, 6.0),
    };
    (190.0 + 190.0 * column, 50.0 + 100.0 * row)
}

/// How far a transition's arrow bends to the left, seen in its direction.
fn bend(from: State, to: State) -> f64 {
    use State::*;
    match (from, to) {
        // Along the outer edges.
        (LastAck, Closed) => -430.0,
        (TimeWait, Closed) => -860.0,
        // The arrows of both directions must not overlap.
        (Closed, Listen) | (Listen, Closed) | (Closed, SynSent) | (SynSent, Closed) => -40.0,
        (Listen, SynReceived) | (SynReceived, Listen) => -40.0,
        _ if is_expected(from, to) => 0.0,
        // Around what lies between.
        _ if place(from).0 > place(Closed).0 => -330.0,
        _ => 440.0,
    }
}

/// Returns the diagram as SVG.
pub(super) fn svg(taken: &Taken) -> String {
    let (width, height) = SIZE;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Verdana, Arial, sans-serif\" \
         font-size=\"13\" text-anchor=\"middle\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let unexpected = taken.iter().filter(|((from, to), _)| !is_expected(*from, *to));
    let not_taken = PROTOCOL.iter().filter(|transition| !taken.contains_key(transition));
    let expected = taken.iter().filter(|((from, to), _)| is_expected(*from, *to));
    // What matters more lies above.
    for transition in not_taken {
        arrow(&mut svg, *transition, colour::GREY, 1.0, "", None);
    }
    for (transition, times) in expected {
        arrow(&mut svg, *transition, colour::BLACK, 2.0, "", Some(*times));
    }
    for (transition, times) in unexpected {
        arrow(&mut svg, *transition, colour::RED, 2.0, "stroke-dasharray=\"7 4\"", Some(*times));
    }
    for state in State::ALL {
        let (x, y) = place(state);
        let (colour, stroke) =
            if is_visited(taken, state) { (colour::BLACK, 2.0) } else { (colour::GREY, 1.0) };
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"white\" stroke=\"{colour}\" \
             stroke-width=\"{stroke}\"/>\n<text x=\"{x}\" y=\"{}\" fill=\"{colour}\">{state}</text>",
            x - BOX.0,
            y - BOX.1,
            2.0 * BOX.0,
            2.0 * BOX.1,
            y + 4.5,
        );
    }
    svg + "</svg>\n"
}

/// Draws the arrow of a transition, and how often it was taken.
fn arrow(
    svg: &mut String,
    (from, to): (State, State),
    colour: &str,
    width: f64,
    style: &str,
    times: Option<usize>,
) {
    let (start, end) = (place(from), place(to));
    let (dx, dy) = (end.0 - start.0, end.1 - start.1);
    let length = dx.hypot(dy).max(1.0);
    let bend = bend(from, to);
    let control = (
        (start.0 + end.0) / 2.0 + dy / length * bend,
        (start.1 + end.1) / 2.0 - dx / length * bend,
    );
    let (start, tip) = (border(start, control), border(end, control));
    let _ = writeln!(
        svg,
        "<path d=\"M {:.1} {:.1} Q {:.1} {:.1} {:.1} {:.1}\" fill=\"none\" stroke=\"{colour}\" \
         stroke-width=\"{width}\" {style}/>",
        start.0, start.1, control.0, control.1, tip.0, tip.1
    );
    // The head points where the curve goes at its end.
    let (dx, dy) = (tip.0 - control.0, tip.1 - control.1);
    let length = dx.hypot(dy).max(1.0);
    let (dx, dy) = (dx / length, dy / length);
    let size = 5.0 + 2.0 * width;
    let corner = |side: f64| (tip.0 - size * dx - side * dy, tip.1 - size * dy + side * dx);
    let (left, right) = (corner(-size / 2.2), corner(size / 2.2));
    let _ = writeln!(
        svg,
        "<path d=\"M {:.1} {:.1} L {:.1} {:.1} L {:.1} {:.1} Z\" fill=\"{colour}\"/>",
        tip.0, tip.1, left.0, left.1, right.0, right.1
    );
    let Some(times) = times else { return };
    let middle = |a: f64, b: f64, c: f64| 0.25 * a + 0.5 * b + 0.25 * c;
    let (x, y) = (middle(start.0, control.0, tip.0), middle(start.1, control.1, tip.1));
    let text = format!("{times}×");
    let half = 4.0 + 4.2 * text.chars().count() as f64;
    let _ = writeln!(
        svg,
        "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"18\" fill=\"white\"/>\n\
         <text x=\"{x:.1}\" y=\"{:.1}\" fill=\"{colour}\">{text}</text>",
        x - half,
        y - 9.0,
        2.0 * half,
        y + 4.5
    );
}

/// Returns where the line from a box's centre to a point leaves the box.
fn border(centre: (f64, f64), towards: (f64, f64)) -> (f64, f64) {
    let (dx, dy) = (towards.0 - centre.0, towards.1 - centre.1);
    let scale = (BOX.0 / dx.abs()).min(BOX.1 / dy.abs()).min(1.0);
    (centre.0 + dx * scale, centre.1 + dy * scale)
}

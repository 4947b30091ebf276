//! The states of TCP sockets: which transitions were taken, beside those in the protocol's diagram.

mod diagram;

use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::picture::{Error, Picture};

/// A state of a connection, with the name that RFC 9293 gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[expect(missing_docs, reason = "RFC 9293, section 3.3.2, explains them")]
pub enum State {
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
}

impl State {
    /// All states.
    pub const ALL: [State; 11] = [
        State::Closed,
        State::Listen,
        State::SynSent,
        State::SynReceived,
        State::Established,
        State::FinWait1,
        State::FinWait2,
        State::CloseWait,
        State::Closing,
        State::LastAck,
        State::TimeWait,
    ];

    /// Returns its name in the RFC.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Closed => "CLOSED",
            State::Listen => "LISTEN",
            State::SynSent => "SYN-SENT",
            State::SynReceived => "SYN-RECEIVED",
            State::Established => "ESTABLISHED",
            State::FinWait1 => "FIN-WAIT-1",
            State::FinWait2 => "FIN-WAIT-2",
            State::CloseWait => "CLOSE-WAIT",
            State::Closing => "CLOSING",
            State::LastAck => "LAST-ACK",
            State::TimeWait => "TIME-WAIT",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no state of a TCP connection (the script prints D's tcp_state_string)")]
pub struct UnknownState(String);

impl FromStr for State {
    type Err = UnknownState;

    /// Takes the texts of D's `tcp_state_string`, such as `state-syn-sent`, and the names of the RFC.
    fn from_str(text: &str) -> Result<State, UnknownState> {
        let name = text.strip_prefix("state-").unwrap_or(text);
        let is_it = |state: &State| state.name().eq_ignore_ascii_case(name);
        State::ALL.into_iter().find(is_it).ok_or_else(|| UnknownState(text.to_owned()))
    }
}

impl TryFrom<String> for State {
    type Error = UnknownState;

    fn try_from(text: String) -> Result<State, UnknownState> {
        text.parse()
    }
}

impl From<State> for String {
    fn from(state: State) -> String {
        state.name().to_owned()
    }
}

/// The transitions in figure 5 of RFC 9293, and FIN-WAIT-1 to TIME-WAIT from its second note. The figure leaves
/// out most resets.
pub const PROTOCOL: [(State, State); 21] = {
    use State::*;
    [
        (Closed, Listen),
        (Closed, SynSent),
        (Listen, SynReceived),
        (Listen, SynSent),
        (Listen, Closed),
        (SynSent, SynReceived),
        (SynSent, Established),
        (SynSent, Closed),
        (SynReceived, Established),
        (SynReceived, FinWait1),
        (SynReceived, Listen),
        (Established, FinWait1),
        (Established, CloseWait),
        (FinWait1, FinWait2),
        (FinWait1, Closing),
        (FinWait1, TimeWait),
        (FinWait2, TimeWait),
        (Closing, TimeWait),
        (CloseWait, LastAck),
        (LastAck, Closed),
        (TimeWait, Closed),
    ]
};

/// Whether the figure has this transition.
#[must_use]
pub fn is_expected(from: State, to: State) -> bool {
    PROTOCOL.contains(&(from, to))
}

/// How often each transition was taken.
pub type Taken = BTreeMap<(State, State), usize>;

fn is_visited(taken: &Taken, state: State) -> bool {
    taken.keys().any(|(from, to)| *from == state || *to == state)
}

/// Returns the diagram in the language DOT.
#[must_use]
pub fn dot(taken: &Taken) -> String {
    let mut dot = "digraph tcp {\n".to_owned();
    for state in State::ALL {
        let (colour, width) = if is_visited(taken, state) { ("black", 2) } else { ("darkgray", 1) };
        let _ = writeln!(dot, "    \"{state}\" [shape=box, color=\"{colour}\", penwidth={width}];");
    }
    for (from, to) in &PROTOCOL {
        let (colour, width, label) = match taken.get(&(*from, *to)) {
            Some(times) => ("black", 2, format!("{times} ×")),
            None => ("darkgray", 1, String::new()),
        };
        edge(&mut dot, *from, *to, &format!("color=\"{colour}\", penwidth={width}"), &label);
    }
    for ((from, to), times) in taken.iter().filter(|((from, to), _)| !is_expected(*from, *to)) {
        let label = format!("{times} × unexpected");
        edge(&mut dot, *from, *to, "color=\"red\", penwidth=2, style=dashed", &label);
    }
    dot + "}\n"
}

fn edge(dot: &mut String, from: State, to: State, style: &str, label: &str) {
    let _ = writeln!(dot, "    \"{from}\" -> \"{to}\" [{style}, label=\"{label}\"];");
}

/// Draws the diagram: taken transitions are black, others grey, those that the figure does not have red and
/// dashed.
///
/// # Errors
/// No transition was taken.
pub fn draw(taken: &Taken) -> Result<Picture, Error> {
    if taken.is_empty() {
        return Err(Error::Empty("no socket changed its state"));
    }
    Ok(Picture::from_svg(diagram::svg(taken)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_names_of_d_and_of_the_protocol() {
        for state in State::ALL {
            let of_d = format!("state-{}", state.name().to_lowercase());
            assert_eq!([of_d.parse(), state.name().parse()], [Ok(state), Ok(state)]);
        }
        let error = "state-unknown".parse::<State>().expect_err("there is no such state");
        assert!(error.to_string().starts_with("\"state-unknown\" is no state"), "{error}");
    }

    #[test]
    fn the_diagram_tells_what_was_taken_from_what_was_not_and_from_what_should_not_be() {
        let taken = Taken::from([
            ((State::Closed, State::SynSent), 3),
            ((State::FinWait2, State::Closed), 1),
        ]);
        let dot = dot(&taken);
        let line =
            |of: &str| dot.lines().find(|line| line.contains(of)).expect("it has it").to_owned();
        assert!(line("\"CLOSED\" -> \"SYN-SENT\"").contains("black"));
        assert!(line("\"CLOSED\" -> \"SYN-SENT\"").contains("3 ×"));
        assert!(line("\"FIN-WAIT-2\" -> \"CLOSED\"").contains("red"));
        assert!(line("\"FIN-WAIT-2\" -> \"TIME-WAIT\"").contains("gray"));
        let svg = draw(&taken).expect("a picture");
        assert!(State::ALL.iter().all(|state| svg.svg().contains(state.name())));
    }

    #[test]
    fn without_transitions_there_is_no_picture() {
        let error = draw(&Taken::new()).expect_err("there is nothing to show");
        assert_eq!(error.to_string(), "there is no picture, because no socket changed its state");
    }
}

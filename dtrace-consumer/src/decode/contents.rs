//! What can a stream hold, and is that what the handlers need?

use std::collections::BTreeSet;

use super::consumer::Wants;
use crate::data::outcome::Outcome;
use crate::data::script::Script;
use crate::data::warning::{Warning, WarningKind};
use crate::error::Error;
use crate::error::explain::{Session, explain};
use crate::stream::contents::ContentsFrame;
use crate::stream::payload::FailureFrame;

/// What settings of the session demand, besides its handlers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Demands {
    /// libdtrace's text of each record.
    pub(crate) text: bool,
    /// The entries that each `printa()` prints.
    pub(crate) printed: bool,
}

/// What the session of a stream was asked for. Streams from other programs may not say.
#[derive(Debug, Default)]
pub(crate) struct Contents(Option<ContentsFrame>);

impl Contents {
    /// Keeps what a stream says. Fails if it lacks something that is demanded.
    pub(super) fn set(
        &mut self,
        frame: ContentsFrame,
        wants: Wants,
        demands: Demands,
    ) -> Result<(), Error> {
        let firings = Wants::CHEW | Wants::CHEWREC;
        let formatted = "record the session with `formatted()`";
        let demanded = [
            (frame.firings, wants.demands(firings), "firings", "`chew`", "record a new session"),
            (frame.text, wants.demands(Wants::OUT), "text", "`out`", formatted),
            (frame.text, demands.text, "text", "`formatted`", formatted),
            (
                frame.printed,
                demands.printed,
                "entries of `printa()`",
                "`printed_entries`",
                "record the session with `printed_entries()`",
            ),
            (
                frame.report,
                wants.demands(Wants::REPORT),
                "report",
                "`report`",
                "record the session with a `report` handler",
            ),
        ];
        let lacking = demanded.into_iter().find(|(held, needed, ..)| *needed && !held);
        if let Some((.., what, wanted_by, remedy)) = lacking {
            return Err(Error::NotRecorded { name: None, what, wanted_by, remedy });
        }
        self.0 = Some(frame);
        Ok(())
    }

    /// Converts a worker's failure into an error, with the line of the script that did not compile.
    pub(super) fn explain(&self, failure: FailureFrame, outcome: &Outcome) -> Error {
        let omitted = outcome.session.as_ref().map(|it| &it.omitted_libraries[..]);
        let omitted = omitted.unwrap_or_default();
        let known = Session { omitted, programs: &outcome.programs, ..Session::default() };
        let Some(frame) = &self.0 else { return explain(failure, known) };
        let scripts: Vec<Script> = frame
            .scripts
            .iter()
            .map(|(name, text)| Script::new(text.clone()).named(name))
            .collect();
        explain(failure, Session { scripts: &scripts, options: &frame.options, ..known })
    }

    /// Returns a warning for each aggregation that a handler names and the scripts do not have.
    pub(super) fn unknown_aggregations(&self, named: &BTreeSet<NamedAggregation>) -> Vec<Warning> {
        // The preprocessor may make names that the text does not have.
        let Some(frame) = self.0.as_ref().filter(|frame| !frame.preprocessed) else {
            return Vec::new();
        };
        let mut known = BTreeSet::new();
        for (_, text) in &frame.scripts {
            known.extend(aggregations_in(&String::from_utf8_lossy(text)));
        }
        let unknown = named.iter().filter(|named| !known.contains(&named.aggregation));
        unknown.map(|named| unknown_aggregation(named, &known)).collect()
    }
}

/// An aggregation that a handler names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NamedAggregation {
    /// Without its `@`.
    pub(crate) aggregation: String,
    /// The method that names it.
    pub(crate) by: &'static str,
}

fn unknown_aggregation(named: &NamedAggregation, known: &BTreeSet<String>) -> Warning {
    let NamedAggregation { aggregation: name, by } = named;
    let bare = name.trim_start_matches('@');
    let message = if known.contains(bare) {
        format!("names of aggregations are written without `@`: `{bare}`")
    } else if known.is_empty() {
        format!("`{by}` names it, but the script has no aggregation")
    } else {
        let known: Vec<String> = known.iter().map(|name| format!("@{name}")).collect();
        format!("`{by}` names it, but the script has only {}", known.join(", "))
    };
    Warning::new(WarningKind::UnknownAggregation, format!("@{name}"), message)
}

/// Returns the names of the aggregations in a script's text, comments and strings included: `_` for the
/// anonymous one.
fn aggregations_in(text: &str) -> impl Iterator<Item = String> {
    text.split('@').skip(1).map(|after| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let name: String = after.chars().take_while(|c| is_part(*c)).collect();
        if name.is_empty() { "_".to_owned() } else { name }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(script: &str, names: &[&str]) -> Vec<String> {
        let scripts = vec![("script".to_owned(), script.as_bytes().to_vec())];
        let frame = ContentsFrame { scripts, ..ContentsFrame::default() };
        let mut contents = Contents::default();
        contents.set(frame, Wants::EVERYTHING, Demands::default()).unwrap();
        let named =
            |name: &&str| NamedAggregation { aggregation: (*name).to_owned(), by: "walk_joined" };
        let names = names.iter().map(named).collect();
        contents.unknown_aggregations(&names).iter().map(Warning::to_string).collect()
    }

    #[test]
    fn a_name_that_no_script_has_is_unknown_and_the_warning_names_those_that_exist() {
        let script = "BEGIN { @calls[pid] = count(); @ = count(); } /* @bytes */";
        assert_eq!(warned(script, &["calls", "_", "bytes"]), [""; 0]);
        assert_eq!(
            warned(script, &["call", "calls"]),
            ["@call: `walk_joined` names it, but the script has only @_, @bytes, @calls"]
        );
        assert_eq!(
            warned(script, &["@calls"]),
            ["@@calls: names of aggregations are written without `@`: `calls`"]
        );
        assert!(warned("BEGIN { exit(0); }", &["calls"])[0].ends_with("has no aggregation"));
    }

    #[test]
    fn only_what_is_named_is_demanded_of_a_recording() {
        let set =
            |wants, demands| Contents::default().set(ContentsFrame::default(), wants, demands);
        let none = Demands::default();
        assert!(set(Wants::EVERYTHING, none).is_ok());
        assert!(set(Wants::OUT.if_recorded() | Wants::NOTHING, none).is_ok());
        for (wants, demands, what) in [
            (Wants::CHEWREC, none, "firings"),
            (Wants::OUT | Wants::EVERYTHING, none, "text"),
            (Wants::REPORT, none, "report"),
            (Wants::NOTHING, Demands { text: true, printed: false }, "text"),
            (Wants::NOTHING, Demands { text: false, printed: true }, "entries of `printa()`"),
        ] {
            let Err(Error::NotRecorded { what: lacking, .. }) = set(wants, demands) else {
                panic!("{what}")
            };
            assert_eq!(lacking, what);
        }
    }
}

//! Which losses is the user told about, and how often?
//!
//! A `tracing` subscriber gets every report, and can filter them. On standard error a clause that fails
//! 100,000 times a second would bury everything else.

use std::collections::HashMap;

use super::speak;
use crate::data::loss::{DropKind, DropReport, Fault, counted};
use crate::data::probe::Probe;

/// What the user has been told about.
#[derive(Debug, Default)]
pub(crate) struct Told(HashMap<Loss, u64>);

/// What is counted together.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Loss {
    Drops(DropKind),
    /// The probe, and the number of the kind of fault.
    Faults(String, i32),
}

impl Told {
    /// Tells the user about drops. Returns whether they are the first of their kind that this had to remember.
    pub(super) fn dropped(&mut self, report: &DropReport) -> bool {
        let DropReport { kind, drops, message, .. } = report;
        if speak::is_heard() {
            tracing::warn!(%kind, drops, "{message}");
            return false;
        }
        let (is_new, due) = self.count(Loss::Drops(*kind), *drops);
        if let Some(total) = due {
            let drops = counted(total, format_args!("{kind} drop"));
            speak::say(&format!("data were lost: {drops} so far{}", advice(*kind)));
        }
        is_new
    }

    /// Tells the user about a fault. Returns whether it is the first of its kind that this had to remember.
    pub(super) fn failed(&mut self, fault: &Fault) -> bool {
        let Fault { kind, message, .. } = fault;
        if speak::is_heard() {
            tracing::warn!(%kind, "{message}");
            return false;
        }
        let probe = fault.probe.as_ref().map(Probe::to_string).unwrap_or_default();
        let (is_new, due) = self.count(Loss::Faults(probe, fault.code), 1);
        match due {
            Some(1) => speak::say(message),
            Some(total) => speak::say(&format!("{message} ({total} times so far)")),
            None => {}
        }
        is_new
    }

    /// Adds to a count. Returns whether it is new, and the count if it is time to tell it: at the first, and
    /// whenever it has one more digit.
    fn count(&mut self, loss: Loss, more: u64) -> (bool, Option<u64>) {
        let counted = self.0.len();
        let count = self.0.entry(loss).or_default();
        let digits = count.checked_ilog10();
        *count = count.saturating_add(more);
        let due = count.checked_ilog10() > digits;
        let total = *count;
        (self.0.len() > counted, due.then_some(total))
    }
}

/// Returns what to do about drops, or what they mean.
fn advice(kind: DropKind) -> String {
    // The kernel has no sixth argument for the clause with which libdtrace learns of faults.
    const COUNTS_FAULTS: bool = cfg!(all(target_os = "freebsd", target_arch = "aarch64"));
    match kind.option() {
        Some(name) => format!(" (raise the option `{name}`)"),
        None if COUNTS_FAULTS && kind == DropKind::DoubleError => {
            " (a clause has failed; on arm64 FreeBSD does not tell which one, or why)".to_owned()
        }
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_at_first_and_then_whenever_its_count_has_one_more_digit() {
        let mut told = Told::default();
        let faults = |code| Loss::Faults("p:m:f:n".to_owned(), code);
        let due: Vec<u64> = (0..2500).filter_map(|_| told.count(faults(1), 1).1).collect();
        assert_eq!(due, [1, 10, 100, 1000]);
        assert_eq!(told.count(faults(2), 1), (true, Some(1)));
        // Drops are reported many at a time.
        let drops = || Loss::Drops(DropKind::Principal);
        let due: Vec<u64> = [7, 2, 300, 1, 0, 700, u64::MAX]
            .into_iter()
            .filter_map(|n| told.count(drops(), n).1)
            .collect();
        assert_eq!(due, [7, 309, 1010, u64::MAX]);
    }
}

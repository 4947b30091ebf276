//! What was lost or went wrong while tracing, and how much?
//!
//! DTrace never blocks the traced system: data that cannot be kept is dropped and counted, and an
//! error in a clause at run time ends that firing of the clause. Both are reported here, so that no
//! result looks complete that is not.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::probe::Probe;

/// What kind of data was dropped (`dtrace_dropkind_t`).
///
/// libdtrace 2.0.7 on Linux never reports the kinds [`DynamicRinse`](DropKind::DynamicRinse),
/// [`DynamicDirty`](DropKind::DynamicDirty), [`StackStringOverflow`](DropKind::StackStringOverflow) and
/// [`DoubleError`](DropKind::DoubleError): its dynamic variables are not rinsed, its stacks are
/// addresses without strings, and an error inside an `ERROR` clause goes uncounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropKind {
    /// Records, for want of space in the principal buffer: raise `bufsize`.
    Principal,
    /// Aggregation data, for want of space in the aggregation buffer: raise `aggsize`.
    Aggregation,
    /// Dynamic variables, for want of space: raise `dynvarsize`.
    Dynamic,
    /// Dynamic variables, while free space was being rinsed: raise `cleanrate`.
    DynamicRinse,
    /// Dynamic variables, while free space was dirty: raise `cleanrate`.
    DynamicDirty,
    /// Speculative data, for want of space: raise `specsize`.
    Speculation,
    /// Speculations, because one was still busy: raise `nspec`.
    SpeculationBusy,
    /// Speculations, because none was free: raise `nspec`.
    SpeculationUnavailable,
    /// Strings of stacks, for want of space: raise `strsize` or `jstackstrsize`.
    StackStringOverflow,
    /// Errors inside the ERROR probe. The error that the probe was about is told all the same.
    DoubleError,
    /// A kind that this version of the crate does not know.
    Other(i32),
}

impl DropKind {
    const KNOWN: [DropKind; 10] = [
        DropKind::Principal,
        DropKind::Aggregation,
        DropKind::Dynamic,
        DropKind::DynamicRinse,
        DropKind::DynamicDirty,
        DropKind::Speculation,
        DropKind::SpeculationBusy,
        DropKind::SpeculationUnavailable,
        DropKind::StackStringOverflow,
        DropKind::DoubleError,
    ];

    /// The kind with libdtrace's number, which is the same on every platform.
    pub(crate) fn from_number(n: i32) -> DropKind {
        usize::try_from(n)
            .ok()
            .and_then(|n| DropKind::KNOWN.get(n))
            .copied()
            .unwrap_or(DropKind::Other(n))
    }

    pub(crate) fn number(self) -> i32 {
        match self {
            DropKind::Other(n) => n,
            known => DropKind::KNOWN.iter().position(|k| *k == known).map_or(-1, |i| i as i32),
        }
    }
}

impl fmt::Display for DropKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropKind::Principal => "principal buffer",
            DropKind::Aggregation => "aggregation",
            DropKind::Dynamic => "dynamic variable",
            DropKind::DynamicRinse => "dynamic variable (rinsing)",
            DropKind::DynamicDirty => "dynamic variable (dirty)",
            DropKind::Speculation => "speculation",
            DropKind::SpeculationBusy => "speculation (busy)",
            DropKind::SpeculationUnavailable => "speculation (unavailable)",
            DropKind::StackStringOverflow => "stack string",
            DropKind::DoubleError => "error within the ERROR probe",
            DropKind::Other(n) => return write!(f, "kind {n}"),
        })
    }
}

/// The kind as text, as it is displayed.
impl Serialize for DropKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One report of dropped data (`dtrace_dropdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DropReport {
    /// What was dropped.
    pub kind: DropKind,
    /// The CPU on which it happened; `None` where the library does not say.
    pub cpu: Option<u32>,
    /// How many since the last report of this kind.
    pub drops: u64,
    /// How many since tracing began, as the library counts.
    pub total: u64,
    /// libdtrace's own words.
    pub message: String,
}

/// An error of a clause at run time, as the ERROR probe sees it (`dtrace_errdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// The probe whose clause failed; `None` for errors of the library itself.
    pub probe: Option<Probe>,
    /// The CPU on which it happened.
    pub cpu: u32,
    /// The kind of fault: `invalid address`, `divide-by-zero`… (`dtrace_faultstr`).
    pub kind: String,
    /// libdtrace's number for [`kind`](Fault::kind).
    pub code: i32,
    /// The address whose access failed, where the fault has one.
    pub address: u64,
    /// The statement (Linux) or action (elsewhere) in which it happened.
    pub action: i32,
    /// The offset within the clause's program.
    pub offset: i32,
    /// libdtrace's own words.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Everything that was lost in a session, added up.
///
/// What a script emits is delivered or counted here, exactly: firings and run-time errors that found
/// no room in the principal buffer, additions to aggregations, assignments to dynamic variables,
/// records and requests of speculations. Where libdtrace counts wrongly or not at all, the worker puts
/// it right with the kernel's own counters, when the session ends: so drops of the last moment are told
/// then. If the worker dies, what it had not told by then is not known.
///
/// Not losses in this sense, and not counted by anybody:
///
/// - strings longer than `strsize` and stacks deeper than `stackframes` or `ustackframes`, which are
///   cut;
/// - speculations that are discarded, or not committed before the session ends;
/// - probes that fire while the kernel runs another BPF program of a probe on the same CPU, as an
///   interrupt does: the kernel passes over those;
/// - what happens after `exit()`.
///
/// There is no deadman on Linux: libdtrace does not end a session whose consumer is slow. Data are
/// dropped, and counted, for as long as it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    drops: BTreeMap<(DropKind, Option<u32>), u64>,
    faults: BTreeMap<String, u64>,
}

impl Losses {
    /// Whether it is the first of its kind and CPU.
    pub(crate) fn count_drop(&mut self, report: &DropReport) -> bool {
        let known = self.drops.len();
        let n = self.drops.entry((report.kind, report.cpu)).or_default();
        *n = n.saturating_add(report.drops);
        self.drops.len() > known
    }

    /// Whether it is the first of its probe.
    pub(crate) fn count_fault(&mut self, fault: &Fault) -> bool {
        let known = self.faults.len();
        let probe = fault.probe.as_ref().map_or_else(|| "libdtrace".to_owned(), Probe::to_string);
        *self.faults.entry(probe).or_default() += 1;
        self.faults.len() > known
    }

    /// Whether nothing was dropped and no clause failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty() && self.faults.is_empty()
    }

    /// Drops by kind and CPU, with their number.
    pub fn drops(&self) -> impl Iterator<Item = (DropKind, Option<u32>, u64)> {
        self.drops.iter().map(|((kind, cpu), n)| (*kind, *cpu, *n))
    }

    /// How many of `kind` were dropped on all CPUs together.
    #[must_use]
    pub fn dropped(&self, kind: DropKind) -> u64 {
        sum(self.drops().filter(|(k, ..)| *k == kind))
    }

    /// How many of every kind were dropped.
    #[must_use]
    pub fn total_drops(&self) -> u64 {
        sum(self.drops())
    }

    /// Run-time errors of clauses by the probe's name, with their number.
    pub fn faults(&self) -> impl Iterator<Item = (&str, u64)> {
        self.faults.iter().map(|(probe, n)| (probe.as_str(), *n))
    }

    /// How many clauses failed at run time.
    #[must_use]
    pub fn total_faults(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// `drops`, a list of objects with `kind`, `cpu` and `drops`, and `faults`, a list of objects with `probe`
/// and `faults`.
impl Serialize for Losses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Dropped {
            kind: DropKind,
            cpu: Option<u32>,
            drops: u64,
        }
        #[derive(serde::Serialize)]
        struct Faulted<'a> {
            probe: &'a str,
            faults: u64,
        }
        let drops = self.drops().map(|(kind, cpu, drops)| Dropped { kind, cpu, drops });
        let faults = self.faults().map(|(probe, faults)| Faulted { probe, faults });
        let mut losses = serializer.serialize_struct("Losses", 2)?;
        losses.serialize_field("drops", &drops.collect::<Vec<_>>())?;
        losses.serialize_field("faults", &faults.collect::<Vec<_>>())?;
        losses.end()
    }
}

/// Saturates: the numbers come from the stream, and a damaged one may say anything.
fn sum(drops: impl Iterator<Item = (DropKind, Option<u32>, u64)>) -> u64 {
    drops.fold(0, |sum, (.., n)| n.saturating_add(sum))
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing lost");
        }
        let mut separator = "";
        for (kind, cpu, n) in self.drops() {
            write!(f, "{separator}{n} {kind} drops")?;
            if let Some(cpu) = cpu {
                write!(f, " on CPU {cpu}")?;
            }
            separator = ", ";
        }
        for (probe, n) in self.faults() {
            write!(f, "{separator}{n} faults in {probe}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What to do about lost data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LossPolicy {
    /// Count them in the outcome.
    Count,
    /// Count them, and warn through the `tracing` crate.
    #[default]
    Warn,
    /// End the session with [`Error::Lost`](crate::Error::Lost) at the first loss.
    Fail,
}

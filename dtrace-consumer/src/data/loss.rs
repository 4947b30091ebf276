//! Data that was lost while tracing, and errors at run time.
//!
//! DTrace never blocks the traced system. It drops and counts data that it cannot store. An error in a clause
//! at run time ends that firing of the clause. Both are reported here, so that an incomplete result never
//! looks complete.

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
    /// Records: no space in the principal buffer. Raise `bufsize`.
    Principal,
    /// Aggregation data: no space in the aggregation buffer. Raise `aggsize`.
    Aggregation,
    /// Dynamic variables: no space. Raise `dynvarsize`.
    Dynamic,
    /// Dynamic variables: free space was being rinsed. Raise `cleanrate`.
    DynamicRinse,
    /// Dynamic variables: free space was dirty. Raise `cleanrate`.
    DynamicDirty,
    /// Speculative data: no space. Raise `specsize`.
    Speculation,
    /// Speculations: one was still busy. Raise `nspec`.
    SpeculationBusy,
    /// Speculations: none was free. Raise `nspec`.
    SpeculationUnavailable,
    /// Strings of stacks: no space. Raise `strsize` or `jstackstrsize`.
    StackStringOverflow,
    /// Errors inside the ERROR probe. The error that the probe was about is reported nevertheless, but not on FreeBSD 15.1 on
    /// arm64: there every fault of a clause leads to such an error, and only those at functions of the kernel (`fbt`) are
    /// reported, with a wrong address.
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

    /// Returns the kind with libdtrace's number, which is the same on every platform.
    pub(crate) fn from_number(n: i32) -> DropKind {
        usize::try_from(n)
            .ok()
            .and_then(|n| DropKind::KNOWN.get(n))
            .copied()
            .unwrap_or(DropKind::Other(n))
    }

    /// Returns the option that makes room, if one does.
    pub(crate) fn option(self) -> Option<&'static str> {
        match self {
            DropKind::Principal => Some("bufsize"),
            DropKind::Aggregation => Some("aggsize"),
            DropKind::Dynamic => Some("dynvarsize"),
            DropKind::DynamicRinse | DropKind::DynamicDirty => Some("cleanrate"),
            DropKind::Speculation => Some("specsize"),
            DropKind::SpeculationBusy | DropKind::SpeculationUnavailable => Some("nspec"),
            DropKind::StackStringOverflow => Some("strsize"),
            DropKind::DoubleError | DropKind::Other(_) => None,
        }
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

/// Serializes as the displayed text.
impl Serialize for DropKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One report of dropped data (`dtrace_dropdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct DropReport {
    /// The kind of data.
    pub kind: DropKind,
    /// The CPU on which it happened; `None` if the library does not report it.
    pub cpu: Option<u32>,
    /// Number of drops since the last report of this kind.
    pub drops: u64,
    /// Number of drops since tracing began, as the library counts them.
    pub total: u64,
    /// libdtrace's message.
    pub message: String,
}

/// Formats libdtrace's message.
impl fmt::Display for DropReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.trim_end())
    }
}

/// An error of a clause at run time, as the ERROR probe sees it (`dtrace_errdata_t`).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The probe whose clause failed; `None` for errors of the library itself.
    pub probe: Option<Probe>,
    /// The CPU on which it happened.
    pub cpu: u32,
    /// The kind of fault: `invalid address`, `divide-by-zero`… (`dtrace_faultstr`).
    pub kind: String,
    /// libdtrace's number for [`kind`](Fault::kind).
    pub code: i32,
    /// The address whose access failed, if the fault has one.
    pub address: u64,
    /// The statement (Linux) or action (elsewhere) that failed.
    pub action: i32,
    /// The offset within the clause's program.
    pub offset: i32,
    /// libdtrace's message.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The losses of a session, added up.
///
/// Everything that a script emits is either delivered or counted here: firings and run-time errors without
/// room in the principal buffer, additions to aggregations, assignments to dynamic variables, records and
/// requests of speculations. libdtrace counts some of these wrongly or not at all. The worker corrects its
/// counts with the kernel's own counters when the session ends, so drops of the last moment are reported
/// then. If the worker dies, losses that it had not reported are unknown.
///
/// Not counted, by this crate or by libdtrace:
///
/// - strings longer than `strsize` and stacks deeper than `stackframes` or `ustackframes`, which are
///   truncated;
/// - speculations that are discarded, or not committed before the session ends;
/// - probes that fire while the kernel runs a BPF program of another probe on the same CPU, for example in an
///   interrupt: the kernel skips them;
/// - what happens after `exit()`.
///
/// Linux has no deadman: libdtrace does not end a session whose consumer is slow. Data are dropped, and
/// counted, until the consumer catches up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    drops: BTreeMap<(DropKind, Option<u32>), u64>,
    faults: BTreeMap<String, u64>,
}

impl Losses {
    /// Counts a drop. Returns whether it is the first of its kind and CPU.
    pub(crate) fn count_drop(&mut self, report: &DropReport) -> bool {
        let known = self.drops.len();
        let n = self.drops.entry((report.kind, report.cpu)).or_default();
        *n = n.saturating_add(report.drops);
        self.drops.len() > known
    }

    /// Counts a fault. Returns whether it is the first of its probe.
    pub(crate) fn count_fault(&mut self, fault: &Fault) -> bool {
        let known = self.faults.len();
        let probe = fault.probe.as_ref().map_or_else(|| "libdtrace".to_owned(), Probe::to_string);
        *self.faults.entry(probe).or_default() += 1;
        self.faults.len() > known
    }

    /// Returns whether nothing was dropped and no clause failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drops.is_empty() && self.faults.is_empty()
    }

    /// Returns the number of drops by kind and CPU.
    pub fn drops(&self) -> impl Iterator<Item = (DropKind, Option<u32>, u64)> {
        self.drops.iter().map(|((kind, cpu), n)| (*kind, *cpu, *n))
    }

    /// Returns the number of drops of `kind` on all CPUs together.
    ///
    /// ```no_run
    /// use dtrace_consumer::loss::{DropKind, LossPolicy};
    ///
    /// let outcome = dtrace_consumer::trace("syscall:::entry { trace(probefunc); } tick-1s { exit(0); }")
    ///     .option("bufsize", "64k")
    ///     .losses(LossPolicy::Count)
    ///     .chew(|_| Ok(()))
    ///     .run()?;
    /// println!("{} records dropped", outcome.losses.dropped(DropKind::Principal));
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    #[must_use]
    pub fn dropped(&self, kind: DropKind) -> u64 {
        sum(self.drops().filter(|(k, ..)| *k == kind))
    }

    /// Returns the number of drops of all kinds.
    #[must_use]
    pub fn total_drops(&self) -> u64 {
        sum(self.drops())
    }

    /// Returns the number of run-time errors of clauses, by the probe's name.
    pub fn faults(&self) -> impl Iterator<Item = (&str, u64)> {
        self.faults.iter().map(|(probe, n)| (probe.as_str(), *n))
    }

    /// Returns how many clauses failed at run time.
    #[must_use]
    pub fn total_faults(&self) -> u64 {
        self.faults.values().sum()
    }
}

/// Serializes as `drops`, a list of objects with `kind`, `cpu` and `drops`, and `faults`, a list of objects
/// with `probe` and `faults`.
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

/// Saturates, because the numbers come from the stream, and those of a damaged stream are arbitrary.
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
            write!(f, "{separator}{}", counted(n, format_args!("{kind} drop")))?;
            if let Some(cpu) = cpu {
                write!(f, " on CPU {cpu}")?;
            }
            separator = ", ";
        }
        for (probe, n) in self.faults() {
            write!(f, "{separator}{} in {probe}", counted(n, format_args!("fault")))?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Returns a number of things in words.
pub(crate) fn counted(n: u64, thing: fmt::Arguments<'_>) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// What to do about lost data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LossPolicy {
    /// Count them in the outcome.
    Count,
    /// Count them, and warn as soon as they are known: through the `tracing` crate if the program has a
    /// subscriber, otherwise on standard error. Standard error gets each kind of drop, and each kind of fault
    /// of a probe, the first time, and again when its count reaches 10, 100, 1000…
    #[default]
    Warn,
    /// End the session with [`Error::Lost`](crate::Error::Lost) at the first loss.
    Fail,
}

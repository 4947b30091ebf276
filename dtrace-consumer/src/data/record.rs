//! The records that the actions of a clause leave in the buffer.

use std::fmt;

use serde::{Serialize, Serializer};

/// The action that made a record (`DTRACEACT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// `trace(x)`, or a bare expression.
    Trace,
    /// `exit(n)`.
    Exit,
    /// `printf(…)`: a record for each argument, or an empty one for a format without arguments.
    Printf,
    /// `printa(…)`: the record holds the aggregation's number.
    Printa,
    /// An action that libdtrace itself performs (`clear`, `trunc`, `normalize`, `setopt`…).
    Library,
    /// `tracemem(address, size)`.
    Tracemem,
    /// `pcap(skb, protocol)` (Linux).
    Pcap,
    /// `print(x)`: a typed value, printed with the members of its type.
    Print,
    /// `ustack()`.
    UStack,
    /// `jstack()`.
    JStack,
    /// `usym(address)` or `ufunc(address)`.
    USym,
    /// `umod(address)`.
    UMod,
    /// `uaddr(address)`.
    UAddr,
    /// `stop()`.
    Stop,
    /// `raise(signal)`.
    Raise,
    /// `system(…)`.
    System,
    /// `freopen(…)`.
    Freopen,
    /// `stack()`.
    Stack,
    /// `sym(address)` or `func(address)`.
    Sym,
    /// `mod(address)`.
    Mod,
    /// `breakpoint()`.
    Breakpoint,
    /// `panic()`.
    Panic,
    /// `chill(nanoseconds)`.
    Chill,
    /// `speculate(id)`.
    Speculate,
    /// `commit(id)`.
    Commit,
    /// `discard(id)`.
    Discard,
    /// An action that this version of the crate does not know, by libdtrace's number.
    Other(u16),
}

/// The actions with their numbers in the stream and their names. The numbers are libdtrace's where all
/// platforms agree.
const ACTIONS: [(Action, u16, &str); 26] = [
    (Action::Trace, 1, "trace"),
    (Action::Exit, 2, "exit"),
    (Action::Printf, 3, "printf"),
    (Action::Printa, 4, "printa"),
    (Action::Library, 5, "library"),
    (Action::Tracemem, 6, "tracemem"),
    (Action::Pcap, 7, "pcap"),
    (Action::Print, 8, "print"),
    (Action::UStack, 0x101, "ustack"),
    (Action::JStack, 0x102, "jstack"),
    (Action::USym, 0x103, "usym"),
    (Action::UMod, 0x104, "umod"),
    (Action::UAddr, 0x105, "uaddr"),
    (Action::Stop, 0x201, "stop"),
    (Action::Raise, 0x202, "raise"),
    (Action::System, 0x203, "system"),
    (Action::Freopen, 0x204, "freopen"),
    (Action::Stack, 0x401, "stack"),
    (Action::Sym, 0x402, "sym"),
    (Action::Mod, 0x403, "mod"),
    (Action::Breakpoint, 0x501, "breakpoint"),
    (Action::Panic, 0x502, "panic"),
    (Action::Chill, 0x503, "chill"),
    (Action::Speculate, 0x601, "speculate"),
    (Action::Commit, 0x602, "commit"),
    (Action::Discard, 0x603, "discard"),
];

impl Action {
    pub(crate) fn from_number(n: u16) -> Action {
        ACTIONS.iter().find(|(_, m, _)| *m == n).map_or(Action::Other(n), |(a, ..)| *a)
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Action::Other(n) => n,
            known => ACTIONS.iter().find(|(a, ..)| *a == known).map_or(0, |(_, n, _)| *n),
        }
    }
}

/// Formats the name of the action in D; `library` for those that libdtrace performs.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ACTIONS.iter().find(|(a, ..)| a == self) {
            Some((.., name)) => f.write_str(name),
            None => write!(f, "action {}", self.number()),
        }
    }
}

/// Serializes as the displayed text.
impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The place and the format of a clause's record in the data (`dtrace_recdesc_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordDescription {
    /// The action that made the record.
    pub action: Action,
    /// Offset in bytes from the start of the firing's data.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
    /// Alignment in bytes. Among `trace` records, 1 marks a string.
    pub alignment: u16,
    /// libdtrace's argument of the action. Its meaning depends on the action and the platform.
    pub argument: u64,
    /// The format string of `printf`, `printa`, `system` and `freopen`, on the first record of each.
    pub format: Option<String>,
}

impl RecordDescription {
    /// Returns the record's bytes within `data`; `None` if they lie outside.
    pub(crate) fn bytes<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        if self.size == 0 {
            // It may follow the last byte of the data.
            return Some(&[]);
        }
        let start = self.offset as usize;
        data.get(start..start.checked_add(self.size as usize)?)
    }
}

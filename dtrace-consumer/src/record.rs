//! What did an action of a clause leave in the buffer?

use crate::stream::wire::{Malformed, Put, Take};

/// The action that made a record (`DTRACEACT_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// `trace(x)`, or an expression alone.
    Trace,
    /// `exit(n)`.
    Exit,
    /// `printf(…)`: one record for each argument, or an empty one for a bare text.
    Printf,
    /// `printa(…)`: the record holds the aggregation's number.
    Printa,
    /// An action that libdtrace itself carries out (`clear`, `trunc`, `normalize`, `setopt`…).
    Library,
    /// `tracemem(address, size)`.
    Tracemem,
    /// `pcap(skb, protocol)` (Linux).
    Pcap,
    /// `print(x)`: a typed value, shown with its type's members.
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
    /// One that this version of the crate does not know, by libdtrace's number.
    Other(u16),
}

/// The stream's numbers of actions: those of libdtrace where all platforms agree.
const ACTIONS: [(Action, u16); 26] = [
    (Action::Trace, 1),
    (Action::Exit, 2),
    (Action::Printf, 3),
    (Action::Printa, 4),
    (Action::Library, 5),
    (Action::Tracemem, 6),
    (Action::Pcap, 7),
    (Action::Print, 8),
    (Action::UStack, 0x101),
    (Action::JStack, 0x102),
    (Action::USym, 0x103),
    (Action::UMod, 0x104),
    (Action::UAddr, 0x105),
    (Action::Stop, 0x201),
    (Action::Raise, 0x202),
    (Action::System, 0x203),
    (Action::Freopen, 0x204),
    (Action::Stack, 0x401),
    (Action::Sym, 0x402),
    (Action::Mod, 0x403),
    (Action::Breakpoint, 0x501),
    (Action::Panic, 0x502),
    (Action::Chill, 0x503),
    (Action::Speculate, 0x601),
    (Action::Commit, 0x602),
    (Action::Discard, 0x603),
];

impl Action {
    pub(crate) fn from_number(n: u16) -> Action {
        ACTIONS.iter().find(|(_, m)| *m == n).map_or(Action::Other(n), |(a, _)| *a)
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Action::Other(n) => n,
            known => ACTIONS.iter().find(|(a, _)| *a == known).map_or(0, |(_, n)| *n),
        }
    }
}

/// How one record of a clause lies in the data (`dtrace_recdesc_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDescription {
    /// The action that made the record.
    pub action: Action,
    /// Bytes from the start of the firing's data.
    pub offset: u32,
    /// Bytes in all.
    pub size: u32,
    /// Alignment in bytes; 1 marks a string among `trace` records.
    pub alignment: u16,
    /// libdtrace's argument of the action, whose meaning depends on the action and the platform.
    pub argument: u64,
    /// The format string of `printf`, `printa`, `system` and `freopen`, on the first record of each.
    pub format: Option<String>,
}

impl RecordDescription {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_u16(self.action.number());
        b.put_u32(self.offset);
        b.put_u32(self.size);
        b.put_u16(self.alignment);
        b.put_u64(self.argument);
        b.put_option(self.format.as_deref(), |b, v| b.put_str(v));
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<RecordDescription, Malformed> {
        Ok(RecordDescription {
            action: Action::from_number(t.u16("action")?),
            offset: t.u32("record offset")?,
            size: t.u32("record size")?,
            alignment: t.u16("record alignment")?,
            argument: t.u64("record argument")?,
            format: t.option("format", |t| t.string("format"))?,
        })
    }

    /// The record's bytes within `data`; `None` where they would lie outside.
    pub(crate) fn bytes<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        let start = self.offset as usize;
        data.get(start..start.checked_add(self.size as usize)?)
    }
}

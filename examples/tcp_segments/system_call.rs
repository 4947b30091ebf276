//! Which system call did a script count, by name or number?

use std::borrow::Cow;

use dtrace_consumer::Aggregated;
use dtrace_consumer::value::TypeError;

/// A system call, as a script identifies it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SystemCall {
    /// By name.
    Name(String),
    /// By number, whose meaning depends on the machine.
    Number(u32),
}

impl SystemCall {
    /// Returns the system call in the key of an aggregation's entry.
    pub(crate) fn counted_in(entry: &Aggregated<'_>) -> Result<SystemCall, TypeError> {
        entry.key(0).map(SystemCall::Number).or_else(|_| entry.key(0).map(SystemCall::Name))
    }

    /// Returns its name on Linux. `machine` is the output of `uname -m`.
    pub(crate) fn name(&self, machine: &str) -> Cow<'_, str> {
        let number = match self {
            SystemCall::Name(name) => return name.into(),
            SystemCall::Number(number) => *number,
        };
        let name = match machine {
            "x86_64" => syscalls::x86_64::Sysno::new(number as usize).map(|call| call.name()),
            "aarch64" => syscalls::aarch64::Sysno::new(number as usize).map(|call| call.name()),
            _ => None,
        };
        name.map_or_else(|| format!("number {number}").into(), Cow::from)
    }
}

//! Which system call did a script count?

use std::borrow::Cow;

use dtrace_consumer::Aggregated;
use dtrace_consumer::value::TypeError;

/// A system call as a script counts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SystemCall {
    /// By name.
    Name(String),
    /// By number, whose meaning depends on the machine.
    Number(u32),
}

impl SystemCall {
    /// Returns the one that is the key of an aggregation's entry.
    pub(crate) fn counted_in(entry: &Aggregated<'_>) -> Result<SystemCall, TypeError> {
        entry.key(0).map(SystemCall::Number).or_else(|_| entry.key(0).map(SystemCall::Name))
    }

    /// Its name on Linux on a `machine` as `uname -m` calls it.
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

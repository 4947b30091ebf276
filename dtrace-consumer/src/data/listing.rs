//! Which probes are there, what are their arguments, and how stable is all that?

use super::probe::Probe;
use std::fmt;

use serde::Serialize;

/// How far an interface can be relied on, from least to most ("Stability" in the DTrace guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    /// Private to DTrace itself.
    #[default]
    Internal,
    /// Private to its vendor.
    Private,
    /// On its way out.
    Obsolete,
    /// Of something outside the system.
    External,
    /// May change at any time.
    Unstable,
    /// May change in a minor release.
    Evolving,
    /// Changes only in major releases.
    Stable,
    /// Set by a standard.
    Standard,
}

/// On what an interface depends, from most particular to most common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum DependencyClass {
    /// Not known.
    #[default]
    Unknown,
    /// On the processor model.
    Cpu,
    /// On the hardware platform.
    Platform,
    /// On a group of hardware platforms.
    Group,
    /// On the instruction set.
    Isa,
    /// On nothing of these.
    Common,
}

/// The stability of an interface's names, data and dependencies (`dtrace_attribute_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Attributes {
    /// Of its names.
    pub names: Stability,
    /// Of its data.
    pub data: Stability,
    /// On what it depends.
    pub class: DependencyClass,
}

const STABILITIES: [Stability; 8] = [
    Stability::Internal,
    Stability::Private,
    Stability::Obsolete,
    Stability::External,
    Stability::Unstable,
    Stability::Evolving,
    Stability::Stable,
    Stability::Standard,
];

const CLASSES: [DependencyClass; 6] = [
    DependencyClass::Unknown,
    DependencyClass::Cpu,
    DependencyClass::Platform,
    DependencyClass::Group,
    DependencyClass::Isa,
    DependencyClass::Common,
];

/// As `dtrace -v` prints them: `Evolving/Private/Common`.
impl fmt::Display for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.names, self.data, self.class)
    }
}

impl fmt::Display for Stability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl fmt::Display for DependencyClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DependencyClass::Unknown => "Unknown",
            DependencyClass::Cpu => "CPU",
            DependencyClass::Platform => "Platform",
            DependencyClass::Group => "Group",
            DependencyClass::Isa => "ISA",
            DependencyClass::Common => "Common",
        })
    }
}

impl Attributes {
    /// From libdtrace's numbers, which are the same on every platform.
    pub(crate) fn from_numbers(names: u8, data: u8, class: u8) -> Attributes {
        let stability = |n: u8| STABILITIES.get(usize::from(n)).copied().unwrap_or_default();
        Attributes {
            names: stability(names),
            data: stability(data),
            class: CLASSES.get(usize::from(class)).copied().unwrap_or_default(),
        }
    }
}

/// A probe, and what its provider says of it where that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedProbe {
    /// The probe.
    pub probe: Probe,
    /// Its stability and arguments; `None` unless asked for by `ProbeQuery::describe`.
    pub details: Option<ProbeDetails>,
}

/// What a provider says of a probe (`dtrace_probeinfo_t`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProbeDetails {
    /// The stability of the probe.
    pub stability: Attributes,
    /// The stability of its arguments.
    pub argument_stability: Attributes,
    /// The types of `args[0]`, `args[1]`…, in C; `None` where the library knows none.
    pub arguments: Vec<Option<String>>,
}

/// More arguments than any probe has. In a stream one takes far less space than in memory.
pub(crate) const MOST_ARGUMENTS: usize = 1 << 10;

//! Lists of probes: their names, arguments and stability.

use super::probe::Probe;
use std::fmt;

use serde::Serialize;

/// How stable an interface is, from least to most ("Stability" in the DTrace guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Stability {
    /// Private to DTrace itself.
    #[default]
    Internal,
    /// Private to its vendor.
    Private,
    /// Obsolete: to be removed.
    Obsolete,
    /// Defined by something outside the system.
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

/// What an interface depends on, from most specific to most common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum DependencyClass {
    /// Unknown.
    #[default]
    Unknown,
    /// The processor model.
    Cpu,
    /// The hardware platform.
    Platform,
    /// A group of hardware platforms.
    Group,
    /// The instruction set.
    Isa,
    /// None of these.
    Common,
}

/// The stability of an interface's names, data and dependencies (`dtrace_attribute_t`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Attributes {
    /// The stability of its names.
    pub names: Stability,
    /// The stability of its data.
    pub data: Stability,
    /// What it depends on.
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

/// Formats them as `dtrace -v` does: `Evolving/Private/Common`.
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
    /// Converts libdtrace's numbers, which are the same on every platform.
    pub(crate) fn from_numbers(names: u8, data: u8, class: u8) -> Attributes {
        let stability = |n: u8| STABILITIES.get(usize::from(n)).copied().unwrap_or_default();
        Attributes {
            names: stability(names),
            data: stability(data),
            class: CLASSES.get(usize::from(class)).copied().unwrap_or_default(),
        }
    }
}

/// A probe, with its provider's description if the query asked for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ListedProbe {
    /// The probe.
    pub probe: Probe,
    /// Its stability and arguments; `None` unless the query called `ProbeQuery::describe`.
    pub details: Option<ProbeDetails>,
}

/// A provider's description of a probe (`dtrace_probeinfo_t`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ProbeDetails {
    /// The stability of the probe.
    pub stability: Attributes,
    /// The stability of its arguments.
    pub argument_stability: Attributes,
    /// The types of `args[0]`, `args[1]`…, in C; `None` for those that the library does not know.
    pub arguments: Vec<Option<String>>,
}

/// An upper limit on the number of arguments, higher than any probe's. An argument takes far less space in a
/// stream than in memory.
pub(crate) const MOST_ARGUMENTS: usize = 1 << 10;

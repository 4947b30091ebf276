//! Which probes are there, what are their arguments, and how stable is all that?

use crate::error::Error;
use crate::probe::Probe;
use crate::query::{self, query_methods};
use crate::session::Settings;
use crate::stream::job::Purpose;
use crate::stream::wire::{Malformed, Put, Take};
use std::fmt;

/// How far an interface can be relied on, from least to most ("Stability" in the DTrace guide).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
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

    pub(crate) fn put(self, b: &mut Vec<u8>) {
        b.put_u8(self.names as u8);
        b.put_u8(self.data as u8);
        b.put_u8(self.class as u8);
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<Attributes, Malformed> {
        Ok(Attributes::from_numbers(
            t.u8("name stability")?,
            t.u8("data stability")?,
            t.u8("dependency class")?,
        ))
    }
}

/// A probe, and what its provider says of it where that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedProbe {
    /// The probe.
    pub probe: Probe,
    /// Its stability and arguments; `None` unless asked for by [`ProbeQuery::describe`].
    pub details: Option<ProbeDetails>,
}

/// What a provider says of a probe (`dtrace_probeinfo_t`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeDetails {
    /// The stability of the probe.
    pub stability: Attributes,
    /// The stability of its arguments.
    pub argument_stability: Attributes,
    /// The types of `args[0]`, `args[1]`…, in C; `None` where the library knows none.
    pub arguments: Vec<Option<String>>,
}

impl ListedProbe {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        self.probe.put(b);
        b.put_option(self.details.as_ref(), |b, d| {
            d.stability.put(b);
            d.argument_stability.put(b);
            b.put_list(d.arguments.iter(), |b, a| {
                b.put_option(a.as_deref(), |b, a| b.put_str(a));
            });
        });
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<ListedProbe, Malformed> {
        Ok(ListedProbe {
            probe: Probe::take(t)?,
            details: t.option("details", |t| {
                Ok(ProbeDetails {
                    stability: Attributes::take(t)?,
                    argument_stability: Attributes::take(t)?,
                    arguments: arguments(t)?,
                })
            })?,
        })
    }
}

/// More arguments than any probe has. One takes far less in a stream than in memory.
pub(crate) const MOST_ARGUMENTS: usize = 1 << 10;

fn arguments(t: &mut Take<'_>) -> Result<Vec<Option<String>>, Malformed> {
    let mut number = 0;
    t.list("arguments", |t| {
        number += 1;
        if number > MOST_ARGUMENTS {
            return Err(Malformed::new("arguments", "more than a probe has"));
        }
        t.option("argument", |t| t.string("argument"))
    })
}

/// Asks for the probes that this system has.
///
/// ```no_run
/// for listed in dtrace_consumer::ProbeQuery::new().pattern("syscall:::entry").list()? {
///     println!("{}", listed.probe);
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a query does nothing until it is listed"]
pub struct ProbeQuery {
    patterns: Vec<String>,
    describe: bool,
    settings: Settings,
}

impl ProbeQuery {
    /// Asks for all probes, unless narrowed by [`pattern`](ProbeQuery::pattern).
    pub fn new() -> ProbeQuery {
        ProbeQuery::default()
    }

    /// Asks for the probes that match `provider:module:function:name`; empty parts match anything, and
    /// `*`, `?` and `[…]` match as in the shell. Given several times, for those of any.
    pub fn pattern(mut self, pattern: impl Into<String>) -> ProbeQuery {
        self.patterns.push(pattern.into());
        self
    }

    /// Asks for the probes' stability and arguments, too, which takes longer.
    pub fn describe(mut self) -> ProbeQuery {
        self.describe = true;
        self
    }

    query_methods!();

    /// The probes, in the library's order.
    ///
    /// # Errors
    /// [`Error::Libdtrace`] for a pattern that is none, [`Error::Unavailable`] where tracing is not
    /// possible.
    pub fn list(self) -> Result<Vec<ListedProbe>, Error> {
        let purpose = Purpose::List { patterns: self.patterns, describe: self.describe };
        query::list(&self.settings, purpose)
    }
}

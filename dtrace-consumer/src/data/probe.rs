//! Probes and their names.

use std::fmt;

use serde::Serialize;

use super::pattern::ProbePattern;

/// A probe's identifier and its four-part name, `provider:module:function:name`
/// (`dtrace_probedesc_t`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Probe {
    /// The number that this session's library gave the probe, as `dtrace -l` lists it.
    pub id: u32,
    /// The provider: `syscall`, `fbt`, `pid1234`…
    pub provider: String,
    /// The kernel module, library or program that contains the probe's function.
    pub module: String,
    /// The function that contains the probe, `probefunc` in D.
    pub function: String,
    /// The probe's own name, `probename` in D.
    pub name: String,
}

impl Probe {
    /// Returns whether the probe matches a probe description of D: `provider:module:function:name`. If there
    /// are fewer than four parts, they are the last ones. An empty part matches anything. Each part may be a
    /// pattern with `*`, `?` and `[a-z]`. `$target` matches any process.
    ///
    /// ```
    /// # use dtrace_consumer::record::Probe;
    /// # let (provider, module) = ("syscall".to_owned(), "vmlinux".to_owned());
    /// # let (function, name) = ("openat".to_owned(), "entry".to_owned());
    /// # let probe = Probe { id: 1, provider, module, function, name };
    /// // syscall:vmlinux:openat:entry
    /// assert!(probe.matches("syscall::open*:entry"));
    /// assert!(probe.matches("openat:entry"));
    /// assert!(!probe.matches("return"));
    /// ```
    #[must_use]
    pub fn matches(&self, description: &str) -> bool {
        ProbePattern::parse(description).is_some_and(|pattern| pattern.matches(self.parts()))
    }

    /// Returns provider, module, function and name.
    pub(crate) fn parts(&self) -> [&str; 4] {
        let Probe { id: _, provider, module, function, name } = self;
        [provider, module, function, name]
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.provider, self.module, self.function, self.name)
    }
}

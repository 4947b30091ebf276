//! What does tracing require, and what is missing here?

use std::fmt;

use crate::data::debug::debug_as_text;

/// A requirement of tracing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// Its name, in a word or two.
    pub subject: &'static str,
    /// Whether it is met.
    pub met: bool,
    /// What was found.
    pub detail: String,
    /// What to do if it is not met.
    pub remedy: Option<String>,
}

impl Check {
    pub(crate) fn met(subject: &'static str, detail: impl Into<String>) -> Check {
        Check { subject, met: true, detail: detail.into(), remedy: None }
    }

    pub(crate) fn unmet(
        subject: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Check {
        Check { subject, met: false, detail: detail.into(), remedy: Some(remedy.into()) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.met { "ok     " } else { "missing" };
        write!(f, "{mark}  {}: {}", self.subject, self.detail)?;
        if let Some(remedy) = &self.remedy {
            write!(f, "\n         {}", remedy.trim_end().replace('\n', "\n         "))?;
        }
        Ok(())
    }
}

/// Writes one check a line, with the remedy below if it is not met.
pub(crate) fn write_checks(f: &mut fmt::Formatter<'_>, checks: &[Check]) -> fmt::Result {
    let mut separator = "";
    for check in checks {
        write!(f, "{separator}{check}")?;
        separator = "\n";
    }
    Ok(())
}

/// Tracing is not possible here.
#[derive(Clone, PartialEq, Eq)]
pub struct Unavailable {
    pub(crate) missing: Vec<Check>,
}

impl Unavailable {
    /// Returns the requirements that are not met.
    #[must_use]
    pub fn missing(&self) -> &[Check] {
        &self.missing
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "tracing is not possible here:")?;
        write_checks(f, &self.missing)
    }
}

impl std::error::Error for Unavailable {}

debug_as_text! { struct Unavailable { missing } }

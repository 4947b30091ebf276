//! What is a verdict, and what does it hold for?

use std::path::PathBuf;

/// What a self-check has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every answer was the predicted one.
    Matches,
    /// An answer differs; the text says which one.
    Differs(String),
}

/// What a verdict holds for. Any other combination needs another check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subject {
    /// The library's build-id.
    pub(super) build: String,
    /// The kernel's release.
    pub(super) kernel: String,
    /// The version of this crate, which asks the questions and relies on the structures.
    pub(super) asker: String,
}

impl Subject {
    /// Returns the subject of a check of this build here and now. `None` if the build or the kernel is not known, or
    /// is not named as usual.
    pub(crate) fn here(build: Option<String>) -> Option<Subject> {
        let uname = nix::sys::utsname::uname().ok()?;
        let kernel = uname.release().to_str()?.to_owned();
        let subject =
            Subject { build: build?, kernel, asker: env!("CARGO_PKG_VERSION").to_owned() };
        let is_plain = |text: &String| {
            let is_usual = |c: char| c.is_ascii_alphanumeric() || "+-._~".contains(c);
            !text.is_empty() && text.len() <= 128 && text.chars().all(is_usual)
        };
        (is_plain(&subject.build) && is_plain(&subject.kernel)).then_some(subject)
    }

    /// Returns the name of the file with the verdict.
    pub(super) fn file_name(&self) -> String {
        format!("{}_{}_{}", self.build, self.kernel, self.asker)
    }
}

/// The directory of the verdicts that elevated workers trust. Only root writes to it.
pub(crate) const OF_SYSTEM: &str = "/var/lib/dtrace-worker/verdicts";

/// Returns the directory of this user's verdicts; `None` for a user without a home directory.
pub(crate) fn of_user() -> Option<PathBuf> {
    // The XDG specification says to ignore relative values.
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|it| it.is_absolute());
    let caches =
        absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))?;
    Some(caches.join("dtrace-consumer").join("verdicts"))
}

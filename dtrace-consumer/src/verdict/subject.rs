//! What is a verdict, and what does it hold for?

use dtrace_locate::locate::{Libdtrace, digest};

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
    /// The library's build-id, or a digest of it.
    pub(super) build: String,
    /// The kernel's release. Kernels with the same one may differ, except on Linux: there a digest of what else they say
    /// about themselves follows.
    pub(super) kernel: String,
    /// The version of this crate, which asks the questions and relies on the structures.
    pub(super) asker: String,
}

impl Subject {
    /// Returns the subject of a check of this library here and now. `None` if its build or the kernel is not known, or
    /// is not named as usual.
    pub(crate) fn here(library: &Libdtrace) -> Option<Subject> {
        Subject::of_build(library.identity()?)
    }

    pub(super) fn of_build(build: String) -> Option<Subject> {
        let uname = nix::sys::utsname::uname().ok()?;
        let mut kernel = uname.release().to_str()?.to_owned();
        if !cfg!(target_os = "linux") {
            kernel = format!("{kernel}-{}", digest(uname.version().as_encoded_bytes()));
        }
        let subject = Subject { build, kernel, asker: env!("CARGO_PKG_VERSION").to_owned() };
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

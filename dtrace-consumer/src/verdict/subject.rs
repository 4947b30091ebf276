//! What is a verdict, and what does it hold for?

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

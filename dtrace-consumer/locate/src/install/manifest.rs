//! What does a private prefix hold?
//!
//! The manifest is a plain text file in the prefix, with a word and its value on each line. It is
//! written last. A directory without it is never replaced or removed.

use std::fmt;
use std::path::{Component, PathBuf};

/// The file name of the manifest in the prefix.
pub const MANIFEST_NAME: &str = "libdtrace.manifest";

/// Changes when the manifest or the layout of a prefix changes its meaning.
const FORMAT: &str = "1";

/// What a private prefix holds and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// libdtrace's version, such as `2.0.7`.
    pub version: String,
    /// dpkg's name of the architecture: `amd64` or `arm64`.
    pub architecture: String,
    /// The distribution and its suite, such as `Debian forky`.
    pub suite: String,
    /// The libraries' directory, relative to the prefix.
    pub directory: PathBuf,
    /// The directories above the prefix that were created for it.
    pub parents: Vec<PathBuf>,
    /// The packages that were unpacked.
    pub packages: Vec<Package>,
}

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with Debian's epoch and revision.
    pub version: String,
    /// The hash of its file in the signed index, with its kind: `sha512:…` or `sha256:…`.
    pub hash: String,
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { version, architecture, suite, .. } = self;
        write!(f, "libdtrace {version} ({architecture}, {suite})")
    }
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let mut text = format!(
            "format {FORMAT}\nlibdtrace {}\narchitecture {}\nsuite {}\ndirectory {}\n",
            self.version,
            self.architecture,
            self.suite,
            self.directory.display(),
        );
        // One whose name is not text is not removed later.
        for parent in self.parents.iter().filter_map(|it| it.to_str()) {
            text.push_str(&format!("parent {parent}\n"));
        }
        for Package { name, version, hash } in &self.packages {
            text.push_str(&format!("package {name} {version} {hash}\n"));
        }
        text
    }

    /// Returns the manifest in a text, or what is wrong with it.
    pub(super) fn from_text(text: &str) -> Result<Manifest, String> {
        let value = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
                .ok_or_else(|| format!("{MANIFEST_NAME} has no line `{key}`"))
        };
        let format = value("format")?;
        if format != FORMAT {
            return Err(format!("{MANIFEST_NAME} has format {format}, not {FORMAT}"));
        }
        let directory = PathBuf::from(value("directory")?);
        if !directory.components().all(|it| matches!(it, Component::Normal(_))) {
            return Err(format!("{MANIFEST_NAME} names a directory outside of the prefix"));
        }
        let parents = text.lines().filter_map(|line| line.strip_prefix("parent "));
        let packages = text.lines().filter_map(|line| {
            let mut words = line.strip_prefix("package ")?.split(' ').map(str::to_owned);
            Some(Package { name: words.next()?, version: words.next()?, hash: words.next()? })
        });
        Ok(Manifest {
            version: value("libdtrace")?.to_owned(),
            architecture: value("architecture")?.to_owned(),
            suite: value("suite")?.to_owned(),
            directory,
            parents: parents.map(PathBuf::from).collect(),
            packages: packages.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let package = |name: &str| Package {
            name: name.into(),
            version: "1:2.0.7-3".into(),
            hash: "sha512:00ff".into(),
        };
        Manifest {
            version: "2.0.7".into(),
            architecture: "arm64".into(),
            suite: "Debian forky".into(),
            directory: "usr/lib/some-triplet".into(),
            parents: vec!["/home/u/.local/share/dtrace-consumer".into()],
            packages: vec![package("libdtrace2"), package("libc6")],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Manifest::from_text(&manifest().to_text()), Ok(manifest()));
    }

    #[test]
    fn a_truncated_or_newer_manifest_is_refused() {
        let text = manifest().to_text();
        let newer = text.replacen("format 1", "format 2", 1);
        assert!(Manifest::from_text(&newer).is_err());
        let without_directory = &text[..text.find("directory").unwrap_or(0)];
        assert!(Manifest::from_text(without_directory).is_err());
        let outside = text.replacen("directory usr", "directory ../usr", 1);
        assert!(Manifest::from_text(&outside).is_err());
    }
}

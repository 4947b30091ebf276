//! What does a private prefix hold?
//!
//! A plain text file in the prefix: a word and its value on each line. It is written last, and a
//! directory without it is never replaced or removed.

use std::fmt;
use std::path::{Component, PathBuf};
use std::time::{Duration, SystemTime};

/// The name of the manifest's file in the prefix.
pub const MANIFEST_NAME: &str = "libdtrace.manifest";

/// Changes when what is written here or the layout of a prefix changes its meaning.
const FORMAT: &str = "1";

/// What a private prefix holds and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manifest {
    /// libdtrace's version, such as `2.0.7`.
    pub version: String,
    /// dpkg's name of the processor: `amd64` or `arm64`.
    pub architecture: String,
    /// The distribution and its suite, such as `Debian forky`.
    pub suite: String,
    /// When it was unpacked, to the second.
    pub installed: SystemTime,
    /// The libraries' directory, relative to the prefix.
    pub directory: PathBuf,
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
    /// The SHA-256 of its file, which apt compared with the signed index.
    pub sha256: String,
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { version, architecture, suite, installed, .. } = self;
        write!(f, "libdtrace {version} ({architecture}, {suite}, {})", date(*installed))
    }
}

impl Manifest {
    pub(super) fn to_text(&self) -> String {
        let seconds = seconds(self.installed);
        let mut text = format!(
            "format {FORMAT}\nlibdtrace {}\narchitecture {}\nsuite {}\ninstalled {seconds} {}\n\
             directory {}\n",
            self.version,
            self.architecture,
            self.suite,
            date(self.installed),
            self.directory.display(),
        );
        for Package { name, version, sha256 } in &self.packages {
            text.push_str(&format!("package {name} {version} {sha256}\n"));
        }
        text
    }

    /// The manifest in a text, or what is wrong with it.
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
        let installed = value("installed")?.split(' ').next().unwrap_or_default();
        let installed = installed
            .parse()
            .ok()
            .and_then(|it| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(it)))
            .ok_or_else(|| format!("{MANIFEST_NAME} has no valid time"))?;
        let directory = PathBuf::from(value("directory")?);
        if !directory.components().all(|it| matches!(it, Component::Normal(_))) {
            return Err(format!("{MANIFEST_NAME} names a directory outside of the prefix"));
        }
        let packages = text.lines().filter_map(|line| {
            let mut words = line.strip_prefix("package ")?.split(' ').map(str::to_owned);
            Some(Package { name: words.next()?, version: words.next()?, sha256: words.next()? })
        });
        Ok(Manifest {
            version: value("libdtrace")?.to_owned(),
            architecture: value("architecture")?.to_owned(),
            suite: value("suite")?.to_owned(),
            installed,
            directory,
            packages: packages.collect(),
        })
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |it| it.as_secs())
}

/// The day in UTC, as 2026-11-23.
fn date(time: SystemTime) -> String {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut days = seconds(time) / 86_400;
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let package = |name: &str| Package {
            name: name.into(),
            version: "1:2.0.7-3".into(),
            sha256: "00ff".into(),
        };
        Manifest {
            version: "2.0.7".into(),
            architecture: "arm64".into(),
            suite: "Debian forky".into(),
            installed: SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_164_800),
            directory: "usr/lib/some-triplet".into(),
            packages: vec![package("libdtrace2"), package("libc6")],
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(Manifest::from_text(&manifest().to_text()), Ok(manifest()));
    }

    #[test]
    fn days_are_counted_through_leap_years() {
        assert!(manifest().to_string().ends_with("2024-02-29)"), "{}", manifest());
        let day = |days: u64| date(SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(
            [day(0), day(364), day(365), day(11_016), day(11_017)],
            ["1970-01-01", "1970-12-31", "1971-01-01", "2000-02-29", "2000-03-01"]
        );
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

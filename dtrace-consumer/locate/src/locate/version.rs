//! Is a version of libdtrace known, to be checked, or refused?

use super::{KNOWN_VERSIONS, OLDEST_VERSION};

/// How far a libdtrace is known to have the structures that `dtrace-consumer` expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Its version is one of [`KNOWN_VERSIONS`].
    Known,
    /// Its version is not one of them, or does not tell its structures, but it may have the expected ones. A self-check
    /// has to decide.
    Unverified,
    /// A self-check has admitted it. `Search::run` and `Search::trace` do
    /// not return this.
    Verified,
}

/// Returns the standing of a version; `None` if its structures are known to differ.
pub(crate) fn standing(version: &str) -> Option<Standing> {
    if !cfg!(target_os = "linux") {
        return Some(Standing::Unverified);
    }
    if KNOWN_VERSIONS.contains(&version) {
        return Some(Standing::Known);
    }
    let number = numbers(version)?;
    (number >= numbers(OLDEST_VERSION)?).then_some(Standing::Unverified)
}

/// Returns the numbers of a version; a missing third one is 0.
fn numbers(version: &str) -> Option<[u16; 3]> {
    let mut parts = version.split('.').map(str::parse::<u16>);
    let mut next = || parts.next().transpose().ok();
    let numbers = [next()??, next()??, next()?.unwrap_or(0)];
    parts.next().is_none().then_some(numbers)
}

/// Returns the version in the first C string of the form `D 2.0.7`, `Sun D 1.13.1` or `Oracle D 2.0`. The last form
/// is returned as a whole: it covers releases with different structures.
pub(super) fn find_version(bytes: &[u8]) -> Option<String> {
    bytes.split(|it| *it == 0).filter(|it| (5..32).contains(&it.len())).find_map(|text| {
        let oracle = text.strip_prefix(b"Oracle ");
        let version = oracle.or(text.strip_prefix(b"Sun ")).unwrap_or(text).strip_prefix(b"D ")?;
        let parts = version.split(|it| *it == b'.');
        let numeric = |it: &[u8]| !it.is_empty() && it.iter().all(u8::is_ascii_digit);
        let shown = if oracle.is_some() { text } else { version };
        (version.contains(&b'.') && parts.clone().all(numeric))
            .then(|| String::from_utf8_lossy(shown).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_a_whole_string_of_numbers() {
        let version = |bytes: &[u8]| find_version(bytes);
        assert_eq!(version(b"x\0D 2.0.7\0y").as_deref(), Some("2.0.7"));
        assert_eq!(version(b"\0Sun D 1.13.1\0").as_deref(), Some("1.13.1"));
        assert_eq!(version(b"x\0Oracle D 2.0\0").as_deref(), Some("Oracle D 2.0"));
        for other in [
            &b"\0D 2.0.7-rc\0"[..],
            b"\0AD 2.0.7\0",
            b"\0D 2\0",
            b"\0D 2..7\0",
            b"\0D .\0",
            b"\0Oracle 2.0\0",
            b"",
        ] {
            assert_eq!(version(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn versions_fall_in_three_kinds() {
        assert_eq!(standing("2.0.7"), Some(Standing::Known));
        for later in ["2.0.6", "2.0.8", "2.0.10", "2.0.70", "2.1", "2.1.0", "3.0"] {
            assert_eq!(standing(later), Some(Standing::Unverified), "{later}");
        }
        for refused in [
            "2.0.5",
            "2.0.2",
            "2.0.0",
            "2.0",
            "1.13.1",
            "1.99",
            "Oracle D 2.0",
            "2.0.1.1",
            "2.0.7.1",
            "2",
            "",
            "2.0.99999",
        ] {
            assert_eq!(standing(refused), None, "{refused}");
        }
    }
}

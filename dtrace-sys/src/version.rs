//! Versions of libdtrace.

use core::fmt;
use core::str::FromStr;

/// A version of libdtrace, from its variable `_dtrace_version`: `D 2.0.7`.
///
/// It is unrelated to [`DTRACE_VERSION`](crate::abi::DTRACE_VERSION), which is the same in all versions.
///
/// ```
/// use dtrace_sys::Version;
///
/// let version: Version = "D 2.0.7".parse()?;
/// assert_eq!(version, Version::new(2, 0, 7));
/// assert!(version > "Sun D 1.13".parse()?);
/// # Ok::<(), dtrace_sys::ParseVersionError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number; 0 if absent.
    pub micro: u16,
}

/// The text is not a version of libdtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version of libdtrace: expected \"D\" and two or three numbers, such as \"D 2.0.7\"")]
#[non_exhaustive]
pub struct ParseVersionError;

impl Version {
    /// Creates a version from its numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, micro: u16) -> Self {
        Self { major, minor, micro }
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    /// Parses `D 2.0.7` or `Sun D 1.13`.
    fn from_str(text: &str) -> Result<Self, ParseVersionError> {
        let (maker, numbers) = text.trim().rsplit_once(' ').ok_or(ParseVersionError)?;
        if !maker.split(' ').any(|word| word == "D") {
            return Err(ParseVersionError);
        }
        let mut parts = numbers.split('.').map(|part| part.parse().map_err(|_| ParseVersionError));
        let major = parts.next().ok_or(ParseVersionError)??;
        let minor = parts.next().ok_or(ParseVersionError)??;
        let micro = parts.next().unwrap_or(Ok(0))?;
        match parts.next() {
            None => Ok(Self { major, minor, micro }),
            Some(_) => Err(ParseVersionError),
        }
    }
}

impl fmt::Display for Version {
    /// Formats it as `2.0.7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.micro)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libraries_say() {
        assert_eq!("D 2.0.7".parse(), Ok(Version::new(2, 0, 7)));
        assert_eq!("Sun D 1.13".parse(), Ok(Version::new(1, 13, 0)));
        assert_eq!(Version::new(2, 0, 7).to_string(), "2.0.7");
    }

    #[test]
    fn refuses_what_is_no_version() {
        for text in ["", "D", "D ", "2.0.7", "D 2", "D 2.0.7.1", "D 2.0.7-rc1", "D 2.0.", "D 2.-1"]
        {
            assert_eq!(text.parse::<Version>(), Err(ParseVersionError), "{text:?}");
        }
    }

    #[test]
    fn orders_by_number_and_not_by_text() {
        assert!(Version::new(2, 0, 10) > Version::new(2, 0, 7));
    }
}

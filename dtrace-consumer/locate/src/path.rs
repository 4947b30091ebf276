//! Which paths do libdtrace and its dynamic loader support?
//!
//! libdtrace defines uprobes on its own file, for `BEGIN` and the like, by its real path with symbolic
//! links resolved. The kernel splits such a definition at whitespace and ends it at `#`; neither can
//! be quoted.
//!
//! libdtrace 2.0.7 cannot define one on a path that is longer than about 2000 bytes.
//!
//! The dynamic loader gets the directory as the caller named it. In its `--library-path`, `:` and `;`
//! separate directories, and `$` starts a token such as `$LIB`.

use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The longest path of a file on which libdtrace defines uprobes, in bytes. A definition has other parts too.
const LONGEST: usize = 1900;

/// The length of libdtrace's path in a prefix, at most.
const WITHIN_PREFIX: usize = 100;

/// Why libdtrace does not support a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathProblem {
    /// It contains this character.
    Character(char),
    /// It is too long.
    Length,
}

/// `contains a space`
impl fmt::Display for PathProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathProblem::Character(character) => write!(f, "contains {}", describe(*character)),
            PathProblem::Length => write!(f, "is longer than {LONGEST} bytes"),
        }
    }
}

/// Returns why a prefix with its own dynamic loader cannot have this path. The end of the path need not
/// exist.
pub(crate) fn unusable_in_prefix(path: &Path) -> Option<PathProblem> {
    unusable_in_library_path(path)
        .map(PathProblem::Character)
        .or_else(|| unusable_in_uprobe_with(path, WITHIN_PREFIX))
}

/// Returns the first character that keeps the dynamic loader from searching the directory.
pub(crate) fn unusable_in_library_path(directory: &Path) -> Option<char> {
    first(directory, |byte| b":;$".contains(&byte))
}

/// Returns what keeps the kernel from defining a uprobe on the file.
pub(crate) fn unusable_in_uprobe(file: &Path) -> Option<PathProblem> {
    unusable_in_uprobe_with(file, 0)
}

/// As [`unusable_in_uprobe`], for a file whose path is longer by so many bytes.
fn unusable_in_uprobe_with(path: &Path, more: usize) -> Option<PathProblem> {
    let path = real(path);
    // The kernel's isspace() is that of Latin-1, in which 0xa0 is a space. It is also the second
    // byte of `à` in UTF-8.
    first(&path, |byte| matches!(byte, b'\t'..=b'\r' | b' ' | 0xa0 | b'#'))
        .map(PathProblem::Character)
        .or_else(|| (path.as_os_str().len() + more > LONGEST).then_some(PathProblem::Length))
}

/// Names a character in a message.
fn describe(character: char) -> String {
    match character {
        ' ' => "a space".to_owned(),
        '\t' => "a tab".to_owned(),
        '\n' => "a line break".to_owned(),
        other if other.is_whitespace() || other.is_control() => {
            format!("the character U+{:04X}", u32::from(other))
        }
        other => format!("the character `{other}`"),
    }
}

/// Resolves the symbolic links of as much of the path as exists.
fn real(path: &Path) -> PathBuf {
    for ancestor in path.ancestors() {
        if let Ok(resolved) = fs::canonicalize(ancestor)
            && let Ok(rest) = path.strip_prefix(ancestor)
        {
            return resolved.join(rest);
        }
    }
    path.to_owned()
}

/// Returns the first character that has such a byte.
fn first(path: &Path, unusable: impl Fn(u8) -> bool) -> Option<char> {
    let in_text =
        |text: &str| text.chars().find(|it| it.encode_utf8(&mut [0; 4]).bytes().any(&unusable));
    path.as_os_str().as_bytes().utf8_chunks().find_map(|chunk| {
        in_text(chunk.valid()).or_else(|| {
            let found = chunk.invalid().iter().any(|it| unusable(*it));
            found.then_some(char::REPLACEMENT_CHARACTER)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_the_kernel_or_the_loader_takes_for_the_end_of_a_path_is_unusable() {
        let unusable = |path: &str| unusable_in_prefix(Path::new(path));
        for character in [' ', '\t', '\n', '#', '\u{a0}', 'à', ':', ';', '$'] {
            let problem = Some(PathProblem::Character(character));
            assert_eq!(unusable(&format!("/none/a{character}b/p")), problem);
        }
        assert_eq!(unusable("/none/aäb,'\"%*(@=~`{|&<!?[\\/p"), None);
        let latin1 = Path::new(OsStr::from_bytes(b"/none/a\xa0b"));
        assert_eq!(
            unusable_in_prefix(latin1),
            Some(PathProblem::Character(char::REPLACEMENT_CHARACTER))
        );
    }

    #[test]
    fn a_path_that_is_too_long_for_the_definition_of_a_uprobe_is_unusable() {
        let path = |length: usize| PathBuf::from(format!("/{}", "d/".repeat(length / 2)));
        assert_eq!(unusable_in_uprobe(&path(1880)), None);
        assert_eq!(unusable_in_uprobe(&path(2000)), Some(PathProblem::Length));
        assert_eq!(unusable_in_prefix(&path(1880)), Some(PathProblem::Length));
        assert_eq!(unusable_in_prefix(&path(1700)), None);
    }

    #[test]
    fn the_kernel_sees_where_a_link_leads_and_the_loader_its_name() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["a b", "a:b", "plain"] {
            fs::create_dir(path(name)).expect("a directory");
        }
        let links = [
            ("a b", "to-blank", Some(' ')),
            ("plain", "with blank", None),
            ("a:b", "to-colon", None),
            ("plain", "with:colon", Some(':')),
        ];
        for (target, link, expected) in links {
            symlink(path(target), path(link)).expect("a link");
            let expected = expected.map(PathProblem::Character);
            assert_eq!(unusable_in_prefix(&path(link).join("not/yet")), expected, "{link}");
        }
    }
}

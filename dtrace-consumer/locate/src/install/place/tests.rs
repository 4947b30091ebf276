//! Which neighbours of an ordinary prefix are chosen, and what is said of the others?

use super::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Component;

use nix::unistd::geteuid;
use tempfile::TempDir;

use crate::install::manifest::MANIFEST_NAME;
use crate::path::PathProblem;

/// A directory for one test, by its real path.
struct Room {
    _directory: TempDir,
    path: PathBuf,
}

impl Room {
    fn new() -> Room {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = fs::canonicalize(directory.path()).expect("a path");
        Room { _directory: directory, path }
    }

    fn directory(&self, name: impl AsRef<OsStr>) -> PathBuf {
        let path = self.path.join(name.as_ref());
        fs::create_dir_all(&path).expect("a directory");
        path
    }

    /// The names of what is in it.
    fn content(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).expect("it can be read").flatten();
        entries.map(|it| it.path()).collect()
    }

    /// Offers a prefix and, after it, an ordinary one. Returns why the first one is not used.
    fn refused(&self, first: &Path) -> Option<InstallError> {
        let second = self.path.join("second/libdtrace");
        let mut chosen =
            choose_prefix([first.to_owned(), second.clone()]).expect("the second is usable");
        assert!(!second.parent().expect("a parent").exists(), "something was left behind");
        match chosen.passed.pop() {
            Some(error) => {
                assert_eq!((chosen.prefix, chosen.passed.len()), (second, 0), "{error}");
                Some(error)
            }
            None => {
                assert_eq!(chosen.prefix, std::path::absolute(first).expect("a path"));
                None
            }
        }
    }
}

/// What is wrong with the path of a prefix.
fn problem(error: Option<InstallError>) -> Option<PathProblem> {
    match error {
        None => None,
        Some(InstallError::UnusablePath { problem, .. }) => Some(problem),
        Some(other) => panic!("{other:#?}"),
    }
}

#[test]
fn a_directory_whose_name_libdtrace_does_not_support_is_passed_over() {
    let room = Room::new();
    let names: [(&[u8], Option<char>); 15] = [
        (b"plain", None),
        (b"-dash", None),
        (b"it's", None),
        (b"per%cent", None),
        ("a\u{308}".as_bytes(), None),
        (b"not-text-\xff", None),
        (b"a b", Some(' ')),
        (b"trailing ", Some(' ')),
        (b"a\tb", Some('\t')),
        (b"a\nb", Some('\n')),
        (b"a:b", Some(':')),
        (b"a;b", Some(';')),
        (b"$ORIGIN", Some('$')),
        (b"a#b", Some('#')),
        (b"latin1-\xa0", Some(char::REPLACEMENT_CHARACTER)),
    ];
    for (name, character) in names {
        let expected = character.map(PathProblem::Character);
        let name = OsStr::from_bytes(name);
        // Neither the directory itself nor those above it need exist.
        for exists in [false, true] {
            let directory = room.path.join(name);
            if exists {
                room.directory(name);
            }
            let prefix = directory.join("deeper/libdtrace");
            assert_eq!(problem(room.refused(&prefix)), expected, "{name:?}");
            assert_eq!(directory.exists(), exists, "{name:?}: nothing is left behind");
        }
    }
}

#[test]
fn a_long_path_is_passed_over_before_libdtrace_would_fail() {
    let room = Room::new();
    let of_length = |length: usize| {
        let mut path = room.path.clone();
        while path.as_os_str().len() + 61 < length {
            path.push("d".repeat(60));
        }
        path.join("libdtrace")
    };
    assert_eq!(problem(room.refused(&of_length(1700))), None);
    // The last two are longer than a path that the kernel takes.
    for length in [1950, 4200, 20_000] {
        assert_eq!(problem(room.refused(&of_length(length))), Some(PathProblem::Length));
    }
    assert_eq!(room.content(), Vec::<PathBuf>::new());
}

#[test]
fn a_link_counts_with_its_own_name_and_with_where_it_leads() {
    let room = Room::new();
    for name in ["plain", "a b", "a:b"] {
        room.directory(name);
    }
    for (target, link, expected) in [
        ("plain", "to-plain", None),
        // The kernel sees where it leads,
        ("plain", "with a blank", None),
        ("a b", "to-blank", Some(' ')),
        // and the loader the name.
        ("a:b", "to-colon", None),
        ("plain", "with:colon", Some(':')),
    ] {
        let link = room.path.join(link);
        symlink(room.path.join(target), &link).expect("a link");
        let refused = room.refused(&link.join("libdtrace"));
        assert_eq!(problem(refused), expected.map(PathProblem::Character), "{}", link.display());
    }
}

#[test]
fn a_relative_prefix_is_chosen_by_its_absolute_path() {
    let room = Room::new();
    let here = std::env::current_dir().expect("a directory");
    let up: PathBuf = here.components().skip(1).map(|_| Component::ParentDir.as_os_str()).collect();
    let below_root = room.path.strip_prefix("/").expect("an absolute path");
    let relative = up.join(below_root).join("libdtrace");
    let chosen = choose_prefix([relative]).expect("usable");
    assert!(chosen.prefix.is_absolute() && chosen.prefix.starts_with(&here), "{chosen:?}");

    let blank = choose_prefix([PathBuf::from("a b/libdtrace")]).expect_err("unusable");
    assert!(blank.to_string().contains(&*here.to_string_lossy()), "{blank}");
    let empty = choose_prefix([PathBuf::new()]).expect_err("no path");
    assert!(empty.to_string().contains("cannot resolve"), "{empty}");
}

#[test]
fn a_place_where_nothing_can_be_created_is_passed_over() {
    let room = Room::new();
    let file = room.path.join("file");
    fs::write(&file, "data").expect("a file");
    let dangling = room.path.join("dangling");
    symlink(room.path.join("nowhere"), &dangling).expect("a link");
    let mut places = vec![file.as_path(), &dangling, Path::new("/dev/null")];
    if cfg!(target_os = "linux") {
        places.extend(["/proc", "/proc/none"].map(Path::new));
    }
    for place in places {
        let refused = room.refused(&place.join("deeper/libdtrace"));
        let Some(InstallError::Io { action: "create", .. }) = &refused else {
            panic!("{}: {refused:?}", place.display())
        };
    }
    assert_eq!(fs::read(&file).expect("a file"), b"data");
    assert_eq!(room.content().len(), 2, "nothing is left behind");

    // Permissions do not keep root from anything.
    let closed = room.directory("closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).expect("permissions");
    let refused = room.refused(&closed.join("libdtrace"));
    assert_eq!(refused.is_none(), geteuid().is_root(), "{refused:?}");
    let refused = room.refused(&closed.join("deeper/libdtrace"));
    assert_eq!(refused.is_none(), geteuid().is_root(), "{refused:?}");
}

#[test]
fn what_is_in_the_prefix_does_not_make_another_one_better() {
    let room = Room::new();
    let prefix = room.directory("libdtrace");
    assert!(room.refused(&prefix).is_none(), "empty");
    let other = prefix.join("precious");
    fs::write(&other, "data").expect("a file");
    assert!(room.refused(&prefix).is_none(), "of somebody else");
    fs::write(prefix.join(MANIFEST_NAME), "format 0\n").expect("a manifest");
    assert!(room.refused(&prefix).is_none(), "damaged");
    assert!(room.refused(&other).is_none(), "a file");
    assert_eq!(fs::read(&other).expect("a file"), b"data");
}

#[test]
fn each_reason_is_given_if_no_place_is_left() {
    let error = choose_prefix(["/none/a b/p", "/none/a:b/p"].map(PathBuf::from)).expect_err("none");
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let [first, blank, colon] = lines[..] else { panic!("{text}") };
    assert_eq!(first, "there is no place for a private libdtrace");
    assert!(
        blank.starts_with("cannot install to /none/a b/p: its path contains a space"),
        "{text}"
    );
    assert!(
        colon.starts_with("cannot install to /none/a:b/p: its path contains the character `:`")
    );
    let InstallError::NoPlace { passed } = &error else { panic!("{error:#?}") };
    assert_eq!(passed.len(), 2);
    assert_eq!(choose_prefix([]).expect_err("none").to_string(), first);
}

#[test]
fn the_outermost_target_that_cargo_tagged_is_where_programs_search() {
    let room = Room::new();
    let out = room.directory("checkout/target/some-triplet/debug/build/package/out");
    let target = room.path.join("checkout/target");
    assert_eq!(prefix_in_target(&out), None);
    let tag = |directory: &Path, text: &str| {
        fs::write(directory.join("CACHEDIR.TAG"), text).expect("a tag");
    };
    let of_cargo = "Signature: …\n# This file is a cache directory tag created by cargo.\n";
    tag(&target.join("some-triplet"), of_cargo);
    assert_eq!(prefix_in_target(&out), Some(target.join("some-triplet/libdtrace")));
    tag(&target, of_cargo);
    assert_eq!(prefix_in_target(&out), Some(target.join("libdtrace")));
    // Caches of other programs.
    tag(&room.path.join("checkout"), "");
    tag(&room.path, "# created by another program");
    assert_eq!(prefix_in_target(&out), Some(target.join("libdtrace")));
    assert_eq!(prefix_in_target(&room.path.join("checkout")), None);
}

//! Which libdtrace does a search find? Each test has a temporary directory with prefixes of small files.

use super::*;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};

use nix::unistd::{Uid, setfsuid};
use tempfile::TempDir;

struct Tree(TempDir);

impl Tree {
    fn new() -> Tree {
        Tree(tempfile::tempdir().expect("a temporary directory"))
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join(relative)
    }

    fn file(&self, relative: &str, content: &[u8]) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, content).expect("a file");
        path
    }

    /// Makes a prefix with everything that Debian's has; returns the directory of its libraries.
    fn private(&self, prefix: &str, version: &str) -> PathBuf {
        let directory = format!("{prefix}/usr/lib/some-triplet");
        self.file(&format!("{directory}/{SONAME}"), &library(version));
        self.file(&format!("{directory}/libc.so.6"), b"");
        self.file(&format!("{directory}/ld-linux-some.so.2"), b"");
        self.file(&format!("{directory}/dtrace/bpf_dlib.o"), b"");
        self.path(&directory)
    }

    fn search(&self) -> Search {
        let user = fs::metadata(self.0.path()).expect("metadata").uid();
        Search { system: vec![self.path("system")], user: Some(user), ..Search::default() }
    }
}

const READ: u8 = 4;
const READ_WRITE: u8 = 6;
const READ_EXECUTE: u8 = 5;

/// Returns a minimal library with the version's text in a read-only segment.
fn library(version: &str) -> Vec<u8> {
    library_with(version, READ)
}

/// Returns a minimal ELF file with one segment that has the version's text and these permissions.
fn library_with(version: &str, flags: u8) -> Vec<u8> {
    let this = fs::read("/proc/self/exe").expect("this program");
    let text = format!("\0D {version}\0");
    // Class, byte order, versions and type come from this program; the rest of the header is ours.
    let mut elf = this[..64].to_vec();
    elf[32..].fill(0);
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    let mut segment = [0; 56];
    segment[0] = 1;
    segment[4] = flags;
    segment[8] = 120;
    segment[32] = text.len() as u8;
    elf.extend(segment);
    elf.extend(text.bytes());
    elf
}

fn refusals(search: &Search) -> Vec<Refusal> {
    let error = search.run().expect_err("nothing usable");
    error.candidates.into_iter().map(|it| it.refused).collect()
}

#[test]
fn a_private_prefix_comes_with_its_loader_and_d_libraries() {
    let tree = Tree::new();
    let directory = tree.private("p", "2.0.7");
    let search = Search { caller: Some(tree.path("p")), ..tree.search() };
    let loader = Loader {
        ld_so: directory.join("ld-linux-some.so.2"),
        library_path: vec![directory.clone(), tree.path("system")],
    };
    let found = search.run().expect("found");
    let argument = found.loader.as_ref().map(Loader::library_path_argument);
    let expected = format!("{}:{}", directory.display(), tree.path("system").display());
    assert_eq!(argument, Some(expected.into()));
    assert_eq!(
        found,
        Libdtrace {
            library: directory.join(SONAME),
            syslibdir: Some(directory.join("dtrace")),
            loader: Some(loader),
            origin: Origin::Caller,
            version: Some("2.0.7".into()),
            standing: Standing::Known,
        }
    );
}

#[test]
fn a_prefix_without_a_c_library_runs_on_the_systems() {
    let tree = Tree::new();
    tree.file(&format!("p/lib/{SONAME}"), &library("2.0.7"));
    let search = Search { caller: Some(tree.path("p")), ..tree.search() };
    let found = search.run().expect("found");
    assert_eq!((found.loader, found.syslibdir), (None, None));
}

#[test]
fn the_systems_d_libraries_are_those_beside_its_library() {
    let tree = Tree::new();
    tree.file(&format!("system/{SONAME}"), &library("2.0.7"));
    assert_eq!(tree.search().run().expect("found").syslibdir, None);
    tree.file("system/dtrace/io.d", b"");
    let found = tree.search().run().expect("found");
    assert_eq!((found.loader, found.syslibdir), (None, Some(tree.path("system/dtrace"))));
}

#[test]
fn places_are_taken_in_their_order() {
    let tree = Tree::new();
    for prefix in ["caller", "environment", "bin/libdtrace", "data"] {
        tree.private(prefix, "2.0.7");
    }
    tree.file(&format!("system/{SONAME}"), &library("2.0.7"));
    let mut search = Search {
        caller: Some(tree.path("caller")),
        environment: Some(tree.path("environment").into()),
        program: Some(tree.file("bin/tool", b"")),
        user_data: Some(tree.path("data")),
        ..tree.search()
    };
    let origin = |search: &Search| search.run().expect("found").origin;
    assert_eq!(origin(&search), Origin::Caller);
    search.caller = None;
    assert_eq!(origin(&search), Origin::Environment);
    search.environment = Some("".into());
    assert_eq!(origin(&search), Origin::System);
    search.system.clear();
    assert_eq!(origin(&search), Origin::Program);
    search.program = None;
    assert_eq!(origin(&search), Origin::UserData);
}

#[test]
fn an_order_that_cannot_be_obeyed_ends_the_search() {
    let tree = Tree::new();
    tree.private("data", "2.0.7");
    let offered = Search { user_data: Some(tree.path("data")), ..tree.search() };
    offered.run().expect("without an order the data directory is taken");
    let caller = Search { caller: Some(tree.path("none")), ..offered.clone() };
    assert_eq!(refusals(&caller), [Refusal::Missing]);
    let environment = Search { environment: Some(tree.path("none").into()), ..offered.clone() };
    assert_eq!(refusals(&environment), [Refusal::Missing]);
    let system = Search { environment: Some("system".into()), ..offered };
    assert_eq!(refusals(&system), [Refusal::Missing]);
}

#[test]
fn an_unsupported_system_library_is_passed_over_and_named() {
    let tree = Tree::new();
    tree.file(&format!("system/{SONAME}"), &library("2.0.1"));
    tree.private("data", "2.0.7");
    let search = Search { user_data: Some(tree.path("data")), ..tree.search() };
    let (passed, found) = search.trace();
    assert_eq!(found.expect("found").origin, Origin::UserData);
    assert_eq!(passed.len(), 1);
    assert_eq!(passed[0].refused, Refusal::Version("2.0.1".into()));
}

#[test]
fn a_program_finds_the_prefix_four_directories_above_its_own_and_no_further() {
    let tree = Tree::new();
    tree.private("a/libdtrace", "2.0.7");
    let near = Search { program: Some(tree.file("a/1/2/3/4/tool", b"")), ..tree.search() };
    assert_eq!(near.run().expect("found").origin, Origin::Program);
    let far = Search { program: Some(tree.file("a/1/2/3/4/5/tool", b"")), ..tree.search() };
    assert!(far.run().is_err());
}

#[test]
fn files_that_are_no_libdtrace_for_this_processor_are_refused() {
    let tree = Tree::new();
    let mut foreign = library("2.0.7");
    foreign[18] ^= 0xff;
    let mut other_class = library("2.0.7")[..64].to_vec();
    other_class[4] ^= 3;
    other_class[24..].fill(0);
    let mut other_byte_order = library("2.0.7");
    other_byte_order[5] ^= 3;
    let mut segments_beyond_the_end = library("2.0.7");
    segments_beyond_the_end[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases = [
        (foreign, Refusal::OtherArchitecture),
        (other_class, Refusal::OtherArchitecture),
        (other_byte_order, Refusal::OtherArchitecture),
        (b"#!/bin/sh\n".to_vec(), Refusal::NotALibrary),
        (Vec::new(), Refusal::NotALibrary),
        (library("2.0.7")[..80].to_vec(), Refusal::NotALibrary),
        (segments_beyond_the_end, Refusal::NotALibrary),
        (library("unknown"), Refusal::NoVersion),
    ];
    for (content, expected) in cases {
        tree.file(&format!("p/lib/{SONAME}"), &content);
        let search = Search { caller: Some(tree.path("p")), ..tree.search() };
        assert_eq!(refusals(&search), [expected]);
    }
}

#[test]
fn the_version_is_read_from_constants_also_among_code() {
    let tree = Tree::new();
    let search = Search { caller: Some(tree.path("p")), ..tree.search() };
    for flags in [READ, READ_EXECUTE] {
        tree.file(&format!("p/lib/{SONAME}"), &library_with("2.0.7", flags));
        assert_eq!(search.run().expect("found").version.as_deref(), Some("2.0.7"));
    }
    tree.file(&format!("p/lib/{SONAME}"), &library_with("2.0.7", READ_WRITE));
    assert_eq!(refusals(&search), [Refusal::NoVersion]);
}

#[test]
fn what_others_can_write_is_not_loaded_unless_ordered() {
    let tree = Tree::new();
    let directory = tree.private("libdtrace", "2.0.7");
    let writable = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&directory, writable).expect("permissions");
    let offered = Search { program: Some(tree.file("tool", b"")), ..tree.search() };
    assert!(refusals(&offered).contains(&Refusal::WritableByOthers { path: directory }));
    let ordered = Search { environment: Some(tree.path("libdtrace").into()), ..tree.search() };
    ordered.run().expect("an order is obeyed");
}

#[test]
fn what_belongs_to_others_is_not_loaded_unless_ordered() {
    let tree = Tree::new();
    tree.private("data", "2.0.7");
    let directory = tree.path("data");
    let mut owner = tree.search().user.expect("the user");
    if owner == 0 {
        owner = 1;
        lchown(&directory, Some(owner), None).expect("root may give files away");
    }
    let offered = Search { user_data: Some(directory.clone()), user: None, ..tree.search() };
    let refused = Refusal::OwnedByOthers { path: directory.clone(), owner };
    assert!(refusals(&offered).contains(&refused));
    let trusted = Search { user: Some(owner), ..offered.clone() };
    trusted.run().expect("its owner is trusted");
    let ordered = Search { caller: Some(directory), ..offered };
    ordered.run().expect("an order is obeyed");
}

#[test]
fn a_prefix_that_may_not_be_read_is_not_called_missing() {
    let tree = Tree::new();
    tree.private("data", "2.0.7");
    let lib = tree.path("data/usr/lib");
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    mode(tree.0.path(), 0o755);
    mode(&lib, 0);
    let search = Search { user_data: Some(tree.path("data")), ..tree.search() };
    let error = std::thread::spawn(move || {
        // Root may read everything, so this thread accesses files as nobody. For other users the call
        // has no effect.
        setfsuid(Uid::from_raw(65534));
        search.run().expect_err("not readable")
    });
    let error = error.join().expect("no panic");
    mode(&lib, 0o700);
    let refused = &error.candidates.last().expect("a candidate").refused;
    assert!(matches!(refused, Refusal::Unreadable { path, .. } if *path == lib), "{refused:?}");
    assert!(error.to_string().contains("Permission denied"), "{error}");
}

#[test]
fn a_dangling_link_or_a_directory_is_not_called_missing() {
    let tree = Tree::new();
    let directory = tree.private("link", "2.0.7");
    fs::remove_file(directory.join(SONAME)).expect("removed");
    symlink("/no/such/file", directory.join(SONAME)).expect("a link");
    tree.file(&format!("directory/usr/lib/{SONAME}/file"), b"");
    for (prefix, expected) in [
        ("link", "symbolic link to /no/such/file, which does not exist"),
        ("directory", "directory"),
    ] {
        let refused = refusals(&Search { caller: Some(tree.path(prefix)), ..tree.search() });
        let [Refusal::Unreadable { path, why }] = &refused[..] else { panic!("{refused:?}") };
        assert!(path.ends_with(SONAME) && why.contains(expected), "{why}");
    }
    let system = Search { system: vec![directory], ..Search::default() };
    assert!(matches!(&refusals(&system)[..], [Refusal::Unreadable { .. }]));
}

#[test]
fn only_a_user_is_told_to_override_a_refusal() {
    let path = PathBuf::from("/prefix");
    let refused = Refusal::WritableByOthers { path: path.clone() };
    assert!(!refused.to_string().contains(PREFIX_VARIABLE));
    let candidate = Candidate { origin: Origin::Program, path, refused };
    assert!(candidate.to_string().contains("set DTRACE_CONSUMER_PREFIX to the prefix"));
}

#[test]
fn a_prefix_whose_path_breaks_libdtrace_is_refused_by_name() {
    let tree = Tree::new();
    for (name, character) in [("a blank", ' '), ("a#b", '#'), ("a:b", ':'), ("a;b", ';')] {
        tree.private(name, "2.0.7");
        let search = Search { caller: Some(tree.path(name)), ..tree.search() };
        assert_eq!(refusals(&search), [Refusal::UnusablePath(PathProblem::Character(character))]);
        let text = search.run().expect_err("refused").to_string();
        assert!(text.contains(name) && text.contains("move it"), "{text}");
    }
    // libdtrace counts by its real path, the loader's directory by the path that was given.
    symlink(tree.path("a blank"), tree.path("link")).expect("a link");
    let search = Search { caller: Some(tree.path("link")), ..tree.search() };
    assert_eq!(refusals(&search), [Refusal::UnusablePath(PathProblem::Character(' '))]);
    symlink(tree.path("a:b"), tree.path("link to colon")).expect("a link");
    let search = Search { caller: Some(tree.path("link to colon")), ..tree.search() };
    assert!(search.run().is_ok());
    // Without a loader the colon separates nothing.
    tree.file(&format!("c:d/lib/{SONAME}"), &library("2.0.7"));
    let search = Search { caller: Some(tree.path("c:d")), ..tree.search() };
    assert!(search.run().is_ok());
    // An empty place is still reported as missing.
    let search = Search { caller: Some(tree.path("no such place")), ..tree.search() };
    assert_eq!(refusals(&search), [Refusal::Missing]);
}

#[test]
fn an_elevated_worker_takes_the_administrators_choice_and_trusts_root_alone() {
    let tree = Tree::new();
    tree.private("chosen", "2.0.7");
    tree.private("fallback", "2.0.7");
    let (chosen, fallback) = (tree.path("chosen"), tree.path("fallback"));
    let search = Search::of_elevated_worker(Some(&chosen), &fallback);
    assert_eq!(search.run().expect("found").origin, Origin::Caller);
    let search = Search { system: Vec::new(), ..Search::of_elevated_worker(None, &fallback) };
    let owner = fs::metadata(&fallback).expect("metadata").uid();
    assert_eq!(search.run().is_ok(), owner == 0);
    assert_eq!((search.environment, search.program, search.user), (None, None, None));
}

#[test]
fn the_error_says_where_was_looked_and_what_to_do() {
    let tree = Tree::new();
    tree.private("p", "1.2.3");
    let search = Search { caller: Some(tree.path("p")), ..tree.search() };
    let text = search.run().expect_err("unsupported").to_string();
    for part in [tree.path("p").to_str().expect("text"), "1.2.3", "2.0.7", "dtrace-worker install"]
    {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn an_unverified_library_is_used_only_if_it_is_admitted() {
    let tree = Tree::new();
    tree.file(&format!("system/{SONAME}"), &library("2.0.8"));
    tree.private("data", "2.0.7");
    let search = Search { user_data: Some(tree.path("data")), ..tree.search() };
    assert_eq!(search.run().expect("found").standing, Standing::Unverified);

    let (passed, found) = search.trace_admitting(|_| Ok(Standing::Verified));
    assert_eq!((passed, found.expect("found").standing), (vec![], Standing::Verified));

    let differs = |found: &Libdtrace| match found.standing {
        Standing::Known => Ok(Standing::Known),
        _ => Err("differs".to_owned()),
    };
    let (passed, found) = search.trace_admitting(differs);
    let found = found.expect("the next one");
    assert_eq!((found.origin, found.standing), (Origin::UserData, Standing::Known));
    let refused = Refusal::NotAdmitted { version: "2.0.8".into(), why: "differs".into() };
    assert_eq!(passed.last().map(|it| &it.refused), Some(&refused));

    // An order is obeyed or fails.
    let ordered = Search { environment: Some("system".into()), ..search };
    assert!(ordered.trace_admitting(differs).1.is_err());
}

#[test]
fn versions_with_other_structures_are_refused_by_name() {
    let tree = Tree::new();
    for version in ["2.0.2", "2.0.5", "1.13.1"] {
        tree.private(version, version);
        let search = Search { caller: Some(tree.path(version)), ..tree.search() };
        assert_eq!(refusals(&search), [Refusal::Version(version.into())]);
        let text = search.run().expect_err("refused").to_string();
        assert!(text.contains("its structures differ from those of 2.0.7"), "{text}");
    }
    // One text for three different layouts.
    let text = b"\0Oracle D 2.0\0";
    let mut oracle = library("2.0")[..120].to_vec();
    oracle[64 + 32] = text.len() as u8;
    oracle.extend(text);
    tree.file(&format!("oracle/lib/{SONAME}"), &oracle);
    let search = Search { caller: Some(tree.path("oracle")), ..tree.search() };
    assert_eq!(refusals(&search), [Refusal::Version("Oracle D 2.0".into())]);
}

//! Prefixes of a few small files, in a directory of each test's own.

use super::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

struct Tree(PathBuf);

impl Tree {
    fn new() -> Tree {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("locate-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Tree(path)
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    fn file(&self, relative: &str, content: &[u8]) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        fs::write(&path, content).expect("a file");
        path
    }

    /// A prefix with everything that Debian's has: its library's directory.
    fn private(&self, prefix: &str, version: &str) -> PathBuf {
        let directory = format!("{prefix}/usr/lib/some-triplet");
        self.file(&format!("{directory}/{SONAME}"), &library(version));
        self.file(&format!("{directory}/libc.so.6"), b"");
        self.file(&format!("{directory}/ld-linux-some.so.2"), b"");
        self.file(&format!("{directory}/dtrace/bpf_dlib.o"), b"");
        self.path(&directory)
    }

    fn search(&self) -> Search {
        let user = fs::metadata(&self.0).expect("metadata").uid();
        Search { system: vec![self.path("system")], user: Some(user), ..Search::default() }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The least ELF file with a read-only segment that holds the version's text.
fn library(version: &str) -> Vec<u8> {
    let this = fs::read("/proc/self/exe").expect("this program");
    let text = format!("\0D {version}\0");
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    elf[18..20].copy_from_slice(&this[18..20]);
    elf[32] = 64;
    elf[54] = 56;
    elf[56] = 1;
    let mut segment = [0; 56];
    segment[0] = 1;
    segment[4] = 4;
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
    let mut segments_beyond_the_end = library("2.0.7");
    segments_beyond_the_end[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
    let cases = [
        (foreign, Refusal::OtherArchitecture),
        (b"#!/bin/sh\n".to_vec(), Refusal::OtherArchitecture),
        (Vec::new(), Refusal::OtherArchitecture),
        (library("unknown"), Refusal::NoVersion),
        (segments_beyond_the_end, Refusal::NoVersion),
    ];
    for (content, expected) in cases {
        tree.file(&format!("p/lib/{SONAME}"), &content);
        let search = Search { caller: Some(tree.path("p")), ..tree.search() };
        assert_eq!(refusals(&search), [expected]);
    }
}

#[test]
fn what_others_can_write_is_not_loaded_unless_ordered() {
    let tree = Tree::new();
    let directory = tree.private("libdtrace", "2.0.7");
    let writable = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&directory, writable).expect("permissions");
    let owner = fs::metadata(&directory).expect("metadata").uid();
    let offered = Search { program: Some(tree.file("tool", b"")), ..tree.search() };
    assert!(refusals(&offered).contains(&Refusal::Untrusted(owner)));
    let ordered = Search { environment: Some(tree.path("libdtrace").into()), ..tree.search() };
    ordered.run().expect("an order is obeyed");
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

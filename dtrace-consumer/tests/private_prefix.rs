//! What does `dtrace-worker` say about a private libdtrace, and what does it leave behind?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A user's data directory.
struct Data(TempDir);

impl Data {
    fn new() -> Data {
        Data(tempfile::tempdir().expect("a temporary directory"))
    }

    /// The real path: it is what is removed.
    fn path(&self) -> PathBuf {
        fs::canonicalize(self.0.path()).expect("it exists")
    }

    /// Leaves a prefix there for whose sake the directory above it was created.
    fn install(&self) -> PathBuf {
        let parent = self.path().join("dtrace-consumer");
        let prefix = parent.join("libdtrace");
        fs::create_dir_all(&prefix).expect("a directory");
        let manifest = format!(
            "format 1\nlibdtrace 2.0.7\narchitecture amd64\nsuite Debian forky\n\
             directory usr/lib/x\nparent {}\n",
            parent.display()
        );
        fs::write(prefix.join("libdtrace.manifest"), manifest).expect("a file");
        prefix
    }

    fn worker(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_dtrace-worker"))
            .args(arguments)
            .env("XDG_DATA_HOME", self.path())
            .output()
            .expect("the worker starts")
    }
}

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

#[test]
fn uninstall_says_what_it_removed_and_leaves_no_empty_directory() {
    let data = Data::new();
    let prefix = data.install();
    let parent = prefix.parent().expect("a parent");
    let output = data.worker(&["uninstall"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!(
            "removed {}: libdtrace 2.0.7 (amd64, Debian forky)\n\
             removed the empty directory {}\n",
            prefix.display(),
            parent.display()
        )
    );
    assert!(!exists(parent) && exists(&data.path()));
    let before = data.worker(&["status"]);
    let again = data.worker(&["uninstall"]);
    assert_eq!(again.status.code(), Some(1), "as the help documents it");
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(said.contains("no private libdtrace at"), "{said}");
    assert!(!exists(parent), "nothing is created to remove nothing");
    assert_eq!(
        data.worker(&["status"]),
        before,
        "what a build has unpacked in `target` is still there"
    );
}

#[test]
fn uninstall_leaves_what_is_beside_the_prefix() {
    let data = Data::new();
    let prefix = data.install();
    let other = prefix.with_file_name("precious");
    fs::write(&other, "data").expect("a file");
    let output = data.worker(&["uninstall"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("directory"), "{output:?}");
    assert!(!exists(&prefix) && exists(&other));
}

#[test]
fn install_refuses_a_path_with_which_libdtrace_does_not_work() {
    let data = Data::new();
    let prefix = data.path().join("a blank").join("libdtrace");
    let output = data.worker(&["install", "--prefix", &prefix.to_string_lossy()]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("contains a space") && said.contains("choose another"), "{said}");
    assert!(!exists(prefix.parent().expect("a parent")));
}

/// Copies `dtrace-worker` into a directory `target` as cargo makes them.
fn in_target(room: &Path) -> (PathBuf, PathBuf) {
    let target = room.join("target");
    let worker = target.join("debug/dtrace-worker");
    fs::create_dir_all(target.join("debug")).expect("directories");
    fs::write(target.join("CACHEDIR.TAG"), "# created by cargo").expect("a file");
    // While another test forks, its child has open what this process writes, and the system does not execute such a
    // file. So a program copies it.
    let mut copy = Command::new("cp");
    copy.arg(env!("CARGO_BIN_EXE_dtrace-worker")).arg(&worker);
    assert!(copy.status().expect("cp starts").success());
    (target, worker)
}

/// Runs a worker for a user with this data directory, on a host without apt.
fn run(worker: &Path, data: &Path, words: &[&str]) -> Output {
    Command::new(worker)
        .args(words)
        .env("XDG_DATA_HOME", data)
        .env("PATH", "/none")
        .output()
        .expect("the worker starts")
}

#[test]
fn where_the_data_directory_does_not_do_another_place_is_chosen() {
    let room = Data::new();
    let (target, worker) = in_target(&room.path());
    let chosen = target.join("libdtrace");
    fs::write(room.path().join("file"), "").expect("a file");
    for (data, why) in [
        ("a b", "contains a space"),
        ("a:b", "contains the character `:`"),
        ("file", "cannot create"),
    ] {
        let data = room.path().join(data);
        let output = run(&worker, &data, &["install"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let using = format!("using {} instead", chosen.display());
        assert!(said.contains(why) && said.contains(&using), "{said}");
        // There is no apt.
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!exists(&chosen) && !data.is_dir(), "{said}");

        // It is also where `status` looks. What is there is removed only if it is named.
        fs::create_dir(&chosen).expect("a directory");
        let manifest = "format 1\nlibdtrace 2.0.7\narchitecture amd64\nsuite Debian forky\n\
                        directory usr/lib/x\n";
        fs::write(chosen.join("libdtrace.manifest"), manifest).expect("a file");
        let status = run(&worker, &data, &["status"]);
        let said = String::from_utf8_lossy(&status.stdout);
        let damaged = format!("the private libdtrace at {} is damaged", chosen.display());
        assert!(said.contains(&damaged), "{said}");
        let prefix = chosen.display().to_string();
        let output = run(&worker, &data, &["uninstall"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(&format!("uninstall --prefix {prefix})")), "{said}");
        assert!(!output.status.success() && exists(&chosen), "{said}");
        let output = run(&worker, &data, &["uninstall", "--prefix", &prefix]);
        assert!(output.status.success() && !exists(&chosen), "{output:?}");
    }
}

#[test]
fn where_no_place_is_left_each_is_named() {
    let room = Data::new();
    let (target, worker) = in_target(&room.path().join("a:b"));
    let data = room.path().join("a b");
    let output = run(&worker, &data, &["install"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    for words in [
        format!(
            "cannot install to {}/dtrace-consumer/libdtrace: its path contains a space",
            data.display()
        ),
        format!(
            "cannot install to {}/libdtrace: its path contains the character `:`",
            target.display()
        ),
        "name one with --prefix DIR".to_owned(),
    ] {
        assert!(said.contains(&words), "{said}");
    }
    assert!(!exists(&data) && !exists(&target.join("libdtrace")));
}

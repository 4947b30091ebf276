//! Does a command find the libraries beside it, as it does alone?
//!
//! `$ORIGIN` in a program's RPATH or RUNPATH is the directory of the program, which the kernel tells the dynamic
//! loader. Without the library the command would end with status 127.

use std::path::{Path, PathBuf};
use std::process::Command;

use dtrace_consumer::{run_synchronous, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::compile;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_command_finds_the_libraries_beside_it,
        probes_in_a_library_beside_the_command_fire,
        a_created_process_finds_the_libraries_beside_it,
    ],
}

const LIBRARY: &str = "__attribute__((noinline)) int beside(int n) { return n + 1; }";

const PROGRAM: &str = r#"
#include <unistd.h>
int beside(int n);
int main(void) {
    int sum = 0;
    for (int i = 0; i < 3; i++)
        sum += beside(i);
    getppid();
    return sum;
}
"#;

/// What the program returns.
const SUM: i32 = 6;

/// The tags by which a program names the directories of its libraries.
const TAGS: [&str; 2] = ["--disable-new-dtags", "--enable-new-dtags"];

/// Builds the program in `directory/bin`, and its library in `directory/lib`.
fn build(directory: &Path, tag: &str) -> PathBuf {
    let [bin, lib] = ["bin", "lib"].map(|name| directory.join(name));
    for directory in [&bin, &lib] {
        std::fs::create_dir_all(directory).expect("a directory");
    }
    compile(LIBRARY, &["-shared", "-fPIC", "-O1"], &lib.join("libbeside.so"));
    let program = bin.join("program");
    // The compiler reads the program from its standard input, and libraries must come behind it.
    let (from, tag) = (format!("-L{}", lib.display()), format!("-Wl,{tag}"));
    let options =
        ["-O1", &from, &tag, "-Wl,-rpath,$ORIGIN/../lib", "-Wl,--no-as-needed", "-lbeside"];
    compile(PROGRAM, &options, &program);
    let alone = Command::new(&program).status().expect("it starts");
    assert_eq!(alone.code(), Some(SUM), "{tag}: alone");
    program
}

fn each(run: impl Fn(&Path, &str)) {
    for tag in TAGS {
        let (_lock, guard) = alone();
        let directory = tempfile::tempdir().expect("a temporary directory");
        run(&build(directory.path(), tag), tag);
        drop(directory);
        guard.check();
    }
}

fn a_command_finds_the_libraries_beside_it() {
    each(|program, tag| {
        let script = "syscall::getppid:entry /pid == $target/ { trace(1); }";
        let outcome = run_synchronous(script, [program]).chew(|_| Ok(())).run();
        let outcome = outcome.unwrap_or_else(|failure| panic!("{tag}: {failure}"));
        let status = outcome.command.expect("it ran").status;
        assert_eq!((outcome.firings, status.code()), (1, Some(SUM)), "{tag}");
    });
}

fn probes_in_a_library_beside_the_command_fire() {
    each(|program, tag| {
        let script = "pid$target:libbeside.so:beside:entry { @ = count(); }";
        let mut calls = 0;
        let outcome = run_synchronous(script, [program])
            .walk(|entry| {
                calls = entry.number()?;
                Ok(())
            })
            .run();
        let outcome = outcome.unwrap_or_else(|failure| panic!("{tag}: {failure}"));
        let status = outcome.command.expect("it ran").status;
        assert_eq!((calls, status.code()), (3, Some(SUM)), "{tag}");
    });
}

fn a_created_process_finds_the_libraries_beside_it() {
    each(|program, tag| {
        for place in ["exec", "main"] {
            let script = "syscall::getppid:entry /pid == $target/ { trace(1); }";
            let session = trace(script).option("evaltime", place).create([program]);
            let outcome = session.chew(|_| Ok(())).run();
            let outcome = outcome.unwrap_or_else(|failure| panic!("{tag} {place}: {failure}"));
            let status = outcome.command.expect("it ran").status;
            assert_eq!((outcome.firings, status.code()), (1, Some(SUM)), "{tag} {place}");
        }
    });
}

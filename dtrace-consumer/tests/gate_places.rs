//! Is a command held where it should be, however its program was linked?
//!
//! The entry point calls the C library at once, or through the dynamic loader, which looks up the function
//! first. Code can be marked for branch target identification (arm64): there, an indirect branch may lead to
//! marked instructions only. On x86_64 such code has ENDBR64 instructions (CET), which change nothing else.

use std::path::Path;

use dtrace_consumer::trace;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::compile;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_program_is_held_behind_its_initialisers_whether_its_functions_are_bound_lazily_or_not,
        a_program_is_held_before_its_initialisers_whether_its_functions_are_bound_lazily_or_not,
    ],
    long: [a_program_at_a_fixed_address_is_held_before_and_behind_its_initialisers],
}

/// Calls `traced` twice in an initialiser and five times in `main`. Exits with a status of its own.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>

__attribute__((noinline)) int traced(int number) {
    __asm__ volatile("" ::: "memory");
    return number + 1;
}

static int sum;

__attribute__((constructor)) static void initialise(void) {
    sum += traced(1) + traced(2);
}

/* Whether the kernel lists this code as marked (`bt`). */
static int is_marked(void) {
    char line[1024];
    int here = 0, marked = 0;
    FILE *maps = fopen("/proc/self/smaps", "r");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            here = start <= (unsigned long)traced && (unsigned long)traced < end;
        else if (here && !strncmp(line, "VmFlags:", 8))
            marked = strstr(line, " bt") != NULL;
    }
    if (maps)
        fclose(maps);
    return marked;
}

int main(void) {
    for (int number = 0; number < 5; number++)
        sum += traced(number);
    return (sum == 20 ? 40 : 50) + is_marked();
}
"#;

/// How `cc` is told to mark code, and not to. The objects that it adds may lack the mark, though they may be called.
#[cfg(target_arch = "aarch64")]
const MARKINGS: [&[&str]; 2] =
    [&["-mbranch-protection=none"], &["-mbranch-protection=standard", "-Wl,-z,force-bti"]];
#[cfg(not(target_arch = "aarch64"))]
const MARKINGS: [&[&str]; 2] = [&["-fcf-protection=none"], &["-fcf-protection=full"]];

/// Whether this processor checks where indirect branches lead to.
fn checks_branches() -> bool {
    let processor = std::fs::read_to_string("/proc/cpuinfo").expect("it is there");
    let features = processor.lines().find(|line| line.starts_with("Features"));
    features.is_some_and(|it| it.split_ascii_whitespace().any(|feature| feature == "bti"))
}

/// Holds programs where the option `evaltime` says, and compares how many calls of theirs are traced.
fn assert_calls(places: &[(&str, i64)], position: [&str; 2]) {
    let (_alone, guard) = alone();
    let directory = tempfile::tempdir().expect("a directory");
    for (is_marked, marking) in [false, true].into_iter().zip(MARKINGS) {
        for binding in ["-Wl,-z,now", "-Wl,-z,lazy"] {
            let options = [&["-O1", binding], &position[..], marking].concat();
            let program = directory.path().join(format!("{is_marked}{binding}"));
            compile(PROGRAM, &options, &program);
            let status = 40 + i32::from(is_marked && checks_branches());
            for (place, calls) in places {
                let found = calls_and_status(&program, place);
                assert_eq!(found, (*calls, Some(status)), "{place} {options:?}");
            }
        }
    }
    guard.check();
}

fn calls_and_status(program: &Path, place: &str) -> (i64, Option<i32>) {
    let mut calls = 0;
    let outcome = trace("pid$target:a.out:traced:entry { @ = count(); }")
        .create([program])
        .option("evaltime", place)
        .walk(|entry| {
            calls = entry.number()?;
            Ok(())
        })
        .run()
        .unwrap_or_else(|failure| panic!("{place} {}: {failure}", program.display()));
    (calls, outcome.command.and_then(|command| command.status.code()))
}

fn a_program_is_held_behind_its_initialisers_whether_its_functions_are_bound_lazily_or_not() {
    assert_calls(&[("main", 5)], ["-pie", "-fPIE"]);
}

fn a_program_is_held_before_its_initialisers_whether_its_functions_are_bound_lazily_or_not() {
    assert_calls(&[("postinit", 7)], ["-pie", "-fPIE"]);
}

fn a_program_at_a_fixed_address_is_held_before_and_behind_its_initialisers() {
    assert_calls(&[("main", 5), ("postinit", 7)], ["-no-pie", "-fno-pie"]);
}

//! What becomes of a session where something is scarce or missing?
//!
//! Each consumer is a process of its own, in a mount namespace of its own, so that nothing of the system
//! is changed. It either traces or says what is wrong; and nothing is left behind.

use std::process::{Command, Stdio};

use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::orphans_ended;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Root, Command("unshare")],
    tests: [
        little_memory_to_lock_is_enough,
        few_descriptors_are_enough_or_an_error,
        debugfs_is_had_where_it_is_not_or_something_else_is_in_its_place,
        without_proc_it_is_said_that_proc_is_missing,
        a_full_disk_for_temporary_files_does_not_matter,
    ],
}

const TRACED: &str = "5 firings, nothing lost\n";

/// What a consumer says after `setup`, a shell script.
fn after(setup: &str) -> String {
    let (_lock, guard) = alone();
    let script = format!("mount --make-rprivate / && {setup} && exec \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh"])
        .args(traced_program("consumer", "calls"))
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1) can be run");
    orphans_ended();
    guard.check();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{setup}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

fn little_memory_to_lock_is_enough() {
    assert_eq!(after("ulimit -l 64"), TRACED);
}

fn few_descriptors_are_enough_or_an_error() {
    assert_eq!(after("ulimit -n 256"), TRACED);
    for few in [32, 24, 16, 8] {
        let said = after(&format!("ulimit -n {few}"));
        let typed = [
            "System {",
            "WorkerStart {",
            "WorkerDied {",
            "Libdtrace {",
            "Command {",
            "Unavailable(",
        ];
        assert!(said == TRACED || typed.iter().any(|it| said.starts_with(it)), "{few}: {said}");
    }
}

fn debugfs_is_had_where_it_is_not_or_something_else_is_in_its_place() {
    for setup in [
        "{ umount -l /sys/kernel/debug 2>/dev/null || true; }",
        "mount -t tmpfs other /sys/kernel/debug",
        "mount -t debugfs debug /sys/kernel/debug",
        "mount -t tmpfs other /sys/kernel/debug && mkdir /sys/kernel/debug/tracing && \
         cd /sys/kernel/debug/tracing",
    ] {
        assert_eq!(after(setup), TRACED, "{setup}");
    }
}

fn without_proc_it_is_said_that_proc_is_missing() {
    let said = after("mount -t tmpfs none /proc");
    assert!(said.starts_with("Unavailable(") && said.contains("/proc"), "{said}");
}

fn a_full_disk_for_temporary_files_does_not_matter() {
    let full = "mount -t tmpfs -o size=4k none /mnt && { cat /dev/zero > /mnt/full 2>/dev/null; true; } \
                && export TMPDIR=/mnt";
    assert_eq!(after(full), TRACED);
}

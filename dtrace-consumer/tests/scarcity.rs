//! What becomes of a session where something is scarce or missing?
//!
//! Each consumer is a process of its own, in a mount namespace of its own, so that nothing of the system
//! is changed. It either traces or says what is wrong; and nothing is left behind.

use dtrace_test_support::consumer::descriptor_limit;
use dtrace_test_support::live_tests;
use dtrace_test_support::mount_namespace::printed_after;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Root, Command("unshare")],
    tests: [
        little_memory_to_lock_is_enough,
        debugfs_is_had_where_it_is_not_or_something_else_is_in_its_place,
        without_proc_it_is_said_that_proc_is_missing,
        a_full_disk_for_temporary_files_does_not_matter,
    ],
    long: [
        few_descriptors_are_enough_or_a_typed_error,
    ],
}

const TRACED: &str = "5 firings, nothing lost\n";

/// What a consumer says after `setup`, a shell script.
fn after(setup: &str) -> String {
    printed_after(setup, traced_program("consumer", "calls"))
}

fn little_memory_to_lock_is_enough() {
    assert_eq!(after("ulimit -l 64"), TRACED);
}

fn few_descriptors_are_enough_or_a_typed_error() {
    assert_eq!(after(&descriptor_limit(256)), TRACED);
    // How many are enough depends on the number of CPUs, and on what was inherited.
    let mut all = (4..64).map(|few| after(&descriptor_limit(few)));
    let said: Vec<String> = all.by_ref().take_while(|said| said != TRACED).collect();
    assert!(all.take(1).all(|said| said == TRACED), "more than enough");
    for (few, said) in (4..).zip(&said) {
        let is_named = said.starts_with("Limit {") && said.contains("RLIMIT_NOFILE");
        assert!(is_named, "{few}: {said}");
    }
    // The fewer, the earlier it ends: in dtrace_go(), with a held command, in dtrace_open(), before and after the
    // worker has started, and before the command has.
    for (error, words) in [
        ("Libdtrace { call: \"dtrace_go\"", "failed to create BPF map"),
        ("Process {", "Too many open files"),
        ("WorkerDied {", "dt_vopen: Assertion"),
        ("System {", "Too many open files"),
        ("WorkerStart {", "Too many open files"),
        ("Command {", "Too many open files"),
    ] {
        let is_it = |said: &String| said.contains(error) && said.contains(words);
        assert!(said.iter().any(is_it), "{error}: {said:#?}");
    }
}

fn debugfs_is_had_where_it_is_not_or_something_else_is_in_its_place() {
    let without = "{ umount -l /sys/kernel/debug 2>/dev/null || true; }";
    for setup in [
        without,
        "mount -t tmpfs other /sys/kernel/debug",
        &format!("{without} && mount -t debugfs debug /sys/kernel/debug"),
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

//! With which calls are the kernel's maps of aggregations read?
//!
//! The only test of this file, because it counts the calls of all workers of its process.

use std::collections::BTreeMap;
use std::sync::Arc;

use crossbeam_channel::unbounded;
use dtrace_consumer::{ConsumerThread, Script, cool_down, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;
use parking_lot::Mutex;

live_tests! {
    needs: [Tracing],
    tests: [a_walk_reads_many_keys_with_few_calls_unless_libdtrace_has_to_read_them],
}

/// `BPF_MAP_GET_NEXT_KEY`, which libdtrace calls for each key.
const NEXT_KEY: u64 = 4;

/// `BPF_MAP_LOOKUP_BATCH`, which reads many elements.
const MANY_ELEMENTS: u64 = 24;

/// The number of bpf(2) calls of each command that the worker of a session makes.
fn calls(aggrate: &str) -> BTreeMap<u64, u64> {
    let (started, starts) = unbounded();
    let counted = Arc::new(Mutex::new(BTreeMap::new()));
    let counting = Arc::clone(&counted);
    let script = "syscall::bpf:entry /ppid == $1/ { @[pid, (int)arg0] = count(); }";
    let thread =
        ConsumerThread::builder(Script::new(script).args([std::process::id().to_string()]))
            .on_start(move |_| {
                let _ = started.send(());
                Ok(())
            })
            .walk(move |entry| {
                *counting.lock().entry(entry.key::<u64>(1)?).or_insert(0) +=
                    u64::try_from(entry.number()?)?;
                Ok(())
            })
            .spawn()
            .expect("tracing starts");
    starts.recv().expect("it starts");
    // The next worker is to be a child of this process.
    cool_down();
    let mut entries = 0;
    let keys = "syscall::getpgid:entry /pid == $target/ { @[arg0] = count(); @one[1] = count(); }";
    run_synchronous(keys, traced_program("calls-on-each-cpu", 500))
        .option("aggrate", aggrate)
        .walk(|_| {
            entries += 1;
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(entries, 501);
    thread.stop().expect("the session comes to its end");
    std::mem::take(&mut *counted.lock())
}

fn a_walk_reads_many_keys_with_few_calls_unless_libdtrace_has_to_read_them() {
    let of = |calls: &BTreeMap<u64, u64>, command| calls.get(&command).copied().unwrap_or(0);
    let own = calls("0");
    assert!(of(&own, MANY_ELEMENTS) > 0 && of(&own, NEXT_KEY) < 100, "{own:?}");
    let libdtraces = calls("1ns");
    assert!(
        of(&libdtraces, MANY_ELEMENTS) == 0 && of(&libdtraces, NEXT_KEY) > 500,
        "{libdtraces:?}"
    );
}

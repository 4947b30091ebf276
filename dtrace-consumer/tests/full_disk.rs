//! What happens to a session whose recording fills the disk?
//!
//! The consumer is this binary, in a mount namespace with a small disk. The closures get everything, the
//! error names the recording, and what was recorded before can be replayed.

use dtrace_consumer::recording::Compression;
use dtrace_consumer::{Error, Failure, replay, run_synchronous, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::mount_namespace::printed_after;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Root, Command("unshare")],
    tests: [
        a_disk_that_fills_under_a_recording_costs_only_the_rest_of_the_recording,
        a_disk_that_is_full_from_the_beginning_costs_the_whole_recording,
        a_disk_that_fills_under_a_recording_of_a_session_that_fails_is_told,
        space_that_becomes_free_later_leaves_no_hole_in_the_recording,
    ],
}

/// The first argument of this binary as the consumer.
const WORD: &str = "consumer-with-a-small-disk";

const RECORDING: &str = "/mnt/recording";

/// How often the command makes the call that is traced. A firing needs at least 26 bytes.
const CALLS: i32 = 3000;

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        let arguments: Vec<String> = std::env::args().collect();
        if let [_, word, how] = &arguments[..]
            && word == WORD
        {
            consume(how);
            std::process::exit(0);
        }
    }
}

/// How many firings may fit on a disk with 64 KiB: a part of all.
const SOME: std::ops::Range<i32> = 100..2600;

/// Records a session to the small disk, and replays the recording.
fn consume(how: &str) {
    let script = format!(
        "syscall::getppid:entry /pid == $target/ {{ trace(++n); }} \
         END /{}/ {{ raise(6); }}",
        i32::from(how == "worker dies")
    );
    let (mut seen, mut freed) = (0u64, false);
    let result = run_synchronous(script, traced_program("calls", CALLS))
        .flag("destructive")
        .record(RECORDING)
        .compression(Compression::None)
        .chew(|_| {
            seen += 1;
            if how == "space becomes free" && seen == u64::from(CALLS.unsigned_abs()) - 10 {
                freed = std::fs::remove_file("/mnt/ballast").is_ok();
            }
            Ok(())
        })
        .run();
    let Err(Failure { error, outcome }) = result else {
        println!("no error, {seen} seen");
        return;
    };
    match &error {
        Error::Recording { path, cause } => println!("{} {:?}", path.display(), cause.kind()),
        other => println!("{other:?}"),
    }
    let command = outcome.command.as_ref().is_some_and(|command| command.finished());
    println!("{}", seen == outcome.firings);
    println!("{} {} {command} {freed}", seen, outcome.losses);
    let mut next = 1;
    let result = replay(RECORDING).rows(|n: i64| {
        assert_eq!(n, next, "the recording is a beginning of the session");
        next += 1;
        Ok(())
    });
    let again = result.run();
    println!("{}", next - 1);
    match again {
        Err(Failure { error: Error::Stream { .. }, .. }) => println!("breaks off"),
        other => println!("{other:?}"),
    }
    if how == "worker dies" {
        // The next worker removes the uprobe events of the dead one.
        trace("BEGIN { exit(0); }").run().expect("the next session works");
    }
}

/// What the consumer prints, on a disk of this size.
fn with_disk(size: &str, setup: &str, how: &str) -> Vec<String> {
    let setup = format!("mount -t tmpfs -o size={size} none /mnt && {setup}");
    let exe = std::env::current_exe().expect("the test knows its own file");
    let said = printed_after(&setup, vec![exe.into(), WORD.into(), how.into()]);
    said.lines().map(str::to_owned).collect()
}

/// The number of firings in the recording, which breaks off.
fn recorded(said: &[String]) -> i32 {
    assert_eq!(said[4], "breaks off", "{said:?}");
    said[3].parse().expect("a number")
}

fn a_disk_that_fills_under_a_recording_costs_only_the_rest_of_the_recording() {
    let said = with_disk("64k", "true", "");
    assert_eq!(said[0], format!("{RECORDING} StorageFull"), "{said:?}");
    assert_eq!(said[2], format!("{CALLS} nothing lost true false"), "{said:?}");
    assert!(SOME.contains(&recorded(&said)), "{said:?}");
}

fn a_disk_that_is_full_from_the_beginning_costs_the_whole_recording() {
    let said = with_disk("4k", "{ cat /dev/zero > /mnt/ballast 2> /dev/null; true; }", "");
    assert_eq!(said[0], format!("{RECORDING} StorageFull"), "{said:?}");
    assert_eq!(said[2], format!("{CALLS} nothing lost true false"), "{said:?}");
    assert_eq!(said[3], "0", "{said:?}");
}

fn a_disk_that_fills_under_a_recording_of_a_session_that_fails_is_told() {
    let said = with_disk("64k", "true", "worker dies");
    // The worker's death is the first error, so it is reported. The recording is a beginning of the
    // session nevertheless.
    assert!(said[0].starts_with("the worker process ended"), "{said:?}");
    assert!(SOME.contains(&recorded(&said)), "{said:?}");
}

fn space_that_becomes_free_later_leaves_no_hole_in_the_recording() {
    let setup = "head -c 64k /dev/zero > /mnt/ballast";
    let said = with_disk("128k", setup, "space becomes free");
    assert_eq!(said[0], format!("{RECORDING} StorageFull"), "{said:?}");
    assert_eq!(said[2], format!("{CALLS} nothing lost true true"), "{said:?}");
    assert!(SOME.contains(&recorded(&said)), "{said:?}");
}

//! Does anything grow while sessions come and go under load?
//!
//! It runs only if ignored tests or all are asked for, because it takes minutes: `DTRACE_CONSUMER_SOAK` says
//! how many seconds (120 unless set).
//!
//!     cargo test -p dtrace-consumer --test soak -- --ignored
//!
//! One session goes on all the time, and short ones start and end beside it. All trace a program that
//! makes calls in bursts, and each must account for every firing.
//!
//! After each, the consumer must have no more descriptors and threads than after the first.
//!
//! Memory is judged by its resident size, in samples after each short session. The consumer's includes what the test
//! itself notes of each session, about half a KiB. What an allocator or a
//! table takes once is not told from a leak at the beginning, so the first third is not looked at. The
//! medians of the second and of the last third may differ by [`GROWTH`]. That bounds what may leak,
//! in two minutes, to some 8 bytes for each firing of the long session and some 20 KiB for each short
//! one; longer runs bound it better. Latencies are printed and not judged.

use std::fs;
use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dtrace_consumer::loss::{DropKind, LossPolicy};
use dtrace_consumer::{ConsumerThread, Script};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, descendants_of, wait_until};
use dtrace_test_support::traced::traced_program;
use parking_lot::Mutex;

live_tests! {
    needs: [Tracing],
    long: [
        nothing_grows_while_sessions_come_and_go_under_load,
    ],
}

/// How much more the median of the last third may be than that of the second, in KiB.
const GROWTH: u64 = 1024;

/// How many latencies are kept between two lines of output: so many from the first on.
const LATENCIES: usize = 10_000;

/// How many calls the program makes in each burst, about a millisecond apart.
const BURST: u32 = 5;

/// The program that is traced; it ends with its standard input.
struct Load(Child);

impl Load {
    fn start() -> Load {
        let mut words = traced_program("bursts", BURST).into_iter();
        let mut command = Command::new(words.next().expect("the program"));
        Load(command.args(words).stdin(Stdio::piped()).spawn().expect("the load can be started"))
    }

    fn number(&self) -> i32 {
        self.0.id().cast_signed()
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What a session delivered.
struct Seen {
    firings: AtomicU64,
    counted: AtomicU64,
    /// From a firing to its closure, in nanoseconds. It takes no memory while the session goes on.
    latencies: Mutex<Vec<u64>>,
}

fn now() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("a clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

fn session(load: &Load) -> (ConsumerThread, Arc<Seen>) {
    let seen = Arc::new(Seen {
        firings: AtomicU64::new(0),
        counted: AtomicU64::new(0),
        latencies: Mutex::new(Vec::with_capacity(LATENCIES)),
    });
    let (chewed, walked) = (seen.clone(), seen.clone());
    let thread = ConsumerThread::builder(
        Script::new("syscall::getppid:entry /pid == $1/ { trace(timestamp); @calls = count(); }")
            .args([load.pid()]),
    )
    .losses(LossPolicy::Count)
    .walk_every(Duration::from_millis(500))
    .chewrec(move |record| {
        chewed.firings.fetch_add(1, Ordering::Relaxed);
        let mut latencies = chewed.latencies.lock();
        if latencies.len() < LATENCIES {
            latencies.push(now().saturating_sub(record.get()?));
        }
        Ok(())
    })
    .walk(move |entry| {
        walked.counted.store(u64::try_from(entry.number()?)?, Ordering::Relaxed);
        Ok(())
    })
    .spawn()
    .expect("tracing can be started");
    (thread, seen)
}

/// Ends a session; what was counted in the kernel is what was delivered or lost.
fn end(thread: ConsumerThread, seen: &Seen) -> u64 {
    let outcome = thread.stop().expect("the session comes to its end");
    let delivered = seen.firings.load(Ordering::Relaxed);
    let lost = outcome.losses.dropped(DropKind::Principal);
    assert_eq!(delivered + lost, seen.counted.load(Ordering::Relaxed), "{}", outcome.losses);
    assert_eq!(outcome.losses.total_drops(), lost);
    delivered
}

fn resident_kib(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim_end_matches("kB").trim().parse().expect("the process is there")
}

/// Returns the processes that came from this one and run.
fn running() -> Vec<i32> {
    // A zombie has no command line.
    let runs = |pid: &i32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| !it.is_empty());
    descendants_of(std::process::id()).into_iter().filter(runs).collect()
}

fn entries(directory: &str) -> usize {
    fs::read_dir(directory).expect("/proc is mounted").count()
}

fn median(values: &[u64]) -> u64 {
    quantile(values, 0.5)
}

fn quantile(values: &[u64], q: f64) -> u64 {
    let mut values = values.to_vec();
    values.sort_unstable();
    values.get(((values.len() - 1) as f64 * q) as usize).copied().unwrap_or(0)
}

/// How many descriptors and threads this process has.
fn descriptors_and_threads() -> [usize; 2] {
    ["/proc/self/fd", "/proc/self/task"].map(entries)
}

/// What is compared: the median of the second third and that of the last.
fn trend(samples: &[u64]) -> (u64, u64) {
    let third = samples.len() / 3;
    (median(&samples[third..2 * third]), median(&samples[2 * third..]))
}

fn nothing_grows_while_sessions_come_and_go_under_load() {
    let seconds = std::env::var("DTRACE_CONSUMER_SOAK").ok().and_then(|s| s.parse().ok());
    let length = Duration::from_secs(seconds.unwrap_or(120));
    let (_lock, guard) = alone();
    let load = Load::start();
    let others = children();
    let (long, long_seen) = session(&load);
    let worker = *children().iter().find(|pid| !others.contains(pid)).expect("a worker");
    let own = std::process::id().cast_signed();

    let (mut consumer, mut workers, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut waiting = Vec::new();
    let (mut delivered, mut first) = (0, None);
    let began = Instant::now();
    let mut printed = began;
    while began.elapsed() < length {
        let start = Instant::now();
        let (short, seen) = session(&load);
        let ready = start.elapsed();
        std::thread::sleep(Duration::from_millis(100));
        delivered += end(short, &seen);
        times.push((ready.as_micros() as u64, start.elapsed().as_micros() as u64));
        // The load, the long session's worker, and the process that waits for the next session, whose parent may be that
        // worker or this process. The worker of a short session may be a while in leaving.
        wait_until("the short session's worker has left", || running().len() == 3);
        let idle = running().into_iter().find(|pid| *pid != worker && *pid != load.number());
        waiting.push(resident_kib(idle.expect("the process that waits for the next session")));
        consumer.push(resident_kib(own));
        workers.push(resident_kib(worker));
        let then = *first.get_or_insert_with(|| {
            // What belongs to the session that has ended may be a moment in leaving.
            std::thread::sleep(Duration::from_secs(1));
            descriptors_and_threads()
        });
        wait_until(
            "there are no more descriptors and threads than after the first session",
            || descriptors_and_threads().iter().zip(then).all(|(now, then)| *now <= then),
        );
        if printed.elapsed() > length / 10 {
            printed = Instant::now();
            let mut latencies = long_seen.latencies.lock();
            let firings = long_seen.firings.load(Ordering::Relaxed);
            println!(
                "{:4} s, {} short sessions: consumer {} KiB, worker {} KiB, {} descriptors, \
                 {} threads; tracing on after {} ms (median), over after {} ms; \
                 {firings} firings, latency {} us (median), {} us (99 %)",
                began.elapsed().as_secs(),
                consumer.len(),
                consumer.last().unwrap_or(&0),
                workers.last().unwrap_or(&0),
                then[0],
                then[1],
                median(&times.iter().map(|t| t.0).collect::<Vec<_>>()) / 1000,
                median(&times.iter().map(|t| t.1).collect::<Vec<_>>()) / 1000,
                quantile(&latencies, 0.5) / 1000,
                quantile(&latencies, 0.99) / 1000,
            );
            times.clear();
            latencies.clear();
            let _ = std::io::stdout().flush();
        }
    }
    let long_delivered = end(long, &long_seen);
    drop(load);

    println!(
        "{} short sessions delivered {delivered} firings, the long one {long_delivered}",
        consumer.len()
    );
    assert!(consumer.len() >= 9, "too few sessions for a trend: {}", consumer.len());
    for (what, samples) in [
        ("KiB of the consumer", &consumer),
        ("KiB of the long session's worker", &workers),
        ("KiB of the process that waits for the next session", &waiting),
    ] {
        let (before, after) = trend(samples);
        println!("{what}: {before}, then {after}");
        assert!(after <= before + GROWTH, "{what}: {before}, then {after}; all: {samples:?}");
    }
    guard.check();
}

//! Do sessions work in async programs, whatever runs their tasks?

use std::cell::Cell;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{Error, Event, EventStream, Failure, StopHandle, replay, trace};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::no_children;
use dtrace_test_support::traced::call;
use futures::StreamExt;
use tokio::time::MissedTickBehavior;

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        a_stream_delivers_under_tokio,
        a_stream_delivers_under_an_executor_written_by_hand,
        the_start_is_awaited_and_says_what_is_wrong,
        other_tasks_run_while_a_session_starts_and_waits,
        a_recording_is_a_stream_too,
        a_stream_without_capacity_holds_one_event,
        a_start_that_is_never_polled_leaves_nothing_behind,
    ],
    long: [
        a_start_that_is_dropped_leaves_nothing_behind,
        a_stream_that_is_dropped_ends_its_session,
        a_full_stream_that_nobody_polls_can_be_finished,
        the_last_events_arrive_after_a_stop,
        sessions_can_be_selected_from,
    ],
}

/// Runs a future to its end on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return result;
        }
        std::thread::park();
    }
}

/// Runs a future on one of tokio's threads.
fn under_tokio<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build();
    runtime
        .expect("a runtime")
        .block_on(async { tokio::spawn(future).await.expect("it does not panic") })
}

/// A clause about the calls of this process.
fn calls(action: &str) -> String {
    format!("syscall::getppid:entry /pid == {}/ {{ {action} }}", std::process::id())
}

async fn numbers(events: &mut EventStream) -> Vec<i32> {
    let numbers = events.filter_map(async |event| match event {
        Event::Firing(firing) => firing.row::<i32>().ok(),
        _ => None,
    });
    numbers.collect().await
}

async fn four_calls() {
    let mut events = trace(calls("trace(++n);")).stream(2).await.expect("tracing can be started");
    let stop = events.stop_handle();
    call(4);
    // More than it holds: this fails to end unless the session is woken, and wakes.
    stop.stop();
    assert_eq!(numbers(&mut events).await, [1, 2, 3, 4]);
    let outcome = events.finish().await.expect("the session comes to its end");
    assert_eq!((outcome.firings, outcome.ended_by), (4, EndedBy::Stop));
}

fn a_stream_delivers_under_tokio() {
    let (_lock, guard) = alone();
    under_tokio(four_calls());
    guard.check();
}

fn a_stream_delivers_under_an_executor_written_by_hand() {
    let (_lock, guard) = alone();
    block_on(four_calls());
    guard.check();
}

fn the_start_is_awaited_and_says_what_is_wrong() {
    let (_lock, guard) = alone();
    let result = block_on(trace("BEGIN { foo(); }").stream(1));
    let Err(Failure { error: Error::Compile(error), .. }) = result else { panic!("{result:?}") };
    assert_eq!(error.line, Some(1));
    guard.check();
}

fn other_tasks_run_while_a_session_starts_and_waits() {
    let (_lock, guard) = alone();
    // One thread for everything: a session that blocked it would keep the clock from ticking.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let seen = Cell::new(0_u64);
        let clock = async || {
            let mut clock = tokio::time::interval(Duration::from_millis(1));
            // Those that it is late with do not count.
            clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                clock.tick().await;
                seen.set(seen.get() + 1);
            }
        };
        let session = async {
            let begun = seen.get();
            // A session that blocks the thread ends with its deadline.
            let session = trace("END { trace(7); }").deadline(Duration::from_secs(60));
            let mut events = session.stream(1).await?;
            assert!(seen.get() > begun + 5, "{} ticks during the start", seen.get() - begun);
            let stop = events.stop_handle();
            let begun = seen.get();
            let ender = async || {
                while seen.get() < begun + 5 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                stop.stop();
            };
            let (numbers, ()) = tokio::join!(numbers(&mut events), ender());
            assert_eq!(numbers, [7]);
            assert!(seen.get() >= begun + 5, "{} ticks while it waits", seen.get() - begun);
            events.finish().await
        };
        tokio::select! {
            () = clock() => unreachable!("it has no end"),
            outcome = session => assert_eq!(outcome.expect("it ends").ended_by, EndedBy::Stop),
        }
    });
    guard.check();
}

fn a_start_that_is_dropped_leaves_nothing_behind() {
    let (_lock, guard) = alone();
    let mut start = Box::pin(trace("BEGIN { }").stream(1));
    let waker = Waker::noop();
    assert!(start.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
    drop(start);
    no_children();
    guard.check();
}

fn a_stream_that_is_dropped_ends_its_session() {
    let (_lock, guard) = alone();
    let events = block_on(trace(calls("trace(1);")).stream(1)).expect("tracing can be started");
    call(100);
    drop(events);
    no_children();
    guard.check();
}

fn a_full_stream_that_nobody_polls_can_be_finished() {
    let (_lock, guard) = alone();
    let events = block_on(trace(calls("trace(1);")).stream(1)).expect("tracing can be started");
    call(100);
    let outcome = block_on(events.finish()).expect("the session comes to its end");
    assert_eq!(outcome.firings, 100);
    guard.check();
}

fn the_last_events_arrive_after_a_stop() {
    let (_lock, guard) = alone();
    let script = format!("{} END {{ trace(0); }}", calls("trace(++n);"));
    let mut events = block_on(trace(script).stream(1)).expect("tracing can be started");
    call(50);
    events.stop_handle().stop();
    // The session ends although nobody polls.
    no_children();
    let expected: Vec<i32> = (1..=50).chain([0]).collect();
    assert_eq!(block_on(numbers(&mut events)), expected);
    drop(events);
    guard.check();
}

fn sessions_can_be_selected_from() {
    let (_lock, guard) = alone();
    under_tokio(async {
        let first = trace("BEGIN { trace(1); exit(0); }").stream(1).await.expect("it starts");
        let second = trace("BEGIN { trace(2); exit(0); }").stream(1).await.expect("it starts");
        let mut both = futures::stream::select(first, second);
        let mut seen = Vec::new();
        while let Some(event) = both.next().await {
            if let Event::Firing(firing) = event {
                seen.push(firing.row::<i32>().expect("a number"));
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    });
    guard.check();
}

fn a_recording_is_a_stream_too() {
    let (_lock, guard) = alone();
    let recording = tempfile::NamedTempFile::new().expect("a file");
    let script = "BEGIN { trace(1); } END { trace(2); } BEGIN { exit(0); }";
    let path = recording.path().to_owned();
    trace(script).record(&path).chew(|_| Ok(())).run().expect("the session comes to its end");
    let (seen, outcome) = under_tokio(async move {
        let stop = StopHandle::new();
        let mut events = replay(path).stop_handle(&stop).stream(1).await.expect("it exists");
        (numbers(&mut events).await, events.finish().await)
    });
    assert_eq!(seen, [1, 2]);
    let outcome = outcome.expect("the replay comes to its end");
    assert_eq!(outcome.ended_by, EndedBy::Recording);
    drop(recording);
    guard.check();
}

fn a_stream_without_capacity_holds_one_event() {
    let (_lock, guard) = alone();
    let script = "BEGIN { trace(1); } BEGIN { trace(2); exit(0); }";
    let mut events = block_on(trace(script).stream(0)).expect("tracing can be started");
    assert_eq!(block_on(numbers(&mut events)), [1, 2]);
    drop(events);
    guard.check();
}

fn a_start_that_is_never_polled_leaves_nothing_behind() {
    let (_lock, guard) = alone();
    drop(trace("BEGIN { }").stream(1));
    let next = block_on(trace("BEGIN { trace(7); exit(0); }").stream(1));
    assert_eq!(block_on(numbers(&mut next.expect("tracing can be started"))), [7]);
    no_children();
    guard.check();
}

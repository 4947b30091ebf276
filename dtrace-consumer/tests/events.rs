//! What arrives at a channel of events, and when does its session end?

use std::collections::BTreeMap;

use dtrace_consumer::aggregation::{AggregationFunction, AggregationValue};
use dtrace_consumer::event::{AggregatedEvent, FiringEvent};
use dtrace_consumer::loss::{DropKind, LossPolicy};
use dtrace_consumer::{ConsumerThread, Error, Event, Events, Failure, Value};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{children, no_children};
use dtrace_test_support::sessions::next_session_works;
use dtrace_test_support::traced::{call, calls_of_this_thread};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        firings_arrive_in_their_order_with_probe_values_and_text,
        text_comes_only_where_it_is_asked_for,
        entries_arrive_before_the_end_of_their_walk,
        what_a_full_channel_costs_arrives_as_drops,
        a_stop_handle_ends_the_session_and_what_was_before_arrives,
        a_full_channel_that_somebody_else_holds_does_not_keep_the_session_from_ending,
        what_has_no_room_after_a_stop_arrives_in_its_order,
        a_script_that_does_not_compile_has_no_events,
    ],
    long: [
        a_channel_without_room_hands_over_each_event,
        the_receiver_gets_what_the_iterator_does_not,
        events_that_are_dropped_end_their_session,
        an_iterator_that_is_left_early_ends_its_session,
        finish_does_not_wait_for_a_full_channel,
        a_session_that_fails_ends_the_events_and_finish_says_why,
    ],
    needs: [Tracing, Faults],
    tests: [faults_arrive_with_their_probe],
}

fn counting(capacity: usize) -> Events {
    let script = calls_of_this_thread("trace(1);");
    ConsumerThread::builder(&script).events(capacity).expect("tracing can be started")
}

fn firings(events: &[Event]) -> Vec<&FiringEvent> {
    let firings = events.iter().filter_map(|event| match event {
        Event::Firing(firing) => Some(firing),
        _ => None,
    });
    firings.collect()
}

fn number(value: &Value) -> i128 {
    let Value::Integer(number) = value else { panic!("{value:?}") };
    number.as_i128()
}

fn text(value: &Value) -> &str {
    let Value::String(text) = value else { panic!("{value:?}") };
    str::from_utf8(text).expect("UTF-8")
}

fn firings_arrive_in_their_order_with_probe_values_and_text() {
    let events = ConsumerThread::builder(
        r#"BEGIN { trace(-1); } BEGIN { printf("%s %d", "two", 2); } BEGIN { exit(0); }
           END { trace("last"); }"#,
    )
    .flag("quiet")
    .formatted()
    .events(100)
    .expect("tracing can be started");
    // The iterator ends with the session.
    let events: Vec<Event> = events.collect();
    let firings = firings(&events);
    let [first, second, _, last] = firings[..] else { panic!("{firings:#?}") };
    let values = (&first.values[..], &second.values[..], &last.values[..]);
    let ([minus], [word, two], [end]) = values else { panic!("{values:?}") };
    assert_eq!((number(minus), text(word), number(two), text(end)), (-1, "two", 2, "last"));
    // What a firing prints comes behind it.
    let at = events.iter().position(|event| matches!(event, Event::Firing(it) if it == second));
    let printed: String = events[at.expect("it is there") + 1..]
        .iter()
        .map_while(
            |event| if let Event::Output(output) = event { Some(output.text()) } else { None },
        )
        .collect();
    assert_eq!(printed, "two 2");
    assert_eq!(
        (first.probe.to_string().as_str(), last.probe.name.as_str()),
        ("dtrace:::BEGIN", "END")
    );
    assert_ne!(first.statement, second.statement);
    assert_eq!(first.probe, second.probe);
    // The walk at the end is the last of all.
    assert_eq!(events.last(), Some(&Event::Walked));
}

fn text_comes_only_where_it_is_asked_for() {
    let events = ConsumerThread::builder("BEGIN { trace(1); exit(0); }").events(10);
    let events: Vec<Event> = events.expect("tracing can be started").collect();
    assert!(matches!(&events[..], [Event::Firing(_), Event::Walked]), "{events:?}");
}

fn entries_arrive_before_the_end_of_their_walk() {
    let events = ConsumerThread::builder(
        r#"BEGIN { @sums["key", 7] = sum(5); @sums["key", 7] = sum(-8); @count = count(); exit(0); }"#,
    )
    .events(10)
    .expect("tracing can be started");
    let events: Vec<Event> = events.collect();
    let [Event::Firing(_), Event::Aggregated(_), Event::Aggregated(_), Event::Walked] = &events[..]
    else {
        panic!("{events:#?}")
    };
    let entry = |event: &Event| match event {
        Event::Aggregated(entry) => Some((entry.name.to_string(), entry.clone())),
        _ => None,
    };
    let entries: BTreeMap<String, AggregatedEvent> = events.iter().filter_map(entry).collect();
    let (sums, count) = (&entries["sums"], &entries["count"]);
    assert_eq!(
        (sums.function, count.function),
        (AggregationFunction::Sum, AggregationFunction::Count)
    );
    let [word, seven] = &sums.keys[..] else { panic!("{sums:?}") };
    assert_eq!((text(word), number(seven)), ("key", 7));
    assert_eq!((sums.value.as_i64(), count.value.as_i64()), (Some(-3), Some(1)));
    assert!(matches!(sums.value, AggregationValue::Sum(_)) && count.keys.is_empty());
}

fn faults_arrive_with_their_probe() {
    let script = "BEGIN { trace(*(int *)0); } BEGIN { trace(1); exit(0); }";
    let events = ConsumerThread::builder(script).losses(LossPolicy::Count).events(10);
    let events: Vec<Event> = events.expect("tracing can be started").collect();
    let fault = |event: &Event| match event {
        Event::Fault(fault) => Some(fault.clone()),
        _ => None,
    };
    let faults: Vec<_> = events.iter().filter_map(fault).collect();
    let [fault] = &faults[..] else { panic!("{events:#?}") };
    let probe = fault.probe.as_ref().map(ToString::to_string);
    assert_eq!((probe.as_deref(), fault.address), (Some("dtrace:::BEGIN"), 0));
    assert_eq!(firings(&events).len(), 1);
}

fn what_a_full_channel_costs_arrives_as_drops() {
    const CALLS: i32 = 20_000;
    let mut events = ConsumerThread::builder(calls_of_this_thread("trace(1);"))
        .option("bufsize", "16k")
        .losses(LossPolicy::Count)
        .events(1)
        .expect("tracing can be started");
    // Nobody receives: the session waits for room, and the kernel's buffer fills.
    call(CALLS);
    events.stop_handle().stop();
    let (mut delivered, mut dropped) = (0, 0);
    for event in events.by_ref() {
        match event {
            Event::Firing(_) => delivered += 1,
            Event::Drop(report) => {
                assert_eq!(report.kind, DropKind::Principal);
                dropped += report.drops;
            }
            Event::Walked => {}
            other => panic!("{other:?}"),
        }
    }
    let outcome = events.finish().expect("the session comes to its end");
    assert!(dropped > 0);
    assert_eq!(delivered + dropped, CALLS as u64);
    assert_eq!((outcome.firings, outcome.losses.total_drops()), (delivered, dropped));
}

fn a_channel_without_room_hands_over_each_event() {
    let events = counting(0);
    call(50);
    events.stop_handle().stop();
    let events: Vec<Event> = events.collect();
    assert_eq!(firings(&events).len(), 50);
}

fn the_receiver_gets_what_the_iterator_does_not() {
    let mut events = counting(10);
    call(3);
    let taken = [events.next(), events.receiver().recv().ok(), events.next()];
    assert!(taken.iter().all(|event| matches!(event, Some(Event::Firing(_)))), "{taken:?}");
    events.stop_handle().stop();
    assert_eq!(events.collect::<Vec<_>>(), [Event::Walked]);
}

fn a_stop_handle_ends_the_session_and_what_was_before_arrives() {
    let (_lock, guard) = alone();
    let mut events = counting(1000);
    call(100);
    let handle = events.stop_handle();
    std::thread::spawn(move || handle.stop()).join().expect("it does not panic");
    let rest: Vec<Event> = events.by_ref().collect();
    assert_eq!(firings(&rest).len(), 100);
    let outcome = events.finish().expect("the session comes to its end");
    assert_eq!(outcome.firings, 100);
    guard.check();
}

fn events_that_are_dropped_end_their_session() {
    let (_lock, guard) = alone();
    // With room in the channel, and with the session waiting for some.
    for capacity in [10_000, 1] {
        let events = counting(capacity);
        call(1000);
        drop(events);
    }
    // Which has no children any more.
    guard.check();
}

fn an_iterator_that_is_left_early_ends_its_session() {
    let (_lock, guard) = alone();
    let events = counting(10);
    call(1000);
    assert_eq!(events.take(3).filter(|event| matches!(event, Event::Firing(_))).count(), 3);
    guard.check();
}

fn finish_does_not_wait_for_a_full_channel() {
    let (_lock, guard) = alone();
    let mut events = counting(1);
    call(1000);
    assert!(events.next().is_some());
    let outcome = events.finish().expect("the session comes to its end");
    assert_eq!(outcome.firings, 1000);
    assert!(outcome.losses.is_empty(), "{}", outcome.losses);
    guard.check();
}

fn a_full_channel_that_somebody_else_holds_does_not_keep_the_session_from_ending() {
    let (_lock, guard) = alone();
    for end in [|events: Events| drop(events.finish()), drop] {
        let events = counting(1);
        let _receiver = events.receiver().clone();
        call(1000);
        end(events);
    }
    guard.check();
}

fn what_has_no_room_after_a_stop_arrives_in_its_order() {
    let (_lock, guard) = alone();
    let script = calls_of_this_thread("trace(++n);");
    let events = ConsumerThread::builder(script).events(3).expect("tracing can be started");
    call(500);
    events.stop_handle().stop();
    // The session ends before anything is received.
    no_children();
    let all: Vec<Event> = events.collect();
    let numbers = firings(&all).into_iter().map(|firing| number(&firing.values[0]));
    assert!(numbers.eq(1..=500));
    assert_eq!(all.last(), Some(&Event::Walked));
    guard.check();
}

fn a_session_that_fails_ends_the_events_and_finish_says_why() {
    let (_lock, guard) = alone();
    let mut events = counting(10);
    call(5);
    for _ in 0..5 {
        assert!(matches!(events.next(), Some(Event::Firing(_))));
    }
    let [worker] = children()[..] else { panic!("{:?}", children()) };
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("the worker is there");
    assert_eq!(events.next(), None);
    let result = events.finish();
    let Err(Failure { error: Error::WorkerDied { status, .. }, outcome }) = result else {
        panic!("{result:?}")
    };
    assert!(status.contains("SIGKILL"), "{status}");
    assert_eq!(outcome.firings, 5);
    // A worker that is killed cannot tidy up; the next one does it.
    next_session_works();
    guard.check();
}

fn a_script_that_does_not_compile_has_no_events() {
    let result = ConsumerThread::builder("BEGIN { nothing(); }").events(1);
    assert!(matches!(&result, Err(f) if matches!(f.error, Error::Compile(_))), "{result:?}");
}

//! What does a session do with libdtrace, in which order, and for how long does it wait?

use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{StopHandle, run_synchronous, trace};
use dtrace_stand_in::plan::{CALLS, Event, Plan};
use dtrace_test_support::answering::Answering;

use crate::calls::{Use, checked, headed, linked, listed, looked_up, typed};
use crate::stage::*;

/// The calls of libdtrace's functions, each with its arguments if they are noted.
pub(crate) fn log(prefix: &Prefix, plan: &Plan, run: impl FnOnce()) -> Vec<String> {
    let file = prefix.path.join(CALLS);
    std::fs::write(&file, "").expect("the prefix is there");
    plan.put(&prefix.path);
    run();
    let log = std::fs::read_to_string(file).expect("the calls were noted");
    log.lines().map(str::to_owned).collect()
}

/// Fails unless these calls are there in this order, whatever is between them.
fn assert_order(log: &[String], calls: &[&str]) {
    let mut rest = log.iter();
    for call in calls {
        let is_there = rest.by_ref().any(|line| line == call);
        assert!(is_there, "{call} is missing, or comes too early: {log:#?}");
    }
}

fn options(log: &[String]) -> Vec<&str> {
    log.iter().filter_map(|line| line.strip_prefix("dtrace_setopt ")).collect()
}

pub(crate) fn what_a_session_does_comes_in_the_order_that_libdtrace_needs() {
    let prefix = Prefix::new();
    let plan = Plan { attached: Some(0), ..plain_plan() };
    let mut process = Answering::start("answer");
    let log = log(&prefix, &plan, || {
        let session = trace("BEGIN { }").prefix(&prefix.path).grab(process.pid());
        let session = session.option("bufsize", "4m").max_delay(Duration::from_millis(50));
        session.keep_system().walk(|_| Ok(())).run().expect("nothing goes wrong");
    });
    process.ask();
    process.answered();
    process.end();
    let first = if SUN {
        // Whatever the user sets takes the place of a default.
        let defaults = ["switchrate=50000us", "statusrate=50000us", "temporal=yes", "bufsize=4m"];
        let defaults = defaults.map(|it| format!("dtrace_setopt {it}"));
        assert_order(&log, &defaults.each_ref().map(String::as_str));
        ["dtrace_setopt bufsize=4m", "dtrace_proc_grab"]
    } else {
        ["dtrace_setopt bufsize=4m", "dtrace_proc_grab_pid"]
    };
    let all = [
        &["dtrace_open 0"][..],
        &first,
        &["dtrace_program_fcompile", "dtrace_stmt_iter"],
        &["dtrace_handle_err", "dtrace_handle_drop", "dtrace_handle_setopt", "dtrace_handle_proc"],
        // The processes run on when everything that they do is traced.
        &["dtrace_program_exec", "dtrace_go", "dtrace_proc_continue", "dtrace_work"],
        // The script has ended, so tracing is off.
        &["dtrace_setopt switchrate=1us", "dtrace_work"],
        // They are read though libdtrace has just read them.
        if SUN { &["dtrace_setopt aggrate=1ns"] } else { &[] },
        &["dtrace_aggregate_snap"],
        if SUN { &["dtrace_setopt aggrate=1000000000ns"] } else { &[] },
        &["dtrace_aggregate_walk_valsorted", "dtrace_close"],
    ];
    assert_order(&log, &all.concat());
    assert_eq!(log.iter().filter(|line| *line == "dtrace_proc_continue").count(), 1);
    let in_between = log
        .iter()
        .position(|line| line == "dtrace_go")
        .zip(log.iter().position(|line| line.starts_with("dtrace_work")));
    let (go, work) = in_between.expect("it has traced");
    let waits = |calls: &[String]| calls.iter().filter(|line| *line == "dtrace_sleep").count();
    // Each look at the buffers comes after a wait.
    assert_eq!(waits(&log[..go]), 0);
    assert_eq!(waits(&log[go..=work]), usize::from(SUN));
    let works = log.iter().filter(|line| *line == "dtrace_work").count();
    assert_eq!(waits(&log), if SUN { works } else { 0 });
}

/// An hour in which the library does not look at its buffers. It waits only as long as the other options say.
const AN_HOUR: &str = "1hour";

pub(crate) fn a_stop_is_heard_though_records_wait() {
    let prefix = Prefix::new();
    let empty = vec![Vec::new(); 10_000];
    for switchrate in [None, Some(AN_HOUR)] {
        let rounds = [7, 8, 9].map(|n| vec![Event::Firing(number(n))]).to_vec();
        // What comes behind them is never reached. On Linux nothing waits, and the stop ends a pause.
        let end = if SUN { empty.clone() } else { vec![vec![Event::Pause(10)]; 500] };
        let rounds = [rounds, end, vec![vec![Event::Pause(0)]]].concat();
        let plan = Plan { rounds, keeps_rates: SUN, ..Plan::default() };
        let (mut seen, mut ended_by) = (Vec::new(), None);
        let log = log(&prefix, &plan, || {
            let stop = StopHandle::default();
            let session = trace("BEGIN { }").prefix(&prefix.path).stop_handle(&stop);
            let session = match switchrate {
                Some(rate) => session.option("switchrate", rate),
                None => session,
            };
            let session = session
                .on_start(|_| {
                    stop.stop();
                    Ok(())
                })
                .chew(|firing| {
                    seen.push(firing.row::<i32>()?);
                    Ok(())
                });
            ended_by = Some(session.run().expect("a stop is no failure").ended_by);
        });
        assert_eq!(ended_by, Some(EndedBy::Stop), "{switchrate:?}");
        // The buffers are read when tracing is off.
        assert_order(&log, &["dtrace_stop", "dtrace_setopt switchrate=1us", "dtrace_work"]);
        if SUN {
            assert_eq!(seen, [7, 8, 9], "{switchrate:?}");
        }
        let set = options(&log);
        let last = set.iter().rev().nth(usize::from(SUN) * 2).copied();
        assert_eq!(last, Some("switchrate=1us"), "{set:?}");
    }
}

/// The names of functions are looked up while the command is there, which waits for that at its end.
pub(crate) fn what_a_command_did_arrives_before_it_ends_though_records_wait() {
    let prefix = Prefix::new();
    let rounds = vec![vec![Event::Firing(number(7))], vec![Event::Firing(number(8))]];
    let end = vec![vec![Event::Pause(10)]; 500];
    let plan = Plan { rounds: [rounds, end].concat(), keeps_rates: SUN, ..Plan::default() };
    let mut seen = Vec::new();
    let log = log(&prefix, &plan, || {
        let session = run_synchronous("BEGIN { ustack(); }", ["true"]).prefix(&prefix.path);
        let session = if SUN { session.option("switchrate", AN_HOUR) } else { session };
        let session = session.chew(|firing| {
            seen.push(firing.row::<i32>()?);
            Ok(())
        });
        session.run().expect("nothing goes wrong");
    });
    if SUN {
        let calls = ["dtrace_setopt switchrate=1ns", "dtrace_sleep", "dtrace_work"];
        let after = ["dtrace_setopt switchrate=3600000000000ns", "dtrace_stop"];
        assert_order(&log, &[&calls[..], &after].concat());
    }
    assert!(seen.starts_with(&[7]), "{seen:?}");
}

pub(crate) fn a_device_is_needed_only_to_trace() {
    let prefix = Prefix::new();
    let uses: [(Use, bool); 6] = [
        (checked, true),
        (listed, true),
        (looked_up, true),
        (typed, true),
        (linked, false),
        (headed, false),
    ];
    for (index, (what, needs_device)) in uses.into_iter().enumerate() {
        let log = log(&prefix, &plain_plan(), || {
            what(&prefix.path).expect("nothing goes wrong");
        });
        let flags = if SUN && !needs_device { "dtrace_open 1" } else { "dtrace_open 0" };
        assert_eq!(log[0], flags, "use {index}");
    }
}

pub(crate) fn changes_of_options_and_faults_arrive_whole() {
    let prefix = Prefix::new();
    let fault = |probe| Event::Fault { probe, missing: false };
    let rounds = vec![vec![Event::Option { missing: false }, fault(true), fault(false)]];
    Plan { rounds, ..Plan::default() }.put(&prefix.path);
    let (mut changes, mut faults) = (Vec::new(), Vec::new());
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .losses(dtrace_consumer::loss::LossPolicy::Count)
        .on_option(|change| {
            changes.push(change.to_string());
            Ok(())
        })
        .on_fault(|fault| {
            let probe = fault.probe.as_ref().map(|probe| probe.provider.clone());
            faults.push((probe, fault.kind.clone(), fault.address, fault.message.clone()));
            Ok(())
        })
        .run();
    result.expect("a fault is no failure");
    assert_eq!(changes, ["quiet: unset -> 1"]);
    let fault = |probe: Option<&str>| {
        let (kind, message) = ("invalid address", "invalid address (0x10)");
        (probe.map(str::to_owned), kind.to_owned(), 16, message.to_owned())
    };
    assert_eq!(faults, [fault(Some("stand")), fault(None)]);
}

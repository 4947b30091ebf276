//! What does libdtrace do with processes that it is told to create or to grab?

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use dtrace_consumer::session::EndedBy;
use dtrace_consumer::{Error, trace};
#[cfg(target_os = "linux")]
use dtrace_consumer::{Failure, Outcome};
use dtrace_test_support::answering::Answering;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{
    Killed, command_line, orphans_ended, wait_until, wait_until_gone,
};
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        a_session_ends_with_the_last_of_its_processes,
        a_grabbed_process_goes_on_when_the_session_ends,
        a_grabbed_process_that_ends_ends_the_session,
        a_grabbed_process_may_end_after_its_parent,
        a_process_that_is_grabbed_twice_is_grabbed_once,
        a_process_that_another_one_traces_is_not_grabbed,
        a_created_process_does_not_outlive_its_session,
        a_created_process_does_not_outlive_a_session_that_fails,
        a_session_goes_on_after_a_created_process_while_a_grabbed_one_runs,
    ],
    needs: [Tracing, ProbesInPrograms],
    tests: [
        a_created_process_that_is_attached_to_does_not_outlive_a_session_that_fails,
        probes_of_a_created_process_can_be_listed_without_running_it,
    ],
    // Elsewhere a created process may end before its `main`, and there is no pcap().
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        what_cannot_be_controlled_is_named,
        a_packet_that_is_captured_does_not_end_the_worker,
    ],
}

/// Ends a session that would never end. Under emulation a session alone takes half a minute.
const DEADLINE: Duration = Duration::from_secs(180);

fn a_session_ends_with_the_last_of_its_processes() {
    let (_lock, guard) = alone();
    let (mut calls, mut gone) = (BTreeMap::new(), Vec::new());
    let script = "syscall::getppid:entry { @[pid, pid == $target] = count(); }";
    let outcome = trace(script)
        .option("evaltime", "exec")
        .create(traced_program("calls", 3))
        .create(traced_program("calls", 5))
        .walk(|entry| {
            calls.insert(entry.key::<i32>(0)?, (entry.key::<i32>(1)? != 0, entry.number()?));
            Ok(())
        })
        .on_process(|event| {
            assert_eq!((event.gone, &event.message), (true, &None));
            gone.push(event.pid);
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(outcome.losses.total_drops(), 0);
    assert_eq!(outcome.ended_by, EndedBy::Command);
    assert!(outcome.command.is_some_and(|command| command.finished()));
    // The first is $target, and other processes of the system may call getppid(2), too.
    let of = |call: &(bool, i64)| gone.iter().filter(|pid| calls.get(pid) == Some(call)).count();
    assert_eq!(gone.len(), 2, "{gone:?}");
    assert_eq!((of(&(true, 3)), of(&(false, 5))), (1, 1), "{calls:?} {gone:?}");
    guard.check();
}

fn a_grabbed_process_goes_on_when_the_session_ends() {
    let (_lock, guard) = alone();
    // libdtrace has breakpoints where libraries are loaded: one that stays would kill the process.
    for mode in ["answer", "load"] {
        let mut program = Answering::start(mode);
        program.call_while_grabbed();
        program.call_and_end();
    }
    guard.check();
}

fn a_process_that_is_grabbed_twice_is_grabbed_once() {
    let (_lock, guard) = alone();
    let program = Answering::start("answer");
    let pid = program.pid();
    let (mut program, mut gone) = (Some(program), Vec::new());
    let outcome = trace("BEGIN { trace($target); }")
        .grab(pid)
        .grab(pid)
        .deadline(DEADLINE)
        .rows(|_: i32| {
            program.take().expect("once").end();
            Ok(())
        })
        .on_process(|event| {
            gone.push(event.pid);
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!((outcome.ended_by, gone), (EndedBy::Script, vec![pid]));
    guard.check();
}

fn a_grabbed_process_that_ends_ends_the_session() {
    let (_lock, guard) = alone();
    let program = Answering::start("answer");
    let pid = program.pid();
    let mut program = Some(program);
    grabbed_until_it_ends(pid, || program.take().expect("once").end());
    guard.check();
}

/// Grabs a process in a session, which has to end with it. The process ends because of what `end` does.
fn grabbed_until_it_ends(pid: i32, mut end: impl FnMut()) {
    let mut gone = Vec::new();
    trace("BEGIN { trace($target); }")
        .grab(pid)
        .deadline(DEADLINE)
        .rows(|target: i32| {
            assert_eq!(target, pid);
            end();
            Ok(())
        })
        .on_process(|event| {
            gone.push((event.pid, event.gone));
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(gone, [(pid, true)]);
}

/// This process, not init, is given the orphan, and reaps it. FreeBSD 12.1 would give one to init that init cannot reap.
fn a_grabbed_process_may_end_after_its_parent() {
    let (_lock, guard) = alone();
    let script = r#"exec 3<&0; "$@" <&3 & echo $!; exec sleep 1000 </dev/null"#;
    let words = traced_program("wait", 0);
    let shell = Command::new("sh")
        .args(["-c", script, "sh"])
        .args(&words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut shell = Killed(shell);
    let parent = &mut shell.0;
    let mut said = String::new();
    let output = parent.stdout.take().expect("a pipe");
    BufReader::new(output).read_line(&mut said).expect("it says the number");
    let pid: i32 = said.trim().parse().expect("a number");
    let program = words[0].as_encoded_bytes();
    wait_until("the program runs", || command_line(pid).starts_with(program));
    let mut input = parent.stdin.take();
    grabbed_until_it_ends(pid, || {
        parent.kill().and_then(|()| parent.wait()).expect("a child");
        input.take();
    });
    orphans_ended();
    wait_until_gone(&[pid]);
    guard.check();
}

fn a_process_that_another_one_traces_is_not_grabbed() {
    let (_lock, guard) = alone();
    let mut traced = Answering::start("answer");
    let words = traced_program("traces", traced.pid());
    let mut tracer = Command::new(&words[0]);
    tracer.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut tracer = tracer.spawn().expect("this program starts");
    tracer.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it traces");
    let failure = trace("BEGIN {}").grab(traced.pid()).run().expect_err("it has a tracer");
    let expected = format!("process {} traces it already", tracer.id());
    assert!(matches!(failure.error, Error::Process { .. }), "{failure:?}");
    assert!(failure.error.to_string().contains(&expected), "{failure}");
    drop(tracer.stdin.take());
    assert!(tracer.wait().expect("it was not waited for").success());
    traced.ask();
    traced.answered();
    drop((traced, tracer));
    guard.check();
}

fn a_created_process_does_not_outlive_its_session() {
    let (_lock, guard) = alone();
    let mut pid = 0;
    trace("BEGIN { trace($target); exit(0); }")
        .create(["sleep", "1000"])
        .rows(|target: i32| {
            pid = target;
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_ne!(pid, 0);
    wait_until_gone(&[pid]);
    guard.check();
}

fn a_created_process_does_not_outlive_a_session_that_fails() {
    created_until_a_failure("BEGIN { trace($target); }");
}

fn a_created_process_that_is_attached_to_does_not_outlive_a_session_that_fails() {
    created_until_a_failure("BEGIN, pid$target:libc.so*:exit:entry { trace($target); }");
}

/// Creates a process in a session that fails, with which it has to end.
fn created_until_a_failure(script: &str) {
    let (_lock, guard) = alone();
    let mut pid = 0;
    let failure = trace(script)
        .create(["sleep", "1000"])
        .rows(|target: i32| {
            pid = target;
            Err("enough".into())
        })
        .run()
        .expect_err("the closure fails");
    assert!(matches!(failure.error, Error::Callback { .. }), "{failure:?}");
    assert_ne!(pid, 0);
    wait_until_gone(&[pid]);
    guard.check();
}

fn a_session_goes_on_after_a_created_process_while_a_grabbed_one_runs() {
    let (_lock, guard) = alone();
    let program = Answering::start("answer");
    let pid = program.pid();
    let (mut program, mut gone) = (Some(program), Vec::new());
    let outcome = trace("BEGIN { @ = count(); }")
        .create(["true"])
        .grab(pid)
        .on_process(|event| {
            gone.push(event.pid);
            if let Some(program) = program.take() {
                program.end();
            }
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!((gone.len(), gone.last()), (2, Some(&pid)));
    assert!(outcome.command.is_some_and(|command| command.finished()));
    guard.check();
}

fn probes_of_a_created_process_can_be_listed_without_running_it() {
    let (_lock, guard) = alone();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("made");
    let session = || {
        let script = "pid$target:libc.so*:exit:entry {}";
        trace(script).create([OsStr::new("touch"), file.as_os_str()])
    };
    let listed = session().matched_probes().list().expect("a list");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].probe.function, "exit");
    assert_eq!(session().check().expect("it compiles").len(), 1);
    assert!(!file.exists());
    guard.check();
}

#[cfg(target_os = "linux")]
fn what_cannot_be_controlled_is_named() {
    let (_lock, guard) = alone();
    let message = |result: Result<Outcome, Failure>| match result.map_err(|f| f.error) {
        Err(error @ (Error::Process { .. } | Error::Command { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    };
    let start = |words: &[&str]| message(trace("BEGIN {}").create(words).run());
    let grab = |pid| message(trace("BEGIN {}").grab(pid).run());
    assert_eq!(
        start(&["/no/such", "thing"]),
        "cannot start /no/such: No such file or directory (os error 2)"
    );
    for words in [&[][..], &[""]] {
        let expected =
            "cannot start a command: no command given (name a program and its arguments)";
        assert_eq!(start(words), expected);
    }
    assert!(start(&["a\0b"]).ends_with("nul byte found in provided data"));
    let too_early = trace("BEGIN {}").create(traced_program("calls", 1)).run();
    let too_early = too_early.expect_err("it ends before its `main`").to_string();
    assert!(too_early.contains("evaltime=exec"), "{too_early}");
    for pid in [0, -1, i32::MAX] {
        let expected =
            format!("cannot grab process {pid}: No such process (there is no process {pid})");
        assert_eq!(grab(pid), expected);
    }
    guard.check();
}

/// libdtrace tries to start tshark(1) for it.
#[cfg(target_os = "linux")]
fn a_packet_that_is_captured_does_not_end_the_worker() {
    let (_lock, guard) = alone();
    let ended = std::sync::atomic::AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket");
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let _ = socket.send_to(b"packet", "127.0.0.1:9");
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let script = "rawtp:net::net_dev_queue /pid == $pid/
            { pcap((struct sk_buff *)arg0, PCAP_ETHER); exit(0); }";
        let outcome = trace(script).deadline(DEADLINE).run();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        outcome
    });
    assert_eq!(outcome.expect("it runs").ended_by, EndedBy::Script);
    guard.check();
}

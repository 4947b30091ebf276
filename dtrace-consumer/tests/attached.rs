//! What happens to the processes that libdtrace is attached to, when they execute programs and when
//! their session ends?

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use dtrace_consumer::session::{EndedBy, Source};
use dtrace_consumer::{Consumer, Error, Failure, Session, ValueRef, run_synchronous, trace};
use dtrace_test_support::answering::Answering;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::Killed;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        a_created_process_that_executes_programs_is_traced_to_its_end,
        functions_of_a_program_that_the_command_executes_have_names,
        a_process_is_free_although_many_probes_are_still_to_be_disabled,
        a_process_whose_stacks_were_named_is_free_as_soon_as_the_session_has_ended,
    ],
    long: [
        a_grabbed_process_that_executes_programs_is_traced_to_its_end,
        a_command_whose_functions_are_traced_may_execute_programs,
        a_process_is_free_as_soon_as_its_session_has_ended,
        a_process_is_free_as_soon_as_its_session_has_failed,
    ],
}

/// When a session counts as hanging. None takes nearly as long, under emulation either.
const DEADLINE: Duration = Duration::from_secs(400);

/// Makes libdtrace look up symbols all the time.
const STACKS: &str = "syscall:::entry /pid == $target/ { trace(execname); ustack(); }";

/// A shell script that goes on in another program each time, until its counter is 0. It waits for a line at
/// its beginning.
const PROGRAMS: &str = r#"read line; n=8
    script='n=$1; [ $n = 0 ] && exec true; sleep .05; exec sh -c "$0" "$0" $((n - 1))'
    exec sh -c "$script" "$script" $n"#;

/// Fails unless the process lives and nobody is attached to it.
fn assert_free(mut process: Answering, when: &str) {
    let status = fs::read_to_string(format!("/proc/{}/status", process.pid())).expect("it lives");
    let tracer = status.lines().find(|line| line.starts_with("TracerPid:"));
    assert_eq!(tracer, Some("TracerPid:\t0"), "{when}");
    process.ask();
    process.answered();
    process.end();
}

/// Runs the session, which must end with the last program of the process.
fn traces_all_programs<S: Source, C: Consumer>(session: Session<S, C>) {
    // Those of another CPU may come later than those that ran after them.
    let mut programs = BTreeSet::new();
    let mut gone = 0;
    let outcome = session
        .deadline(DEADLINE)
        .chew(|firing| {
            programs.extend(firing.values().next().map(|name| name.to_string()));
            Ok(())
        })
        .on_process(|event| {
            gone += u32::from(event.gone);
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_ne!(outcome.ended_by, EndedBy::Deadline, "{programs:?} {outcome:?}");
    assert!(gone <= 1, "its end was reported {gone} times");
    assert!(outcome.command.as_ref().is_none_or(|command| command.finished()), "{outcome:?}");
    let all = ["sh", "true"].iter().all(|name| programs.contains(*name));
    assert!(all, "{programs:?} {outcome:?}");
}

fn a_created_process_that_executes_programs_is_traced_to_its_end() {
    let (_lock, guard) = alone();
    let mut command = Command::new("sh");
    command.args(["-c", PROGRAMS]).stdin(Stdio::null());
    traces_all_programs(trace(STACKS).option("evaltime", "exec").create(command));
    guard.check();
}

fn a_grabbed_process_that_executes_programs_is_traced_to_its_end() {
    let (_lock, guard) = alone();
    let mut command = Command::new("sh");
    command.args(["-c", PROGRAMS]).stdin(Stdio::piped());
    let mut process = Killed(command.spawn().expect("sh(1) starts"));
    let mut input = process.0.stdin.take().expect("a pipe");
    let pid = process.0.id().cast_signed();
    traces_all_programs(trace(STACKS).grab(pid).on_start(move |_| {
        input.write_all(b"\n")?;
        Ok(())
    }));
    assert!(process.0.wait().expect("a child").success());
    guard.check();
}

fn a_command_whose_functions_are_traced_may_execute_programs() {
    let (_lock, guard) = alone();
    let script = format!("pid$target:libc.so.6:getenv:entry {{ }} {STACKS}");
    traces_all_programs(run_synchronous(script, ["sh", "-c", PROGRAMS]).configure_command(
        |command| {
            command.stdin(Stdio::null());
        },
    ));
    guard.check();
}

fn functions_of_a_program_that_the_command_executes_have_names() {
    let (_lock, guard) = alone();
    let program = traced_program("calls", 1);
    let (theirs, mut ours) = std::io::pipe().expect("a pipe");
    let mut command = Command::new("sh");
    // The shell calls getppid(2) when it starts. Its stack is named while it waits for a line.
    command.args(["-c", "read line; exec \"$0\" \"$@\""]).args(program).stdin(theirs);
    let mut innermost = Vec::new();
    run_synchronous("syscall::getppid:entry /pid == $target/ { ustack(); }", command)
        .deadline(DEADLINE)
        .chew(|firing| {
            let Some(ValueRef::Stack(stack)) = firing.values().next() else {
                return Err("no stack".into());
            };
            let frame = stack.frames().next().expect("a frame");
            innermost.push(frame.symbol().unwrap_or_default().to_owned());
            if innermost.len() == 1 {
                ours.write_all(b"\n")?;
            }
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(innermost, ["getppid"; 2]);
    drop(ours);
    guard.check();
}

fn a_process_is_free_as_soon_as_its_session_has_ended() {
    let (_lock, guard) = alone();
    for script in [
        "BEGIN { exit(0); }",
        "syscall::getppid:entry /pid == $target/ { trace(1); ustack(); exit(0); }",
        "pid$target:libc.so.6:getppid:entry { trace(1); ustack(); exit(0); }",
    ] {
        let mut process = Answering::start("answer");
        let pid = process.pid();
        trace(script)
            .grab(pid)
            .deadline(DEADLINE)
            .on_start(|_| {
                process.ask();
                Ok(())
            })
            .out(|_| Ok(()))
            .run()
            .expect("the session comes to its end");
        process.answered();
        assert_free(process, script);
    }
    guard.check();
}

fn a_process_is_free_as_soon_as_its_session_has_failed() {
    let (_lock, guard) = alone();
    // While compiling, when probes are enabled, and while tracing.
    for script in ["BEGIN { no_such(); }", "BEGIN { raise(0); }", "BEGIN { trace(1); }"] {
        let process = Answering::start("answer");
        let result = trace(script)
            .grab(process.pid())
            .deadline(DEADLINE)
            .chew(|_| Err("no more".into()))
            .run();
        let Err(Failure { error, .. }) = result else { panic!("{script}: {result:?}") };
        assert!(!matches!(error, Error::Deadline { .. } | Error::WorkerDied { .. }), "{error}");
        assert_free(process, script);
    }
    guard.check();
}

fn a_process_is_free_although_many_probes_are_still_to_be_disabled() {
    let (_lock, guard) = alone();
    let process = Answering::start("answer");
    let script = "syscall::s*:entry /pid == $target/ { trace(1); } BEGIN { exit(0); }";
    let session = trace(script).grab(process.pid()).deadline(DEADLINE).chew(|_| Ok(()));
    session.run().expect("the session comes to its end");
    assert_free(process, script);
    guard.check();
}

fn a_process_whose_stacks_were_named_is_free_as_soon_as_the_session_has_ended() {
    let (_lock, guard) = alone();
    let mut process = Answering::start("answer");
    let pid = process.pid();
    let script = format!("syscall::getppid:entry /pid == {pid}/ {{ ustack(); exit(0); }}");
    trace(script.clone())
        .deadline(DEADLINE)
        .on_start(|_| {
            process.ask();
            Ok(())
        })
        .out(|_| Ok(()))
        .run()
        .expect("the session comes to its end");
    process.answered();
    assert_free(process, &script);
    guard.check();
}

//! Does a process survive in which libdtrace sets breakpoints?
//!
//! libdtrace sets one where the dynamic linker reports that it loads a library.

use dtrace_consumer::{ValueRef, run_synchronous, trace};
use dtrace_test_support::answering::{Answering, DEADLINE};
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        a_grabbed_process_survives_whose_other_thread_loads_libraries,
        a_process_survives_whose_stacks_are_named_while_its_other_thread_loads_libraries,
        a_grabbed_process_survives_whose_new_threads_load_libraries,
        a_process_may_change_its_list_of_libraries_while_it_is_read,
        a_process_is_grabbed_while_a_trap_of_its_own_is_blocked,
    ],
    by_hand: [
        a_command_survives_whose_functions_are_traced_while_its_other_thread_loads_libraries,
        a_process_survives_that_is_let_go_while_it_loads_libraries,
        the_stacks_of_many_processes_are_named_while_they_load_libraries,
        a_grabbed_process_survives_that_keeps_starting_threads_which_load_libraries,
    ],
}

fn a_grabbed_process_survives_whose_other_thread_loads_libraries() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("thread-loads");
    program.call_while_grabbed();
    program.call_and_end();
    guard.check();
}

fn a_grabbed_process_survives_whose_new_threads_load_libraries() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("threads-load");
    program.call_while_grabbed();
    program.call_and_end();
    guard.check();
}

fn a_process_survives_whose_stacks_are_named_while_its_other_thread_loads_libraries() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("thread-loads");
    let pid = program.pid();
    let mut innermost = None;
    trace(format!("syscall::getppid:entry /pid == {pid}/ {{ ustack(); exit(0); }}"))
        .deadline(DEADLINE)
        .on_start(|_| {
            program.ask();
            Ok(())
        })
        .chew(|firing| {
            let value = firing.values().find(|value| value.kind() == "stack").expect("a stack");
            let ValueRef::Stack(stack) = value else { panic!("{value:?}") };
            innermost = stack.frames().next().and_then(|it| it.symbol().map(str::to_owned));
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(innermost.as_deref(), Some("getppid"));
    program.answered();
    program.call_and_end();
    guard.check();
}

fn the_stacks_of_many_processes_are_named_while_they_load_libraries() {
    let (_lock, guard) = alone();
    // libdtrace keeps hold of eight, and lets go of one to name the stacks of another.
    let mut programs: Vec<_> = (0..12).map(|_| Answering::start("thread-loads")).collect();
    let mut named = 0;
    trace("syscall::getppid:entry /ppid == $pid/ { ustack(); } syscall::getppid:return /ppid == $pid && ++n == 24/ { exit(0); }")
        .deadline(DEADLINE)
        .on_start(|_| {
            for _ in 0..2 {
                programs.iter_mut().for_each(Answering::ask);
            }
            Ok(())
        })
        .chew(|firing| {
            let stack = firing.values().find(|value| value.kind() == "stack");
            named += usize::from(stack.is_some_and(|it| it.to_string().contains("getppid")));
            Ok(())
        })
        .run()
        .expect("it runs");
    assert_eq!(named, 24);
    for mut program in programs {
        program.answered();
        program.answered();
        program.call_and_end();
    }
    guard.check();
}

fn a_command_survives_whose_functions_are_traced_while_its_other_thread_loads_libraries() {
    let (_lock, guard) = alone();
    let outcome = run_synchronous(
        "pid$target:libc.so.6:getppid:entry { trace(1); }",
        traced_program("thread-loaded", 200),
    )
    .deadline(DEADLINE)
    .chew(|_| Ok(()))
    .run()
    .expect("it runs");
    let status = outcome.command.expect("it ran").status;
    assert!(status.success(), "{status}");
    assert_eq!(outcome.firings, 1);
    guard.check();
}

fn a_process_survives_that_is_let_go_while_it_loads_libraries() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("loads");
    for _ in 0..10 {
        program.call_while_grabbed();
    }
    program.call_and_end();
    guard.check();
}

fn a_grabbed_process_survives_that_keeps_starting_threads_which_load_libraries() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("loads-in-threads");
    for _ in 0..10 {
        program.call_while_grabbed();
    }
    program.call_and_end();
    guard.check();
}

fn a_process_is_grabbed_while_a_trap_of_its_own_is_blocked() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("trap-blocked");
    program.call_while_grabbed();
    program.call_and_end();
    guard.check();
}

fn a_process_may_change_its_list_of_libraries_while_it_is_read() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("list-changes");
    for _ in 0..10 {
        program.call_while_grabbed();
    }
    program.call_and_end();
    guard.check();
}

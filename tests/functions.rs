//! Probes on the functions of a traced program: the `pid` provider, for Rust programs.
//!
//! The program is this test itself, started again: the test `traced` does what the others watch.

mod common;

use std::ffi::OsString;

use dtrace_consumer::{ValueRef, preflight, run_synchronous};

/// Set in the environment of the traced program.
const MARKER: &str = "DTRACE_TEST_TRACED";

/// Whether tracing is possible here. Where the lane says that it must be, it is a failure if not.
fn can_trace() -> bool {
    let preflight = preflight(None);
    if !preflight.is_ready() {
        assert!(std::env::var_os("DTRACE_STOCK_KERNEL").is_none(), "{preflight}");
        eprintln!("not tested, this machine cannot trace:\n{preflight}");
    }
    preflight.is_ready()
}

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn traced_sum(a: u32, b: i64, c: u8) -> i64 {
    std::hint::black_box(i64::from(a) + b + i64::from(c))
}

mod library {
    #[inline(never)]
    pub(super) fn rust_caller(n: u32) -> i64 {
        std::hint::black_box(super::traced_sum(n, -5, b'x') + 1)
    }
}

/// What is traced; a test by itself it is not.
#[test]
fn traced() {
    if std::env::var_os(MARKER).is_some() {
        for n in 1..=3 {
            std::hint::black_box(library::rust_caller(n));
        }
        // What a stack's symbols are read from must still be there when the stack is.
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
}

fn command() -> [OsString; 3] {
    let exe = std::env::current_exe().expect("the test knows its own file").into();
    [exe, "--exact".into(), "traced".into()]
}

#[test]
fn arguments_and_results_of_functions_are_seen() {
    if !can_trace() {
        return;
    }
    let mut calls: Vec<(String, i64, i64, i64)> = Vec::new();
    let outcome = run_synchronous(
        r#"pid$target:a.out:traced_sum:entry
           { printf("%s %d %d %d", probename, arg0, arg1, arg2); }
           pid$target:a.out:traced_sum:return
           { printf("%s %d %d %d", probename, arg1, 0, 0); }"#,
        command(),
    )
    .configure_command(|command| {
        command.env(MARKER, "1");
    })
    .rows(|call| {
        calls.push(call);
        Ok(())
    })
    .run()
    .unwrap();
    assert!(outcome.command.is_some_and(|c| c.finished()), "{outcome:?}");
    let expected: Vec<_> = (1..=3)
        .flat_map(|n| {
            let x = i64::from(b'x');
            [("entry".to_owned(), n, -5, x), ("return".to_owned(), n - 5 + x, 0, 0)]
        })
        .collect();
    assert_eq!(calls, expected);
}

#[test]
fn stacks_name_the_rust_functions_of_the_program() {
    if !can_trace() {
        return;
    }
    let mut stacks: Vec<Vec<String>> = Vec::new();
    run_synchronous("pid$target:a.out:traced_sum:entry { trace(0); ustack(); }", command())
        .configure_command(|command| {
            command.env(MARKER, "1");
        })
        .chew(|firing| {
            for value in firing.values() {
                if let ValueRef::Stack(stack) = value {
                    let names = stack.frames().map(|f| f.demangled().unwrap_or_default());
                    stacks.push(names.collect());
                }
            }
            Ok(())
        })
        .run()
        .unwrap();
    assert_eq!(stacks.len(), 3, "{stacks:?}");
    for stack in &stacks {
        assert_eq!(stack[0], "traced_sum", "{stack:#?}");
        // The frames between are not there: at its first instruction a function has no frame yet,
        // and this program, other than the standard library, is built without frame pointers.
        let runner = "std::sys::backtrace::__rust_begin_short_backtrace";
        assert!(stack.iter().any(|name| name.starts_with(runner)), "{stack:#?}");
    }
}

#[test]
fn a_mangled_rust_function_is_probed_by_a_pattern() {
    if !can_trace() {
        return;
    }
    let mut arguments: Vec<(u32,)> = Vec::new();
    run_synchronous(r#"pid$target:a.out:*rust_caller*:entry { printf("%d", arg0); }"#, command())
        .configure_command(|command| {
            command.env(MARKER, "1");
        })
        .rows(|row| {
            arguments.push(row);
            Ok(())
        })
        .run()
        .unwrap();
    assert_eq!(arguments, [(1,), (2,), (3,)]);
}

#[test]
fn a_command_outlives_a_script_that_has_seen_enough_of_it() {
    if !can_trace() {
        return;
    }
    let outcome = run_synchronous("pid$target:a.out:traced_sum:entry { exit(7); }", command())
        .configure_command(|command| {
            command.env(MARKER, "1");
        })
        .run()
        .unwrap();
    assert_eq!(outcome.exit, Some(7));
    assert!(outcome.command.is_some_and(|c| c.finished()), "{outcome:?}");
}

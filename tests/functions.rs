//! Probes on functions of a program (`pid`): Rust's and a library's, with arguments, results and
//! stacks; and what becomes of the command, which libdtrace attaches to, when something fails.
//!
//! They are uprobes, which all kernels of docs/platforms.md have. The test binary is also the program
//! that is traced: see [`program`].

use std::ffi::{CStr, OsString};
use std::hint::black_box;
use std::io::{Read, pipe};
use std::process::{Stdio, exit, id};

use dtrace_consumer::{Error, ValueRef, run_synchronous};
use dtrace_test_support::consumer::{Consumer, Stage, consume};
use dtrace_test_support::leftovers::one_at_a_time;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{descendants_of, wait_until_gone};

live_tests! {
    needs: [Tracing],
    tests: [
        functions_of_a_rust_program_show_typed_arguments_and_results,
        functions_of_a_library_are_traced_like_those_of_the_program,
        a_script_that_does_not_compile_ends_the_held_command,
    ],
    long: [
        stacks_name_rust_functions_as_their_source_does,
        tracing_that_cannot_begin_ends_the_held_command,
        a_command_whose_functions_are_traced_ends_with_its_consumer,
    ],
}

/// The first argument with which this binary is a program to trace, or one that traces.
const WORD: &str = "not-a-test";

ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        program();
    }
}

/// It runs behind the program's entry point, as `main` does, and ends before any test would run.
fn program() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [WORD, "traced"] => traced(),
        [WORD, "consumer", how] => consume(PRODUCTS, command_line("traced"), how),
        _ => {}
    }
}

/// Its page must have been touched before a probe can read it.
const LABEL: &CStr = c"seven";

fn traced() -> ! {
    black_box(black_box(LABEL).to_bytes().to_vec());
    for number in 1..=3 {
        black_box(mangled::caller_in_rust(black_box(number)));
    }
    // They are looked up by getenv(3).
    for name in ["FIRST_VARIABLE", "SECOND_VARIABLE"] {
        black_box(std::env::var_os(name));
    }
    // Symbols of a process can be told only while it is there.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    exit(0)
}

/// A function under a name that can be written.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn functions_product(number: i32, factor: u8, label: *const u8) -> i64 {
    black_box(label);
    black_box(i64::from(number) * i64::from(factor))
}

mod mangled {
    #[inline(never)]
    pub(crate) fn caller_in_rust(number: i32) -> i64 {
        super::functions_product(-number, 7, super::LABEL.as_ptr().cast()) - 1
    }
}

fn command_line(mode: &str) -> Vec<OsString> {
    let this = std::env::current_exe().expect("the test knows its own file");
    vec![this.into(), WORD.into(), mode.into()]
}

const PRODUCTS: &str = r#"pid$target:a.out:functions_product:entry { printf("%d", (int)arg0); }"#;

fn functions_of_a_rust_program_show_typed_arguments_and_results() {
    let _lock = one_at_a_time();
    let mut entries: Vec<(i32, u8, String)> = Vec::new();
    let mut results: Vec<(i64, String)> = Vec::new();
    let outcome = run_synchronous(
        r#"pid$target:a.out:functions_product:entry
           {
               printf("%d %u %s", (int)arg0, (uint8_t)arg1, copyinstr(arg2));
           }
           pid$target:a.out:functions_product:return,
           pid$target:a.out:*caller_in_rust*:return
           {
               printf("%d %s", (int64_t)arg1, probefunc);
           }"#,
        command_line("traced"),
    )
    .configure_command(|command| {
        command.stdin(Stdio::null());
    })
    .chew(|firing| {
        if firing.probe().name == "entry" {
            entries.push(firing.row()?);
        } else {
            results.push(firing.row()?);
        }
        Ok(())
    })
    .run()
    .unwrap();
    let entry = |number| (number, 7, "seven".to_owned());
    assert_eq!(entries, [entry(-1), entry(-2), entry(-3)], "{results:?}, {outcome:?}");
    let [products, sums] = ["functions_product", "caller_in_rust"].map(|function| {
        let of = results.iter().filter(|(_, name)| name.contains(function));
        of.map(|(result, _)| *result).collect::<Vec<_>>()
    });
    assert_eq!(products, [-7, -14, -21]);
    assert_eq!(sums, [-8, -15, -22]);
}

fn stacks_name_rust_functions_as_their_source_does() {
    let _lock = one_at_a_time();
    let (theirs, ours) = pipe().expect("a pipe");
    let mut lets_go = Some(ours);
    let mut innermost = Vec::new();
    run_synchronous(
        r#"pid$target:a.out:functions_product:entry { ustack(1); }
           pid$target:a.out:functions_product:return { ustack(1); }
           pid$target:libc.so.6:getenv:entry { exit(0); }"#,
        command_line("traced"),
    )
    .configure_command(|command| {
        command.stdin(theirs);
    })
    .chew(|firing| {
        if let Some(ValueRef::Stack(stack)) = firing.values().next() {
            let frame = stack.frames().next().ok_or("a stack without frames")?;
            let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
            innermost.push((owned(frame.module()), owned(frame.symbol()), frame.demangled()));
        } else {
            lets_go.take();
        }
        Ok(())
    })
    .run()
    .unwrap();
    let this = std::env::current_exe().expect("the test knows its own file");
    let this = this.file_name().expect("a name").to_string_lossy();
    assert!(innermost.iter().all(|(module, ..)| *module == this), "{innermost:?}");
    // A function returns to the one that called it.
    let called_then_caller: Vec<_> = innermost.iter().map(|(_, _, name)| name.as_deref()).collect();
    let expected = [Some("functions_product"), Some("functions::mangled::caller_in_rust")];
    assert_eq!(called_then_caller, expected.repeat(3));
    assert!(innermost[1].1.starts_with("_ZN") || innermost[1].1.starts_with("_R"));
}

fn functions_of_a_library_are_traced_like_those_of_the_program() {
    let _lock = one_at_a_time();
    let mut names = Vec::new();
    run_synchronous(
        r#"pid$target:libc.so.6:getenv:entry { printf("%s", copyinstr(arg0)); }"#,
        command_line("traced"),
    )
    .configure_command(|command| {
        command.stdin(Stdio::null());
    })
    .rows(|(name,): (String,)| {
        names.push(name);
        Ok(())
    })
    .run()
    .unwrap();
    names.retain(|name| name.ends_with("_VARIABLE"));
    assert_eq!(names, ["FIRST_VARIABLE", "SECOND_VARIABLE"]);
}

fn a_script_that_does_not_compile_ends_the_held_command() {
    let _lock = one_at_a_time();
    for (script, words) in [
        ("pid$target:a.out:functions_product:entry { nothing(); }", "nothing"),
        ("pid$target:a.out:no_such_function:entry { }", "no_such_function"),
    ] {
        let failure = run_synchronous(script, command_line("traced")).run().unwrap_err();
        assert!(matches!(failure.error, Error::Compile(_)), "{failure}");
        assert!(failure.to_string().contains(words), "{failure}");
        assert!(failure.outcome.command.is_none());
        dtrace_consumer::cool_down();
        wait_until_gone(&descendants_of(id()));
    }
}

fn tracing_that_cannot_begin_ends_the_held_command() {
    let _lock = one_at_a_time();
    // Only dtrace_go() finds out that the option is missing, and by then there are probes.
    let script = "pid$target:a.out:functions_product:entry { system(\"true\"); }";
    let failure = run_synchronous(script, command_line("traced")).run().unwrap_err();
    assert!(
        matches!(&failure.error, Error::Libdtrace { call, .. } if call == "dtrace_go"),
        "{failure}"
    );
    dtrace_consumer::cool_down();
    wait_until_gone(&descendants_of(id()));
    // And the next one works.
    let mut products = 0;
    run_synchronous(PRODUCTS, command_line("traced"))
        .configure_command(|command| {
            command.stdin(Stdio::null());
        })
        .rows(|_: (i32,)| {
            products += 1;
            Ok(())
        })
        .run()
        .unwrap();
    assert_eq!(products, 3);
}

/// Its command would wait for its input for ever.
fn a_command_whose_functions_are_traced_ends_with_its_consumer() {
    let _lock = one_at_a_time();
    for stage in [Stage::Held, Stage::Running] {
        let consumer = Consumer::start(command_line("consumer"), stage, "traced");
        let family = consumer.family();
        let input = consumer.kill();
        wait_until_gone(&family);
        drop(input);
    }
}

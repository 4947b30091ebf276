//! Probes that programs define themselves (USDT): in Rust by the `usdt` crate, in C by `dtrace -h` and
//! `dtrace -G`.
//!
//! `vm/lane test` builds the C program of `tests/usdt` and names it by `DTRACE_USDT_PROGRAM`. Its kernels
//! run dtprobed, without which only `$target` finds such a program's probes.

use std::io::pipe;
use std::process::{Child, Command, Stdio};

use dtrace_consumer::{run_synchronous, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::programs::{example, stderr, stdout};

live_tests! {
    needs: [Tracing],
    tests: [
        probes_of_the_usdt_crate_are_typed_rows,
    ],
    needs: [Tracing, UsdtProgram],
    tests: [
        probes_of_a_c_program_that_is_run_have_declared_types,
        a_wildcard_finds_the_probes_of_a_program_that_runs_already,
    ],
}

fn probes_of_the_usdt_crate_are_typed_rows() {
    let output = Command::new(example("usdt_rows")).output().expect("the program starts");
    assert!(output.status.success(), "{}", stderr(&output));
    let expected = "request 1 for /: 10 bytes\n\
                    request 2 for /apples: 16 bytes\n\
                    request 3 for /pears: 15 bytes\n";
    assert_eq!(stdout(&output), expected);
}

/// The C program.
fn program() -> String {
    dtrace_test_support::usdt_program().expect("this test needs it")
}

/// A number, and how long the path is that was asked for, negative: the types are those of the
/// provider's declaration.
type Answer = (u64, i32);

const ANSWERS: [Answer; 3] = [(1, -1), (2, -7), (3, -6)];

const PRINT: &str = r#"{ printf("%d %d", args[0], args[1]); }"#;

fn probes_of_a_c_program_that_is_run_have_declared_types() {
    let program = program();
    let mut paths = Vec::new();
    let mut answers: Vec<Answer> = Vec::new();
    run_synchronous(
        format!(
            "shop$target:::request-begin {{ printf(\"%s\", copyinstr((uintptr_t)args[1])); }}
             shop$target:::request-end {PRINT}"
        ),
        [program],
    )
    .configure_command(|command| {
        command.stdin(Stdio::null());
    })
    .chew(|firing| {
        if firing.probe().name == "request-begin" {
            paths.push(firing.row::<(String,)>()?.0);
        } else {
            answers.push(firing.row()?);
        }
        Ok(())
    })
    .run()
    .unwrap();
    assert_eq!(paths, ["/", "/apples", "/pears"]);
    assert_eq!(answers, ANSWERS);
}

/// A program that goes on when its input ends.
fn start(program: &str, input: impl Into<Stdio>) -> Child {
    Command::new(program).stdin(input).spawn().expect("the program starts")
}

fn a_wildcard_finds_the_probes_of_a_program_that_runs_already() {
    let program = program();
    let (theirs, ours) = pipe().expect("a pipe");
    let mut running = start(&program, theirs);
    let mut lets_go = Some(ours);
    let mut answers: Vec<Answer> = Vec::new();
    trace(format!(
        "BEGIN {{ trace(0); }} shop*:::request-end {PRINT} shop*:::request-end /args[0] == 3/ {{ exit(0); }}"
    ))
    .chew(|firing| {
        match firing.probe().name.as_str() {
            "BEGIN" => drop(lets_go.take()),
            _ if firing.records().len() == 2 => answers.push(firing.row()?),
            _ => {}
        }
        Ok(())
    })
    .run()
    .unwrap();
    assert!(running.wait().expect("it is a child").success());
    assert_eq!(answers, ANSWERS);
}

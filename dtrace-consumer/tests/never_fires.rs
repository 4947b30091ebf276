//! Is the user told of clauses that are accepted and cannot fire?

use dtrace_consumer::session::WarningKind;
use dtrace_consumer::{Outcome, run_synchronous, trace};
#[cfg(target_os = "linux")]
use dtrace_test_support::Need;
#[cfg(target_os = "freebsd")]
use dtrace_test_support::answering::{Answering, DEADLINE};
#[cfg(target_os = "linux")]
use dtrace_test_support::harness::ignore;
use dtrace_test_support::live_tests;
#[cfg(any(target_os = "linux", target_os = "freebsd"))]
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        clauses_that_can_fire_are_not_warned_of,
        a_session_without_a_process_is_warned_of_its_target,
    ],
    needs: [Tracing, FunctionTracing],
    tests: [probes_that_are_built_upon_functions_can_fire],
    // Every other kernel has functions, and enables probes that appear later.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        a_clause_that_matches_nothing_is_warned_of,
        a_probe_that_is_built_upon_what_the_kernel_lacks_is_warned_of,
    ],
    #[cfg(target_os = "freebsd")]
    needs: [Tracing, ProbesInPrograms],
    tests: [
        probes_that_a_command_registers_fire,
        probes_that_a_process_has_registered_fire,
    ],
}

/// Probes that libdtrace builds upon functions of the kernel.
const BUILT: [&str; 4] = ["tcp:::send", "sched:::on-cpu", "lockstat:::", ":::signal-send"];

fn warned(outcome: &Outcome) -> Vec<(&str, WarningKind)> {
    outcome.warnings.iter().map(|warning| (warning.subject.as_str(), warning.kind)).collect()
}

fn clauses_that_can_fire_are_not_warned_of() {
    let script = "
        /* $target */
        BEGIN { exit(0); }
        syscall::openat:entry, proc:::exec, tcp:::state-change, sched:::off-cpu, sched::: { }
    ";
    let outcome = trace(script).allow_zero_matches().run().expect("the script is right");
    assert_eq!(outcome.warnings, []);
    let script = "syscall:::entry /pid == $target/ { }";
    let outcome = run_synchronous(script, ["true"]).run().expect("the script is right");
    assert_eq!(outcome.warnings, []);
}

#[cfg(target_os = "linux")]
fn a_clause_that_matches_nothing_is_warned_of() {
    let script = "BEGIN { exit(0); } syscall::nosuch:entry { } nosuch*:::sale { trace(1); }";
    let outcome = trace(script).allow_zero_matches().run().expect("nothing has to match");
    let expected = ["syscall::nosuch:entry", "nosuch*:::sale"];
    assert_eq!(warned(&outcome), expected.map(|subject| (subject, WarningKind::NeverFires)));
    // The process has no such library yet, and its probes are looked for only now.
    let script = "pid$target:libnosuch.so:f:entry { }";
    // Not true(1), which may be static: libdtrace refuses such programs.
    let session = run_synchronous(script, traced_program("exit", 0)).allow_zero_matches();
    let outcome = session.run().expect("nothing has to match");
    let [warning] = &outcome.warnings[..] else { panic!("{:?}", outcome.warnings) };
    assert_eq!(warning.kind, WarningKind::NeverFires);
    assert!(warning.subject.ends_with(":libnosuch.so:f:entry"), "{warning}");
}

fn a_session_without_a_process_is_warned_of_its_target() {
    let script = "BEGIN { exit(0); } syscall:::entry /pid == $target/ { }";
    let outcome = trace(script).run().expect("libdtrace accepts it");
    assert_eq!(warned(&outcome), [("$target", WarningKind::NeverFires)]);
}

fn probes_that_are_built_upon_functions_can_fire() {
    for probe in BUILT {
        let script = format!("BEGIN {{ exit(0); }} {probe} {{ }}");
        let outcome = trace(script).run().expect("the script is right");
        assert_eq!(outcome.warnings, [], "{probe}");
    }
}

#[cfg(target_os = "linux")]
fn a_probe_that_is_built_upon_what_the_kernel_lacks_is_warned_of() {
    if Need::FunctionTracing.check().is_ok() {
        ignore("the kernel has function tracing");
    }
    for probe in BUILT {
        let script = format!("BEGIN {{ exit(0); }} {probe} {{ }}");
        let outcome = trace(script).run().expect("libdtrace accepts it");
        assert_eq!(warned(&outcome), [(probe, WarningKind::NeverFires)]);
        assert!(outcome.warnings[0].message.contains("fbt:"), "{}", outcome.warnings[0]);
    }
}

#[cfg(target_os = "freebsd")]
fn probes_that_a_command_registers_fire() {
    for provider in ["stall$target", "stall*"] {
        let script = format!("{provider}:::sale {{ printf(\"%d %s\", arg0, copyinstr(arg1)); }}");
        let session = || run_synchronous(script.as_str(), traced_program("sells-out", 3));
        let error = session().run().expect_err("there is no such probe yet").error;
        assert!(error.to_string().contains("call `allow_zero_matches()`"), "{error}");
        let mut sales = Vec::new();
        let session = session().allow_zero_matches().rows(|sale: (i32, String)| {
            sales.push(sale);
            Ok(())
        });
        let outcome = session.run().expect("it runs");
        assert_eq!(sales, [1, 2, 3].map(|number| (number, format!("item {number}"))));
        assert_eq!(outcome.warnings, []);
    }
}

#[cfg(target_os = "freebsd")]
fn probes_that_a_process_has_registered_fire() {
    let mut program = Answering::start("sells");
    for (number, provider) in (2..).zip(["shop$target", "shop*"]) {
        let script = format!("{provider}:::sale {{ trace(arg0); exit(0); }}");
        let mut session = trace(script);
        if provider.contains('$') {
            session = session.grab(program.pid());
        }
        let mut sales = Vec::new();
        session
            .deadline(DEADLINE)
            .on_start(|_| {
                program.ask();
                Ok(())
            })
            .rows(|(sale,): (i32,)| {
                sales.push(sale);
                Ok(())
            })
            .run()
            .expect("it runs");
        assert_eq!(sales, [number], "{provider}");
        program.answered();
    }
    program.end();
}

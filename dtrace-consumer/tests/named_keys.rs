//! Do functions have names where libdtrace prints aggregations, although the process has ended?

use dtrace_consumer::session::Source;
use dtrace_consumer::{
    Aggregated, CallbackResult, Consumer, Firing, Session, Wants, run_synchronous, trace,
};
use dtrace_test_support::answering::Answering;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        keys_of_a_command_that_has_ended_have_names_in_printed_aggregations,
        keys_of_a_created_process_that_has_ended_have_names_in_printed_aggregations,
        keys_of_a_grabbed_process_that_goes_on_have_names_in_printed_aggregations,
        keys_with_names_keep_their_columns,
    ],
}

/// What a session prints.
#[derive(Default)]
struct Printed {
    report: String,
    printa: String,
    keys: Vec<String>,
}

impl Consumer for Printed {
    fn wants(&self) -> Wants {
        Wants::CHEW | Wants::REPORT
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        for output in firing.output() {
            self.printa.push_str(&String::from_utf8_lossy(output.bytes()));
        }
        Ok(())
    }

    fn report(&mut self, text: &[u8]) -> CallbackResult {
        self.report.push_str(&String::from_utf8_lossy(text));
        Ok(())
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        self.keys.push(entry.keys().next().map(|key| key.to_string()).unwrap_or_default());
        Ok(())
    }
}

/// Two aggregations: `printa()` prints one, and the other is left for the end.
const SCRIPT: &str = r#"
    syscall::getppid:entry /pid == $target/ { @left[ustack(2)] = count(); @printed[ustack(2)] = count(); }
    END { printa("%k is called %@d times\n", @printed); }"#;

fn printed(session: Session<impl Source, impl Consumer>) -> Printed {
    let mut printed = Printed::default();
    session.formatted().consumer(&mut printed).run().expect("it runs");
    printed
}

fn all_have_names(printed: &Printed) {
    let Printed { report, printa, keys } = printed;
    assert!(report.contains("libc.so.6`getppid+0x") && !report.contains(" 0x"), "{report}");
    assert!(printa.contains("libc.so.6`getppid+0x") && !printa.contains(" 0x"), "{printa}");
    assert!(printa.ends_with(" is called 3 times\n"), "{printa}");
    assert!(!keys.is_empty() && keys.iter().all(|key| key.contains("getppid")), "{keys:?}");
}

fn keys_of_a_command_that_has_ended_have_names_in_printed_aggregations() {
    let (_lock, guard) = alone();
    all_have_names(&printed(run_synchronous(SCRIPT, traced_program("calls", 3))));
    guard.check();
}

fn keys_of_a_created_process_that_has_ended_have_names_in_printed_aggregations() {
    let (_lock, guard) = alone();
    // The program ends before its `main`.
    let session = trace(SCRIPT).option("evaltime", "exec").create(traced_program("calls", 3));
    all_have_names(&printed(session));
    guard.check();
}

fn keys_of_a_grabbed_process_that_goes_on_have_names_in_printed_aggregations() {
    let (_lock, guard) = alone();
    let mut program = Answering::start("answer");
    let script =
        format!("{SCRIPT} syscall::getppid:entry /pid == $target && ++n == 3/ {{ exit(0); }}");
    let session = trace(script).grab(program.pid()).on_start(|_| {
        (0..3).for_each(|_| program.ask());
        Ok(())
    });
    all_have_names(&printed(session));
    (0..3).for_each(|_| program.answered());
    program.end();
    guard.check();
}

fn keys_with_names_keep_their_columns() {
    let (_lock, guard) = alone();
    let script = "syscall::getppid:entry /pid == $target/ { @[uaddr(uregs[R_PC])] = count(); }";
    let Printed { report, .. } = printed(run_synchronous(script, traced_program("calls", 3)));
    let line = report.lines().find(|line| line.contains("getppid")).unwrap_or_default();
    let name = line.split_ascii_whitespace().next().unwrap_or_default();
    assert!(name.starts_with("libc.so.6`getppid+0x"), "{report}");
    // libdtrace's format is two spaces, 50 columns for the name, and 17 for the count.
    assert_eq!(line, format!("  {name:<50} {:>16}", 3), "{report}");
    guard.check();
}

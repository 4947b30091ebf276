//! Are records delivered that wait in the kernel's buffers?
//!
//! While many records come, the kernel does not wake the worker for each.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use dtrace_consumer::{run_synchronous, trace};
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::{Missing, live_tests};

live_tests! {
    needs: [Tracing],
    tests: [
        what_waits_when_the_command_ends_is_delivered_before_end,
        what_waits_when_the_script_ends_is_delivered_before_end,
        a_single_record_after_many_arrives_without_another,
    ],
    needs: [Tracing, Check(interrupts_are_counted)],
    tests: [the_traced_program_is_not_interrupted_for_each_of_many_records],
}

const CLAUSE: &str = "syscall::getppid:entry /pid == $target/ { @ = count(); trace(1); }";

/// Runs a session whose last records wait in their buffers, and asserts that none is missing.
fn assert_complete(script: &str, delay: Duration) {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let calls = 30_000;
    let (mut probes, mut counted) = (Vec::new(), 0);
    let outcome = run_synchronous(script, traced_program("parallel-calls", calls))
        .option("bufsize", "16m")
        .max_delay(delay)
        .chew(|firing| {
            probes.push(firing.probe().name.clone());
            Ok(())
        })
        .walk(|entry| {
            counted = usize::try_from(entry.number()?)?;
            Ok(())
        })
        .run()
        .expect("a session");
    assert_eq!(outcome.losses.total_drops(), 0);
    assert_eq!(probes.first().map(String::as_str), Some("BEGIN"));
    assert_eq!(probes.last().map(String::as_str), Some("END"));
    assert_eq!(probes.iter().filter(|name| *name == "entry").count(), counted);
    assert!(counted <= cpus * calls && counted >= 20_000, "{counted}");
}

fn what_waits_when_the_command_ends_is_delivered_before_end() {
    let script = format!("BEGIN {{ trace(0); }} {CLAUSE} END {{ trace(2); }}");
    for delay in [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(200)].repeat(2) {
        assert_complete(&script, delay);
    }
}

fn what_waits_when_the_script_ends_is_delivered_before_end() {
    let exit = "syscall::getppid:return /pid == $target && ++n == 20000/ { exit(0); }";
    let script = format!("BEGIN {{ trace(0); }} {CLAUSE} {exit} END {{ trace(2); }}");
    for delay in [Duration::ZERO, Duration::from_millis(5), Duration::from_millis(200)].repeat(2) {
        assert_complete(&script, delay);
    }
}

fn a_single_record_after_many_arrives_without_another() {
    let words = traced_program("answer", 1);
    let mut program = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("a program");
    let mut input = program.stdin.take();
    // Many calls and a single one, in turns. Each begins when all records of the one before have arrived.
    let mut asked = [3000, 1, 3000, 1, 1, 3000, 1].into_iter();
    let mut awaited = 0;
    let mut ask = move || {
        awaited -= 1;
        if awaited <= 0 {
            match (asked.next(), &mut input) {
                (Some(number), Some(input)) => {
                    awaited = number;
                    input.write_all(&vec![b'.'; number as usize])?;
                }
                _ => drop(input.take()),
            }
        }
        Ok(())
    };
    let script =
        format!("BEGIN {{ trace(0); }} {}", CLAUSE.replace("$target", &program.id().to_string()));
    let mut records = 0;
    let outcome = trace(script)
        .grab(program.id() as i32)
        .chew(|_| {
            records += 1;
            ask()
        })
        .run()
        .expect("a session");
    assert!(program.wait().expect("its status").success());
    assert_eq!((records, outcome.losses.total_drops()), (1 + 9004, 0));
}

/// Returns how many interrupts the CPUs have sent to themselves.
fn interrupts() -> Option<u64> {
    let all = std::fs::read_to_string("/proc/interrupts").ok()?;
    let line = all.lines().find(|line| line.ends_with("IRQ work interrupts"))?;
    Some(line.split_whitespace().filter_map(|word| word.parse::<u64>().ok()).sum())
}

fn interrupts_are_counted() -> Result<(), Missing> {
    let what = "the kernel does not count the interrupts that a CPU sends to itself";
    interrupts().map(drop).ok_or_else(|| Missing::new(what))
}

fn the_traced_program_is_not_interrupted_for_each_of_many_records() {
    let calls = 100_000;
    let interrupts_with = |delay| {
        let before = interrupts().expect("it was there before");
        let mut records = 0;
        run_synchronous(CLAUSE, traced_program("calls", calls))
            .option("bufsize", "16m")
            .max_delay(delay)
            .chew(|_| {
                records += 1;
                Ok(())
            })
            .run()
            .expect("a session");
        assert_eq!(records, calls);
        interrupts().expect("it was there before") - before
    };
    let [each, few] = [Duration::ZERO, Duration::from_millis(5)].map(interrupts_with);
    assert!(each >= calls, "{each} interrupts where each record wakes the session");
    assert!(few < each / 2, "{few} interrupts for records that wait, {each} for those that do not");
}

//! What do closures receive of the records of a firing?

use std::io::Write;

use dtrace_consumer::record::Action;
use dtrace_consumer::value::{Integer, Sign};
use dtrace_consumer::{Error, Value, ValueRef, run_synchronous, trace};
use dtrace_test_support::kernel::{DEEP, ENTRY, IS_LINUX, MODULE};
use dtrace_test_support::live_tests;
use dtrace_test_support::sessions::{strings, values_of};
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        printf_arguments_have_the_sign_of_their_conversion,
        the_kernels_stack_and_symbols_are_named,
        frames_and_addresses_of_the_traced_process_are_named_while_it_lives,
        the_status_of_exit_is_in_the_outcome_and_in_its_record,
        rows_take_the_values_by_position,
        clauses_of_different_shapes_have_a_closure_each_or_a_variant_each,
        a_register_that_holds_a_negative_int_is_told_with_its_remedy,
        committed_speculations_arrive_and_discarded_ones_do_not,
        what_records_nothing_is_no_record,
    ],
    long: [
        several_printfs_in_a_clause_keep_their_own_arguments,
        a_clause_without_actions_is_delivered_without_records,
        the_status_of_exit_is_known_without_any_closure,
        the_records_of_end_are_delivered_after_all_others,
        every_call_of_a_command_up_to_its_last_instant_arrives,
        a_number_that_does_not_fit_its_type_is_an_error_and_is_not_cut,
        what_is_for_libdtrace_to_do_arrives_with_its_kind_and_bytes,
        built_in_variables_need_nothing_else_in_the_script,
    ],
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        traced_integers_keep_their_width_and_sign,
    ],
}

/// Width, sign and value of every number of the only firing.
fn numbers(script: &str) -> Vec<(usize, Sign, i128)> {
    let [values] = &values_of(script)[..] else { panic!("one firing was expected") };
    let number = |value: &Value| match value {
        Value::Integer(n) => (n.width(), n.sign(), n.as_i128()),
        other => panic!("{other:?} is no number"),
    };
    values.iter().map(number).collect()
}

/// Elsewhere libdtrace does not say whether a number that is traced without a format has a sign.
#[cfg(target_os = "linux")]
fn traced_integers_keep_their_width_and_sign() {
    let found = numbers(
        "BEGIN {
            trace((int8_t)-1); trace((int16_t)-2); trace((int32_t)-3); trace((int64_t)-4);
            trace((uint8_t)255); trace((uint16_t)65535); trace((uint32_t)4294967295);
            trace(0xffffffffffffffff);
            trace((int64_t)3000000000); trace(-9223372036854775807 - 1);
        }",
    );
    use Sign::{Signed, Unsigned};
    assert_eq!(
        found,
        [
            (1, Signed, -1),
            (2, Signed, -2),
            (4, Signed, -3),
            (8, Signed, -4),
            (1, Unsigned, 255),
            (2, Unsigned, 65535),
            (4, Unsigned, 4_294_967_295),
            (8, Unsigned, u64::MAX.into()),
            (8, Signed, 3_000_000_000),
            (8, Signed, i64::MIN.into()),
        ]
    );
}

fn printf_arguments_have_the_sign_of_their_conversion() {
    let found = numbers(
        r#"BEGIN { printf("%d %u %x %i %o %hd %ld %5d %-3u %%\n", -1, -1, (int8_t)-1, (int16_t)-5,
            (int16_t)-1, (short)-2, -9223372036854775807, -7, (uint8_t)200); }"#,
    );
    let values: Vec<i128> = found.iter().map(|(.., n)| *n).collect();
    assert_eq!(
        values,
        [-1, 0xffff_ffff, 0xff, -5, 0xffff, -2, -9_223_372_036_854_775_807, -7, 200]
    );
}

fn several_printfs_in_a_clause_keep_their_own_arguments() {
    let script = r#"BEGIN { printf("%u", -1); printf("text only"); printf("%s %d", "a", -1); }"#;
    let mut rows: Vec<(u32, (), String, i32)> = Vec::new();
    run_synchronous(script, ["true"])
        .chew(|firing| {
            let value = |i: usize| firing.record(i).expect("there are four records");
            assert_eq!(value(1).value(), ValueRef::Nothing);
            rows.push((value(0).get()?, (), value(2).get()?, value(3).get()?));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(rows, [(u32::MAX, (), "a".to_owned(), -1)]);
}

fn the_kernels_stack_and_symbols_are_named() {
    let mut frames: Vec<(Option<String>, Option<String>)> = Vec::new();
    let mut caller = Vec::new();
    run_synchronous(
        format!(
            "{DEEP} /pid == $target && !done/ {{
                done = 1; stack(); sym(caller); mod(caller); stack(2);
            }}"
        ),
        traced_program("calls", 1),
    )
    .chew(|firing| {
        let records: Vec<_> = firing.values().collect();
        let [ValueRef::Stack(stack), ValueRef::Symbol(sym), ValueRef::Symbol(module), short] =
            records[..]
        else {
            panic!("{records:?}")
        };
        assert_eq!(stack.pid(), None);
        frames.extend(
            stack.frames().map(|f| (f.module().map(str::to_owned), f.symbol().map(str::to_owned))),
        );
        let ValueRef::Stack(short) = short else { panic!("{short:?}") };
        assert!(short.frames().eq(stack.frames().take(2)));
        caller.push((sym.to_string(), sym.symbol().map(str::to_owned), module.to_string()));
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert!(frames.len() > 2, "{frames:?}");
    assert!(frames.iter().all(|(module, _)| module.as_deref() == Some(MODULE)), "{frames:?}");
    let names: Vec<_> = frames.iter().filter_map(|(_, symbol)| symbol.as_deref()).collect();
    assert!(names.iter().any(|name| name.contains(ENTRY)), "{names:?}");
    let [(text, Some(symbol), module)] = &caller[..] else { panic!("{caller:?}") };
    assert!(text.starts_with(&format!("{MODULE}`{symbol}")), "{text}");
    assert_eq!(module, MODULE);
}

fn frames_and_addresses_of_the_traced_process_are_named_while_it_lives() {
    let (theirs, mut ours) = std::io::pipe().expect("a pipe");
    // It makes its call, and then waits until the closure has seen it.
    ours.write_all(b"x").expect("the pipe takes a byte");
    let mut ours = Some(ours);
    let mut found = Vec::new();
    let mut target = None;
    run_synchronous(
        "syscall::getppid:entry /pid == $target/ {
            trace(pid); ustack(); ustack(1);
            usym(uregs[R_PC]); umod(uregs[R_PC]); uaddr(uregs[R_PC]); ufunc(uregs[R_PC]);
        }",
        traced_program("answer", 1),
    )
    .configure_command(|command| {
        command.stdin(theirs).stdout(std::process::Stdio::null());
    })
    .chew(|firing| {
        ours.take();
        target = Some(firing.record(0).expect("the pid").get::<u32>()?);
        for record in firing.records().skip(1) {
            match record.value() {
                ValueRef::Stack(stack) => {
                    assert_eq!(stack.pid(), target);
                    let frame = stack.frames().next().expect("a frame");
                    found.push((frame.pid(), frame.to_string()));
                }
                ValueRef::Symbol(symbol) => found.push((symbol.pid(), symbol.to_string())),
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert_eq!(found.len(), 6);
    assert!(found.iter().all(|(pid, _)| *pid == target), "{found:?}");
    for (i, (_, text)) in found.iter().enumerate() {
        // The functions for system calls are libc's own, or libsys's since FreeBSD 15.
        let expected: &[&str] = if i == 3 { &["libc", "libsys"] } else { &["`getppid"] };
        let is_named = expected.iter().any(|name| text.contains(name));
        assert!(is_named, "{i}: {text} does not name {expected:?}");
    }
}

fn a_clause_without_actions_is_delivered_without_records() {
    let mut firings = Vec::new();
    let outcome = run_synchronous("BEGIN { }", ["true"])
        .chew(|firing| {
            firings.push((firing.probe().to_string(), firing.records().len()));
            Ok(())
        })
        .chewrec(|record| panic!("a record: {record:?}"))
        .run()
        .expect("the session comes to its end");
    assert_eq!(firings, [("dtrace:::BEGIN".to_owned(), 0)]);
    assert_eq!(outcome.firings, 1);
}

fn the_status_of_exit_is_in_the_outcome_and_in_its_record() {
    let mut records = Vec::new();
    let outcome = run_synchronous("BEGIN { trace(5); exit(7); }", ["true"])
        .chewrec(|record| {
            records.push((record.action(), record.get::<i32>()?));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(outcome.exit, Some(7));
    assert_eq!(records, [(Action::Trace, 5), (Action::Exit, 7)]);
}

fn the_status_of_exit_is_known_without_any_closure() {
    let outcome = run_synchronous("BEGIN { exit(-3); }", ["true"]).run().expect("it ends");
    assert_eq!(outcome.exit, Some(-3));
    let outcome = run_synchronous("BEGIN { }", ["true"]).run().expect("it ends");
    assert_eq!(outcome.exit, None);
}

fn the_records_of_end_are_delivered_after_all_others() {
    for script in [
        r#"BEGIN { trace("begin"); } END { trace("end"); }"#,
        r#"BEGIN { trace("begin"); exit(0); } END { trace("end"); }"#,
    ] {
        assert_eq!(strings(&values_of(script)), ["begin", "end"], "{script}");
    }
}

fn every_call_of_a_command_up_to_its_last_instant_arrives() {
    const CALLS: i32 = 5000;
    let mut order = Vec::new();
    let mut counted = 0;
    let outcome = run_synchronous(
        "syscall::getppid:entry /pid == $target/ { trace(n++); @ = count(); }",
        traced_program("calls", CALLS),
    )
    .chewrec(|record| {
        order.push(record.get::<i32>()?);
        Ok(())
    })
    .walk(|entry| {
        counted += entry.number()?;
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert!(outcome.losses.is_empty(), "{}", outcome.losses);
    assert_eq!(order.len(), CALLS as usize);
    order.sort_unstable();
    assert!(order.into_iter().eq(0..CALLS));
    assert_eq!((counted, outcome.firings), (i64::from(CALLS), CALLS as u64));
}

fn rows_take_the_values_by_position() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Row {
        name: String,
        small: i8,
        large: u64,
    }
    let mut rows = Vec::new();
    run_synchronous(
        r#"BEGIN { printf("%s %d %u\n", "x", (int8_t)-1, 0xffffffffffffffff); exit(0); }"#,
        ["true"],
    )
    .rows(|row: Row| {
        rows.push(row);
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert_eq!(rows, [Row { name: "x".to_owned(), small: -1, large: u64::MAX }]);
}

fn clauses_of_different_shapes_have_a_closure_each_or_a_variant_each() {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(untagged)]
    enum Row {
        Call { call: String, process: Process },
        Number { number: i8 },
    }
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Process(u32);

    let script = r#"BEGIN { printf("call=%s process=%d\n", "read", 7); }
        END, ERROR { printf("number=%d\n", (int8_t)-1); }"#;
    let (mut begun, mut ended, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    let outcome = run_synchronous(script, ["true"])
        .rows_for("BEGIN", |row: (String, u32)| {
            begun.push(row);
            Ok(())
        })
        .rows_for("dtrace:::E*", |number: i32| {
            ended.push(number);
            Ok(())
        })
        .rows_for("ERROR", |_: i32| unreachable!("nothing fails"))
        .rows_for("dtrace:::NEVER", |_: i32| unreachable!("there is no such clause"))
        .rows(|row: Row| {
            rows.push(row);
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!((begun, ended), (vec![("read".to_owned(), 7)], vec![-1]));
    let call = "read".to_owned();
    assert_eq!(rows, [Row::Call { call, process: Process(7) }, Row::Number { number: -1 }]);
    let subjects: Vec<&str> = outcome.warnings.iter().map(|w| w.subject.as_str()).collect();
    assert_eq!(subjects, [r#"rows_for("dtrace:::NEVER")"#]);
}

fn a_register_that_holds_a_negative_int_is_told_with_its_remedy() {
    // The dynamic linker of Linux opens libraries with AT_FDCWD, -100, as the directory. On aarch64 it extends the sign.
    // FreeBSD's did so in 12.1, and no longer in 15.1, where stat(3) passes the same number to fstatat(2).
    let (call, command): (_, &[&str]) = match cfg!(target_os = "freebsd") {
        true => ("fstatat", &["test", "-e", "/"]),
        false => ("openat", &["true"]),
    };
    let descriptors = |value: &str| {
        let script = format!(
            r#"syscall::{call}:entry /pid == $target && !seen++/ {{ printf("%d", {value}); }}"#
        );
        let mut descriptors = Vec::new();
        run_synchronous(script, command)
            .rows(|descriptor: i32| {
                descriptors.push(descriptor);
                Ok(())
            })
            .run()
            .map(|_| descriptors)
    };
    let failure = descriptors("arg0 & 0xffffffff").expect_err("a register is not an int");
    let Error::Row(error) = failure.error else { panic!("{failure:?}") };
    let text = error.to_string();
    assert!(text.contains("found integer 4294967196 (if that is -100 in a 64-bit"), "{text}");
    assert!(text.contains("`(int)arg0`"), "{text}");
    assert_eq!(descriptors("(int)arg0").expect("the session comes to its end"), [-100]);
}

fn a_number_that_does_not_fit_its_type_is_an_error_and_is_not_cut() {
    let mut asked = 0;
    run_synchronous("BEGIN { trace((int64_t)3000000000); }", ["true"])
        .chewrec(|record| {
            asked += 1;
            assert!(record.get::<i32>().is_err());
            assert!(record.get::<String>().is_err());
            assert_eq!(record.get::<u32>()?, 3_000_000_000);
            assert_eq!(record.get::<Integer>()?.width(), 8);
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(asked, 1);
}

fn what_is_for_libdtrace_to_do_arrives_with_its_kind_and_bytes() {
    let mut found = Vec::new();
    run_synchronous("BEGIN { @a = count(); clear(@a); printa(@a); }", ["true"])
        .chew(|firing| {
            assert_eq!(firing.values().count(), 0, "these are no values of the script");
            found.extend(firing.records().map(|r| (r.action(), r.bytes().len())));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    // The number of the aggregation.
    let size = if IS_LINUX { 4 } else { 8 };
    assert_eq!(found, [(Action::Library, size), (Action::Printa, size)]);
}

fn committed_speculations_arrive_and_discarded_ones_do_not() {
    let values = values_of(
        r#"BEGIN { keep = speculation(); lose = speculation(); }
        BEGIN { speculate(keep); trace("kept"); }
        BEGIN { speculate(lose); trace("lost"); }
        BEGIN { commit(keep); }
        BEGIN { discard(lose); }"#,
    );
    assert_eq!(strings(&values), ["kept"]);
}

/// FreeBSD's libdtrace lists assignments and speculate() among the records.
fn what_records_nothing_is_no_record() {
    let script = "BEGIN { self->s = speculation(); trace(1); }
        BEGIN { speculate(self->s); trace(2); }
        BEGIN { commit(self->s); }
        BEGIN { this->n = 3; printf(\"%d\", this->n); exit(0); }";
    let (mut first, mut printed) = (Vec::new(), Vec::new());
    trace(script)
        .chew(|firing| {
            first.push(firing.record(0).ok_or("no record")?.get::<i32>()?);
            Ok(())
        })
        .out(|output| {
            printed.push(output.text().trim().to_owned());
            Ok(())
        })
        .run()
        .expect("it runs");
    first.sort_unstable();
    printed.sort_unstable();
    assert_eq!((first, printed.concat().as_str()), (vec![1, 2, 3], "123"));
}

fn built_in_variables_need_nothing_else_in_the_script() {
    // FreeBSD has no cwd.
    let variables =
        ["execname", "ppid", "pid", "tid", "uid", "errno", "probefunc", "caller", "cwd"];
    for variable in &variables[..if IS_LINUX { 9 } else { 8 }] {
        let script = format!("syscall::getppid:entry /pid == $target/ {{ trace({variable}); }}");
        let mut delivered = 0;
        run_synchronous(&script, traced_program("calls", 2))
            .chew(|_| {
                delivered += 1;
                Ok(())
            })
            .run()
            .unwrap_or_else(|failure| panic!("{variable}: {failure}"));
        assert_eq!(delivered, 2, "{variable}");
    }
    let script = "syscall::getppid:entry /progenyof($target)/ { @ = count(); }";
    let mut count = 0;
    run_synchronous(script, traced_program("calls", 2))
        .walk(|entry| {
            count += entry.number()?;
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(count, 2);
}

//! What does a user get for what cannot work?
//!
//! A typed error; never a hang, never silence.
//!
//! Here and in other files of tests, constants whose names begin with `BAD_` are bad inputs, one or a table. docs/reliability.md
//! states how many there are, and `tests/reliability.rs` counts them.

use std::path::{Path, PathBuf};

use dtrace_consumer::error::CompileError;
use dtrace_consumer::session::WarningKind;
use dtrace_consumer::{ConsumerThread, Error, Failure, Outcome, Script, run_synchronous, trace};
use dtrace_test_support::kernel::IS_LINUX;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;

live_tests! {
    needs: [Tracing],
    tests: [
        a_syntax_error_is_shown_in_its_line,
        an_unknown_probe_is_named,
        a_target_without_a_process_is_told,
        a_character_that_is_not_ascii_is_named_in_its_column,
        an_unknown_option_is_named,
        structured_output_is_refused_whoever_asks_for_it,
        a_program_that_is_no_worker_is_told_and_not_waited_for,
    ],
    long: [
        an_unknown_function_is_shown_in_its_line,
        an_unknown_variable_is_shown_in_its_line,
        a_script_among_several_is_named_by_its_own_name,
        a_probe_that_is_not_similar_is_not_suggested,
        a_missing_macro_argument_names_the_method_that_sets_it,
        an_unknown_probe_may_be_allowed_and_never_fires,
        a_nul_in_a_script_or_its_arguments_is_refused,
        a_script_that_never_fires_delivers_nothing_and_ends_with_the_command,
        a_wrong_value_of_an_option_is_named,
        options_that_would_end_the_worker_are_refused,
        destructive_actions_need_their_option,
        an_empty_script_does_not_compile,
    ],
    needs: [Tracing, Faults],
    tests: [an_access_to_address_0_is_a_fault_of_its_probe],
    long: [a_division_by_zero_is_a_fault_of_its_kind],
    needs: [],
    tests: [
        an_empty_prefix_is_named_with_what_is_missing,
        a_file_that_is_no_libdtrace_is_not_loaded,
    ],
    // Elsewhere no kernel lacks functions, processes of the user are looked into without `grab`, and the rest works.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        a_function_of_a_kernel_without_kprobes_gets_the_providers_that_work,
        a_process_that_is_not_grabbed_names_grab,
        a_library_of_another_version_is_not_loaded,
        a_conversion_that_libdtrace_cannot_carry_out_ends_the_session_with_its_words,
    ],
}

fn run(script: &str) -> Result<Outcome, Failure> {
    run_synchronous(script, ["true"]).run()
}

fn error_of(script: &str) -> Error {
    run(script).expect_err("that cannot work").error
}

fn compile_error(script: &str) -> CompileError {
    match error_of(script) {
        Error::Compile(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// A directory that goes away with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn a_syntax_error_is_shown_in_its_line() {
    const BAD_SCRIPT: &str = "BEGIN\n{\n\ttrace(1;\n}\n";
    let error = compile_error(BAD_SCRIPT);
    assert_eq!((error.script.as_str(), error.line), ("script", Some(3)));
    assert_eq!(error.source_line.as_deref(), Some("\ttrace(1;"));
    assert_eq!(error.tag.as_deref(), Some("D_SYNTAX"));
    let text = error.to_string();
    assert!(text.contains("line 3") && text.contains("\n 3 | \ttrace(1;\n"), "{text}");
    assert!(text.ends_with('^'), "{text}");
}

fn an_unknown_function_is_shown_in_its_line() {
    const BAD_SCRIPT: &str = "BEGIN\n{\n    trace(nothing_of_that_name(1));\n}\n";
    let error = compile_error(BAD_SCRIPT);
    assert_eq!((error.line, error.column), (Some(3), Some(10)));
    assert!(error.message.contains("nothing_of_that_name"), "{error}");
    assert!(error.to_string().ends_with("\n   |           ^"), "{error}");
}

fn an_unknown_variable_is_shown_in_its_line() {
    const BAD_SCRIPT: &str = "BEGIN { trace(1); }\nEND { trace(nothing); }";
    let error = compile_error(BAD_SCRIPT);
    assert_eq!((error.line, error.column), (Some(2), Some(12)));
}

fn a_script_among_several_is_named_by_its_own_name() {
    const BAD_SCRIPT: &str = "BEGIN {\n trace(; }";
    let result = run_synchronous("BEGIN { }", ["true"])
        .script(Script::new(BAD_SCRIPT).named("second.d"))
        .run();
    let Err(Failure { error: Error::Compile(error), .. }) = result else { panic!("{result:?}") };
    assert_eq!((error.script.as_str(), error.line), ("second.d", Some(2)));
}

fn an_unknown_probe_is_named() {
    const BAD_SCRIPTS: [(&str, &str); 2] = [
        ("syscall::no_such_call:entry { }", "no_such_call"),
        ("no_such_provider:::probe { }", "no_such_provider"),
    ];
    for (script, name) in BAD_SCRIPTS {
        let error = compile_error(script);
        assert!(error.to_string().contains(name), "{error}");
    }
}

fn a_probe_that_is_not_similar_is_not_suggested() {
    const BAD_SCRIPT: &str = "shop*:::sale { }";
    let error = compile_error(BAD_SCRIPT);
    assert_eq!(error.similar, [""; 0]);
    let advice = error.advice.expect("there is no such provider");
    assert!(
        advice.contains("no provider matches `shop*`") && advice.contains("syscall"),
        "{advice}"
    );
}

#[cfg(target_os = "linux")]
fn a_function_of_a_kernel_without_kprobes_gets_the_providers_that_work() {
    const BAD_SCRIPT: &str = "fbt::no_such_function:entry { }";
    let symbols = std::fs::read_to_string("/proc/kallsyms").expect("the kernel's symbols");
    let has = |name| symbols.lines().any(|line| line.split(' ').nth(2) == Some(name));
    let error = compile_error(BAD_SCRIPT);
    let advice = error.advice.expect("it is known why");
    let expected =
        if has("register_kprobe") { "has no function" } else { "`rawtp`, `sdt` and `syscall`" };
    assert!(advice.contains(expected), "{advice}");
}

#[cfg(target_os = "linux")]
fn a_process_that_is_not_grabbed_names_grab() {
    const BAD_SCRIPTS: [&str; 2] = ["pidSELF:libc:malloc:entry { }", "pid1:libc:malloc:entry { }"];
    const BAD_SCRIPT: &str = "pid99999999:libc:malloc:entry { }";
    for script in BAD_SCRIPTS {
        let script = script.replace("SELF", &std::process::id().to_string());
        let advice = compile_error(&script).advice.unwrap_or_default();
        assert!(advice.contains("call `grab("), "{script}: {advice}");
    }
    let advice = compile_error(BAD_SCRIPT).advice.unwrap_or_default();
    assert_eq!(advice, "there is no process 99999999");
}

fn a_target_without_a_process_is_told() {
    const BAD_SCRIPTS: [&str; 2] = ["pid$target:libc:malloc:entry { }", "myapp$target:::probe { }"];
    for script in BAD_SCRIPTS {
        let Err(Failure { error: Error::Compile(error), .. }) = trace(script).run() else {
            panic!("{script}")
        };
        let advice = error.advice.unwrap_or_default();
        assert!(
            advice.contains("`$target` is 0") && advice.contains("run_synchronous"),
            "{advice}"
        );
    }
    let warnings = |script| {
        let outcome = trace(script).run().expect("libdtrace accepts it");
        outcome.warnings.into_iter().map(|it| it.kind).collect::<Vec<_>>()
    };
    assert_eq!(warnings("BEGIN { trace($target); exit(0); }"), [WarningKind::NeverFires]);
    assert_eq!(warnings("BEGIN /* $target */ { exit(0); }"), []);
    let outcome = run("BEGIN { trace($target); }").expect("the command is the target");
    assert_eq!(outcome.warnings, []);
}

fn a_missing_macro_argument_names_the_method_that_sets_it() {
    const BAD_SCRIPTS: [&str; 2] = ["BEGIN { trace($1); }", "pid$1:libc:malloc:entry { }"];
    for script in BAD_SCRIPTS {
        let advice = compile_error(script).advice.unwrap_or_default();
        assert!(advice.contains("`Script::args`"), "{script}: {advice}");
    }
}

fn a_character_that_is_not_ascii_is_named_in_its_column() {
    const BAD_SCRIPT: &str = "BEGIN\n{\n  printf(\"größe\"); trace(“x”);\n}\n";
    const BAD_SCRIPTS: [(&str, &str); 3] = [
        ("BEGIN { naïve = 1; }", "U+00EF"),
        ("BEGIN {\u{a0}exit(0); }", "U+00A0"),
        ("BEGIN { x – 1; }", "U+2013"),
    ];
    let error = compile_error(BAD_SCRIPT);
    assert_eq!((error.line, error.column), (Some(3), Some("  printf(\"größe\"); trace(".len())));
    assert_eq!(error.message, "syntax error near \"“\" (U+201C)");
    let text = error.to_string();
    assert!(text.contains("type the ASCII quotation mark"), "{text}");
    for (script, code_point) in BAD_SCRIPTS {
        let text = compile_error(script).to_string();
        assert!(text.contains(&format!("\" ({code_point})")), "{text}");
    }
    run("BEGIN { printf(\"größe\"); /* “ */ }")
        .expect("strings and comments may have any characters");
}

fn an_unknown_probe_may_be_allowed_and_never_fires() {
    let mut fired = Vec::new();
    let script = "syscall::no_such_call:entry { } BEGIN { }";
    run_synchronous(script, ["true"])
        .allow_zero_matches()
        .chew(|firing| {
            fired.push(firing.probe().name.clone());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(fired, ["BEGIN"]);
}

fn a_nul_in_a_script_or_its_arguments_is_refused() {
    const BAD_SCRIPT: &str = "BEGIN { }\0";
    const BAD_ARGUMENT: &str = "1\0";
    const BAD_OPTION: (&str, &str) = ("bufsize", "4\0m");
    let error = error_of(BAD_SCRIPT);
    assert!(matches!(&error, Error::Script { script, .. } if script == "script"), "{error:?}");
    let script = Script::new("BEGIN { trace($1); }").args([BAD_ARGUMENT]);
    let result = run_synchronous(script, ["true"]).run();
    assert!(result.is_err(), "{result:?}");
    let (name, value) = BAD_OPTION;
    let result = run_synchronous("BEGIN { }", ["true"]).option(name, value).run();
    assert!(matches!(&result, Err(f) if matches!(f.error, Error::Option { .. })), "{result:?}");
}

fn an_empty_script_does_not_compile() {
    const BAD_SCRIPTS: [&str; 4] = ["", " \n", "/* nothing */", "/* nothing */\n\n"];
    for script in BAD_SCRIPTS {
        let outcome = run(script).map(|outcome| outcome.firings).map_err(|failure| failure.error);
        assert!(matches!(outcome, Err(Error::Compile(_))), "{script:?}: {outcome:?}");
    }
}

fn a_script_that_never_fires_delivers_nothing_and_ends_with_the_command() {
    let mut called = 0;
    let outcome = run_synchronous("syscall::reboot:entry { trace(1); @ = count(); }", ["true"])
        .chew(|_| {
            called += 1;
            Ok(())
        })
        .walk(|entry| panic!("{entry:?}"))
        .run()
        .expect("the session comes to its end");
    assert_eq!((called, outcome.firings), (0, 0));
    assert!(outcome.command.is_some_and(|command| command.finished()));
}

fn an_unknown_option_is_named() {
    const BAD_OPTION: (&str, &str) = ("no_such_option", "1");
    let result = run_synchronous("BEGIN { }", ["true"]).option(BAD_OPTION.0, BAD_OPTION.1).run();
    let Err(Failure { error: Error::Option { name, value: Some(value), .. }, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!((name.as_str(), value.as_str()), BAD_OPTION);
}

/// FreeBSD has the option since 2024; elsewhere it is unknown.
fn structured_output_is_refused_whoever_asks_for_it() {
    const BAD_OPTION: (&str, &str) = ("oformat", "json");
    const BAD_SCRIPT: &str = "#pragma D option oformat=json\nBEGIN { exit(0); }";
    let result = trace("BEGIN { exit(0); }").option(BAD_OPTION.0, BAD_OPTION.1).run();
    let Err(Failure { error: Error::Option { name, .. }, .. }) = result else {
        panic!("{result:?}");
    };
    assert_eq!(name, BAD_OPTION.0);
    match error_of(BAD_SCRIPT) {
        Error::Option { name, .. } => assert_eq!(name, BAD_OPTION.0),
        Error::Compile(error) => assert_eq!(error.line, Some(1)),
        error => panic!("{error:?}"),
    }
}

fn a_wrong_value_of_an_option_is_named() {
    const BAD_OPTIONS: [(&str, &str); 3] =
        [("bufsize", "many"), ("bufsize", "4q"), ("switchrate", "-1parsec")];
    for (name, value) in BAD_OPTIONS {
        let result = run_synchronous("BEGIN { }", ["true"]).option(name, value).run();
        let Err(Failure { error: Error::Option { name: named, value: of, .. }, .. }) = result
        else {
            panic!("{name}={value}: {result:?}")
        };
        assert_eq!((named.as_str(), of.as_deref()), (name, Some(value)));
    }
}

fn options_that_would_end_the_worker_are_refused() {
    const BAD_OPTIONS: [(&str, Option<&str>); 5] = [
        ("core", None),
        ("nolibs", None),
        ("cpu", Some("x")),
        ("cpu", None),
        ("cpu", Some("9999")),
    ];
    // Elsewhere than on Linux, nothing fires on a CPU that is not there.
    for (name, value) in BAD_OPTIONS.into_iter().take(if IS_LINUX { 5 } else { 4 }) {
        let session = run_synchronous("BEGIN { }", ["true"]);
        let session = match value {
            Some(value) => session.option(name, value),
            None => session.flag(name),
        };
        let result = session.run();
        let Err(Failure { error: Error::Option { name: named, .. }, .. }) = result else {
            panic!("{name}: {result:?}")
        };
        assert_eq!(named, name);
    }
}

fn destructive_actions_need_their_option() {
    const BAD_SCRIPT: &str = r#"BEGIN { system("true"); }"#;
    let error = error_of(BAD_SCRIPT);
    assert!(error.to_string().contains("option `destructive`"), "{error}");
    run_synchronous(BAD_SCRIPT, ["true"]).flag("destructive").run().expect("now it may");
}

fn an_access_to_address_0_is_a_fault_of_its_probe() {
    const BAD_SCRIPT: &str = "BEGIN { trace(*(int *)0); } BEGIN { trace(1); } END { trace(2); }";
    let mut faults = Vec::new();
    let mut values = Vec::new();
    let outcome = run_synchronous(BAD_SCRIPT, ["true"])
        .chewrec(|record| {
            values.push(record.get::<i32>()?);
            Ok(())
        })
        .on_fault(|fault| {
            faults.push(fault.clone());
            Ok(())
        })
        .run()
        .expect("a fault ends a clause and not the session");
    let [fault] = &faults[..] else { panic!("{faults:?}") };
    assert_eq!(fault.probe.as_ref().map(|p| p.to_string()).as_deref(), Some("dtrace:::BEGIN"));
    assert!(fault.kind.contains("address"), "{fault:?}");
    assert_eq!(fault.address, 0);
    assert_eq!(outcome.losses.faults().collect::<Vec<_>>(), [("dtrace:::BEGIN", 1)]);
    assert_eq!(values, [1, 2]);
}

fn a_division_by_zero_is_a_fault_of_its_kind() {
    const BAD_SCRIPT: &str = "BEGIN { zero = 0; } BEGIN { trace(1 / zero); }";
    let mut kinds = Vec::new();
    let outcome = run_synchronous(BAD_SCRIPT, ["true"])
        .on_fault(|fault| {
            kinds.push(fault.kind.clone());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(outcome.losses.total_faults(), 1);
    assert!(kinds.len() == 1 && kinds[0].contains("zero"), "{kinds:?}");
}

fn an_empty_prefix_is_named_with_what_is_missing() {
    let scratch = Scratch::new("dtrace-consumer-empty-prefix");
    let result = run_synchronous("BEGIN { }", ["true"]).prefix(&scratch.0).run();
    let Err(Failure { error: Error::Unavailable(what), .. }) = result else { panic!("{result:?}") };
    assert!(what.to_string().contains(&scratch.0.display().to_string()), "{what}");
    assert!(what.missing().iter().all(|check| check.remedy.is_some()), "{what}");
    let result = ConsumerThread::builder("BEGIN { }").prefix(&scratch.0).spawn();
    assert!(matches!(&result, Err(f) if matches!(f.error, Error::Unavailable(_))), "{result:?}");
}

fn a_file_that_is_no_libdtrace_is_not_loaded() {
    const BAD_LIBRARIES: [&[u8]; 3] = [b"this is no library\n", b"\x7fELF", b""];
    let scratch = Scratch::new("dtrace-consumer-wrong-library");
    let directory = scratch.0.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    std::fs::create_dir_all(&directory).expect("directories can be made");
    for content in BAD_LIBRARIES {
        std::fs::write(directory.join("libdtrace.so.2"), content).expect("the file can be written");
        let result = run_synchronous("BEGIN { }", ["true"]).prefix(&scratch.0).run();
        let Err(Failure { error: Error::Unavailable(what), .. }) = result else {
            panic!("{result:?}")
        };
        assert!(what.to_string().contains(&scratch.0.display().to_string()), "{what}");
    }
}

#[cfg(target_os = "linux")]
fn a_library_of_another_version_is_not_loaded() {
    const BAD_LIBRARY: &str = "2.0.5";
    let real = prefix::used().library;
    let mut image = std::fs::read(&real).expect("the library can be read");
    let scratch = Scratch::new("dtrace-consumer-other-version");
    let directory = scratch.0.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH));
    std::fs::create_dir_all(&directory).expect("directories can be made");
    let mut changed = 0;
    for at in 0..image.len().saturating_sub(5) {
        if &image[at..at + 5] == b"2.0.7" {
            image[at..at + 5].copy_from_slice(BAD_LIBRARY.as_bytes());
            changed += 1;
        }
    }
    assert!(changed > 0);
    std::fs::write(directory.join("libdtrace.so.2"), image).expect("the file can be written");
    let result = run_synchronous("BEGIN { }", ["true"]).prefix(&scratch.0).run();
    let Err(Failure { error: Error::Unavailable(what), .. }) = result else { panic!("{result:?}") };
    let words = format!("version {BAD_LIBRARY} is not supported");
    assert!(what.to_string().contains(&words), "{what}");
}

fn a_program_that_is_no_worker_is_told_and_not_waited_for() {
    const BAD_WORKERS: [&str; 3] = ["/usr/bin/true", "/no/such/worker", "/etc/passwd"];
    let has_loader = prefix::used().loader.is_some();
    for program in BAD_WORKERS {
        let result = run_synchronous("BEGIN { }", ["true"]).worker(program).run();
        let Err(Failure { error, .. }) = result else { panic!("{result:?}") };
        // A loader of libdtrace's own starts, whatever the program is.
        let starts = program == "/usr/bin/true" || has_loader;
        let as_expected = match &error {
            Error::WorkerDied { .. } => starts,
            Error::WorkerStart { program: named, .. } => !starts && named == Path::new(program),
            _ => false,
        };
        assert!(as_expected, "{program}: {error:?}");
    }
}

#[cfg(target_os = "linux")]
fn a_conversion_that_libdtrace_cannot_carry_out_ends_the_session_with_its_words() {
    const BAD_SCRIPT: &str = r#"BEGIN { trace(1); } BEGIN { printf("%wc", 'y'); }"#;
    let mut before = 0;
    let result = run_synchronous(BAD_SCRIPT, ["true"])
        .out(|_| {
            before += 1;
            Ok(())
        })
        .run();
    let Err(Failure { error: Error::Libdtrace { call, .. }, .. }) = &result else {
        panic!("{result:?}")
    };
    assert_eq!((call.as_str(), before), ("dtrace_work", 1));
}

//! Does an error send the user the right way: to the option, the clause, the D library at fault?

use std::process::Command;

use dtrace_consumer::error::CompileError;
use dtrace_consumer::{Error, Failure, Outcome, Script, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::Prefix;

live_tests! {
    needs: [Tracing],
    tests: [
        the_option_of_a_map_that_is_too_large_is_named_with_its_value,
        too_many_clauses_of_a_probe_are_told_with_the_verifiers_reason,
        a_command_without_the_function_is_not_to_be_grabbed,
    ],
    long: [
        a_library_that_was_left_out_is_named_where_the_script_uses_it,
        every_option_that_sizes_a_map_is_named_if_it_is_too_large,
        what_the_kernel_does_not_permit_is_not_for_a_pattern_to_exclude,
        a_clause_that_is_too_large_is_to_be_split,
        what_libraries_define_leads_to_those_that_were_left_out,
        files_and_translated_arguments_lead_to_the_library_that_was_left_out,
        a_library_that_was_left_out_is_not_blamed_for_another_mistake,
    ],
    needs: [Tracing, Command("cpp")],
    tests: [
        a_probe_that_the_preprocessor_makes_is_found_in_the_command,
    ],
    long: [
        however_the_preprocessor_makes_a_probe_the_command_is_held_for_it,
        stacks_that_the_preprocessor_asks_for_are_resolved,
        a_library_that_a_macro_needs_is_named,
    ],
}

/// The flag that makes libdtrace run the preprocessor (`DTRACE_C_CPP`).
const PREPROCESS: u32 = 0x10;

fn error_of(result: Result<Outcome, Failure>) -> Error {
    result.expect_err("that cannot work").error
}

fn too_large(script: &str, options: &[(&str, &str)]) -> String {
    let session = options
        .iter()
        .fold(run_synchronous(script, ["true"]), |it, (name, value)| it.option(*name, *value));
    match error_of(session.run()) {
        Error::Libdtrace { call, advice: Some(advice), .. } if call == "dtrace_go" => advice,
        other => panic!("{options:?}: {other}"),
    }
}

fn the_option_of_a_map_that_is_too_large_is_named_with_its_value() {
    let advice = too_large("BEGIN { }", &[("strsize", "64k")]);
    assert!(advice.ends_with("lower the option `strsize` (64k)"), "{advice}");
    let error =
        error_of(run_synchronous("BEGIN { }", ["true"]).option("maxframes", "100000").run());
    let Error::Option { name, reason, .. } = error else { panic!("{error}") };
    assert!(name == "maxframes" && reason.contains("kernel.perf_event_max_stack"), "{reason}");
}

fn every_option_that_sizes_a_map_is_named_if_it_is_too_large() {
    let scratch = "BEGIN { this->p = alloca(8); trace(this->p); }";
    let dynamic = "BEGIN { a[\"x\"] = 1; trace(a[\"x\"]); }";
    for (script, option, value) in [
        (scratch, "scratchsize", "20k"),
        (dynamic, "dynvarsize", "1000g"),
        ("BEGIN { @[probename] = count(); }", "aggsize", "1000g"),
        ("BEGIN { speculate(speculation()); }", "nspec", "10000000000"),
    ] {
        let advice = too_large(script, &[(option, value)]);
        assert!(advice.ends_with(&format!("lower the option `{option}` ({value})")), "{advice}");
    }
    let advice = too_large(dynamic, &[("dynvarsize", "8")]);
    assert!(advice.ends_with("raise the option `dynvarsize` (8)"), "{advice}");
    let advice = too_large("BEGIN { tracemem(curthread, 40000); }", &[]);
    assert!(advice.contains("32 KiB; record less in a clause"), "{advice}");
    // The limits that the advice names.
    let string = "BEGIN { x = strjoin(probename, probeprov); trace(x); }";
    for (script, option, value) in [
        (scratch, "scratchsize", "16000"),
        (string, "strsize", "3k"),
        ("BEGIN { }", "bufsize", "1g"),
    ] {
        let session = run_synchronous(script, ["true"]).option(option, value);
        session.run().unwrap_or_else(|failure| panic!("{option}={value}: {failure}"));
    }
}

/// The text of an error that the kernel refused a probe.
fn refused(script: &str) -> String {
    let session = run_synchronous(script, ["true"]).flag("destructive");
    match error_of(session.run()) {
        error @ Error::Enable { .. } => error.to_string(),
        other => panic!("{other}"),
    }
}

fn too_many_clauses_of_a_probe_are_told_with_the_verifiers_reason() {
    let text = refused(&"BEGIN { trace(1); }\n".repeat(300));
    assert!(text.contains("the kernel's verifier: too many subprograms (all clauses of"), "{text}");
    assert!(text.contains("fewer than 250 clauses"), "{text}");
}

fn a_clause_that_is_too_large_is_to_be_split() {
    let statement = |n| format!("x{n} = strjoin(execname, probefunc);");
    let clause: String = (0..2000).map(statement).collect();
    let text = refused(&format!("BEGIN {{ {clause} }}"));
    assert!(text.contains("; the kernel's verifier: "), "{text}");
    assert!(text.ends_with("split it into several clauses)"), "{text}");
    let many = "BEGIN { trace(1); }\n".repeat(240);
    run_synchronous(many, ["true"]).run().expect("so many clauses of a probe work");
}

/// The kernel's lockdown decides whether it permits writing to the memory of processes.
fn what_the_kernel_does_not_permit_is_not_for_a_pattern_to_exclude() {
    for script in [
        "BEGIN { copyoutstr(\"x\", 0x1000, 2); exit(0); }",
        "syscall::get*id:entry { copyoutstr(\"x\", arg0, 2); exit(0); }",
    ] {
        match run_synchronous(script, ["true"]).flag("destructive").run() {
            Ok(_) => assert!(!is_locked_down(), "{script}"),
            Err(Failure { error, .. }) => {
                let text = error.to_string();
                assert!(is_locked_down(), "{text}");
                assert!(text.contains("bpf_probe_write_user"), "{text}");
                assert!(text.contains("locked down permits neither `copyout` nor"), "{text}");
                assert!(!text.contains("matches it"), "{text}");
            }
        }
    }
}

fn a_command_without_the_function_is_not_to_be_grabbed() {
    let script = "pid$target:libc.so.6:no_such_function_*:entry { }";
    let Error::Compile(error) = error_of(run_synchronous(script, ["true"]).run()) else {
        panic!("it does not compile")
    };
    let advice = error.advice.unwrap_or_default();
    assert!(advice.contains("has no such function") && !advice.contains("grab"), "{advice}");
}

/// A prefix in which one D library does not compile, and another one needs that.
fn broken(name: &str) -> Prefix {
    let prefix = Prefix::new(name);
    prefix.add_library(
        "odd.d",
        "typedef struct oddinfo { int odd_size; } oddinfo_t;\n\
         inline int odd = vmlinux`no_such_variable;\n",
    );
    let dependent = "#pragma D depends_on library odd.d\ninline int even = odd + 1;\n";
    prefix.add_library("even.d", dependent);
    prefix
}

fn compile_error(prefix: &Prefix, script: &str) -> CompileError {
    match error_of(run_synchronous(script, ["true"]).prefix(prefix.path()).run()) {
        Error::Compile(error) => *error,
        other => panic!("{script}: {other}"),
    }
}

fn a_library_that_was_left_out_is_named_where_the_script_uses_it() {
    let error = compile_error(&broken("odd"), "BEGIN { trace(odd); }");
    let omitted = error.omitted.iter().find(|it| it.file == "odd.d").expect("it is named");
    assert!(omitted.reason.contains("no_such_variable"), "{}", omitted.reason);
    let text = error.to_string();
    assert!(text.contains("the D library odd.d does not compile here and was left out"), "{text}");
    assert_eq!(error.omitted.len(), 1, "{text}");
}

/// Where a type is missing, libdtrace speaks of a syntax error.
fn what_libraries_define_leads_to_those_that_were_left_out() {
    let prefix = broken("odd-uses");
    for script in [
        "BEGIN { trace(((oddinfo_t *)0)->odd_size); }",
        "BEGIN { trace(sizeof (oddinfo_t)); }",
        "BEGIN { this->o = (struct oddinfo *)0; trace(this->o->odd_size); }",
        "inline int mine = odd; BEGIN { trace(mine); }",
        "BEGIN { trace(even); }",
    ] {
        let error = compile_error(&prefix, script);
        assert!(error.omitted.iter().any(|it| it.file == "odd.d"), "{script}: {error}");
    }
}

/// libdtrace's own `io.d` defines them.
fn files_and_translated_arguments_lead_to_the_library_that_was_left_out() {
    let prefix = Prefix::new("no-io");
    prefix.break_library("io.d");
    for script in [
        "BEGIN { trace(fds[0].fi_pathname); }",
        "syscall::write:entry { trace(fds[arg0].fi_fs); }",
        "BEGIN { this->file = (fileinfo_t *)0; trace(this->file->fi_name); }",
        "BEGIN { trace(sizeof (devinfo_t)); }",
        "io:::start { trace(args[0]->b_bcount); }",
        "io:::start { trace(args[1]->dev_name); }",
        "io:::start { trace(args[2]->fi_pathname); }",
    ] {
        let error = compile_error(&prefix, script);
        let text = error.to_string();
        let omitted = error.omitted.iter().find(|it| it.file == "io.d");
        let omitted = omitted.unwrap_or_else(|| panic!("{script}: {text}"));
        let named = format!(
            "the D library io.d does not compile here and was left out: {}",
            omitted.reason
        );
        assert!(!omitted.reason.is_empty() && text.contains(&named), "{script}: {text}");
    }
    // What other libraries define works without it.
    for script in ["BEGIN { trace(curpsinfo->pr_fname); }", "proc:::exit { trace(args[0]); }"] {
        let session = run_synchronous(script, ["true"]).prefix(prefix.path());
        session.run().unwrap_or_else(|failure| panic!("{script}: {failure}"));
    }
}

fn a_library_that_was_left_out_is_not_blamed_for_another_mistake() {
    let prefix = broken("odd-others");
    for script in [
        "BEGIN { trace(nothing); }",
        "BEGIN { trace(curthread->odd_one_out); }",
        "BEGIN { trace(\"odd\"); /* odd */ trace(1; }",
        "proc:::exit { trace(args[0]->nothing); }",
    ] {
        let error = compile_error(&prefix, script);
        assert_eq!(error.omitted, [], "{script}: {error}");
    }
}

/// What a session delivers whose script goes through the preprocessor.
fn preprocessed(script: Script, options: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let session = run_synchronous(script, ["true"]).compile_flags(PREPROCESS);
    options
        .iter()
        .fold(session, |it, (name, value)| it.option(*name, *value))
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .run()
        .expect("the command is held");
    text
}

const ACTION: &str = ":libc.so.6:exit:entry { printf(\"%s\", probefunc); }\n";

fn a_probe_that_the_preprocessor_makes_is_found_in_the_command() {
    let script = format!("#define P(name) name ## $target\nP(pid){ACTION}");
    assert_eq!(preprocessed(Script::new(script), &[]), "exit");
}

fn however_the_preprocessor_makes_a_probe_the_command_is_held_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let included = directory.path().join("probe.h");
    std::fs::write(&included, format!("pid$target{ACTION}")).expect("a file");
    for (script, options) in [
        (format!("pid$target{ACTION}"), &[][..]),
        (format!("#define T pid$target\nT{ACTION}"), &[]),
        (
            format!(
                "#define N target\n#define T(n) pid ## $ ## n\n#define U(n) T(n)\nU(N){ACTION}"
            ),
            &[],
        ),
        (format!("#include \"{}\"\n", included.display()), &[]),
        (format!("T{ACTION}"), &[("define", "T=pid$target")]),
        (format!("#ifdef X\npid$target:::entry {{ }}\n#else\npid$target{ACTION}#endif\n"), &[]),
    ] {
        assert_eq!(preprocessed(Script::new(script.as_str()), options), "exit", "{script}");
    }
    // A script without such probes does not need it.
    let plain = "#define NAME \"plain\"\nBEGIN { printf(NAME); }\n";
    assert_eq!(preprocessed(Script::new(plain), &[]), "plain");
}

fn stacks_that_the_preprocessor_asks_for_are_resolved() {
    let script = "#define S(a, b) a ## b()\n\
                  syscall::exit_group:entry /pid == $target/ { S(us, tack); }\n";
    let text = preprocessed(Script::new(script), &[]);
    assert!(text.contains("libc.so.6`"), "{text}");
}

fn a_library_that_a_macro_needs_is_named() {
    let prefix = broken("odd-macros");
    for (script, is_named) in [
        ("#define SIZE(o) ((oddinfo_t *)o)->odd_size\nBEGIN { trace(SIZE(0)); }", true),
        ("#define NAME nothing\nBEGIN { trace(NAME); }", false),
    ] {
        let session = run_synchronous(script, ["true"]).compile_flags(PREPROCESS);
        let Error::Compile(error) = error_of(session.prefix(prefix.path()).run()) else {
            panic!("{script}")
        };
        let named = error.omitted.iter().any(|it| it.file == "odd.d");
        assert_eq!(named, is_named, "{script}: {error}");
    }
}

/// Whether the kernel protects the memory of processes from BPF programs.
fn is_locked_down() -> bool {
    let script = "mount -t securityfs none /sys/kernel/security; cat /sys/kernel/security/lockdown";
    let output = Command::new("unshare").args(["--mount", "sh", "-c", script]).output();
    let modes = String::from_utf8(output.expect("it starts").stdout).expect("text");
    // A kernel without the file cannot be locked down.
    modes.contains('[') && !modes.contains("[none]")
}

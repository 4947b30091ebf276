//! Do `BEGIN` and `END` fire if libdtrace does not call the functions that fire them?
//!
//! Link-time optimisation removes these calls. The tests remove them from copies of libdtrace.

use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::session::WarningKind;
use dtrace_consumer::{Error, Outcome, Value, run_synchronous, trace};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::harness::ignore;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, System};

mod libdtrace_copy;

use libdtrace_copy::{Call, Copy, FRAMED, RETURNS_ONE, can_be_changed};

live_tests! {
    needs: [Tracing, Check(can_be_changed)],
    tests: [
        begin_is_first_and_end_is_last,
        the_status_of_exit_in_begin_counts_and_end_is_delivered,
        functions_with_a_frame_pointer_are_called,
        without_a_function_that_can_be_called_no_begin_is_an_error_and_no_end_a_warning,
        a_libdtrace_that_does_not_tell_whether_begin_has_fired_traces_nothing,
    ],
    long: [
        a_fault_in_begin_or_end_is_reported,
    ],
    by_hand: [
        each_script_of_a_session_has_its_begin_and_its_end_once,
        the_probes_fire_on_the_only_cpu_that_is_traced,
        aggregations_and_printed_text_of_begin_and_end_are_complete,
    ],
    needs: [Tracing, Check(can_be_changed), Command("unshare")],
    tests: [],
    long: [in_a_pid_namespace_both_fire],
    needs: [Tracing, Check(can_be_changed), Dtrace1],
    tests: [],
    by_hand: [without_this_help_neither_fires],
    needs: [Tracing, Check(can_be_changed), Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [in_an_elevated_worker_both_fire],
}

/// The calls that a build may lack.
const MISSING: [&[Call]; 4] = [&[Call::Begin, Call::End], &[Call::Begin], &[Call::End], &[]];

const ORDER: &str = r#"
    syscall::getppid:entry /pid == $target/ { trace("call"); }
    END { trace("end"); }
    BEGIN { trace("begin"); }
"#;

/// What the script delivers with a libdtrace.
const IN_ORDER: &str = "begin call call call end";

ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        do_a_case();
    }
}

/// The first argument of this binary that is to run the session in other surroundings.
const WORD: &str = "order-in";

fn do_a_case() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(case) = user::case() {
        assert_eq!(case, "order");
        let session = run_synchronous(ORDER, traced_program("calls", 3));
        println!("{}", texts(session.elevation(Elevation::Sudo)).0);
    } else if let [_, word, prefix] = &arguments[..]
        && word == WORD
    {
        println!("{}", order_in(Path::new(prefix)).0);
    } else {
        return;
    }
    std::process::exit(0);
}

/// Runs the session, and returns the strings that it delivers.
fn texts<S, C>(session: dtrace_consumer::Session<S, C>) -> (String, Outcome)
where
    S: dtrace_consumer::session::Source + dtrace_consumer::session::Traces,
    C: dtrace_consumer::Consumer,
{
    let mut texts: Vec<String> = Vec::new();
    let outcome = session
        .chew(|firing| {
            texts.extend(firing.values().filter_map(|value| match value.to_owned() {
                Value::String(text) => Some(String::from_utf8_lossy(&text).into_owned()),
                _ => None,
            }));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    (texts.join(" "), outcome)
}

fn order_in(prefix: &Path) -> (String, Outcome) {
    texts(run_synchronous(ORDER, traced_program("calls", 3)).prefix(prefix))
}

fn begin_is_first_and_end_is_last() {
    for missing in MISSING {
        let copy = Copy::without("order", missing);
        let (order, outcome) = order_in(copy.prefix());
        assert_eq!(order, IN_ORDER, "{missing:?}");
        assert!(outcome.warnings.is_empty(), "{missing:?}: {:?}", outcome.warnings);
    }
}

fn the_status_of_exit_in_begin_counts_and_end_is_delivered() {
    for missing in MISSING {
        let copy = Copy::without("exit", missing);
        let script = r#"BEGIN { trace("begin"); exit(3); } END { trace("end"); } tick-1ms { trace("tick"); }"#;
        let (order, outcome) = texts(trace(script).prefix(copy.prefix()));
        assert_eq!((order.as_str(), outcome.exit), ("begin end", Some(3)), "{missing:?}");
    }
}

fn functions_with_a_frame_pointer_are_called() {
    let mut copy = Copy::without("framed", MISSING[0]);
    copy.replace(Call::Begin, FRAMED);
    copy.replace(Call::End, FRAMED);
    assert_eq!(order_in(copy.prefix()).0, IN_ORDER);
}

fn without_a_function_that_can_be_called_no_begin_is_an_error_and_no_end_a_warning() {
    let mut copy = Copy::without("begin", MISSING[0]);
    copy.replace(Call::Begin, RETURNS_ONE);
    let failed = run_synchronous(ORDER, ["true"]).prefix(copy.prefix()).run();
    let error = failed.expect_err("it cannot trace").error;
    assert!(matches!(error, Error::NotBegun), "{error}");

    let mut copy = Copy::without("end", MISSING[0]);
    copy.replace(Call::End, RETURNS_ONE);
    let (order, outcome) = order_in(copy.prefix());
    assert_eq!(order, "begin call call call");
    let warned = outcome.warnings.iter().map(|it| (it.kind, it.subject.as_str()));
    assert!(warned.eq([(WarningKind::NeverFires, "dtrace:::END")]), "{:?}", outcome.warnings);
}

fn each_script_of_a_session_has_its_begin_and_its_end_once() {
    for missing in MISSING {
        let copy = Copy::without("scripts", missing);
        let session = run_synchronous(r#"BEGIN { trace("a"); } END { trace("x"); }"#, ["true"])
            .script(r#"BEGIN { trace("b"); } END { trace("y"); }"#)
            .script(r#"BEGIN { trace("c"); } dtrace:::BEGIN { trace("d"); }"#);
        assert_eq!(texts(session.prefix(copy.prefix())).0, "a b c d x y", "{missing:?}");
    }
}

fn a_fault_in_begin_or_end_is_reported() {
    for missing in MISSING {
        let copy = Copy::without("faults", missing);
        let script = r#"
            BEGIN { trace("begin"); }
            BEGIN { trace(*(int *)0); trace("not reached"); }
            ERROR { trace("error"); }
            END { trace(*(int *)0); }
            END { trace("end"); }
        "#;
        let mut faults = 0;
        let session = run_synchronous(script, ["true"]).prefix(copy.prefix());
        let session = session.on_fault(|_| {
            faults += 1;
            Ok(())
        });
        let order = texts(session).0;
        assert_eq!((order.as_str(), faults), ("begin error error end", 2), "{missing:?}");
    }
}

fn the_probes_fire_on_the_only_cpu_that_is_traced() {
    let allowed = std::fs::read_to_string("/proc/self/status").expect("proc(5) is mounted");
    let list = allowed.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let last = list.and_then(|it| it.trim().rsplit([',', '-']).next()?.parse::<u64>().ok());
    let last = last.expect("the kernel lists them");
    if last == 0 {
        ignore("there is only one CPU");
    }
    let pragma = format!("#pragma D option cpu={last}\n");
    for missing in MISSING {
        let copy = Copy::without("cpu", missing);
        for (option, pragma) in [(Some(last.to_string()), ""), (None, pragma.as_str())] {
            let script = format!("{pragma}BEGIN {{ trace(cpu); exit(0); }} END {{ trace(cpu); }}");
            let mut cpus = Vec::new();
            let mut session = trace(script).prefix(copy.prefix());
            if let Some(cpu) = &option {
                session = session.option("cpu", cpu.as_str());
            }
            let outcome = session
                .chew(|firing| {
                    cpus.push(firing.record(0).expect("the CPU").get::<u64>()?);
                    Ok(())
                })
                .run()
                .expect("it traces");
            assert_eq!(cpus, [last, last], "{missing:?} {option:?}");
            assert!(outcome.losses.is_empty(), "{}", outcome.losses);
        }
    }
}

fn aggregations_and_printed_text_of_begin_and_end_are_complete() {
    for missing in MISSING {
        let copy = Copy::without("text", missing);
        let script = r#"
            BEGIN { @n["begin"] = count(); printf("begin "); }
            END { @n["end"] = count(); printf("end "); printa("%s %@d ", @n); }
        "#;
        let mut text = String::new();
        run_synchronous(script, ["true"])
            .prefix(copy.prefix())
            .out(|output| {
                text.push_str(&output.text());
                Ok(())
            })
            .run()
            .expect("it traces");
        for part in ["begin end ", "begin 1 ", "end 1 "] {
            assert!(text.contains(part), "{missing:?}: {text}");
        }
    }
}

fn in_a_pid_namespace_both_fire() {
    let copy = Copy::without("namespace", MISSING[0]);
    let exe = std::env::current_exe().expect("the test knows its own file");
    let output = Command::new("unshare")
        .args(["-p", "-f", "--mount-proc"])
        .arg(exe)
        .arg(WORD)
        .arg(copy.prefix())
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1) starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), IN_ORDER, "{output:?}");
}

fn without_this_help_neither_fires() {
    let scratch = tempfile::tempdir().expect("a directory");
    let copy = Copy::without("control", MISSING[0]);
    let printed = |prefix: Option<&Path>| {
        let dtrace1 = Dtrace1::find(scratch.path(), &["io.d".to_owned()]).expect("it is there");
        let dtrace1 = match prefix {
            Some(prefix) => dtrace1.with_library_of(prefix),
            None => dtrace1,
        };
        let script = r#"BEGIN { printf("begin "); } END { printf("end "); }"#;
        let output = dtrace1.command().args(["-q", "-n", script, "-c", "true"]).output();
        let output = output.expect("it starts");
        (String::from_utf8_lossy(&output.stdout).trim().to_owned(), output.status.success())
    };
    assert_eq!(printed(None), ("begin end".to_owned(), true), "with both calls");
    let _ = std::fs::remove_dir_all(scratch.path().join("libraries"));
    assert_eq!(printed(Some(copy.prefix())), (String::new(), true), "without");
}

fn in_an_elevated_worker_both_fire() {
    let copy = Copy::without("elevated", MISSING[0]);
    // A private libdtrace is copied for the user's system.
    let commands = format!(
        "test -d /mnt/libdtrace || {{ cp -r '{prefix}' /mnt/libdtrace
             echo 'prefix = /mnt/libdtrace' >> /etc/dtrace-worker.conf; }}
         cp --remove-destination '{library}' /mnt/libdtrace/usr/lib/*/libdtrace.so.2",
        prefix = copy.prefix().display(),
        library = copy.library().display(),
    );
    let system = System { sudoers: user::SUDOERS, commands: &commands, ..System::default() };
    let worker = Path::new(env!("CARGO_BIN_EXE_dtrace-worker"));
    assert_eq!(user::as_user(&system, worker, "order").trim(), IN_ORDER);
}

fn a_libdtrace_that_does_not_tell_whether_begin_has_fired_traces_nothing() {
    for missing in [MISSING[3], MISSING[0]] {
        let mut copy = Copy::without("unknown", missing);
        copy.rename_state();
        let failed = run_synchronous(ORDER, ["true"]).prefix(copy.prefix()).run();
        let text = failed.expect_err("it cannot know").error.to_string();
        assert!(
            text.contains("finding out whether BEGIN has fired failed: libdtrace has no BPF map"),
            "{text}"
        );
    }
}

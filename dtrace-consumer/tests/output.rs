//! Is the text of records what dtrace(1) would print?

use std::fmt::Write;
use std::fs;
use std::path::Path;

use dtrace_consumer::record::Action;
use dtrace_consumer::{run_synchronous, trace};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::kernel::DEEP;
use dtrace_test_support::live_tests;
use dtrace_test_support::sessions::text_of;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing, Dtrace1],
    tests: [
        numbers_among_keys_read_as_dtrace_prints_them,
    ],
    long: [
        records_print_as_with_dtrace_when_quiet,
        records_print_as_in_the_table_of_dtrace,
        numbers_and_strings_print_as_with_dtrace,
        aggregations_print_as_with_dtrace,
    ],
    needs: [Tracing],
    tests: [
        each_text_belongs_to_its_probe_and_record,
        an_exit_prints_nothing,
        white_space_of_the_text_is_kept,
        a_text_after_ftruncate_is_whole,
        text_and_values_of_a_firing_come_together,
        a_kernel_stack_prints_its_frames_as_lines,
        a_command_of_system_is_run_by_the_users_process_in_its_place,
        what_is_left_to_the_closures_is_done_by_nobody_else,
    ],
    // On Linux print() takes an address.
    #[cfg(target_os = "freebsd")]
    needs: [Tracing, Dtrace1],
    tests: [typed_values_print_as_with_dtrace],
}

/// What dtrace(1) of the same libdtrace prints for the script, quietly or not.
fn dtrace(script: &str, quiet: bool) -> String {
    let scratch = tempfile::tempdir().expect("a directory");
    // It may not compile, and the scripts do not need it.
    let without = ["io.d".to_owned()];
    let dtrace = Dtrace1::find(scratch.path(), &without).expect("this test needs it");
    let mut command = dtrace.command();
    if quiet {
        command.arg("-q");
    }
    let output = command.args(["-n", script]).output().expect("unshare(1) can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "dtrace(1) failed: {errors}");
    String::from_utf8(output.stdout).expect("the script prints text")
}

const RECORDS: &str = r#"BEGIN {
    printf("%d|%5d|%-5d|%05d|%u|%x|%#x|%o|%c|%s|%10s|%-10s|%%\n", -1, 42, 42, 42, -1, 255, 255, 8,
        'x', "text", "right", "left");
    printf("%hd %ld %lld %i %p %Y\n", (short)-2, -9223372036854775807, 1LL, (int8_t)-5,
        (void *)0xdeadbeef, (int64_t)0);
    printf("%S\n", "tab\tend");
    printf("no argument\n");
    trace(1); trace(-1); trace("string"); trace((uint8_t)200); trace((char)'a');
}
BEGIN { }
BEGIN { exit(0); }
END { printf("end %s\n", "of it"); }"#;

const AGGREGATIONS: &str = r#"BEGIN {
    @counts["one", 1] = count(); @counts["two", -2] = count(); @counts["two", -2] = count();
    @sum = sum(-7); @mean = avg(-3); @mean = avg(-4);
    @quantize["q"] = quantize(7); @quantize["q"] = quantize(100);
    @linear = lquantize(5, 0, 10, 1); @log = llquantize(35, 10, 0, 3, 10);
    printa(@counts); printa("%s %d %@d\n", @counts);
    printa("%@d %@x\n", @sum); printa(@mean); printa("%@u\n", @mean);
    printa(@quantize); printa(@linear); printa(@log);
    clear(@counts); printa("cleared %s %d %@d\n", @counts);
    normalize(@sum, 2); printa("normal %@d\n", @sum); denormalize(@sum);
    trunc(@counts); trunc(@sum); trunc(@mean); trunc(@quantize); trunc(@linear); trunc(@log);
    exit(0);
}"#;

fn records_print_as_with_dtrace_when_quiet() {
    let expected = dtrace(RECORDS, true);
    let mut text = String::new();
    run_synchronous(RECORDS, ["true"])
        .flag("quiet")
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(text.trim_end(), expected.trim_end());
}

/// Prints values of all sizes in all the ways that the worker formats without libdtrace. No clause has other actions, or
/// libdtrace would format all of it.
fn numbers_and_strings() -> String {
    const SIZES: [&str; 8] =
        ["char", "unsigned char", "short", "ushort_t", "int", "uint_t", "int64_t", "uint64_t"];
    const NUMBERS: [&str; 4] = ["0", "100", "-1", "0x8000000080008080"];
    let ways = |letters: &'static str, flags: &'static [&str]| {
        let ways = letters.chars().flat_map(move |it| flags.iter().map(move |flag| (it, flag)));
        ways.map(|(letter, flags)| format!("[%{flags}{letter}]")).collect::<String>()
    };
    let mut script = String::new();
    let mut clause = |format: String, value: String| {
        let values = vec![value; format.matches('%').count()].join(", ");
        writeln!(script, r#"BEGIN {{ printf("{format} 100%%\n", {values}); }}"#).expect("a string");
    };
    for (size, number) in SIZES.iter().flat_map(|size| NUMBERS.map(|it| (size, it))) {
        let numbers = ways("diuoxX", &["", "0", "1", "8", "-8", "08", "-030", "0-30"]);
        clause(numbers, format!("({size}){number}"));
    }
    for (letters, value) in [
        ("hd hi 8hd", "(short)-2"),
        ("hu ho", "(unsigned short)-2"),
        ("hx hX", "(short)-2"),
        ("ld li 8ld", "(long)-2"),
        ("lu lo", "(unsigned long)-2"),
        ("lx lX", "(long)-2"),
        ("lld lli", "(long long)-2"),
        ("llu llo", "(unsigned long long)-2"),
        ("llx llX", "(long long)-2"),
    ] {
        clause(letters.split(' ').map(|it| format!("[%{it}]")).collect(), value.to_owned());
    }
    for size in &SIZES[..6] {
        clause(ways("c", &["", "3", "-3"]), format!("({size})'c'"));
    }
    for string in ["text", "", "\\303\\244"] {
        clause(ways("s", &["", "2", "-2", "8", "-8"]), format!("\"{string}\""));
    }
    script + "BEGIN { exit(0); }"
}

fn numbers_and_strings_print_as_with_dtrace() {
    let script = numbers_and_strings();
    let expected = dtrace(&script, true);
    assert_eq!(text_of(&script).trim_end(), expected.trim_end());
}

fn aggregations_print_as_with_dtrace() {
    let expected = dtrace(AGGREGATIONS, true);
    assert!(expected.contains("cleared two -2 0"), "{expected}");
    assert_eq!(text_of(AGGREGATIONS).trim_end(), expected.trim_end());
}

#[cfg(target_os = "freebsd")]
fn typed_values_print_as_with_dtrace() {
    let script = "BEGIN { print(7); print(probename); exit(0); }";
    assert_eq!(text_of(script).trim_end(), dtrace(script, true).trim_end());
}

fn records_print_as_in_the_table_of_dtrace() {
    let expected = dtrace(RECORDS, false);
    let mut rest = expected.as_str();
    run_synchronous(RECORDS, ["true"])
        .out(|output| {
            let text = output.text();
            let at = rest.find(&*text);
            let at = at.unwrap_or_else(|| panic!("{text:?} is not in the rest of {expected}"));
            rest = &rest[at + text.len()..];
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(rest.trim_end(), "");
}

fn numbers_among_keys_read_as_dtrace_prints_them() {
    let script = "BEGIN {
        @[(char)-2, (short)-2, -2, (long long)-2] = count();
        @[(uint8_t)-3, (uint16_t)-3, (uint32_t)-3, (uint64_t)-3] = count();
        @[5, 6, 7, 8] = count();
        exit(0);
    }";
    let mut keys = Vec::new();
    let mut json = Vec::new();
    run_synchronous(script.replace("exit(0);", ""), ["true"])
        .walk(|entry| {
            let texts: Vec<String> = entry.keys().map(|key| key.to_string()).collect();
            keys.push(texts.join(" "));
            let numbers: Vec<i128> =
                serde_json::from_value(serde_json::to_value(entry.keys().collect::<Vec<_>>())?)?;
            json.push(numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    // The last number is the value.
    let printed: Vec<String> = dtrace(script, true)
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter_map(|words| words.split_last().map(|(_, keys)| keys.join(" ")))
        .collect();
    assert_eq!(printed.len(), 3, "{printed:?}");
    assert_eq!((&keys, &json), (&printed, &printed));
}

fn each_text_belongs_to_its_probe_and_record() {
    let mut found = Vec::new();
    let script = r#"BEGIN { printf("a %d %s\n", 1, "x"); trace(2); printf("c\n"); @n = count(); printa("%@d\n", @n); exit(0); }
        END { printf("end\n"); }"#;
    run_synchronous(script, ["true"])
        .flag("quiet")
        .out(|output| {
            let record = output.record().expect("it has a record");
            let probe = output.probe().name.clone();
            found.push((probe, record.action(), output.text().into_owned()));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    let found: Vec<_> = found.iter().map(|(p, a, t)| (p.as_str(), *a, t.as_str())).collect();
    assert_eq!(
        found,
        [
            ("BEGIN", Action::Printf, "a 1 x\n"),
            ("BEGIN", Action::Trace, "2"),
            ("BEGIN", Action::Printf, "c\n"),
            ("BEGIN", Action::Printa, "1\n"),
            ("END", Action::Printf, "end\n"),
        ]
    );
}

fn an_exit_prints_nothing() {
    assert_eq!(text_of("BEGIN { exit(0); }"), "");
    assert_eq!(text_of(r#"BEGIN { printf("x"); exit(3); }"#), "x");
}

/// libdtrace seeks to the beginning of what it prints to.
fn a_text_after_ftruncate_is_whole() {
    let script = r#"BEGIN { printf("one\n"); } BEGIN { printf("two\n"); }
        BEGIN { ftruncate(); printf("three\n"); } BEGIN { printf("four\n"); exit(0); }"#;
    assert_eq!(text_of(script), "one\ntwo\nthree\nfour\n");
}

fn white_space_of_the_text_is_kept() {
    assert_eq!(text_of(r#"BEGIN { printf("  a \t\n\n b  "); printf("\n"); }"#), "  a \t\n\n b  \n");
}

fn text_and_values_of_a_firing_come_together() {
    let mut firings = Vec::new();
    let mut texts = Vec::new();
    run_synchronous(r#"BEGIN { printf("%d;", 1); printf("%d;", 2); } END { trace(3); }"#, ["true"])
        .flag("quiet")
        .chew(|firing| {
            let values: Vec<String> = firing.values().map(|v| v.to_string()).collect();
            firings.push((values.join(","), String::from_utf8_lossy(firing.text()).into_owned()));
            Ok(())
        })
        .out(|output| {
            texts.push(output.to_string());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(firings, [("1,2".into(), "1;2;".into()), ("3".into(), "3".into())]);
    assert_eq!(texts, ["1;", "2;", "3"]);
}

fn a_kernel_stack_prints_its_frames_as_lines() {
    let mut text = String::new();
    let mut frames = Vec::new();
    run_synchronous(
        format!("{DEEP} /pid == $target && !done/ {{ done = 1; stack(3); }}"),
        traced_program("calls", 1),
    )
    .chew(|firing| {
        if let Some(dtrace_consumer::ValueRef::Stack(stack)) = firing.values().next() {
            frames.extend(stack.frames().map(|frame| frame.to_string()));
        }
        Ok(())
    })
    .out(|output| {
        text.push_str(&output.text());
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert!(!frames.is_empty());
    assert_eq!(lines, frames);
}

/// A script whose clause prints, has a command append the shell's parent and two arguments to a file, and prints again.
fn with_command(file: &Path) -> String {
    let command = format!("echo $PPID %d %s >> {}", file.display());
    format!(
        r#"BEGIN {{ printf("before\n"); system("{command}", -7, "word"); printf("after\n"); }}"#
    )
}

fn a_command_of_system_is_run_by_the_users_process_in_its_place() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("written");
    let mut seen = Vec::new();
    trace(format!("{} BEGIN {{ exit(0); }}", with_command(&file)))
        .flag("destructive")
        .out(|output| {
            seen.push((output.text().into_owned(), file.exists()));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(seen, [("before\n".to_owned(), false), ("after\n".to_owned(), true)]);
    let written = fs::read_to_string(&file).expect("the command writes it");
    assert_eq!(written, format!("{} -7 word\n", std::process::id()));
}

fn what_is_left_to_the_closures_is_done_by_nobody_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let [by_command, by_freopen] = ["command", "freopen1"].map(|it| directory.path().join(it));
    let freopen = directory.path().join("freopen%d");
    let script = format!(
        r#"{} BEGIN {{ freopen("{}", 1); printf("more\n"); exit(0); }}"#,
        with_command(&by_command),
        freopen.display()
    );
    let mut seen = Vec::new();
    trace(script)
        .flag("destructive")
        .keep_system()
        .out(|output| {
            seen.push((output.action(), output.text().into_owned()));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    let command = format!("echo $PPID -7 word >> {}", by_command.display());
    let expected = [
        (Action::Printf, "before\n".to_owned()),
        (Action::System, command),
        (Action::Printf, "after\n".to_owned()),
        (Action::Freopen, by_freopen.display().to_string()),
        (Action::Printf, "more\n".to_owned()),
    ];
    assert_eq!(seen, expected.map(|(action, text)| (Some(action), text)));
    assert!(!by_command.exists() && !by_freopen.exists());
}

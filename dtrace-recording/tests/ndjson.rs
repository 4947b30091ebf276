//! Is a session, live or recorded, lines of JSON as the schema describes them?

use std::collections::BTreeSet;
use std::path::Path;

use dtrace_consumer::loss::LossPolicy;
use dtrace_consumer::ndjson::Lines;
use dtrace_consumer::{Error, replay, run_synchronous, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;
use serde_json::{Value, json};

live_tests! {
    needs: [],
    tests: [
        a_recording_becomes_what_the_schema_describes,
        a_failure_before_the_start_is_the_only_line,
        a_line_of_another_version_is_refused_for_its_version,
    ],
    needs: [Tracing],
    tests: [
        a_live_session_becomes_what_the_schema_describes,
        the_lines_of_a_command_are_events,
        values_are_named_and_exact,
        a_writer_that_fails_ends_the_session,
    ],
}

/// The schema, as strict as it can be: members that it does not describe are refused.
fn schema() -> jsonschema::Validator {
    let text = include_str!("../../docs/ndjson.schema.json");
    let mut schema: Value = serde_json::from_str(text).expect("JSON");
    // The members of a line are those of its event.
    let events = schema["$defs"].as_object_mut().expect("definitions");
    events.values_mut().for_each(refuse_others);
    jsonschema::validator_for(&schema).expect("a schema")
}

fn refuse_others(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if members.contains_key("properties") {
                members.insert("additionalProperties".to_owned(), json!(false));
            }
            members.values_mut().for_each(refuse_others);
        }
        Value::Array(elements) => elements.iter_mut().for_each(refuse_others),
        _ => {}
    }
}

/// Returns the lines, which must be valid.
fn valid(lines: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(lines).expect("text");
    assert!(text.ends_with('\n'), "{text}");
    let schema = schema();
    let check = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("JSON");
        let errors: Vec<String> = schema.iter_errors(&line).map(|it| it.to_string()).collect();
        assert!(errors.is_empty(), "{line}: {errors:?}");
        line
    };
    text.lines().map(check).collect()
}

fn kinds(lines: &[Value]) -> BTreeSet<&str> {
    lines.iter().filter_map(|line| line["event"].as_str()).collect()
}

fn a_recording_becomes_what_the_schema_describes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../dtrace-consumer/tests/data/recordings/v2.dtrace");
    let mut lines = Lines::new(Vec::new()).text();
    replay(golden).losses(LossPolicy::Count).consumer(&mut lines).run().expect("it is whole");
    let lines = valid(&lines.into_inner());
    let expected =
        ["aggregated", "drop", "fault", "firing", "option", "output", "start", "stop", "walked"];
    assert_eq!(kinds(&lines), BTreeSet::from(expected));
}

fn a_line_of_another_version_is_refused_for_its_version() {
    let schema: Value =
        serde_json::from_str(include_str!("../../docs/ndjson.schema.json")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    let places = |version: u32| -> Vec<String> {
        let line = json!({ "v": version, "event": "command_ended" });
        schema.iter_errors(&line).map(|error| error.instance_path().to_string()).collect()
    };
    assert!(places(2).contains(&"/v".to_owned()), "{:?}", places(2));
    assert!(!places(1).contains(&"/v".to_owned()), "{:?}", places(1));
}

fn a_failure_before_the_start_is_the_only_line() {
    let mut lines = Lines::new(Vec::new());
    let failure = replay("/no/such/recording").consumer(&mut lines).run().expect_err("no file");
    lines.failure(&failure).expect("memory");
    let lines = valid(&lines.into_inner());
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["event"], &lines[0]["error"]["kind"]),
        (&json!("error"), &json!("Recording"))
    );
    assert!(lines[0]["error"]["message"].as_str().is_some_and(|it| it.contains("/no/such")));
}

fn a_live_session_becomes_what_the_schema_describes() {
    let script = r#"
        BEGIN { @calls["a", 1] = count(); @none = min(5); clear(@none); @sizes = quantize(8); setopt("quiet"); }
        syscall::getppid:entry /pid == $target/
        {
            printf("pid=%d", pid); ustack(2); stack(2); tracemem(curthread, 4); usym(0); func(0);
        }
        syscall::getppid:return /pid == $target/ { trace(*(int *)0); }
        END { printa(@calls); }"#;
    let mut lines = Lines::new(Vec::new()).text();
    run_synchronous(script, traced_program("calls", 2))
        .flag("aggpercpu")
        .flag("flowindent")
        .losses(LossPolicy::Count)
        .capture_output()
        .consumer(&mut lines)
        .run()
        .expect("it runs");
    let lines = valid(&lines.into_inner());
    let expected = ["aggregated", "fault", "firing", "option", "output", "start", "stop", "walked"];
    assert_eq!(kinds(&lines), BTreeSet::from(expected));
    assert_eq!(
        (&lines[0]["event"], &lines[lines.len() - 1]["event"]),
        (&json!("start"), &json!("stop"))
    );
    let called = lines.iter().find(|it| it["probe"]["function"] == "getppid").expect("it fired");
    assert_eq!(called["flow"]["kind"], "entry");
    assert!(called["values"]["pid"].is_i64() && called["values"]["1"].is_array(), "{called}");
    let per_cpu = |line: &&Value| line["name"] == "calls" && line["per_cpu"][0]["cpu"].is_u64();
    assert!(lines.iter().any(|line| per_cpu(&line)));
}

fn the_lines_of_a_command_are_events() {
    let mut lines = Lines::new(Vec::new());
    run_synchronous("BEGIN { }", ["echo", "one"])
        .command_lines()
        .consumer(&mut lines)
        .run()
        .expect("it runs");
    let lines = valid(&lines.into_inner());
    let line = lines.iter().find(|it| it["event"] == "line").expect("a line");
    assert_eq!(
        *line,
        json!({ "v": 1, "event": "line", "line": { "stream": "stdout", "text": "one" } })
    );
}

fn values_are_named_and_exact() {
    let script = r#"
        BEGIN
        {
            printf("big=%u small=%d %s twice=%d twice=%d", 18446744073709551615ULL, -1, "text", 1, 2);
            @sizes["read", 3] = quantize(8);
            @totals[-5] = sum(9223372036854775807);
            exit(0);
        }"#;
    let mut lines = Lines::new(Vec::new());
    trace(script).consumer(&mut lines).run().expect("it runs");
    let lines = valid(&lines.into_inner());
    let of = |name: &str, value: &str| {
        let found = lines.iter().find(|line| line[name] == value);
        found.unwrap_or_else(|| panic!("no {value}: {lines:?}"))
    };
    let values = json!({
        "big": 18_446_744_073_709_551_615_u64, "small": -1, "2": "text", "twice": 1, "4": 2,
    });
    assert_eq!(of("event", "firing")["values"], values);
    let sizes = of("name", "sizes");
    assert_eq!(sizes["keys"], json!({ "0": "read", "1": 3 }));
    assert_eq!(sizes["buckets"], json!([{ "lower": 8, "upper": 15, "count": 1 }]));
    assert_eq!((&sizes["value"], &sizes["function"]), (&json!(null), &json!("quantize")));
    let totals = of("name", "totals");
    assert_eq!((&totals["keys"], &totals["value"]), (&json!({ "0": -5 }), &json!(i64::MAX)));
    assert_eq!(totals["buckets"], json!(null));
}

fn a_writer_that_fails_ends_the_session() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let failure = trace("BEGIN { }").consumer(Lines::new(Full)).run().expect_err("it fails");
    assert!(matches!(failure.error, Error::Callback { .. }), "{failure}");
}

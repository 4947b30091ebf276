//! How do strings and memory arrive?

#[cfg(target_os = "linux")]
use dtrace_consumer::Value;
use dtrace_consumer::record::Action;
use dtrace_consumer::{ValueRef, run_synchronous, trace};
use dtrace_test_support::kernel::NAME_OF_THREAD;
use dtrace_test_support::live_tests;
use dtrace_test_support::sessions::{strings, values_of, values_with};

live_tests! {
    needs: [Tracing],
    tests: [
        a_string_of_255_characters_arrives_whole,
        tracemem_delivers_the_bytes_that_were_asked_for,
        the_name_of_a_thread_can_be_read_as_text,
    ],
    long: [strings_longer_than_strsize_are_cut_and_no_more],
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [the_name_of_a_task_is_a_string_and_a_structure_is_bytes],
}

fn a_string_of_255_characters_arrives_whole() {
    let long: String = ('a'..='z').cycle().take(255).collect();
    let script = format!(r#"BEGIN {{ trace("{long}"); printf("%s", "{long}"); }}"#);
    assert_eq!(strings(&values_of(&script)), [long.clone(), long]);
}

fn strings_longer_than_strsize_are_cut_and_no_more() {
    let script = r#"BEGIN { trace("abcdefghijkl"); trace("abcd"); trace(""); }"#;
    let (values, _) = values_with(script, &[("strsize", "8")]);
    let [cut, whole, empty] = &strings(&values)[..] else { panic!("three strings: {values:?}") };
    assert!(cut.len() >= 7 && "abcdefghijkl".starts_with(cut.as_str()), "{cut}");
    assert_eq!((whole.as_str(), empty.as_str()), ("abcd", ""));
}

/// Elsewhere libdtrace does not say that an array has characters.
#[cfg(target_os = "linux")]
fn the_name_of_a_task_is_a_string_and_a_structure_is_bytes() {
    let values = values_of(&format!(
        "BEGIN {{ trace(curthread->{NAME_OF_THREAD}); trace(execname); trace(*curthread->cred); }}"
    ));
    let [comm, execname, Value::Bytes(cred)] = &values[0][..] else { panic!("{values:?}") };
    assert_eq!(comm, execname);
    assert!(matches!(comm, Value::String(name) if !name.is_empty()), "{comm:?}");
    assert!(cred.len() > 100);
}

fn tracemem_delivers_the_bytes_that_were_asked_for() {
    let mut found = Vec::new();
    run_synchronous(
        format!(
            "BEGIN {{ trace(execname); tracemem(curthread->{NAME_OF_THREAD}, 16);
                tracemem(curthread->{NAME_OF_THREAD}, 16, 3); }}"
        ),
        ["true"],
    )
    .chew(|firing| {
        let name: String = firing.record(0).expect("the name").get()?;
        let memory: Vec<u8> = firing.record(1).expect("the memory").get()?;
        // A record with the number of bytes is beside it.
        let Some(ValueRef::Bytes(shorter)) = firing.values().nth(2) else { panic!("{firing:?}") };
        assert_eq!(firing.record(1).map(|r| r.action()), Some(Action::Tracemem));
        found.push((name, memory, shorter.to_vec()));
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    let [(name, memory, shorter)] = &found[..] else { panic!("{found:?}") };
    assert_eq!(memory.len(), 16);
    assert!(memory.starts_with(name.as_bytes()) && memory[name.len()] == 0);
    assert_eq!(shorter[..], memory[..3]);
}

/// It is an array of characters, which is a string on Linux and memory elsewhere.
fn the_name_of_a_thread_can_be_read_as_text() {
    let mut names: Vec<String> = Vec::new();
    let script =
        format!("BEGIN {{ trace(curthread->{NAME_OF_THREAD}); trace(execname); exit(0); }}");
    trace(script)
        .rows(|(name, execname): (String, String)| {
            names.extend([name, execname]);
            Ok(())
        })
        .run()
        .expect("it runs");
    assert!(!names[0].is_empty());
    assert_eq!(names[0], names[1]);
}

//! Do the bytes of a record arrive as libdtrace has them?

use std::cell::RefCell;

use dtrace_consumer::{Value, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::sessions::entries_of;

live_tests! {
    needs: [Tracing],
    tests: [
        structures_and_arrays_of_characters_keep_what_follows_a_zero,
        strings_of_any_size_arrive_whole,
        printed_arrays_of_characters_keep_what_follows_a_zero,
        keys_of_all_kinds_arrive_whole,
    ],
}

/// The beginning of a clause with structures and arrays of characters, all with zeros inside. `this` does not keep
/// such memory for the next clause.
const MEMORY: &str = r#"
struct odd { char a; char b; char c; };
struct text { char a[20]; };
struct mixed { char a[4]; int b; char c[3]; char d[32]; };
BEGIN
{
    this->odd = (struct odd *)alloca(3);
    this->odd->a = 'a'; this->odd->c = 'c';
    this->text = (struct text *)alloca(20);
    this->text->a[0] = 'a'; this->text->a[19] = 'z';
    this->mixed = (struct mixed *)alloca(44);
    this->mixed->a[2] = 'c'; this->mixed->b = 5; this->mixed->c[1] = 'x'; this->mixed->d[30] = 'y';
"#;

/// Returns the bytes of all traced records: those that arrived, and those of libdtrace's own dump.
fn arrived_and_dumped(script: &str, strsize: Option<&str>) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (arrived, dumped) = (RefCell::default(), RefCell::default());
    let mut session = run_synchronous(script, ["true"]).flag("rawbytes").formatted();
    if let Some(size) = strsize {
        session = session.option("strsize", size);
    }
    session
        .chew(|firing| {
            let traced = firing.records().map(|record| record.bytes().to_vec());
            RefCell::<Vec<Vec<u8>>>::borrow_mut(&arrived).extend(traced);
            Ok(())
        })
        .out(|output| {
            RefCell::<Vec<Vec<u8>>>::borrow_mut(&dumped).push(bytes_of(&output.text()));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    (arrived.into_inner(), dumped.into_inner())
}

/// Reads a dump, in which a line has its offset, up to 16 bytes and the same as text.
fn bytes_of(dump: &str) -> Vec<u8> {
    let lines = dump.lines().filter_map(|line| line.split_once(": "));
    lines
        .flat_map(|(_, line)| line.as_bytes().chunks(3).take(16))
        .map_while(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?.trim(), 16).ok())
        .collect()
}

fn structures_and_arrays_of_characters_keep_what_follows_a_zero() {
    let script = format!(
        "{MEMORY} trace(*this->odd); trace(*this->text); trace(this->text->a);
            trace(*this->mixed); trace(this->mixed->a); trace(this->mixed->c);
            trace(this->mixed->d); trace(curthread->comm); trace(*curthread->cred); }}"
    );
    let (arrived, dumped) = arrived_and_dumped(&script, None);
    assert_eq!(arrived, dumped);
    assert_eq!(arrived[0], b"a\0c");
    assert_eq!((arrived[1].len(), arrived[1][19]), (20, b'z'));
    assert_eq!(arrived[2], arrived[1]);
    assert_eq!(arrived[6][30], b'y');
    assert_eq!(arrived.len(), 9);
}

fn strings_of_any_size_arrive_whole() {
    let traces = r#"trace("a"); trace("abcdefghijklmnopqrstuvwxyz"); trace(execname);"#;
    for (option, pragma, size) in [
        (None, "", 256),
        (Some("13"), "", 13),
        (Some("16"), "", 16),
        (Some("20"), "", 20),
        (None, "#pragma D option strsize=40\n", 40),
    ] {
        // The size of a string is not that of the structures, whose zeros stay.
        let memory = if size == 20 { "" } else { "trace(*this->text);" };
        let script = format!("{pragma}{MEMORY}{traces} trace(*this->odd); {memory} }}");
        let (arrived, dumped) = arrived_and_dumped(&script, option);
        let string = |bytes: &[u8]| bytes.split(|b| *b == 0).next().unwrap_or_default().to_vec();
        assert!(arrived[..3].iter().all(|bytes| bytes.len() == size), "{size}: {arrived:?}");
        for (is, was) in arrived[..3].iter().zip(&dumped) {
            assert_eq!(string(is), string(was), "{size}");
        }
        assert_eq!(arrived[3], b"a\0c");
        assert_eq!(arrived[3..], dumped[3..], "{size}");
    }
}

fn printed_arrays_of_characters_keep_what_follows_a_zero() {
    let script = format!("{MEMORY} printf(\"%s %s\", this->text->a, this->mixed->d); }}");
    let (arrived, _) = arrived_and_dumped(&script, None);
    assert_eq!((arrived[0].len(), arrived[0][0], arrived[0][19]), (20, b'a', b'z'));
    assert_eq!((arrived[1].len(), arrived[1][30]), (32, b'y'));
}

fn keys_of_all_kinds_arrive_whole() {
    let script = "BEGIN { trace(*curthread->cred); trace(execname); }
        BEGIN { @structure[*curthread->cred] = count(); }
        BEGIN { @string[execname, curthread->comm, \"\", 7] = count(); }
        BEGIN { @stack[stack(), ustack(), sym((uintptr_t)1)] = count(); }";
    let entries = entries_of(script);
    let keys = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name);
        entry.unwrap_or_else(|| panic!("no {name} in {entries:?}")).keys.clone()
    };
    // The same structure holds counters that other processes change, so that only its shape is compared.
    let [Value::Bytes(structure)] = &keys("structure")[..] else { panic!("{entries:?}") };
    assert!(structure.len() > 100 && structure.iter().any(|b| *b != 0), "{structure:?}");
    let [name, comm, empty, Value::Integer(seven)] = &keys("string")[..] else {
        panic!("{entries:?}")
    };
    assert_eq!((name, seven.as_i128()), (comm, 7));
    assert_eq!(empty, &Value::String(Vec::new()));
    assert!(matches!(name, Value::String(name) if !name.is_empty()), "{name:?}");
    assert_eq!(keys("stack").len(), 3);
}

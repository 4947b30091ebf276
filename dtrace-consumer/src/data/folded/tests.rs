//! Lines as readers of the folded format take them.

use super::*;
use crate::data::addresses::{Addresses, StackForm};
use crate::data::stack::StackRef;
use crate::data::symbol::Symbols;
use proptest::prelude::*;

const PID: u32 = 7;

/// Returns a record of a stack with the addresses 1, 2, 3…, and their symbols.
fn stack(pid: u32, innermost_first: &[&str]) -> (Vec<u8>, Symbols) {
    let depth = innermost_first.len() as u32;
    let mut record: Vec<u8> =
        [depth, 0, u32::from(pid != 0), pid].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let mut symbols = Symbols::new();
    for (address, text) in (1_u64..).zip(innermost_first) {
        record.extend(address.to_ne_bytes());
        if !text.is_empty() {
            symbols.insert((pid, address), (*text).to_owned());
        }
    }
    (record, symbols)
}

fn value<'a>((record, symbols): &'a (Vec<u8>, Symbols)) -> ValueRef<'a> {
    ValueRef::Stack(StackRef::new(
        Addresses::of_stack(record, StackForm::WithHeader).unwrap(),
        symbols,
    ))
}

fn line(frames: &[&str]) -> String {
    Folded::of([value(&stack(PID, frames))]).to_string()
}

/// Splits a line as the crate `inferno` and flamegraph.pl do. Returns `None` if they take it for a
/// difference of two counts.
fn read(line: &str) -> Option<(Vec<&str>, &str)> {
    let (stack, count) = line.trim().rsplit_once(' ')?;
    let is_count = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.');
    match stack.trim_end().rsplit_once(' ') {
        Some((_, last)) if is_count(last) => None,
        _ => Some((stack.split(';').collect(), count)),
    }
}

#[test]
fn frames_are_outermost_first_without_offsets_and_modules() {
    let frames = ["libc.so.6`read+0x1f", "parser`parse+0x4", "parser`main"];
    assert_eq!(line(&frames), "main;parse;read");
    let stack = stack(PID, &frames);
    let folded = Folded::of([value(&stack)]).with_modules();
    assert_eq!(folded.to_string(), "parser`main;parser`parse;libc.so.6`read");
}

#[test]
fn frames_without_a_name_are_their_module_or_unknown() {
    assert_eq!(
        line(&["", "libc.so.6`0x1234", "0x99", "a.out`main+0x1"]),
        "main;[unknown];[libc.so.6];[unknown]"
    );
    assert_eq!(line(&[]), "[unknown]");
}

#[test]
fn other_values_come_before_user_frames_and_the_kernel_comes_last() {
    let kernel = stack(0, &["vmlinux`vfs_read+0x8", "vmlinux`do_syscall_64"]);
    let user = stack(PID, &["libc.so.6`read+0x1f", "cat`main"]);
    let values =
        [value(&kernel), ValueRef::String(b"cat"), value(&user), ValueRef::String(b"tty1")];
    assert_eq!(Folded::of(values).to_string(), "cat;tty1;main;read;do_syscall_64;vfs_read");
    let marked = Folded::of(values).with_kernel_mark().to_string();
    assert_eq!(marked, "cat;tty1;main;read;do_syscall_64_[k];vfs_read_[k]");
}

#[test]
fn rust_names_are_demangled_on_request_and_others_by_the_callers_function() {
    let stack = stack(PID, &["a.out`_ZN4core3fmt5write17h0123456789abcdefE+0x3", "a.out`_Z4spini"]);
    let folded = Folded::of([value(&stack)]).demangled();
    assert_eq!(folded.to_string(), "_Z4spini;core::fmt::write");
    let spin = |frame: &SymbolRef<'_>| (frame.symbol()? == "_Z4spini").then(|| "spin(int)".into());
    assert_eq!(folded.named_by(&spin).to_string(), "spin(int);core::fmt::write");
}

#[test]
fn names_that_readers_would_misread_are_escaped() {
    let text = |name: &'static str| Folded::of([ValueRef::String(name.as_bytes())]).to_string();
    for (name, expected) in [
        ("a;b", "a:b"),
        ("Web Content", "Web Content"),
        ("worker 12", "worker_12"),
        ("two\nlines", "two lines"),
        ("", "[unknown]"),
        (" \n", "[unknown]"),
    ] {
        assert_eq!(text(name), expected, "{name:?}");
    }
}

#[test]
fn lines_of_the_same_functions_are_added() {
    let mut stacks = FoldedStacks::default();
    for (frames, count) in
        [(["a`f+0x1", "a`main"], 2), (["a`g", "a`main"], 1), (["a`f+0x9", "a`main"], 3)]
    {
        stacks.add(&Folded::of([value(&stack(PID, &frames))]), count).unwrap();
    }
    assert_eq!(stacks.to_string(), "main;f 5\nmain;g 1\n");
    assert_eq!((stacks.total(), stacks.iter().len()), (6, 2));
}

#[test]
fn a_negative_count_is_an_error() {
    let mut stacks = FoldedStacks::default();
    let error = stacks.add(&Folded::of([]), -1).unwrap_err();
    assert_eq!(error.to_string(), "expected a count of at least zero, found integer -1");
    assert!(stacks.is_empty());
}

proptest! {
    #[test]
    fn any_names_read_back_as_as_many_frames(
        names in prop::collection::vec("[a-z;0-9. \\n\u{85}é]{0,12}", 1..6),
        count in 0..1000_i64,
    ) {
        let values = names.iter().map(|name| ValueRef::String(name.as_bytes()));
        let mut stacks = FoldedStacks::default();
        stacks.add(&Folded::of(values), count).unwrap();
        let text = stacks.to_string();
        prop_assert_eq!(text.lines().count(), 1);
        let (frames, read_count) = read(&text).unwrap();
        prop_assert_eq!(frames.len(), names.len());
        prop_assert_eq!(read_count.parse::<i64>().unwrap(), count);
    }
}

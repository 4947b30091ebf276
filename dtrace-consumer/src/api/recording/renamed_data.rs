//! What is renamed in the data of a record?

use super::renamed::Renamed;
use crate::data::addresses::StackForm;
use crate::data::record::Action;
use crate::records::layout::Field;
use crate::stream::packed::is_text;

/// Renames in the bytes of one record.
pub(super) fn record(renamed: &mut Renamed, field: &Field, bytes: &mut [u8]) {
    use Action::{Mod, Pcap, Print, Sym, Tracemem};
    let action = field.description.action;
    let name = field.name.as_deref().unwrap_or_default();
    match (action, bytes.len()) {
        // Instructions to libdtrace, and the lengths of memory.
        _ if !field.is_data() => {}
        (Sym | Mod, 8) => word(bytes, 0, |address| renamed.address(address)),
        (Action::USym | Action::UMod | Action::UAddr, 16) => {
            word(bytes, 0, |pid| renamed.process(pid));
            word(bytes, 8, |address| renamed.address(address));
        }
        (_, 8..) if field.stack_form().is_some() => stack(renamed, bytes, field.stack_form()),
        _ if is_text(&field.description) => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let text = renamed.bytes(&bytes[..end]);
            let length = text.len().min(bytes.len());
            bytes[..length].copy_from_slice(&text[..length]);
            bytes[length..].fill(0);
        }
        (Print, 8) if field.description.argument != 0 => {
            word(bytes, 0, |address| renamed.address(address))
        }
        (Tracemem | Print | Pcap, _) => clear(renamed, bytes),
        (_, 1 | 2 | 4 | 8) => match name {
            "pid" | "ppid" | "tid" | "tgid" => integer(bytes, |pid| renamed.process(pid)),
            "uid" | "gid" | "euid" | "egid" => integer(bytes, |uid| renamed.user(uid)),
            _ => {}
        },
        _ => clear(renamed, bytes),
    }
}

/// Clears memory, which may hold anything.
fn clear(renamed: &mut Renamed, bytes: &mut [u8]) {
    renamed.replaced.memory += u64::from(bytes.iter().any(|b| *b != 0));
    bytes.fill(0);
}

/// Renames the process and the addresses of a stack.
fn stack(renamed: &mut Renamed, bytes: &mut [u8], form: Option<StackForm>) {
    let (frames, most) = match form {
        Some(StackForm::WithHeader) => {
            let Some((header, frames)) = bytes.split_at_mut_checked(16) else {
                return clear(renamed, bytes);
            };
            if header[8..12] != [0; 4] {
                integer(&mut header[12..], |pid| renamed.process(pid));
            }
            (frames, usize::MAX)
        }
        Some(StackForm::WithProcess(number)) => {
            let (process, frames) = bytes.split_at_mut(8);
            word(process, 0, |pid| renamed.process(pid));
            (frames, number as usize)
        }
        Some(StackForm::Bare) | None => (bytes, usize::MAX),
    };
    // What follows the first zero, or the last frame, is no frame, and may be anything.
    let mut is_over = false;
    for (index, frame) in frames.chunks_mut(8).enumerate() {
        is_over |= *frame == [0; 8] || index >= most;
        if is_over {
            frame.fill(0);
        }
        word(frame, 0, |address| renamed.address(address));
    }
}

fn word(bytes: &mut [u8], at: usize, rename: impl FnOnce(u64) -> u64) {
    if let Some(word) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = rename(u64::from_ne_bytes(*word)).to_ne_bytes();
    }
}

/// Renames a number of any width, in the byte order of this machine.
fn integer(bytes: &mut [u8], rename: impl FnOnce(u64) -> u64) {
    let mut whole = [0; 8];
    let length = bytes.len().min(8);
    let place = if cfg!(target_endian = "little") { 0..length } else { 8 - length..8 };
    whole[place.clone()].copy_from_slice(&bytes[..length]);
    let number = rename(u64::from_ne_bytes(whole)).to_ne_bytes();
    bytes[..length].copy_from_slice(&number[place]);
}

#[cfg(test)]
mod tests {
    use super::super::renamed::Replaced;
    use super::*;
    use crate::data::integer::{Integer, Sign};
    use crate::data::record::RecordDescription;
    use crate::data::symbol::Symbols;
    use crate::data::value::ValueRef;
    use crate::records::layout::{self, STACK_WITHOUT_HEADER};

    /// Renames in one record, and returns its bytes.
    fn renamed(description: RecordDescription, bytes: &[u8]) -> (Vec<u8>, Replaced) {
        let mut renamed = Renamed::hiding(&["alice".to_owned()]);
        let fields = layout::of_clause(vec![description]);
        let mut bytes = bytes.to_vec();
        record(&mut renamed, &fields[0], &mut bytes);
        (bytes, renamed.replaced)
    }

    fn description(action: Action, size: usize, alignment: u16) -> RecordDescription {
        let size = size as u32;
        RecordDescription { action, offset: 0, size, alignment, argument: 0, format: None }
    }

    #[test]
    fn memory_is_cleared_whatever_its_size() {
        for action in [Action::Tracemem, Action::Print, Action::Pcap] {
            for size in [1, 2, 4, 8, 16, 40] {
                let (bytes, replaced) = renamed(description(action, size, 1), &vec![7; size]);
                assert_eq!((bytes, replaced.memory), (vec![0; size], 1), "{action:?} {size}");
            }
        }
        // A structure is no string, because its alignment is not one.
        assert_eq!(renamed(description(Action::Trace, 24, 8), &[7; 24]).0, [0; 24]);
    }

    #[test]
    fn numbers_are_renamed_if_their_name_says_what_they_are() {
        for (format, expected) in [
            ("pid=%d", 1),
            ("\"tid\":%d", 1),
            ("uid=%d", 1),
            ("%d", 77),
            ("port=%d", 77),
            ("pids=%d", 77),
        ] {
            for size in [2, 4, 8] {
                let printf = RecordDescription {
                    format: Some(format.to_owned()),
                    ..description(Action::Printf, size, size as u16)
                };
                let mut bytes = [0; 8];
                integer(&mut bytes[..size], |_| 77);
                let (bytes, _) = renamed(printf, &bytes[..size]);
                let number = Integer::from_bytes(&bytes, Sign::Unsigned).expect("a number");
                assert_eq!(number.as_u64(), expected, "{format} {size}");
            }
        }
        let (bytes, _) = renamed(description(Action::Exit, 4, 4), &[9; 4]);
        assert_eq!(bytes, [9; 4]);
    }

    #[test]
    fn a_string_stays_one_of_its_size() {
        let string = |text: &[u8]| {
            let description = description(Action::Trace, 12, 1);
            let mut bytes = text.to_vec();
            bytes.resize(12, 0);
            let (bytes, _) = renamed(description.clone(), &bytes);
            assert_eq!(bytes.len(), 12);
            let fields = layout::of_keys(vec![description]);
            let symbols = Symbols::new();
            match fields[0].value(&bytes, &symbols) {
                ValueRef::String(text) => String::from_utf8_lossy(text).into_owned(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(string(b"/etc/passwd"), "/path1");
        assert_eq!(string(b"a/b c/d e/f"), "path1 path2 ");
        assert_eq!(string(b"alice\0/tail"), "hidden1");
        assert_eq!(string(b"cat"), "cat");
    }

    #[test]
    fn stacks_and_symbols_have_other_addresses_and_processes() {
        let words = |words: &[u64]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let header = [[2u32, 0, 1, 77].map(u32::to_ne_bytes).concat(), words(&[500, 600, 0, 9])];
        let stack = header.concat();
        let (bytes, _) = renamed(description(Action::UStack, stack.len(), 8), &stack);
        let header = [2u32, 0, 1, 1].map(u32::to_ne_bytes).concat();
        assert_eq!(bytes, [header, words(&[0x1000, 0x2000, 0, 0])].concat());
        // As they are elsewhere than on Linux. What follows two frames is their names.
        let elsewhere = |action, argument| RecordDescription {
            argument: STACK_WITHOUT_HEADER | argument,
            ..description(action, 32, 8)
        };
        for action in [Action::UStack, Action::JStack] {
            let (bytes, _) = renamed(elsewhere(action, 2), &words(&[77, 500, 600, 700]));
            assert_eq!(bytes, words(&[1, 0x1000, 0x2000, 0]));
        }
        let (bytes, _) = renamed(elsewhere(Action::Stack, 4), &words(&[500, 600, 0, 9]));
        assert_eq!(bytes, words(&[0x1000, 0x2000, 0, 0]));
        let (bytes, _) = renamed(description(Action::USym, 16, 8), &words(&[77, 500]));
        assert_eq!(bytes, words(&[1, 0x1000]));
        let (bytes, _) = renamed(description(Action::Sym, 8, 8), &words(&[500]));
        assert_eq!(bytes, words(&[0x1000]));
    }
}

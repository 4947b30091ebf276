//! What was packed comes back in its place, and nothing that was packed badly does harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::strategies;

/// The size of a D string in these tests.
const STRING: u32 = 11;

fn record(action: Action, offset: u32, size: u32, alignment: u16) -> RecordDescription {
    RecordDescription { action, offset, size, alignment, argument: 0, format: None }
}

fn packed(records: &[RecordDescription], data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    Packing::of(records).pack(data, &mut packed);
    packed
}

/// Packs as the worker does.
fn packed_strings(records: &[RecordDescription], data: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    Packing::with_strings(records, Some(STRING)).pack(data, &mut packed);
    packed
}

fn unpacked(records: &[RecordDescription], packed: &[u8]) -> Result<Vec<u8>, Malformed> {
    Unpacked::default().unpack(&Packing::of(records), packed).map(<[u8]>::to_vec)
}

#[test]
fn a_string_travels_up_to_its_nul_and_nothing_behind_it_comes_back() {
    for action in [Action::Trace, Action::Printf, Action::System, Action::Freopen] {
        for (data, sent) in [
            (&b"abc\0garbage"[..], &b"\x03abc"[..]),
            (b"\0bcgarbage..", b"\0"),
            (b"abcdefghijk", b"\x0babcdefghijk"),
            (b"abcdefg\0ijk", b"\x07abcdefg"),
            (b"abcdefgh\0jk", b"\x08abcdefgh"),
            (b"\x01\xff\x80abcdef\0k", b"\x09\x01\xff\x80abcdef"),
        ] {
            let string = [record(action, 0, STRING, 1)];
            assert_eq!(packed_strings(&string, data), sent);
            let mut expected = sent[1..].to_vec();
            expected.resize(11, 0);
            assert_eq!(unpacked(&string, sent), Ok(expected));
        }
    }
}

#[test]
fn a_record_without_bytes_adds_nothing_wherever_it_is() {
    for others in [&[][..], &[record(Action::Trace, 16, 4, 4)][..]] {
        let empty = record(Action::System, 40, 0, 1);
        let all: Vec<_> = others.iter().cloned().chain([empty.clone()]).collect();
        assert_eq!(Packing::of(&all), Packing::of(others));
        let data = vec![7; Packing::of(&all).length()];
        let back = unpacked(&all, &packed(&all, &data)).map(|data| data.len());
        assert_eq!(back, Ok(data.len()));
        assert_eq!(empty.bytes(&data), Some(&[][..]));
    }
}

#[test]
fn a_record_stays_if_the_data_end_before_the_next_one() {
    let both = [record(Action::Exit, 0, 8, 8), record(Action::Trace, 8, 8, 8)];
    let data = [1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(unpacked(&both, &packed(&both, &data)).unwrap(), [&data[..], &[0; 8]].concat());
}

#[test]
fn only_strings_end_at_a_nul() {
    for size in [2, 3, STRING - 1, STRING + 1, 16, 17] {
        for action in [Action::Trace, Action::Printf, Action::System, Action::Freopen] {
            let array = [record(action, 0, size, 1)];
            let mut bytes = vec![0; size as usize];
            bytes[size as usize - 1] = b'x';
            assert_eq!(unpacked(&array, &packed_strings(&array, &bytes)), Ok(bytes));
        }
    }
    let mut memory = [0; 64];
    (memory[0], memory[40]) = (1, 2);
    for (action, alignment) in [
        (Action::Trace, 1),
        (Action::Printf, 1),
        (Action::Tracemem, 1),
        (Action::Print, 1),
        (Action::Trace, 8),
        (Action::Stack, 8),
        (Action::Other(9), 1),
    ] {
        let record = [record(action, 0, 64, alignment)];
        let sent = packed_strings(&record, &memory);
        assert_eq!((sent.len(), sent[0]), (42, 41), "{action:?}");
        assert_eq!(unpacked(&record, &sent), Ok(memory.to_vec()));
    }
}

#[test]
fn small_records_travel_whole_and_what_lies_between_records_does_not_travel() {
    let records = [
        record(Action::Trace, 0, 4, 4),
        record(Action::Trace, 4, 4, 4),
        record(Action::Trace, 16, 8, 8),
        record(Action::Trace, 24, 1, 1),
        record(Action::USym, 32, 16, 8),
    ];
    let data: Vec<u8> = (1..49).collect();
    let sent = packed(&records, &data);
    assert_eq!(sent, [&data[..8], &data[16..25], &data[32..]].concat());
    let back = [&data[..8], &[0; 8], &data[16..25], &[0; 7], &data[32..]].concat();
    assert_eq!(unpacked(&records, &sent), Ok(back));
}

#[test]
fn a_length_is_bounded_by_the_record_and_by_what_there_is() {
    let string = [record(Action::Trace, 0, 300, 1)];
    for (sent, field) in [
        (&[][..], "record length"),
        (&[0x80], "record length"),
        (&[5, 1, 1, 1, 1], "record"),
        (&[0xad, 2, 1], "record length"),
        (&[0xff, 0xff, 0xff, 0xff, 1], "record length"),
        (&[1, 1, 1], "records"),
    ] {
        assert_eq!(unpacked(&string, sent).map_err(|e| e.field), Err(field), "{sent:?}");
    }
    let long = [&[0xac, 2][..], &[1; 300]].concat();
    assert_eq!(unpacked(&string, &long), Ok(vec![1; 300]));
    assert_eq!(packed(&string, &[1; 300]), long);
}

#[test]
fn places_are_bounded_however_little_travels() {
    let limit = UNPACKED_LIMIT as u32;
    for (offset, size) in [(0, limit + 1), (limit, 2), (u32::MAX, u32::MAX), (u32::MAX, 1)] {
        let far = Packing::of(&[record(Action::Trace, offset, size, 1)]);
        assert!(far.check().is_err(), "{offset} {size}");
        let mut buffer = Unpacked::default();
        assert!(buffer.unpack(&far, &[0]).is_err());
        assert_eq!(buffer.bytes.capacity(), 0);
    }
    assert_eq!(Packing::of(&[record(Action::Trace, 0, limit, 1)]).check(), Ok(()));
}

proptest! {
    #[test]
    fn what_is_packed_again_is_the_same(
        records in vec(strategies::record(), 0..6),
        data in vec(prop_oneof![Just(0u8), any::<u8>()], 0..100),
    ) {
        let packing = Packing::of(&records);
        prop_assume!(packing.check().is_ok());
        let sent = packed(&records, &data);
        let back = unpacked(&records, &sent).unwrap();
        let end = |r: &RecordDescription| u64::from(r.offset) + u64::from(r.size);
        let overlap = |one: &RecordDescription, other: &RecordDescription| {
            u64::from(other.offset) < end(one) && u64::from(one.offset) < end(other)
        };
        // The last of those that share a byte decides, so that the others may end elsewhere now.
        let is_apart =
            |one: &RecordDescription| records.iter().filter(|it| overlap(one, it)).count() <= 1;
        if records.iter().all(is_apart) {
            prop_assert_eq!(packed(&records, &back), sent);
        }
        for record in &records {
            let (Some(was), Some(is)) = (record.bytes(&data), record.bytes(&back)) else { continue };
            if is_apart(record) {
                prop_assert_eq!(is, was);
            }
        }
    }

    #[test]
    fn only_what_lies_behind_a_strings_nul_is_lost(
        records in vec(strategies::record(), 0..6),
        data in vec(prop_oneof![Just(0u8), any::<u8>()], 0..100),
        string_size in 0..20u32,
    ) {
        let packing = Packing::with_strings(&records, Some(string_size));
        prop_assume!(packing.check().is_ok());
        let mut sent = Vec::new();
        packing.pack(&data, &mut sent);
        // The reader does not know the size of a string.
        let back = unpacked(&records, &sent).unwrap();
        let end = |r: &RecordDescription| u64::from(r.offset) + u64::from(r.size);
        for (at, record) in records.iter().enumerate() {
            let (Some(was), Some(is)) = (record.bytes(&data), record.bytes(&back)) else { continue };
            let is_apart = records.iter().enumerate().all(|(other, it)| {
                at == other || u64::from(it.offset) >= end(record) || end(it) <= u64::from(record.offset)
            });
            if !is_apart {
                continue;
            }
            let used = match is_text(record) && record.size == string_size {
                true => was.iter().position(|b| *b == 0).unwrap_or(was.len()),
                false => was.len(),
            };
            prop_assert_eq!(&is[..used], &was[..used]);
            prop_assert!(is[used..].iter().all(|b| *b == 0));
        }
    }

    #[test]
    fn a_buffer_that_was_used_gives_what_a_new_one_gives(
        streams in vec((vec(strategies::record(), 0..5), vec(any::<u8>(), 0..60)), 1..6),
    ) {
        let mut buffer = Unpacked::default();
        for (records, bytes) in streams {
            let packing = Packing::of(&records);
            // As they are, and as they would be sent.
            let mut fits = Vec::new();
            if packing.check().is_ok() {
                packing.pack(&bytes, &mut fits);
            }
            for sent in [&bytes, &fits] {
                let fresh = unpacked(&records, sent);
                prop_assert_eq!(buffer.unpack(&packing, sent).map(<[u8]>::to_vec), fresh);
            }
        }
    }
}

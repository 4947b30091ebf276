//! What do handlers get of records that travelled without what they do not use?

use super::*;

#[test]
fn records_that_do_not_fit_their_description_are_refused() {
    // What travels of a record is checked, and so is the place that its description asks for.
    let large = crate::stream::packed::UNPACKED_LIMIT as u32;
    for (offset, size, fields) in [
        (0, 16, ["record", "records"]),
        (0, 17, ["record", "record length"]),
        (large, 1, ["records", "records"]),
        (u32::MAX, u32::MAX, ["records", "records"]),
    ] {
        for (data, field) in [&[8][..], &[200, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]]
            .into_iter()
            .zip(fields)
        {
            let clause = clause(vec![record(Action::Trace, offset, size)]);
            assert_eq!(
                damaged([probe(), clause, firing(data, b"", b"")]),
                field,
                "{offset} {size}"
            );
        }
    }
}

#[test]
fn a_record_that_was_cut_has_its_size_and_zeros_behind_it() {
    let string = RecordDescription { alignment: 1, ..record(Action::Trace, 16, 256) };
    let records = vec![record(Action::Trace, 0, 8), string, record(Action::Tracemem, 272, 64)];
    let first = [&[1; 8][..], &[3], b"abc", &[2, 9, 9]].concat();
    let second = [&[2; 8][..], &[0], &[0]].concat();
    let bytes =
        recording([probe(), clause(records), firing(&first, b"", b""), firing(&second, b"", b"")]);
    let mut seen = Vec::new();
    crate::replay_from(&bytes[..])
        .chewrec(|record| {
            assert_eq!(record.bytes().len(), record.description().size as usize);
            seen.push((
                record.value().to_owned(),
                record.bytes().iter().map(|b| u32::from(*b)).sum(),
            ));
            Ok(())
        })
        .run()
        .unwrap();
    use crate::Value::{Bytes, String};
    let memory = |bytes: &[u8]| Bytes([bytes, &[0; 64][bytes.len()..]].concat());
    assert_eq!(seen[1..3], [(String(b"abc".to_vec()), 294u32), (memory(&[9, 9]), 18)]);
    assert_eq!(seen[4..], [(String(Vec::new()), 0), (memory(&[]), 0)]);
}

//! Whatever a record's description contains, its value lies within the record, and the record within its
//! data.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::stream::strategies;

/// Returns whether `part` is a subslice of `whole`.
fn lies_within(part: &[u8], whole: &[u8]) -> bool {
    let (part, whole) = (part.as_ptr_range(), whole.as_ptr_range());
    part.is_empty() || (whole.start <= part.start && part.end <= whole.end)
}

proptest! {
    #[test]
    fn values_lie_within_their_records(
        records in vec(strategies::record(), 0..6),
        data in vec(any::<u8>(), 0..80),
        as_keys in any::<bool>(),
    ) {
        let fields = if as_keys { of_keys(records) } else { of_clause(records) };
        let symbols = Symbols::new();
        for field in &fields {
            let value = field.value(&data, &symbols);
            let record = field.bytes(&data);
            prop_assert!(record.is_none_or(|record| lies_within(record, &data)));
            let Some(record) = record else {
                prop_assert_eq!(value, ValueRef::Nothing);
                continue;
            };
            match value {
                ValueRef::String(part) | ValueRef::Bytes(part) => {
                    prop_assert!(lies_within(part, record), "{:?}", field);
                }
                ValueRef::Opaque { bytes, .. } => prop_assert_eq!(bytes, record),
                ValueRef::Integer(n) => prop_assert_eq!(n.width(), record.len()),
                ValueRef::Stack(stack) => {
                    prop_assert!(stack.frames().count() <= record.len() / 8);
                }
                ValueRef::Symbol(symbol) => {
                    let address = symbol.address().to_ne_bytes();
                    prop_assert!(record.chunks_exact(8).any(|word| word == address));
                }
                ValueRef::Aggregation(_) | ValueRef::Nothing => {}
            }
            if let Some(addresses) = field.addresses(&data) {
                prop_assert!(field.has_addresses());
                prop_assert!(addresses.iter().count() <= record.len() / 8);
            }
        }
    }
}

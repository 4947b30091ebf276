//! How does libdtrace sort the entries of aggregations?

use std::cmp::Ordering;

use super::layout::Field;
use crate::data::aggregation::Order;
use crate::data::integer::{Integer, Sign};
use crate::data::record::Action;

/// An entry, with what it is sorted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'e> {
    variable: u64,
    fields: &'e [Field],
    keys: &'e [u8],
    rank: (&'static str, i128, i64),
    /// The first key, if it is a number: most often, it decides, and the other keys need not be read.
    first: Option<u64>,
}

/// A key as libdtrace compares it: numbers are unsigned.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'e> {
    Number(u64),
    Address(u64, u64),
    Bytes(&'e [u8]),
}

impl<'e> Place<'e> {
    /// Returns the place of an entry of an aggregation's variable. `keys` has each key at its offset. Only orders by
    /// value need the `rank` of the value.
    pub(crate) fn new(
        variable: u64,
        fields: &'e [Field],
        keys: &'e [u8],
        rank: (&'static str, i128, i64),
    ) -> Place<'e> {
        let first = fields.first().and_then(|field| match Key::of(field, keys) {
            Key::Number(number) => Some(number),
            _ => None,
        });
        Place { variable, fields, keys, rank, first }
    }

    /// Compares as `dtrace_aggregate_walk_*` do.
    pub(crate) fn compare(&self, other: &Place<'_>, order: Order) -> Ordering {
        let variables = || self.variable.cmp(&other.variable);
        let keys = || self.compare_keys(other);
        let values = || self.compare_values(other).then_with(keys);
        match order {
            Order::Unsorted => Ordering::Equal,
            Order::Key => variables().then_with(keys),
            Order::KeyReversed => variables().then_with(keys).reverse(),
            Order::KeyAcross => keys().then_with(variables),
            Order::KeyAcrossReversed => keys().then_with(variables).reverse(),
            Order::Value => variables().then_with(values),
            Order::ValueReversed => variables().then_with(values).reverse(),
            Order::ValueAcross => values().then_with(variables),
            Order::ValueAcrossReversed => values().then_with(variables).reverse(),
        }
    }

    /// Returns whether both have the same keys in the same places, as entries of one aggregation have.
    fn has_fields_of(&self, other: &Place<'_>) -> bool {
        std::ptr::eq(self.fields, other.fields)
    }

    fn compare_keys(&self, other: &Place<'_>) -> Ordering {
        let number = || self.fields.len().cmp(&other.fields.len());
        match (self.first, other.first) {
            (Some(first), Some(others)) if first != others && self.has_fields_of(other) => {
                first.cmp(&others)
            }
            _ => number().then_with(|| self.sized_keys().cmp(other.sized_keys())),
        }
    }

    fn compare_values(&self, other: &Place<'_>) -> Ordering {
        let layouts = || match self.has_fields_of(other) {
            true => Ordering::Equal,
            false => {
                let number = self.fields.len().cmp(&other.fields.len());
                number.then_with(|| self.layout().cmp(other.layout()))
            }
        };
        let (function, number, zeros) = self.rank;
        let (others, other_number, other_zeros) = other.rank;
        let functions = || match std::ptr::eq(function, others) {
            true => Ordering::Equal,
            false => function.cmp(others),
        };
        let numbers = || (number, zeros).cmp(&(other_number, other_zeros));
        layouts().then_with(functions).then_with(numbers)
    }

    fn sized_keys(&self) -> impl Iterator<Item = (u32, Key<'_>)> {
        self.fields.iter().map(|field| (field.description.size, Key::of(field, self.keys)))
    }

    fn layout(&self) -> impl Iterator<Item = (u32, u32)> {
        self.fields.iter().map(|field| (field.description.offset, field.description.size))
    }
}

impl<'e> Key<'e> {
    fn of(field: &Field, data: &'e [u8]) -> Key<'e> {
        let bytes = field.bytes(data).unwrap_or_default();
        let word = |at: usize| {
            let word = bytes.get(at..).and_then(|rest| rest.first_chunk());
            word.map_or(0, |word| u64::from_ne_bytes(*word))
        };
        match (Integer::from_bytes(bytes, Sign::Unsigned), field.description.action) {
            (Some(number), _) => Key::Number(number.as_u64()),
            (None, Action::USym | Action::UMod | Action::UAddr) => Key::Address(word(0), word(8)),
            (None, _) => Key::Bytes(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::record::RecordDescription;
    use crate::records::layout::of_keys;

    fn fields(sizes: &[u32]) -> Vec<Field> {
        let mut offset = 8;
        let record = |size: &u32| {
            let record = RecordDescription {
                action: Action::Trace,
                offset,
                size: *size,
                alignment: 1,
                argument: 0,
                format: None,
            };
            offset += size;
            record
        };
        of_keys(sizes.iter().map(record).collect())
    }

    #[test]
    fn aggregations_without_keys_are_told_apart() {
        let place =
            |variable, function, number| Place::new(variable, &[], &[], (function, number, 0));
        let (count, sum, small) = (place(1, "count", 9), place(2, "sum", 1), place(2, "count", 1));
        assert_eq!(count.compare(&sum, Order::ValueAcross), Ordering::Less);
        assert_eq!(count.compare(&small, Order::ValueAcross), Ordering::Greater);
        assert_eq!(count.compare(&small, Order::ValueAcrossReversed), Ordering::Less);
        assert_eq!(sum.compare(&count, Order::Key), Ordering::Greater);
    }

    #[test]
    fn the_first_key_that_differs_decides() {
        let (fields, equal) = (fields(&[4, 2, 3]), fields(&[4, 2, 3]));
        let keys = |first: u32, second: u16, text: &[u8; 3]| {
            [&[7; 8][..], &first.to_ne_bytes(), &second.to_ne_bytes(), text].concat()
        };
        let sorted = [
            keys(1, 9, b"zz\0"),
            keys(0x8000_0000, 1, b"b\0\0"),
            keys(0x8000_0000, 1, b"c\0\0"),
            keys(0x8000_0000, 0x8000, b"a\0\0"),
        ];
        for (n, a) in sorted.iter().enumerate() {
            for (m, b) in sorted.iter().enumerate() {
                for others in [&fields, &equal] {
                    let rank = ("sum", 5, 0);
                    let (a, b) = (Place::new(3, &fields, a, rank), Place::new(3, others, b, rank));
                    for order in [Order::Key, Order::KeyAcross, Order::Value, Order::ValueAcross] {
                        assert_eq!(a.compare(&b, order), n.cmp(&m), "{order:?}: {n} {m}");
                    }
                    assert_eq!(a.compare(&b, Order::KeyReversed), m.cmp(&n));
                }
            }
        }
    }
}

//! How does libdtrace sort the entries of aggregations?

use std::cmp::Ordering;

use super::layout::Field;
use crate::data::aggregation::Order;
use crate::data::integer::{Integer, Sign};
use crate::data::record::Action;

/// An entry, with what it is sorted by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'e> {
    pub(crate) variable: u64,
    pub(crate) fields: &'e [Field],
    /// The keys, each at its offset.
    pub(crate) keys: &'e [u8],
    /// The rank of the value. Only orders by value need it.
    pub(crate) rank: (&'static str, i128, i64),
}

/// A key as libdtrace compares it: numbers are unsigned.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'e> {
    Number(u64),
    Address(u64, u64),
    Bytes(&'e [u8]),
}

impl Place<'_> {
    /// Compares as `dtrace_aggregate_walk_*` do.
    pub(crate) fn compare(&self, other: &Place<'_>, order: Order) -> Ordering {
        let variables = || self.variable.cmp(&other.variable);
        let number = || self.fields.len().cmp(&other.fields.len());
        let keys = || number().then_with(|| self.sized_keys().cmp(other.sized_keys()));
        let layouts = || number().then_with(|| self.layout().cmp(other.layout()));
        let values = || layouts().then_with(|| self.rank.cmp(&other.rank)).then_with(keys);
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

    fn sized_keys(&self) -> impl Iterator<Item = (u32, Key<'_>)> {
        self.fields.iter().map(|field| (field.description.size, Key::of(field, self.keys)))
    }

    fn layout(&self) -> impl Iterator<Item = (u32, u32)> {
        self.fields.iter().map(|field| (field.description.offset, field.description.size))
    }
}

impl<'e> Key<'e> {
    fn of(field: &Field, data: &'e [u8]) -> Key<'e> {
        let bytes = field.description.bytes(data).unwrap_or_default();
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

//! In which order does a walk deliver its entries?

/// The order in which a walk delivers entries (`dtrace_aggregate_walk_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// In the order in which the library stores them.
    Unsorted,
    /// One aggregation after the other, each by key.
    Key,
    /// One aggregation after the other, each by key, descending.
    KeyReversed,
    /// All aggregations together, by key.
    KeyAcross,
    /// All aggregations together, by key, descending.
    KeyAcrossReversed,
    /// One aggregation after the other, each by value, as dtrace(1) prints them.
    #[default]
    Value,
    /// One aggregation after the other, each by value, descending.
    ValueReversed,
    /// All aggregations together, by value.
    ValueAcross,
    /// All aggregations together, by value, descending.
    ValueAcrossReversed,
}

impl Order {
    /// Returns whether values determine the order.
    pub(crate) fn is_by_value(self) -> bool {
        use Order::{Value, ValueAcross, ValueAcrossReversed, ValueReversed};
        matches!(self, Value | ValueReversed | ValueAcross | ValueAcrossReversed)
    }

    /// Returns whether entries of different aggregations are sorted among each other.
    pub(crate) fn is_across(self) -> bool {
        use Order::{KeyAcross, KeyAcrossReversed, ValueAcross, ValueAcrossReversed};
        matches!(self, KeyAcross | KeyAcrossReversed | ValueAcross | ValueAcrossReversed)
    }

    pub(crate) fn from_number(n: u8) -> Option<Order> {
        use Order::*;
        let all = [
            Unsorted,
            Key,
            KeyReversed,
            KeyAcross,
            KeyAcrossReversed,
            Value,
            ValueReversed,
            ValueAcross,
            ValueAcrossReversed,
        ];
        all.get(usize::from(n)).copied()
    }
}

//! In which order does a walk deliver its entries?

/// In which order the entries of a walk come (`dtrace_aggregate_walk_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Order {
    /// As the library has them.
    Unsorted,
    /// Each aggregation's by its keys.
    Key,
    /// Each aggregation's by its keys, downwards.
    KeyReversed,
    /// Those of all aggregations together by their keys.
    KeyAcross,
    /// Those of all aggregations together by their keys, downwards.
    KeyAcrossReversed,
    /// Each aggregation's by its values, as dtrace(1) prints them.
    #[default]
    Value,
    /// Each aggregation's by its values, downwards.
    ValueReversed,
    /// Those of all aggregations together by their values.
    ValueAcross,
    /// Those of all aggregations together by their values, downwards.
    ValueAcrossReversed,
}

impl Order {
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

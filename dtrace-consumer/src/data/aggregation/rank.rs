//! Which of two values comes first where a walk is sorted by value?

use super::numbers::{Average, Deviation};
use super::value::AggregationValue;

impl AggregationValue {
    /// Returns what libdtrace sorts values by: functions by name, then numbers that are not normalised. A
    /// distribution counts as the sum of its values, and after that as its count of zeros.
    pub(crate) fn rank(&self) -> (&'static str, i128, i64) {
        let (number, zeros) = match self {
            AggregationValue::Count(scalar) | AggregationValue::Sum(scalar) => {
                (i128::from(scalar.raw), 0)
            }
            AggregationValue::Min(extreme) | AggregationValue::Max(extreme) => {
                (i128::from(extreme.scalar.raw), 0)
            }
            AggregationValue::Avg(average) => {
                let mean = Average { normal: 1, ..*average }.mean();
                (i128::from(mean.unwrap_or(0)), 0)
            }
            AggregationValue::Stddev(deviation) => {
                let deviation = Deviation { normal: 1, ..*deviation }.deviation();
                (i128::from(deviation.unwrap_or(0)), 0)
            }
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => distribution.weight(),
        };
        (self.function().name(), number, zeros)
    }

    /// Returns whether libdtrace is certain to sort by the same rank.
    pub(crate) fn has_exact_rank(&self) -> bool {
        match self {
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => distribution.has_exact_weight(),
            _ => true,
        }
    }
}

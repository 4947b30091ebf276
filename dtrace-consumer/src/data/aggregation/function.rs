//! Which aggregating functions does D have?

use serde::{Serialize, Serializer};

/// The aggregating functions of D.
///
/// The numbers are this crate's own. Those of libdtrace differ between its lineages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AggregationFunction {
    /// `count()`: the number of calls.
    Count = 1,
    /// `sum(v)`: the total of all values.
    Sum = 2,
    /// `min(v)`: the smallest value.
    Min = 3,
    /// `max(v)`: the largest value.
    Max = 4,
    /// `avg(v)`: the arithmetic mean.
    Avg = 5,
    /// `stddev(v)`: the standard deviation.
    Stddev = 6,
    /// `quantize(v)`: counts by powers of two.
    Quantize = 7,
    /// `lquantize(v, …)`: counts by ranges of equal width.
    LQuantize = 8,
    /// `llquantize(v, …)`: counts by ranges of equal width per order of magnitude.
    LLQuantize = 9,
}

impl AggregationFunction {
    /// All of them.
    pub const ALL: [AggregationFunction; 9] = [
        AggregationFunction::Count,
        AggregationFunction::Sum,
        AggregationFunction::Min,
        AggregationFunction::Max,
        AggregationFunction::Avg,
        AggregationFunction::Stddev,
        AggregationFunction::Quantize,
        AggregationFunction::LQuantize,
        AggregationFunction::LLQuantize,
    ];

    /// Returns the function's name in D.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            AggregationFunction::Count => "count",
            AggregationFunction::Sum => "sum",
            AggregationFunction::Min => "min",
            AggregationFunction::Max => "max",
            AggregationFunction::Avg => "avg",
            AggregationFunction::Stddev => "stddev",
            AggregationFunction::Quantize => "quantize",
            AggregationFunction::LQuantize => "lquantize",
            AggregationFunction::LLQuantize => "llquantize",
        }
    }

    /// Returns the function with this crate's number.
    pub(crate) fn from_number(number: u16) -> Option<AggregationFunction> {
        AggregationFunction::ALL.into_iter().find(|function| function.number() == number)
    }

    /// Returns this crate's number of the function.
    pub(crate) fn number(self) -> u16 {
        self as u16
    }
}

impl Serialize for AggregationFunction {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

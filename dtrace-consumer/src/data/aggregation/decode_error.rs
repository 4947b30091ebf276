//! Why are bytes not the value of an aggregation?

use super::function::AggregationFunction;

/// Bytes are not the value of an aggregation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The number of bytes is not that of a value of this function.
    #[error("a value of {}() has {expected} bytes, not {found}", .function.name())]
    Size {
        /// The aggregating function.
        function: AggregationFunction,
        /// Size that its values have, in bytes.
        expected: usize,
        /// Size of what was given, in bytes.
        found: usize,
    },
    /// The parameter word (signature) cannot be one of this function.
    #[error("the parameters {word:#x} are not those of {}(): {reason}", .function.name())]
    Parameters {
        /// The aggregating function.
        function: AggregationFunction,
        /// The word.
        word: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The normalisation factor is zero; libdtrace does not allow that.
    #[error("the value of {}() is normalised by zero", .0.name())]
    ZeroNormal(AggregationFunction),
}

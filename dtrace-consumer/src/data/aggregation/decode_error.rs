//! Why do bytes not decode as the value of an aggregation?

use super::function::AggregationFunction;

/// Bytes that do not decode as the value of an aggregation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The data have the wrong size for a value of this function.
    #[error("a value of {}() has {expected} bytes, not {found}", .function.name())]
    Size {
        /// The aggregating function.
        function: AggregationFunction,
        /// The size of its values, in bytes.
        expected: usize,
        /// The size of the data, in bytes.
        found: usize,
    },
    /// The parameter word (signature) is invalid for this function.
    #[error("invalid parameters {word:#x} of {}(): {reason}", .function.name())]
    Parameters {
        /// The aggregating function.
        function: AggregationFunction,
        /// The word.
        word: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The normalisation factor is zero, which libdtrace does not allow.
    #[error("invalid value of {}(): the normalisation factor is zero", .0.name())]
    ZeroNormal(AggregationFunction),
}

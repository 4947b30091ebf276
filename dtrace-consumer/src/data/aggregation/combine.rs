//! Why can two aggregation values not be combined?

use super::function::AggregationFunction;
use super::parameters::DistributionParameters;
use crate::data::debug::debug_as_text;

/// Two aggregation values cannot be combined.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// They come from different aggregating functions.
    #[error("cannot combine a value of {}() with one of {}()", .left.name(), .right.name())]
    Function {
        /// The function of the value that the method was called on.
        left: AggregationFunction,
        /// The function of the argument.
        right: AggregationFunction,
    },
    /// They are distributions with different buckets.
    #[error("cannot combine distributions with different buckets: {left:?} and {right:?}")]
    Parameters {
        /// The parameters of the distribution that the method was called on.
        left: DistributionParameters,
        /// The parameters of the argument.
        right: DistributionParameters,
    },
    /// They are normalised by different factors.
    #[error(
        "cannot combine a value normalised by {left} with one normalised by {right}: \
         take both before the script's normalize()"
    )]
    Normal {
        /// The factor of the value that the method was called on.
        left: u64,
        /// The factor of the argument.
        right: u64,
    },
    /// Two snapshots of a smallest or largest value do not determine the value of the time between them.
    #[error("cannot subtract two values of {}()", .0.name())]
    NoDifference(AggregationFunction),
}

debug_as_text! {
    enum CombineError {
        Function { left, right },
        Parameters { left, right },
        Normal { left, right },
        NoDifference(function),
    }
}

impl CombineError {
    /// Fails unless both factors are the same.
    pub(super) fn check_normals(left: u64, right: u64) -> Result<(), CombineError> {
        if left == right { Ok(()) } else { Err(CombineError::Normal { left, right }) }
    }
}

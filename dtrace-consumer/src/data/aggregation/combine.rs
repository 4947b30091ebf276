//! Why can two aggregation values not be combined?

use super::function::AggregationFunction;
use super::parameters::DistributionParameters;

/// Two aggregation values cannot be combined.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CombineError {
    /// They come from different aggregating functions.
    #[error("a value of {}() cannot be combined with one of {}()", .left.name(), .right.name())]
    Function {
        /// The function of the value that was asked.
        left: AggregationFunction,
        /// The function of the value that was given.
        right: AggregationFunction,
    },
    /// They are distributions with different buckets.
    #[error("distributions with different buckets cannot be combined: {left:?} and {right:?}")]
    Parameters {
        /// The parameters of the distribution that was asked.
        left: DistributionParameters,
        /// The parameters of the distribution that was given.
        right: DistributionParameters,
    },
    /// They are normalised by different factors.
    #[error(
        "a value normalised by {left} cannot be combined with one normalised by {right}: \
         take both before the script's normalize()"
    )]
    Normal {
        /// The factor of the value that was asked.
        left: u64,
        /// The factor of the value that was given.
        right: u64,
    },
    /// The later of two smallest or largest values does not tell that of the time between.
    #[error("two values of {}() have no difference", .0.name())]
    NoDifference(AggregationFunction),
}

impl CombineError {
    /// Fails unless both factors are the same.
    pub(super) fn check_normals(left: u64, right: u64) -> Result<(), CombineError> {
        if left == right { Ok(()) } else { Err(CombineError::Normal { left, right }) }
    }
}

//! What is the value of an aggregation?
//!
//! [`AggregationValue`] decodes the bytes that libdtrace keeps for each of the nine aggregating
//! functions, and computes from them what DTrace computes: means, standard deviations, and all of
//! them divided by the factor of the script's `normalize()`.
//!
//! libdtrace divides by that factor as a signed number in some places and as an unsigned one in
//! others: `printa("%@d")` of a sum of -7 normalised by 2 gives -3, the default output gives
//! 9223372036854775804. The numbers here are the signed ones; [`AggregationValue::render`] has the
//! text of the default output.

mod numbers;
#[cfg(test)]
mod tests;

pub use self::numbers::{Average, Deviation, Extreme, Scalar};

use super::distribution::{CombineError, Distribution, DistributionParameters, ParameterEncoding};

/// The aggregating functions of D.
///
/// The numbers are this crate's own; those of libdtrace differ between its lineages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AggregationFunction {
    /// `count()`: how often.
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

    /// The function's name in D.
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

    /// The function of a number of this crate.
    ///
    /// # Errors
    /// [`DecodeError::Function`] if no function has that number.
    pub fn from_wire(number: u8) -> Result<AggregationFunction, DecodeError> {
        let mut all = AggregationFunction::ALL.into_iter();
        all.find(|function| function.to_wire() == number).ok_or(DecodeError::Function(number))
    }

    /// This crate's number of the function.
    pub fn to_wire(self) -> u8 {
        self as u8
    }
}

/// Bytes are not the value of an aggregation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No aggregating function has this number.
    #[error("no aggregating function has the number {0}")]
    Function(u8),
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

/// The value of an aggregation for one key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AggregationValue {
    /// Of `count()`.
    Count(Scalar),
    /// Of `sum(v)`.
    Sum(Scalar),
    /// Of `min(v)`.
    Min(Extreme),
    /// Of `max(v)`.
    Max(Extreme),
    /// Of `avg(v)`.
    Avg(Average),
    /// Of `stddev(v)`.
    Stddev(Deviation),
    /// Of `quantize(v)`.
    Quantize(Distribution),
    /// Of `lquantize(v, …)`.
    LQuantize(Distribution),
    /// Of `llquantize(v, …)`.
    LLQuantize(Distribution),
}

impl AggregationValue {
    /// Decode a value of DTrace for Linux: `signature` is the aggregation's `dtagd_sig`, `data`
    /// the bytes of its value record (without the generation word before it) as little-endian
    /// words, `normal` its `dtagd_normal`.
    ///
    /// # Errors
    /// [`DecodeError`] if `data` does not have the size of a value of `function`, if `signature`
    /// cannot be one of it, or if `normal` is zero.
    pub fn decode(
        function: AggregationFunction,
        signature: u64,
        data: &[u8],
        normal: u64,
    ) -> Result<AggregationValue, DecodeError> {
        Self::decode_in(ParameterEncoding::Linux, function, signature, data, normal)
    }

    /// Decode a value of either lineage. For [`ParameterEncoding::Sun`], `data` is the value
    /// record of an `lquantize` or `llquantize` as it is, the parameters in its first word, and
    /// `signature` is not used.
    ///
    /// # Errors
    /// As of [`decode`](AggregationValue::decode).
    pub fn decode_in(
        encoding: ParameterEncoding,
        function: AggregationFunction,
        signature: u64,
        data: &[u8],
        normal: u64,
    ) -> Result<AggregationValue, DecodeError> {
        if normal == 0 {
            return Err(DecodeError::ZeroNormal(function));
        }
        let scalar = || fixed(function, data).map(|[raw]| Scalar { raw, normal });
        let distribution = || {
            let mut counts = data;
            let mut word = signature;
            if encoding == ParameterEncoding::Sun && function != AggregationFunction::Quantize {
                let (first, rest) = data.split_first_chunk().ok_or(DecodeError::Size {
                    function,
                    expected: 8,
                    found: data.len(),
                })?;
                (word, counts) = (u64::from_le_bytes(*first), rest);
            }
            let parameters = DistributionParameters::decode(function, encoding, word)?;
            Distribution::decode(parameters, counts, normal)
        };
        Ok(match function {
            AggregationFunction::Count => AggregationValue::Count(scalar()?),
            AggregationFunction::Sum => AggregationValue::Sum(scalar()?),
            AggregationFunction::Min => {
                AggregationValue::Min(Extreme { scalar: scalar()?, untouched: i64::MAX })
            }
            AggregationFunction::Max => {
                AggregationValue::Max(Extreme { scalar: scalar()?, untouched: i64::MIN })
            }
            AggregationFunction::Avg => {
                let [count, sum] = fixed(function, data)?;
                AggregationValue::Avg(Average { count, sum, normal })
            }
            AggregationFunction::Stddev => {
                let [count, sum, low, high] = fixed(function, data)?;
                let sum_of_squares = u128::from(high as u64) << 64 | u128::from(low as u64);
                AggregationValue::Stddev(Deviation { count, sum, sum_of_squares, normal })
            }
            AggregationFunction::Quantize => AggregationValue::Quantize(distribution()?),
            AggregationFunction::LQuantize => AggregationValue::LQuantize(distribution()?),
            AggregationFunction::LLQuantize => AggregationValue::LLQuantize(distribution()?),
        })
    }

    /// The function that aggregated it.
    pub fn function(&self) -> AggregationFunction {
        match self {
            AggregationValue::Count(_) => AggregationFunction::Count,
            AggregationValue::Sum(_) => AggregationFunction::Sum,
            AggregationValue::Min(_) => AggregationFunction::Min,
            AggregationValue::Max(_) => AggregationFunction::Max,
            AggregationValue::Avg(_) => AggregationFunction::Avg,
            AggregationValue::Stddev(_) => AggregationFunction::Stddev,
            AggregationValue::Quantize(_) => AggregationFunction::Quantize,
            AggregationValue::LQuantize(_) => AggregationFunction::LQuantize,
            AggregationValue::LLQuantize(_) => AggregationFunction::LLQuantize,
        }
    }

    /// The factor by which the script normalised the aggregation; 1 if it did not.
    pub fn normal(&self) -> u64 {
        match self {
            AggregationValue::Count(scalar) | AggregationValue::Sum(scalar) => scalar.normal,
            AggregationValue::Min(extreme) | AggregationValue::Max(extreme) => {
                extreme.scalar.normal
            }
            AggregationValue::Avg(average) => average.normal,
            AggregationValue::Stddev(deviation) => deviation.normal,
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => distribution.normal(),
        }
    }

    /// The number that DTrace would show for it, as a signed one: normalised, rounded towards
    /// zero. `None` where there is no such number: a distribution, an average or deviation of no
    /// values, a `min` or `max` that saw none, a deviation beyond `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            AggregationValue::Count(scalar) | AggregationValue::Sum(scalar) => Some(scalar.get()),
            AggregationValue::Min(extreme) | AggregationValue::Max(extreme) => extreme.get(),
            AggregationValue::Avg(average) => average.mean(),
            AggregationValue::Stddev(deviation) => i64::try_from(deviation.deviation()?).ok(),
            _ => None,
        }
    }

    /// How many values were aggregated, not normalised; `None` where DTrace does not keep that
    /// (`sum`, `min`, `max`) or it is beyond `i64`.
    pub fn count(&self) -> Option<i64> {
        match self {
            AggregationValue::Count(scalar) => Some(scalar.raw),
            AggregationValue::Avg(average) => Some(average.count),
            AggregationValue::Stddev(deviation) => Some(deviation.count),
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => {
                i64::try_from(distribution.raw_total()).ok()
            }
            _ => None,
        }
    }

    /// The mean of the values, normalised, not rounded; `None` unless it is the value of an `avg`
    /// or `stddev` of at least one value.
    pub fn mean_f64(&self) -> Option<f64> {
        match self {
            AggregationValue::Avg(average) => average.mean_f64(),
            AggregationValue::Stddev(deviation) => deviation.mean_f64(),
            _ => None,
        }
    }

    /// The distribution of a `quantize`, `lquantize` or `llquantize`.
    pub fn distribution(&self) -> Option<&Distribution> {
        match self {
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => Some(distribution),
            _ => None,
        }
    }

    /// Add `other`, as if both had been aggregated together: of another CPU, another key, or a
    /// later time. Sums wrap around beyond their width, as they do in DTrace.
    ///
    /// # Errors
    /// [`CombineError`] if function, buckets or normalisation differ; `self` is unchanged.
    pub fn merge(&mut self, other: &AggregationValue) -> Result<(), CombineError> {
        self.check(other)?;
        match (self, other) {
            (AggregationValue::Min(left), AggregationValue::Min(right)) => {
                left.scalar.raw = left.scalar.raw.min(right.scalar.raw);
            }
            (AggregationValue::Max(left), AggregationValue::Max(right)) => {
                left.scalar.raw = left.scalar.raw.max(right.scalar.raw);
            }
            (left, right) => left.combine(right, i64::wrapping_add, u128::wrapping_add)?,
        }
        Ok(())
    }

    /// Take away `earlier`, which leaves what was aggregated since, if it is a snapshot of the
    /// same aggregation that was not cleared between.
    ///
    /// # Errors
    /// [`CombineError`] if function, buckets or normalisation differ, or for `min` and `max`, of
    /// which two snapshots do not tell what came between; `self` is unchanged.
    pub fn subtract(&mut self, earlier: &AggregationValue) -> Result<(), CombineError> {
        self.check(earlier)?;
        self.combine(earlier, i64::wrapping_sub, u128::wrapping_sub)
    }

    /// The text that dtrace(1) of DTrace 2.0.7 prints for the value: for a number a space and the
    /// number in 16 columns, for a distribution its header and lines, see
    /// [`Distribution::render`].
    pub fn render(&self) -> String {
        match self {
            AggregationValue::Count(scalar) | AggregationValue::Sum(scalar) => {
                format!(" {:>16}", scalar.as_printed())
            }
            AggregationValue::Min(extreme) | AggregationValue::Max(extreme) => {
                format!(" {:>16}", extreme.scalar.as_printed())
            }
            AggregationValue::Avg(average) => format!(" {:>16}", average.mean().unwrap_or(0)),
            AggregationValue::Stddev(deviation) => {
                format!(" {:>16}", deviation.deviation().unwrap_or(0))
            }
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => distribution.render(),
        }
    }

    fn check(&self, other: &AggregationValue) -> Result<(), CombineError> {
        let (left, right) = (self.function(), other.function());
        if left != right {
            return Err(CombineError::Function { left, right });
        }
        CombineError::check_normals(self.normal(), other.normal())
    }

    /// Combine the numbers of two values of the same function.
    fn combine(
        &mut self,
        other: &AggregationValue,
        narrow: fn(i64, i64) -> i64,
        wide: fn(u128, u128) -> u128,
    ) -> Result<(), CombineError> {
        use AggregationValue::{Avg, Count, LLQuantize, LQuantize, Quantize, Stddev, Sum};
        match (self, other) {
            (Count(left), Count(right)) | (Sum(left), Sum(right)) => {
                left.raw = narrow(left.raw, right.raw);
            }
            (Avg(left), Avg(right)) => {
                left.count = narrow(left.count, right.count);
                left.sum = narrow(left.sum, right.sum);
            }
            (Stddev(left), Stddev(right)) => {
                left.count = narrow(left.count, right.count);
                left.sum = narrow(left.sum, right.sum);
                left.sum_of_squares = wide(left.sum_of_squares, right.sum_of_squares);
            }
            (Quantize(left), Quantize(right))
            | (LQuantize(left), LQuantize(right))
            | (LLQuantize(left), LLQuantize(right)) => left.combine(right, narrow)?,
            (left, _) => return Err(CombineError::NoDifference(left.function())),
        }
        Ok(())
    }
}

/// The little-endian words of `data`; bytes after the last whole word are left out.
pub(super) fn words(data: &[u8]) -> impl Iterator<Item = i64> {
    data.as_chunks().0.iter().map(|&chunk| i64::from_le_bytes(chunk))
}

/// The words of a value that has `N` of them.
fn fixed<const N: usize>(
    function: AggregationFunction,
    data: &[u8],
) -> Result<[i64; N], DecodeError> {
    let error = DecodeError::Size { function, expected: 8 * N, found: data.len() };
    if data.len() != 8 * N {
        return Err(error);
    }
    words(data).collect::<Vec<_>>().try_into().map_err(|_| error)
}

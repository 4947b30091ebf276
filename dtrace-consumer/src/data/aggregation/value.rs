//! What is the value of an aggregation?
//!
//! [`AggregationValue`] decodes the bytes that libdtrace keeps for each of the nine aggregating functions. It
//! computes what DTrace computes: means, standard deviations, and all numbers divided by the factor of the
//! script's `normalize()`.
//!
//! libdtrace divides by that factor as a signed number in some places and as an unsigned one in others:
//! `printa("%@d")` of a sum of -7 normalised by 2 prints -3, the default output prints 9223372036854775804.
//! The numbers here are the signed ones. [`AggregationValue::render`] returns the text of the default output.

#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

use super::combine::CombineError;
use super::decode_error::DecodeError;
use super::distribution::Distribution;
use super::function::AggregationFunction;
use super::numbers::{Average, Deviation, Extreme, Scalar, fixed};
use super::parameters::{DistributionParameters, ParameterEncoding};

/// The value of an aggregation for one key.
///
/// ```no_run
/// use dtrace_consumer::aggregation::AggregationValue;
///
/// let script = "syscall::read:entry { self->at = timestamp; }
///     syscall::read:return /self->at/ { @slow = quantize(timestamp - self->at); @time = avg(timestamp - self->at); }
///     tick-5s { exit(0); }";
/// dtrace_consumer::trace(script)
///     .flag("aggpercpu")
///     .walk(|entry| {
///         match entry.value() {
///             AggregationValue::Quantize(times) => {
///                 for bucket in times.counted() {
///                     println!("{:?}: {}", bucket.range, bucket.count);
///                 }
///                 println!("99 of 100 within {:?}", times.percentile(99.0));
///                 print!("{}", times.render()); // as dtrace(1) draws it
///             }
///             AggregationValue::Avg(time) => println!("{:?} ns", time.mean_f64()),
///             other => print!("{}", other.render()),
///         }
///         for (cpu, value) in entry.per_cpu() {
///             print!("CPU {cpu}: {}", value.render());
///         }
///         Ok(())
///     })
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
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
    /// Decodes a value of DTrace for Linux.
    #[cfg(test)]
    pub(crate) fn decode(
        function: AggregationFunction,
        signature: u64,
        data: &[u8],
        normal: u64,
    ) -> Result<AggregationValue, DecodeError> {
        Self::decode_in(ParameterEncoding::Linux, function, signature, data, normal)
    }

    /// Decodes a value of either lineage.
    ///
    /// On Linux, `signature` is the aggregation's `dtagd_sig`, `data` the bytes of its value record as
    /// words in native byte order, without the generation word before them, and `normal` its `dtagd_normal`. For
    /// [`ParameterEncoding::Sun`], `data` is the whole value record, which has the parameters of an
    /// `lquantize` or `llquantize` in its first word; `signature` is ignored.
    ///
    /// # Errors
    /// [`DecodeError`] if `data` does not have the size of a value of `function`, if `signature` is invalid
    /// for it, or if `normal` is zero.
    pub(crate) fn decode_in(
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
                (word, counts) = (u64::from_ne_bytes(*first), rest);
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

    /// Returns the aggregating function.
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

    /// Returns the factor by which the script normalised the aggregation; 1 if it did not.
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

    /// Returns the number that DTrace shows for this value, as a signed one: normalised, rounded towards
    /// zero. Returns `None` if there is no single number: for a distribution, an average or deviation of no
    /// values, a `min` or `max` that saw none, and a deviation beyond `i64`.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            AggregationValue::Count(scalar) | AggregationValue::Sum(scalar) => Some(scalar.get()),
            AggregationValue::Min(extreme) | AggregationValue::Max(extreme) => extreme.get(),
            AggregationValue::Avg(average) => average.mean(),
            AggregationValue::Stddev(deviation) => i64::try_from(deviation.deviation()?).ok(),
            _ => None,
        }
    }

    /// Returns the number of aggregated values, not normalised. Returns `None` if DTrace does not keep it
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

    /// Returns the exact mean of the values, normalised. Returns `None` unless this is the value of an `avg`
    /// or `stddev` of at least one value.
    pub fn mean_f64(&self) -> Option<f64> {
        match self {
            AggregationValue::Avg(average) => average.mean_f64(),
            AggregationValue::Stddev(deviation) => deviation.mean_f64(),
            _ => None,
        }
    }

    /// Returns the distribution of a `quantize`, `lquantize` or `llquantize`.
    pub fn distribution(&self) -> Option<&Distribution> {
        match self {
            AggregationValue::Quantize(distribution)
            | AggregationValue::LQuantize(distribution)
            | AggregationValue::LLQuantize(distribution) => Some(distribution),
            _ => None,
        }
    }

    /// Adds `other`, as if both had been aggregated together: a value of another CPU, another key, or a later
    /// time. Sums wrap around beyond their width, as they do in DTrace.
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

    /// Subtracts `earlier`. If that is a snapshot of the same aggregation, which was not cleared in between,
    /// the rest is what was aggregated since.
    ///
    /// # Errors
    /// [`CombineError`] if function, buckets or normalisation differ, and for `min` and `max`, which have no
    /// difference; `self` is unchanged.
    pub fn subtract(&mut self, earlier: &AggregationValue) -> Result<(), CombineError> {
        self.check(earlier)?;
        self.combine(earlier, i64::wrapping_sub, u128::wrapping_sub)
    }

    /// Returns the text that dtrace(1) of DTrace 2.0.7 prints for the value: a number as a space and 16
    /// columns, a distribution as its header and lines; see [`Distribution::render`].
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

    /// Combines the numbers of two values of the same function.
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

/// Serializes as the number that DTrace shows, null if there is none. A distribution becomes a list of its
/// buckets with a count.
impl Serialize for AggregationValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.distribution() {
            Some(distribution) => distribution.serialize(serializer),
            None => self.as_i64().serialize(serializer),
        }
    }
}

//! Which numbers does DTrace compute from aggregated values?
//!
//! Each type holds libdtrace's data and the factor of the script's `normalize()`. It returns DTrace's integer
//! result and, where that is rounded, the exact one.

use super::decode_error::DecodeError;
use super::function::AggregationFunction;

/// A number and the factor by which the script normalised it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scalar {
    pub(super) raw: i64,
    pub(super) normal: u64,
}

impl Scalar {
    pub(super) fn new(raw: i64, normal: u64) -> Scalar {
        Scalar { raw, normal }
    }

    /// Returns the number divided by the factor, signed and rounded towards zero, as `printa("%@d")` prints
    /// it.
    pub fn get(self) -> i64 {
        divide(self.raw, self.normal as i64)
    }

    /// Returns the aggregated number, not normalised.
    pub fn raw(self) -> i64 {
        self.raw
    }

    /// Returns the factor; 1 if the script did not normalise.
    pub fn normal(self) -> u64 {
        self.normal
    }

    /// Returns the exact quotient.
    pub fn as_f64(self) -> f64 {
        self.raw as f64 / self.normal as i64 as f64
    }

    /// Returns the number that dtrace(1) prints by default: both operands are divided as unsigned numbers,
    /// the quotient is shown as signed. It differs from [`get`](Scalar::get) for a negative number that was
    /// normalised.
    pub fn as_printed(self) -> i64 {
        (self.raw as u64).checked_div(self.normal).unwrap_or(0) as i64
    }
}

/// The value of a `min` or `max`, which may not have seen any value yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extreme {
    pub(super) scalar: Scalar,
    pub(super) untouched: i64,
}

impl Extreme {
    /// Returns the extreme; `None` if no value was seen since the start or the last `clear()`.
    ///
    /// DTrace marks "no value" by the largest (for `min`) or the smallest (for `max`) `i64`. A script that
    /// aggregates only this very number looks as if it had aggregated nothing.
    pub fn get(self) -> Option<i64> {
        self.seen().map(Scalar::get)
    }

    /// Returns the extreme with its normalisation; `None` if no value was seen.
    pub fn seen(self) -> Option<Scalar> {
        (self.scalar.raw != self.untouched).then_some(self.scalar)
    }

    /// Returns DTrace's raw number, including the one that marks "no value".
    pub fn scalar(self) -> Scalar {
        self.scalar
    }
}

/// The value of an `avg`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Average {
    pub(super) count: i64,
    pub(super) sum: i64,
    pub(super) normal: u64,
}

impl Average {
    /// Returns the number of values.
    pub fn count(self) -> i64 {
        self.count
    }

    /// Returns their sum, not normalised.
    pub fn sum(self) -> i64 {
        self.sum
    }

    /// Returns the normalisation factor; 1 if the script did not normalise.
    pub fn normal(self) -> u64 {
        self.normal
    }

    /// Returns the mean as DTrace computes it: sum / normal / count, each rounded towards zero. Returns
    /// `None` if there were no values, where dtrace(1) shows 0.
    pub fn mean(self) -> Option<i64> {
        (self.count != 0).then(|| divide(divide(self.sum, self.normal as i64), self.count))
    }

    /// Returns the exact mean; `None` if there were no values.
    pub fn mean_f64(self) -> Option<f64> {
        (self.count != 0).then(|| Scalar::new(self.sum, self.normal).as_f64() / self.count as f64)
    }
}

/// The value of a `stddev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Deviation {
    pub(super) count: i64,
    pub(super) sum: i64,
    pub(super) sum_of_squares: u128,
    pub(super) normal: u64,
}

impl Deviation {
    /// Returns the number of values.
    pub fn count(self) -> i64 {
        self.count
    }

    /// Returns their sum, not normalised.
    pub fn sum(self) -> i64 {
        self.sum
    }

    /// Returns the sum of their squares, not normalised.
    pub fn sum_of_squares(self) -> u128 {
        self.sum_of_squares
    }

    /// Returns the normalisation factor; 1 if the script did not normalise.
    pub fn normal(self) -> u64 {
        self.normal
    }

    /// Returns the standard deviation as DTrace computes it, in integers: the root of the mean of squares
    /// less the square of the mean. Returns `None` if there were no values, where dtrace(1) shows 0.
    ///
    /// If the script normalised, DTrace divides the sum of squares by the factor once, not twice. The result
    /// is then not the deviation of the normalised values; [`deviation_f64`](Deviation::deviation_f64)
    /// returns that.
    pub fn deviation(self) -> Option<u64> {
        let squares = self.sum_of_squares.checked_div(u128::from(self.normal))?;
        let mean_of_squares = squares.checked_div(u128::from(self.count as u64))?;
        let mean = divide(divide(self.sum, self.normal as i64), self.count);
        let square_of_mean = u128::from(mean.unsigned_abs()).pow(2);
        Some(mean_of_squares.wrapping_sub(square_of_mean).isqrt() as u64)
    }

    /// Returns the mean of the values, divided by the normalisation; `None` if there were none.
    pub fn mean_f64(self) -> Option<f64> {
        Average { count: self.count, sum: self.sum, normal: self.normal }.mean_f64()
    }

    /// Returns the standard deviation of the values, divided by the normalisation; `None` if there were none.
    pub fn deviation_f64(self) -> Option<f64> {
        let count = (self.count != 0).then_some(self.count as f64)?;
        let square_of_sum = u128::from(self.sum.unsigned_abs()).pow(2);
        // Compute in integers where they suffice: the two terms may be huge and nearly equal.
        let difference = u128::try_from(self.count)
            .ok()
            .and_then(|count| count.checked_mul(self.sum_of_squares))
            .map(|squares| squares.saturating_sub(square_of_sum) as f64);
        let variance = match difference {
            Some(difference) => difference / count.powi(2),
            None => self.sum_of_squares as f64 / count - (self.sum as f64 / count).powi(2),
        };
        Some(variance.max(0.0).sqrt() / (self.normal as i64 as f64).abs())
    }
}

/// Divides signed numbers as C does. Defines the two cases that C leaves undefined: division by zero returns
/// zero, and the one overflow wraps around.
fn divide(dividend: i64, divisor: i64) -> i64 {
    if divisor == 0 { 0 } else { dividend.wrapping_div(divisor) }
}

/// Returns the words of `data`, in native byte order, without the bytes after the last whole word.
pub(super) fn words(data: &[u8]) -> impl Iterator<Item = i64> {
    data.as_chunks().0.iter().map(|&chunk| i64::from_ne_bytes(chunk))
}

/// Returns the words of a value that has `N` of them.
pub(super) fn fixed<const N: usize>(
    function: AggregationFunction,
    data: &[u8],
) -> Result<[i64; N], DecodeError> {
    let error = DecodeError::Size { function, expected: 8 * N, found: data.len() };
    if data.len() != 8 * N {
        return Err(error);
    }
    words(data).collect::<Vec<_>>().try_into().map_err(|_| error)
}

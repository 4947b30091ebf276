//! How are the values that a script counted distributed?
//!
//! A [`Distribution`] is the value of a `quantize`, `lquantize` or `llquantize`: counts, and for each the
//! exact range of values that it counts. It can be iterated, merged with or subtracted from another one with
//! the same parameters, queried for percentiles, and rendered as dtrace(1) does. `estimate.rs` has the
//! estimates.

mod estimate;
mod render;
#[cfg(test)]
mod tests;
mod weight;

use serde::{Serialize, Serializer};

use super::combine::CombineError;
use super::decode_error::DecodeError;
use super::numbers::{Scalar, words};
use super::parameters::{BucketRange, DistributionParameters};

/// Counts of values by range: the result of `quantize`, `lquantize` and `llquantize`.
///
/// Counts are stored as DTrace stores them. If the script normalised the aggregation, [`Bucket`]s, totals and
/// the rendering show counts divided by the factor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Distribution {
    parameters: DistributionParameters,
    normal: u64,
    slots: Vec<i64>,
}

/// One of the ranges into which a distribution divides all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bucket {
    /// The values counted here.
    pub range: BucketRange,
    /// How many values there were, divided by the normalisation. If the script gave increments, their sum,
    /// which may be negative.
    pub count: i64,
}

/// A bucket, and a value that it counts.
struct Ranked {
    range: BucketRange,
    /// The position of the value among those of the bucket in ascending order, from 1.
    position: i128,
    count: i64,
}

impl Distribution {
    /// Decodes the counts of a distribution: 64-bit words in native byte order. `normal` is libdtrace's factor (1 if
    /// the script did not normalise).
    ///
    /// `data` holds counts only. In the Sun lineage the first word of an `lquantize` or `llquantize` value is
    /// the parameter word: split it off for [`DistributionParameters::decode`], or let
    /// [`AggregationValue::decode_in`](super::value::AggregationValue::decode_in) do both.
    ///
    /// # Errors
    /// [`DecodeError::Size`] if the number of counts does not match the parameters,
    /// [`DecodeError::ZeroNormal`] if `normal` is zero.
    pub(crate) fn decode(
        parameters: DistributionParameters,
        data: &[u8],
        normal: u64,
    ) -> Result<Distribution, DecodeError> {
        let (function, expected) = (parameters.function(), 8 * parameters.slots());
        if data.len() != expected {
            return Err(DecodeError::Size { function, expected, found: data.len() });
        }
        if normal == 0 {
            return Err(DecodeError::ZeroNormal(function));
        }
        Ok(Distribution { parameters, normal, slots: words(data).collect() })
    }

    /// Returns the parameters of the aggregating function.
    pub fn parameters(&self) -> &DistributionParameters {
        &self.parameters
    }

    /// Returns the factor by which the script normalised the aggregation; 1 if it did not.
    pub fn normal(&self) -> u64 {
        self.normal
    }

    /// Returns the counts as libdtrace stores them: not normalised, ghost slots included.
    pub fn slots(&self) -> &[i64] {
        &self.slots
    }

    /// Returns all buckets in ascending order, empty ones included. They have no gaps and do not overlap.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.raw().map(|(range, raw)| Bucket { range, count: self.normalized(raw) })
    }

    /// Returns the buckets with a count, in ascending order.
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.raw()
            .filter(|&(_, raw)| raw != 0)
            .map(|(range, raw)| Bucket { range, count: self.normalized(raw) })
    }

    /// Returns the bucket that counts `value`.
    pub fn bucket_of(&self, value: i64) -> Option<Bucket> {
        self.buckets().find(|bucket| bucket.range.contains(value))
    }

    /// Returns whether all counts are zero: nothing was counted (since `clear()`), or increments cancel out.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|&count| count == 0)
    }

    /// Returns the sum of all counts, divided by the normalisation.
    pub fn total(&self) -> i128 {
        self.raw_total() / i128::from(self.normal as i64)
    }

    /// Returns the bucket of the `percent`-th percentile by nearest rank: of all `n` counted values in
    /// ascending order, the one at position ⌈percent · n / 100⌉ (at least the first). That value lies within
    /// the returned range. Nothing is interpolated, because a distribution does not know the values within a
    /// bucket; [`percentile_estimate`](Self::percentile_estimate) interpolates. The percentage is used to
    /// seven decimals; normalisation does not matter.
    ///
    /// Returns `None` if nothing was counted, if a count is negative (ranks are then undefined), or if
    /// `percent` is not within 0 to 100.
    pub fn percentile(&self, percent: f64) -> Option<BucketRange> {
        self.ranked(percent).map(|ranked| ranked.range)
    }

    /// Returns the bucket that counts the value of the nearest rank; see [`percentile`](Self::percentile).
    fn ranked(&self, percent: f64) -> Option<Ranked> {
        const UNITS: i128 = 10_000_000;
        if !(0.0..=100.0).contains(&percent) || self.slots.iter().any(|&count| count < 0) {
            return None;
        }
        let units = (percent * UNITS as f64).round() as i128;
        // At most 2^17 slots of 2^63 times 2^30 units: far below the limit of 128 bits.
        let rank = ((units * self.raw_total() + 100 * UNITS - 1) / (100 * UNITS)).max(1);
        let mut below = 0;
        self.raw().filter(|&(_, raw)| raw > 0).find_map(|(range, raw)| {
            let ranked = Ranked { range, position: rank - below, count: raw };
            below += i128::from(raw);
            (below >= rank).then_some(ranked)
        })
    }

    /// Returns the range from the least to the greatest value that can have been counted; `None` if nothing
    /// was.
    pub fn bounds(&self) -> Option<BucketRange> {
        let mut counted = self.counted();
        let first = counted.next()?.range;
        let last = counted.next_back().map_or(first, |bucket| bucket.range);
        Some(BucketRange { lower: first.lower, upper: last.upper })
    }

    /// Adds the counts of `other`, as if both had been one aggregation. Counts wrap around beyond 64 bits, as
    /// they do in DTrace.
    ///
    /// # Errors
    /// [`CombineError`] if the buckets or the normalisation differ; `self` is unchanged.
    pub fn merge(&mut self, other: &Distribution) -> Result<(), CombineError> {
        self.combine(other, i64::wrapping_add)
    }

    /// Subtracts the counts of `earlier`. If that is a snapshot of the same aggregation, which was not
    /// cleared in between, the rest is what was counted since.
    ///
    /// # Errors
    /// [`CombineError`] if the buckets or the normalisation differ; `self` is unchanged.
    pub fn subtract(&mut self, earlier: &Distribution) -> Result<(), CombineError> {
        self.combine(earlier, i64::wrapping_sub)
    }

    /// Returns the text that dtrace(1) prints for this value: a line feed, a header, and a line for each
    /// bucket from just before the first to just after the last one with a count. It ends in a line feed.
    pub fn render(&self) -> String {
        render::render(self)
    }

    pub(super) fn combine(
        &mut self,
        other: &Distribution,
        operation: fn(i64, i64) -> i64,
    ) -> Result<(), CombineError> {
        let (left, right) = (self.parameters, other.parameters);
        if left.function() != right.function() {
            return Err(CombineError::Function { left: left.function(), right: right.function() });
        }
        if left != right {
            return Err(CombineError::Parameters { left, right });
        }
        CombineError::check_normals(self.normal, other.normal)?;
        for (count, &other) in self.slots.iter_mut().zip(&other.slots) {
            *count = operation(*count, other);
        }
        Ok(())
    }

    fn raw(&self) -> impl DoubleEndedIterator<Item = (BucketRange, i64)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, &raw)| Some((self.parameters.range(slot)?, raw)))
    }

    pub(super) fn raw_total(&self) -> i128 {
        self.raw().map(|(_, raw)| i128::from(raw)).sum()
    }

    fn normalized(&self, raw: i64) -> i64 {
        Scalar::new(raw, self.normal).get()
    }
}

/// Serializes as a list of the buckets with a count. Each has its `lower` and `upper` end (null if open) and
/// its `count`.
impl Serialize for Distribution {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(serde::Serialize)]
        struct Counted {
            lower: Option<i64>,
            upper: Option<i64>,
            count: i64,
        }
        serializer.collect_seq(self.counted().map(|Bucket { range, count }| Counted {
            lower: range.lower,
            upper: range.upper,
            count,
        }))
    }
}

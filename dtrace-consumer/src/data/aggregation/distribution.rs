//! How are the values that a script counted distributed?
//!
//! A [`Distribution`] is the value of a `quantize`, `lquantize` or `llquantize`: counts, and for
//! each the exact range of values counted there. It can be iterated, merged with and subtracted
//! from another of the same parameters, asked for percentiles, and rendered as dtrace(1) does.

mod render;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer};

use super::combine::CombineError;
use super::decode_error::DecodeError;
use super::numbers::{Scalar, words};
use super::parameters::{BucketRange, DistributionParameters};

/// Values counted by ranges: what `quantize`, `lquantize` and `llquantize` give.
///
/// Counts are kept as DTrace keeps them. Where the script normalised the aggregation, [`Bucket`]s,
/// totals and the rendering show counts divided by that factor.
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
    /// How many there were, or the sum of their increments where the script gave one (then it may
    /// be negative); divided by the normalisation.
    pub count: i64,
}

impl Distribution {
    /// Decode the counts of a distribution: little-endian 64-bit words, `normal` as libdtrace
    /// gives it (1 where the script did not normalise).
    ///
    /// `data` holds counts only. In the Sun lineage the first word of an `lquantize` or
    /// `llquantize` value is the parameter word: take it off for
    /// [`DistributionParameters::decode`], or let
    /// [`AggregationValue::decode_in`](super::value::AggregationValue::decode_in) do both.
    ///
    /// # Errors
    /// [`DecodeError::Size`] if the number of counts is not the one that the parameters ask for,
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

    /// What was given to the aggregating function.
    pub fn parameters(&self) -> &DistributionParameters {
        &self.parameters
    }

    /// The factor by which the script normalised the aggregation; 1 if it did not.
    pub fn normal(&self) -> u64 {
        self.normal
    }

    /// The counts as libdtrace keeps them: not normalised, ghost slots included.
    pub fn slots(&self) -> &[i64] {
        &self.slots
    }

    /// All buckets in ascending order, empty ones too. They leave no gaps and do not overlap.
    pub fn buckets(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.raw().map(|(range, raw)| Bucket { range, count: self.normalized(raw) })
    }

    /// The buckets in which something was counted, in ascending order.
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = Bucket> {
        self.raw()
            .filter(|&(_, raw)| raw != 0)
            .map(|(range, raw)| Bucket { range, count: self.normalized(raw) })
    }

    /// The bucket that counts `value`.
    pub fn bucket_of(&self, value: i64) -> Option<Bucket> {
        self.buckets().find(|bucket| bucket.range.contains(value))
    }

    /// Whether nothing was counted: never, since `clear()`, or because increments cancel out.
    pub fn is_empty(&self) -> bool {
        self.slots.iter().all(|&count| count == 0)
    }

    /// The sum of all counts, divided by the normalisation.
    pub fn total(&self) -> i128 {
        self.raw_total() / i128::from(self.normal as i64)
    }

    /// The bucket in which the `percent`-th percentile lies, by the nearest rank: with all `n`
    /// counted values in ascending order, the one at position ⌈percent · n / 100⌉ (at least the
    /// first). That value lies within the returned range; nothing is interpolated, since a
    /// distribution does not know more. The percentage is taken to seven decimals, normalisation
    /// does not matter.
    ///
    /// `None` if nothing was counted, if a count is negative (then there are no ranks), or if
    /// `percent` is not within 0 to 100.
    pub fn percentile(&self, percent: f64) -> Option<BucketRange> {
        const UNITS: i128 = 10_000_000;
        if !(0.0..=100.0).contains(&percent) || self.slots.iter().any(|&count| count < 0) {
            return None;
        }
        let units = (percent * UNITS as f64).round() as i128;
        // At most 2^17 slots of 2^63 times 2^30 units: far from the limits of 128 bits.
        let rank = (units * self.raw_total() + 100 * UNITS - 1) / (100 * UNITS);
        let mut below = 0;
        self.raw().filter(|&(_, raw)| raw > 0).find_map(|(range, raw)| {
            below += i128::from(raw);
            (below >= rank).then_some(range)
        })
    }

    /// The range from the least to the greatest value that can have been counted; `None` if
    /// nothing was.
    pub fn bounds(&self) -> Option<BucketRange> {
        let mut counted = self.counted();
        let first = counted.next()?.range;
        let last = counted.next_back().map_or(first, |bucket| bucket.range);
        Some(BucketRange { lower: first.lower, upper: last.upper })
    }

    /// Add the counts of `other`, as if both had been one aggregation. Counts wrap around beyond
    /// 64 bits, as they do in DTrace.
    ///
    /// # Errors
    /// [`CombineError`] if the buckets or the normalisation are not the same; `self` is unchanged.
    pub fn merge(&mut self, other: &Distribution) -> Result<(), CombineError> {
        self.combine(other, i64::wrapping_add)
    }

    /// Take away the counts of `earlier`, which leaves what was counted since, if `earlier` is a
    /// snapshot of the same aggregation that was not cleared between.
    ///
    /// # Errors
    /// [`CombineError`] if the buckets or the normalisation are not the same; `self` is unchanged.
    pub fn subtract(&mut self, earlier: &Distribution) -> Result<(), CombineError> {
        self.combine(earlier, i64::wrapping_sub)
    }

    /// The text that dtrace(1) prints for this value: a line feed, a header, and a line per bucket
    /// around those with a count; ends in a line feed.
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

/// A list of the buckets with a count, each with its `lower` and `upper` end, null where it is open, and
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

//! How much does a distribution weigh where a walk is sorted by value?

use super::{BucketRange, Distribution, DistributionParameters};

impl Distribution {
    /// Returns the sum of the counted values, as far as the buckets tell them, and the count of zeros.
    pub(in super::super) fn weight(&self) -> (i128, i64) {
        let (mut sum, mut zeros) = (0i128, 0);
        for (range, count) in self.raw() {
            match self.value_of(range) {
                0 => zeros = count,
                value => sum = sum.saturating_add(i128::from(value) * i128::from(count)),
            }
        }
        (sum, zeros)
    }

    /// Returns whether libdtrace's own sum is the same. It adds floating-point numbers, which are exact as long as they
    /// are whole and small enough. Those of an `llquantize` need not be whole.
    pub(in super::super) fn has_exact_weight(&self) -> bool {
        let sizes = self.raw().map(|(range, count)| {
            u128::from(self.value_of(range).unsigned_abs()) * u128::from(count.unsigned_abs())
        });
        let total = sizes.fold(0, u128::saturating_add);
        total <= 1 << 63 && !matches!(self.parameters, DistributionParameters::LogLinear(_))
    }

    /// Returns the value that libdtrace takes a bucket for.
    fn value_of(&self, range: BucketRange) -> i64 {
        match (self.parameters, range) {
            (DistributionParameters::Linear(_), BucketRange { lower: Some(lower), upper }) => {
                lower.saturating_add(i64::from(upper.is_none()))
            }
            // The end nearer to zero.
            (_, BucketRange { lower: Some(lower), .. }) if lower > 0 => lower,
            (_, BucketRange { upper: Some(upper), .. }) if upper < 0 => upper,
            (DistributionParameters::Linear(_), range) => range.upper.unwrap_or(0),
            _ => 0,
        }
    }
}

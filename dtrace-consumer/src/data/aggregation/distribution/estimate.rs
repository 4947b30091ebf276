//! Which numbers does a distribution suggest, where it knows only ranges?

#[cfg(test)]
mod tests;

use super::{Distribution, Ranked};
use crate::data::aggregation::parameters::{BucketRange, DistributionParameters};

impl Distribution {
    /// Estimates the `percent`-th percentile as a number, by interpolation within the bucket that
    /// [`percentile`](Self::percentile) returns. The unit is that of the counted values.
    ///
    /// The estimate and the true value lie in the same bucket, so the error is less than its width: for
    /// `quantize`, a factor of two in either direction; for `lquantize`, the step; for `llquantize`, the step
    /// within the order of magnitude. The values are assumed to be spread evenly over their bucket; for
    /// `quantize`, evenly on a logarithmic scale. So the estimate of a single value is the middle of its
    /// bucket; for `quantize`, the geometric mean of the bucket's ends. Above 2^53, it has the precision of an
    /// `f64`.
    ///
    /// An open bucket (underflow or overflow) has only one end, which is returned: the true value is at most
    /// or at least that. [`percentile`](Self::percentile) distinguishes such buckets.
    ///
    /// Returns `None` where [`percentile`](Self::percentile) does, for example if nothing was counted.
    ///
    /// ```no_run
    /// let script = "syscall::read:entry { self->at = timestamp; }
    ///     syscall::read:return /self->at/ { @ = quantize(timestamp - self->at); self->at = 0; }
    ///     tick-5s { exit(0); }";
    /// dtrace_consumer::trace(script)
    ///     .walk(|entry| {
    ///         if let Some(times) = entry.value().distribution() {
    ///             let [median, p99] = [50.0, 99.0].map(|p| times.percentile_estimate(p).unwrap_or(0.0));
    ///             println!("{} reads, median {median:.0} ns, p99 {p99:.0} ns", times.total());
    ///         }
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    pub fn percentile_estimate(&self, percent: f64) -> Option<f64> {
        let Ranked { range, position, count } = self.ranked(percent)?;
        let (lower, upper) = match (range.lower, range.upper) {
            (Some(lower), Some(upper)) => (lower, upper),
            (end, None) | (None, end) => return end.map(|end| end as f64),
        };
        // The middle of the value's share of the bucket.
        let fraction = (position as f64 - 0.5) / count as f64;
        let estimate = match self.spread(lower, upper) {
            Spread::Even => lower as f64 + fraction * (upper as f64 - lower as f64),
            Spread::Logarithmic { sign } => {
                let (lower, upper) = ((lower as f64).abs(), (upper as f64).abs());
                sign * lower * (upper / lower).powf(fraction)
            }
        };
        Some(within(lower, upper, estimate))
    }

    /// Estimates the median: the 50th percentile, with the error of
    /// [`percentile_estimate`](Self::percentile_estimate).
    pub fn median_estimate(&self) -> Option<f64> {
        self.percentile_estimate(50.0)
    }

    /// Estimates the mean of the counted values. They are assumed to be spread over their buckets as for
    /// [`percentile_estimate`](Self::percentile_estimate). Normalisation does not matter.
    ///
    /// The error is less than the mean width of the buckets, weighted by their counts: for `quantize` of
    /// positive values, the true mean is between half the estimate and twice the estimate. `avg()` in the
    /// script is exact.
    ///
    /// Returns `None` if nothing was counted, if a count is negative, or if an open bucket (underflow or
    /// overflow) has a count: its values may be arbitrarily far away.
    pub fn mean_estimate(&self) -> Option<f64> {
        let total = self.raw_total();
        if total <= 0 {
            return None;
        }
        let mut sum = 0.0;
        for (BucketRange { lower, upper }, count) in self.raw().filter(|&(_, raw)| raw != 0) {
            if count < 0 {
                return None;
            }
            sum += self.middle(lower?, upper?) * (count as f64 / total as f64);
        }
        Some(sum)
    }

    /// Returns the mean of values that are spread over a bucket.
    fn middle(&self, lower: i64, upper: i64) -> f64 {
        let (from, to) = (lower as f64, upper as f64);
        match self.spread(lower, upper) {
            Spread::Even => within(lower, upper, from / 2.0 + to / 2.0),
            Spread::Logarithmic { .. } => within(lower, upper, (to - from) / (to / from).ln()),
        }
    }

    fn spread(&self, lower: i64, upper: i64) -> Spread {
        match self.parameters {
            DistributionParameters::Quantize if 0 < lower && lower < upper => {
                Spread::Logarithmic { sign: 1.0 }
            }
            DistributionParameters::Quantize if lower < upper && upper < 0 => {
                Spread::Logarithmic { sign: -1.0 }
            }
            _ => Spread::Even,
        }
    }
}

/// How the values of a bucket are assumed to be spread.
enum Spread {
    /// Evenly. Also a bucket of a single value.
    Even,
    /// Evenly on a logarithmic scale. All values have the same sign, and none is zero.
    Logarithmic { sign: f64 },
}

/// Clamps an estimate to its bucket. An end beyond 2^53 may be no `f64`: then to the nearest one inside.
fn within(lower: i64, upper: i64, estimate: f64) -> f64 {
    let (mut least, mut greatest) = (lower as f64, upper as f64);
    if (least as i128) < i128::from(lower) {
        least = least.next_up();
    }
    if greatest as i128 > i128::from(upper) {
        greatest = greatest.next_down();
    }
    // A bucket without any `f64` has its end, rounded.
    if least <= greatest { estimate.clamp(least, greatest) } else { least }
}

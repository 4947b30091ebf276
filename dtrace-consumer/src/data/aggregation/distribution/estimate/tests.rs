//! How far may an estimate be from the truth?

use super::*;
use crate::data::aggregation::AggregationFunction;
use crate::data::aggregation::distribution::tests::{any_distribution, distribution, quantized};
use proptest::prelude::*;

#[test]
fn estimates_are_in_the_middle_of_the_values_share_of_the_bucket() {
    // 64 to 127 on a logarithmic scale, below zero as above.
    let one = quantized(&[(100, 1)]);
    assert_eq!(one.median_estimate(), Some((64.0 * 127.0_f64).sqrt()));
    assert_eq!(quantized(&[(-100, 1)]).median_estimate(), one.median_estimate().map(|it| -it));
    // Exact, as their buckets hold a single value.
    for value in [-1, 0, 1] {
        let distribution = quantized(&[(value, 3)]);
        assert_eq!(distribution.percentile_estimate(99.0), Some(value as f64));
        assert_eq!(distribution.mean_estimate(), Some(value as f64));
    }
    // lquantize(v, 0, 100, 10): 4 values from 20 to 29.
    let signature = 10 << 48 | 10 << 32;
    let mut words = [0; 12];
    words[3] = 4;
    let distribution = distribution(AggregationFunction::LQuantize, signature, &words);
    let estimates = [0.0, 25.0, 25.1, 75.0, 100.0].map(|p| distribution.percentile_estimate(p));
    assert_eq!(estimates, [21.125, 21.125, 23.375, 25.625, 27.875].map(Some));
    assert_eq!(distribution.mean_estimate(), Some(24.5));
}

#[test]
fn an_open_bucket_has_its_end_as_percentile_and_no_mean() {
    let signature = 10 << 48 | 10 << 32;
    let mut words = [0; 12];
    (words[0], words[11]) = (1, 1);
    let distribution = distribution(AggregationFunction::LQuantize, signature, &words);
    assert_eq!(distribution.percentile_estimate(50.0), Some(-1.0));
    assert_eq!(distribution.percentile_estimate(51.0), Some(100.0));
    assert_eq!(distribution.mean_estimate(), None);
}

#[test]
fn nothing_counted_and_negative_counts_have_no_estimates() {
    for distribution in [quantized(&[]), quantized(&[(1, -1), (2, 5)])] {
        assert_eq!(distribution.median_estimate(), None);
        assert_eq!(distribution.mean_estimate(), None);
    }
    assert_eq!(quantized(&[(1, 1)]).percentile_estimate(100.1), None);
}

/// Generates distributions without negative counts, of which some have no count in an open bucket.
fn countable() -> impl Strategy<Value = Distribution> {
    (any_distribution(), any::<bool>()).prop_map(|(mut distribution, is_bounded)| {
        for count in &mut distribution.slots {
            *count = count.checked_abs().unwrap_or(i64::MAX);
        }
        if is_bounded {
            let last = distribution.slots.len() - 1;
            (distribution.slots[0], distribution.slots[last]) = (0, 0);
        }
        distribution
    })
}

/// Whether a range contains a number, which need not be whole.
fn lies_within(range: BucketRange, number: f64) -> bool {
    range.lower.is_none_or(|lower| lower as i128 <= number.floor() as i128)
        && range.upper.is_none_or(|upper| number.ceil() as i128 <= upper as i128)
}

proptest! {
    #[test]
    fn an_estimate_lies_within_the_bucket_of_its_rank_and_grows_with_the_percentage(
        distribution in countable(),
        percents in prop::collection::vec(0.0..=100.0_f64, 1..20),
    ) {
        let mut percents = percents;
        percents.sort_by(f64::total_cmp);
        let mut previous = f64::NEG_INFINITY;
        for percent in percents {
            let range = distribution.percentile(percent);
            let estimate = distribution.percentile_estimate(percent);
            prop_assert_eq!(range.is_some(), estimate.is_some());
            let (Some(range), Some(estimate)) = (range, estimate) else { continue };
            prop_assert!(lies_within(range, estimate), "{range:?} {estimate}");
            prop_assert!(estimate >= previous, "{estimate} {previous}");
            previous = estimate;
        }
    }

    #[test]
    fn the_mean_lies_between_the_means_of_the_ends(distribution in countable()) {
        let counted: Vec<_> = distribution.raw().filter(|&(_, raw)| raw > 0).collect();
        let total = distribution.raw_total() as f64;
        let mean_of = |end: fn(BucketRange) -> Option<i64>| -> Option<f64> {
            counted.iter().map(|&(range, raw)| Some(end(range)? as f64 * (raw as f64 / total))).sum()
        };
        let (least, greatest) = (mean_of(|range| range.lower), mean_of(|range| range.upper));
        let mean = distribution.mean_estimate();
        let (Some(least), Some(greatest)) = (least, greatest) else {
            prop_assert_eq!(mean, None);
            return Ok(());
        };
        if counted.is_empty() {
            prop_assert_eq!(mean, None);
            return Ok(());
        }
        let (mean, rounding) = (mean.unwrap(), 1e-9 * least.abs().max(greatest.abs()));
        prop_assert!(least - rounding <= mean && mean <= greatest + rounding, "{least} {mean} {greatest}");
    }

    #[test]
    fn an_estimate_of_a_quantize_is_within_a_factor_of_two(
        values in prop::collection::vec(1..i64::MAX >> 2, 1..40),
        percent in 0.0..=100.0_f64,
    ) {
        let mut values = values;
        let counts: Vec<_> = values.iter().map(|&value| (value, 1)).collect();
        let distribution = quantized(&counts);
        values.sort_unstable();
        let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
        let (truth, estimate) =
            (values[rank - 1] as f64, distribution.percentile_estimate(percent).unwrap());
        prop_assert!(truth / 2.0 <= estimate && estimate <= 2.0 * truth, "{truth} {estimate}");
        let mean = values.iter().map(|&value| value as f64).sum::<f64>() / values.len() as f64;
        let estimate = distribution.mean_estimate().unwrap();
        prop_assert!(mean / 2.0 <= estimate && estimate <= 2.0 * mean, "{mean} {estimate}");
    }
}

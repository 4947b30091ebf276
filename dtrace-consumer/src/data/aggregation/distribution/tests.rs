//! Values of real aggregations, and what dtrace(1) printed for them.

use super::*;
use crate::data::aggregation::parameters::ParameterEncoding;
use crate::data::aggregation::{AggregationFunction, AggregationValue};
use proptest::prelude::*;
use std::collections::BTreeMap;

const RECORDED: [(AggregationFunction, &str); 9] = [
    (AggregationFunction::Count, include_str!("../../../../tests/data/distributions/count.txt")),
    (AggregationFunction::Sum, include_str!("../../../../tests/data/distributions/sum.txt")),
    (AggregationFunction::Min, include_str!("../../../../tests/data/distributions/min.txt")),
    (AggregationFunction::Max, include_str!("../../../../tests/data/distributions/max.txt")),
    (AggregationFunction::Avg, include_str!("../../../../tests/data/distributions/avg.txt")),
    (AggregationFunction::Stddev, include_str!("../../../../tests/data/distributions/stddev.txt")),
    (
        AggregationFunction::Quantize,
        include_str!("../../../../tests/data/distributions/quantize.txt"),
    ),
    (
        AggregationFunction::LQuantize,
        include_str!("../../../../tests/data/distributions/lquantize.txt"),
    ),
    (
        AggregationFunction::LLQuantize,
        include_str!("../../../../tests/data/distributions/llquantize.txt"),
    ),
];

/// A recorded value.
struct Vector {
    script: &'static str,
    function: AggregationFunction,
    signature: u64,
    normal: u64,
    data: Vec<u8>,
    text: String,
}

impl Vector {
    fn parse(function: AggregationFunction, block: &'static str) -> Vector {
        let field = |name: &str| {
            let lines = block.lines().find_map(|line| line.strip_prefix(name));
            lines.unwrap_or_else(|| panic!("no {name} in {block}")).trim()
        };
        let mut words = vec![0; field("length:").parse().unwrap()];
        for word in field("words:").split_whitespace() {
            let (index, word) = word.split_once('=').unwrap();
            words[index.parse::<usize>().unwrap()] = word.parse::<i64>().unwrap();
        }
        let text: Vec<_> = block.lines().filter_map(|line| line.strip_prefix('|')).collect();
        Vector {
            script: field("d:"),
            function,
            signature: u64::from_str_radix(&field("signature:")[2..], 16).unwrap(),
            normal: field("normal:").parse().unwrap(),
            data: bytes(&words),
            text: text.join("\n"),
        }
    }

    fn decode(&self) -> AggregationValue {
        AggregationValue::decode(self.function, self.signature, &self.data, self.normal)
            .unwrap_or_else(|error| panic!("{}: {error}", self.script))
    }

    /// Returns the values that the script aggregated, with their increments.
    fn aggregated(&self) -> Vec<(i64, i64)> {
        let statements = self.script.split(';').filter_map(|statement| {
            statement.split_once('=')?.1.trim().split_once('(')?.1.strip_suffix(')')
        });
        statements
            .map(|arguments| {
                let arguments: Vec<_> = arguments.split(',').map(number).collect();
                let parameters = match self.function {
                    AggregationFunction::Quantize => 1,
                    AggregationFunction::LQuantize => 4,
                    _ => 5,
                };
                (arguments[0], arguments.get(parameters).copied().unwrap_or(1))
            })
            .collect()
    }
}

/// Parses an integer constant of D, or the sum that expresses the smallest one.
fn number(text: &str) -> i64 {
    let (text, less) = match text.trim().strip_suffix(" - 1") {
        Some(text) => (text, 1),
        None => (text.trim(), 0),
    };
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |digits| (digits, -1));
    let amount = match digits.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    sign * amount.unwrap() - less
}

fn bytes(words: &[i64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn recorded() -> impl Iterator<Item = Vector> {
    RECORDED.into_iter().flat_map(|(function, file)| {
        let blocks = file.split("\n\n").filter(|block| block.starts_with("d:"));
        blocks.map(move |block| Vector::parse(function, block))
    })
}

pub(super) fn distribution(
    function: AggregationFunction,
    signature: u64,
    words: &[i64],
) -> Distribution {
    let parameters =
        DistributionParameters::decode(function, ParameterEncoding::Linux, signature).unwrap();
    Distribution::decode(parameters, &bytes(words), 1).unwrap()
}

/// Returns a `quantize` that counted the given values.
pub(super) fn quantized(values: &[(i64, i64)]) -> Distribution {
    let mut words = [0; 127];
    for &(value, count) in values {
        let parameters = DistributionParameters::Quantize;
        let slot = (0..127).find(|&slot| parameters.range(slot).unwrap().contains(value)).unwrap();
        words[slot] += count;
    }
    distribution(AggregationFunction::Quantize, 0, &words)
}

pub(super) fn range(lower: i64, upper: i64) -> BucketRange {
    BucketRange { lower: Some(lower), upper: Some(upper) }
}

#[test]
fn every_value_renders_as_dtrace_printed_it() {
    let mut replayed = BTreeMap::new();
    for vector in recorded() {
        assert_eq!(vector.decode().render(), vector.text, "{}", vector.script);
        *replayed.entry(vector.function).or_insert(0) += 1;
    }
    assert_eq!(replayed.len(), AggregationFunction::ALL.len());
    assert!(replayed.values().sum::<u32>() >= 300, "{replayed:?}");
}

#[test]
fn every_value_is_counted_in_the_bucket_that_holds_it() {
    let mut compared = 0;
    for vector in recorded() {
        let value = vector.decode();
        let Some(distribution) = value.distribution() else { continue };
        if vector.script.contains("clear(") {
            continue;
        }
        let mut expected = BTreeMap::<_, i64>::new();
        for (value, increment) in vector.aggregated() {
            let range = distribution.bucket_of(value).unwrap().range;
            *expected.entry((range.lower, range.upper)).or_default() += increment;
        }
        expected.retain(|_, count| *count != 0);
        let counted = distribution.raw().filter(|(_, raw)| *raw != 0);
        let counted: BTreeMap<_, _> =
            counted.map(|(range, raw)| ((range.lower, range.upper), raw)).collect();
        assert_eq!(counted, expected, "{}", vector.script);
        compared += 1;
    }
    assert!(compared >= 200, "{compared}");
}

#[test]
fn lquantize_buckets_have_the_base_and_step_of_the_script() {
    let signature = 25 << 48 | 8 << 32 | u64::from(-100_i32 as u32);
    let distribution = distribution(AggregationFunction::LQuantize, signature, &[0; 10]);
    let ranges: Vec<_> = distribution.buckets().map(|bucket| bucket.range).collect();
    assert_eq!(ranges[0], BucketRange { lower: None, upper: Some(-101) });
    assert_eq!(ranges[1], range(-100, -76));
    assert_eq!(ranges[8], range(75, 99));
    assert_eq!(ranges[9], BucketRange { lower: Some(100), upper: None });
}

#[test]
fn llquantize_has_no_buckets_for_ghost_slots() {
    let distribution =
        distribution(AggregationFunction::LLQuantize, 0x0014_0003_0000_000a, &[0; 147]);
    let ranges: Vec<_> = distribution.buckets().map(|bucket| bucket.range).collect();
    let zero = ranges.iter().position(|&range| range == self::range(0, 0)).unwrap();
    assert_eq!(ranges[zero - 1], range(-1, -1));
    assert_eq!(ranges[zero + 9], range(9, 9));
    assert_eq!(ranges[zero + 10], range(10, 14));
    assert_eq!(ranges.last(), Some(&BucketRange { lower: Some(10_000), upper: None }));
    assert_eq!(ranges.first(), Some(&BucketRange { lower: None, upper: Some(-10_000) }));
}

#[test]
fn sun_llquantize_takes_its_parameters_from_the_first_word() {
    // llquantize(x, 10, 0, 2, 20): 9 + 18 + 18 slots between the open ones.
    let mut words = vec![10 << 48 | 2 << 16 | 20];
    words.resize(1 + 47, 0);
    (words[1], words[2], words[1 + 10], words[1 + 46]) = (4, 3, 2, 1);
    let value = AggregationValue::decode_in(
        ParameterEncoding::Sun,
        AggregationFunction::LLQuantize,
        0,
        &bytes(&words),
        1,
    );
    let value = value.unwrap();
    let counted: Vec<_> = value.distribution().unwrap().counted().collect();
    let bucket = |lower, upper, count| Bucket { range: BucketRange { lower, upper }, count };
    assert_eq!(
        counted,
        [
            bucket(None, Some(0), 4),
            bucket(Some(1), Some(1), 3),
            bucket(Some(10), Some(14), 2),
            bucket(Some(1000), None, 1),
        ]
    );
    let text = value.render();
    assert!(text.contains("\n             < 1 |@@@@@@@@@@@@@@@@ "), "{text}");
    assert!(text.contains("\n              95 |   "), "{text}");
    assert!(text.contains("\n         >= 1000 |@@@@ "), "{text}");
}

#[test]
fn sun_llquantize_without_parameters_after_a_clear_is_an_error() {
    let value = AggregationValue::decode_in(
        ParameterEncoding::Sun,
        AggregationFunction::LLQuantize,
        0,
        &bytes(&[0; 48]),
        1,
    );
    assert!(matches!(value, Err(DecodeError::Parameters { word: 0, .. })), "{value:?}");
}

#[test]
fn percentiles_are_the_buckets_of_the_nearest_rank() {
    let distribution = quantized(&[(1, 500), (100, 499), (5000, 1)]);
    assert_eq!(distribution.percentile(0.0), Some(range(1, 1)));
    assert_eq!(distribution.percentile(50.0), Some(range(1, 1)));
    assert_eq!(distribution.percentile(50.1), Some(range(64, 127)));
    assert_eq!(distribution.percentile(99.9), Some(range(64, 127)));
    assert_eq!(distribution.percentile(100.0), Some(range(4096, 8191)));
    assert_eq!(distribution.percentile(100.1), None);
    assert_eq!(distribution.percentile(f64::NAN), None);
    assert_eq!(quantized(&[]).percentile(50.0), None);
    assert_eq!(quantized(&[(1, -1), (2, 5)]).percentile(50.0), None);
}

#[test]
fn a_difference_is_what_was_counted_between_two_snapshots() {
    let earlier = quantized(&[(1, 2), (-5, 1)]);
    let mut later = quantized(&[(1, 5), (-5, 1), (9, 1)]);
    later.subtract(&earlier).unwrap();
    assert_eq!(later, quantized(&[(1, 3), (9, 1)]));
    assert_eq!(later.total(), 4);
    assert_eq!(later.bounds(), Some(range(1, 15)));
}

#[test]
fn distributions_with_other_buckets_do_not_merge() {
    let word = |step: u64| step << 48 | 10 << 32;
    let mut left = distribution(AggregationFunction::LQuantize, word(1), &[1; 12]);
    let right = distribution(AggregationFunction::LQuantize, word(2), &[1; 12]);
    let before = left.clone();
    assert!(matches!(left.merge(&right), Err(CombineError::Parameters { .. })));
    assert!(matches!(left.merge(&quantized(&[])), Err(CombineError::Function { .. })));
    assert_eq!(left, before);
}

/// Generates distributions with any valid parameters, of either lineage.
pub(super) fn any_distribution() -> impl Strategy<Value = Distribution> {
    let linear = (1..200_u64, 1..60_u64, any::<u32>())
        .prop_map(|(step, levels, base)| step << 48 | levels << 32 | u64::from(base));
    let log_linear = (2..13_u64, 0..5_u64, 0..6_u64, 0..3_u32);
    let parameters = prop_oneof![
        Just(DistributionParameters::Quantize),
        linear.prop_map(|word| {
            let linux = ParameterEncoding::Linux;
            DistributionParameters::decode(AggregationFunction::LQuantize, linux, word).unwrap()
        }),
        (log_linear, any::<bool>()).prop_map(|((factor, low, orders, power), is_sun)| {
            let (high, steps) = (low + orders, factor.pow(power + 1));
            let (encoding, word) = if is_sun {
                (ParameterEncoding::Sun, factor << 48 | low << 32 | high << 16 | steps)
            } else {
                (ParameterEncoding::Linux, steps << 48 | high << 32 | low << 16 | factor)
            };
            DistributionParameters::decode(AggregationFunction::LLQuantize, encoding, word).unwrap()
        }),
    ];
    (parameters, 1..4_u64).prop_flat_map(|(parameters, normal)| {
        let count = prop_oneof![4 => Just(0), 4 => 1..1000_i64, 1 => any::<i64>()];
        prop::collection::vec(count, parameters.slots()).prop_map(move |words| {
            Distribution::decode(parameters, &bytes(&words), normal).unwrap()
        })
    })
}

proptest! {
    #[test]
    fn any_bytes_decode_or_are_an_error(
        function in prop::sample::select(&AggregationFunction::ALL[..]),
        is_sun in any::<bool>(),
        signature in prop_oneof![any::<u64>(), Just(0x0014_0003_0000_000a), Just(0x0001_000a_ffff_fff0)],
        length in prop_oneof![0..300_usize, Just(16), Just(32), Just(96), Just(1016), Just(1176)],
        fill in any::<[u8; 11]>(),
        normal in any::<u64>(),
    ) {
        let encoding = if is_sun { ParameterEncoding::Sun } else { ParameterEncoding::Linux };
        let data: Vec<u8> = fill.into_iter().cycle().take(length).collect();
        if let Ok(value) = AggregationValue::decode_in(encoding, function, signature, &data, normal) {
            prop_assert!(!value.render().is_empty());
            let _ = (value.as_i64(), value.count(), value.mean_f64());
            if let Some(distribution) = value.distribution() {
                let _ = (distribution.total(), distribution.percentile(50.0), distribution.bounds());
                let _ = (distribution.median_estimate(), distribution.mean_estimate());
            }
            let mut other = value.clone();
            prop_assert!(other.merge(&value).is_ok());
        }
    }

    #[test]
    fn buckets_are_contiguous_and_ordered(distribution in any_distribution()) {
        let ranges: Vec<_> = distribution.buckets().map(|bucket| bucket.range).collect();
        prop_assert_eq!(ranges.first().unwrap().lower, None);
        prop_assert_eq!(ranges.last().unwrap().upper, None);
        for pair in ranges.windows(2) {
            prop_assert_eq!(pair[0].upper.unwrap() + 1, pair[1].lower.unwrap());
        }
        for range in &ranges[1..ranges.len() - 1] {
            prop_assert!(range.lower <= range.upper);
        }
    }

    #[test]
    fn merge_is_commutative(distribution in any_distribution(), seed in any::<[i64; 7]>()) {
        let words: Vec<i64> = seed.into_iter().cycle().take(distribution.slots().len()).collect();
        let other =
            Distribution::decode(*distribution.parameters(), &bytes(&words), distribution.normal())
                .unwrap();
        let (mut left, mut right) = (distribution.clone(), other.clone());
        left.merge(&other).unwrap();
        right.merge(&distribution).unwrap();
        prop_assert_eq!(&left, &right);
        left.subtract(&other).unwrap();
        prop_assert_eq!(left, distribution);
    }

    #[test]
    fn a_percentile_lies_within_the_values(
        values in prop::collection::vec(any::<i64>(), 1..40),
        percent in 0.0..=100.0_f64,
    ) {
        let mut values = values;
        let counts: Vec<_> = values.iter().map(|&value| (value, 1)).collect();
        let distribution = quantized(&counts);
        values.sort_unstable();
        let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
        let found = distribution.percentile(percent).unwrap();
        prop_assert!(found.contains(values[rank - 1]), "{found:?} {values:?}");
    }
}

//! The properties of values that users rely on, where other consumers of DTrace are wrong.

use super::*;

fn decode(function: AggregationFunction, words: &[i64], normal: u64) -> AggregationValue {
    let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    AggregationValue::decode(function, 0, &data, normal).unwrap()
}

#[test]
fn sums_beyond_32_bits_keep_their_width() {
    let sum = decode(AggregationFunction::Sum, &[6_000_000_000], 1);
    assert_eq!(sum.as_i64(), Some(6_000_000_000));
}

#[test]
fn a_negative_sum_is_normalised_signed_and_printed_unsigned() {
    let AggregationValue::Sum(sum) = decode(AggregationFunction::Sum, &[-7], 2) else { panic!() };
    assert_eq!((sum.get(), sum.raw(), sum.as_f64()), (-3, -7, -3.5));
    assert_eq!(sum.as_printed(), 9_223_372_036_854_775_804);
}

#[test]
fn untouched_extremes_have_no_value() {
    for (function, mark) in
        [(AggregationFunction::Min, i64::MAX), (AggregationFunction::Max, i64::MIN)]
    {
        assert_eq!(decode(function, &[mark], 1).as_i64(), None);
        assert_eq!(decode(function, &[mark], 3).as_i64(), None);
        assert_eq!(decode(function, &[-9], 2).as_i64(), Some(-4));
    }
}

#[test]
fn negative_averages_are_signed_and_not_floored() {
    let average = decode(AggregationFunction::Avg, &[2, -15], 1);
    assert_eq!((average.as_i64(), average.mean_f64()), (Some(-7), Some(-7.5)));
    assert_eq!(average.count(), Some(2));
}

#[test]
fn averages_and_deviations_of_nothing_have_no_value_but_print_as_zero() {
    for (function, words) in [(AggregationFunction::Avg, 2), (AggregationFunction::Stddev, 4)] {
        let value = decode(function, &vec![0; words], 1);
        assert_eq!((value.as_i64(), value.mean_f64(), value.count()), (None, None, Some(0)));
        assert_eq!(value.render(), "                0");
    }
}

#[test]
fn deviations_are_computed_from_128_bits() {
    let words = [2, 0, 0, 1 << 61]; // 2^62 and -2^62: their squares sum to 2^125
    let value = decode(AggregationFunction::Stddev, &words, 1);
    let AggregationValue::Stddev(deviation) = value else { panic!() };
    assert_eq!(deviation.deviation(), Some(1 << 62));
    assert_eq!(deviation.deviation_f64(), Some(2_f64.powi(62)));
}

#[test]
fn an_exact_deviation_is_divided_by_the_normalisation() {
    // Values 2, 4, 4, 4, 5, 5, 7, 9 have a deviation of 2.
    let value = decode(AggregationFunction::Stddev, &[8, 40, 232, 0], 4);
    let AggregationValue::Stddev(deviation) = value else { panic!() };
    assert_eq!(deviation.deviation_f64(), Some(0.5));
    assert_eq!(deviation.mean_f64(), Some(1.25));
}

#[test]
fn merging_values_is_as_if_aggregated_together() {
    let merged = |function, left: &[i64], right: &[i64]| {
        let mut value = decode(function, left, 1);
        value.merge(&decode(function, right, 1)).unwrap();
        value
    };
    assert_eq!(merged(AggregationFunction::Count, &[2], &[3]).as_i64(), Some(5));
    assert_eq!(merged(AggregationFunction::Min, &[i64::MAX], &[3]).as_i64(), Some(3));
    assert_eq!(merged(AggregationFunction::Max, &[-8], &[i64::MIN]).as_i64(), Some(-8));
    assert_eq!(merged(AggregationFunction::Avg, &[1, 10], &[3, 2]).as_i64(), Some(3));
    // Sums of squares carry from the low word into the high one.
    let sum = merged(AggregationFunction::Stddev, &[1, 0, -1, 0], &[1, 0, 1, 0]);
    assert_eq!(sum, decode(AggregationFunction::Stddev, &[2, 0, 0, 1], 1));
}

#[test]
fn values_that_do_not_belong_together_are_not_combined() {
    let mut count = decode(AggregationFunction::Count, &[5], 1);
    let error = count.merge(&decode(AggregationFunction::Sum, &[5], 1)).unwrap_err();
    assert_eq!(error.to_string(), "cannot combine a value of count() with one of sum()");
    let normalised = decode(AggregationFunction::Count, &[5], 2);
    let error = count.subtract(&normalised).unwrap_err();
    assert_eq!(error, CombineError::Normal { left: 1, right: 2 });
    let mut least = decode(AggregationFunction::Min, &[5], 1);
    let error = least.subtract(&least.clone()).unwrap_err();
    assert_eq!(error, CombineError::NoDifference(AggregationFunction::Min));
    assert_eq!(count.as_i64(), Some(5));
}

#[test]
fn values_of_a_wrong_size_are_errors() {
    let error = AggregationValue::decode(AggregationFunction::Avg, 0, &[0; 8], 1).unwrap_err();
    assert_eq!(error.to_string(), "a value of avg() has 16 bytes, not 8");
    let error = AggregationValue::decode(AggregationFunction::Count, 0, &[0; 8], 0).unwrap_err();
    assert_eq!(error, DecodeError::ZeroNormal(AggregationFunction::Count));
}

#[test]
fn functions_survive_the_wire() {
    for function in AggregationFunction::ALL {
        assert_eq!(AggregationFunction::from_number(function.number()), Some(function));
    }
    assert_eq!(AggregationFunction::from_number(0), None);
}

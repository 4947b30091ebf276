use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::data::record::{Action, RecordDescription};
use crate::records::layout::of_keys;
use crate::stream::packed::Packing;

/// An aggregation whose only key is a number of 64 bits.
fn kind(function: AggregationFunction, value: Range<usize>) -> Kind {
    let key = RecordDescription {
        action: Action::Trace,
        offset: 8,
        size: 8,
        alignment: 8,
        argument: 0,
        format: None,
    };
    let packing = Packing::of(std::slice::from_ref(&key));
    let fields = of_keys(vec![key]);
    let keys = Rc::new(Keys { aggregation: 0, with_addresses: Vec::new(), fields, packing });
    Kind { keys, function, signature: 0, key_size: 16, value }
}

/// Elements of a map: variable, key, what lies behind the key, generation and words of the value.
type Element<'e> = (u32, u64, u64, u64, &'e [i64]);

/// Maps with keys of 24 bytes and values of four words.
fn contents(maps: &[&[Element<'_>]], generations: &[(u32, u64)]) -> Contents {
    let map = |elements: &&[Element<'_>]| {
        let mut map = MapContents::default();
        for (variable, key, behind, generation, words) in *elements {
            map.keys.extend(u64::from(*variable).to_ne_bytes());
            map.keys.extend([*key, *behind].map(u64::to_ne_bytes).concat());
            map.values.extend(generation.to_ne_bytes());
            let words = words.iter().copied().chain(std::iter::repeat(-1)).take(4);
            map.values.extend(words.flat_map(i64::to_ne_bytes));
        }
        map
    };
    Contents {
        key_size: 24,
        value_size: 40,
        maps: maps.iter().map(map).collect(),
        generations: generations.iter().copied().collect(),
    }
}

/// Variable, key and words of each entry.
fn merged(contents: &Contents, kinds: &HashMap<u32, Kind>) -> Vec<(u32, u64, Vec<i64>)> {
    let entries = Entries::merge(contents, kinds).expect("the contents fit");
    let entry = |(entry, value): (&Merged<'_>, &[u8])| {
        let key = entry.keys[8..].first_chunk().expect("eight bytes");
        let words = value.as_chunks().0.iter().map(|word| i64::from_ne_bytes(*word)).collect();
        (entry.variable, u64::from_ne_bytes(*key), words)
    };
    entries.iter().map(entry).collect()
}

#[test]
fn values_of_all_cpus_become_one_and_the_newest_entry_comes_first() {
    use AggregationFunction::{Max, Min, Stddev, Sum};
    let kinds = [(1, Sum), (2, Min), (3, Max)].map(|(variable, it)| (variable, kind(it, 8..16)));
    let mut kinds = HashMap::from(kinds);
    kinds.insert(4, kind(Stddev, 8..40));
    let first: &[Element<'_>] = &[
        (1, 7, 0, 5, &[i64::MAX]),
        (2, 7, 0, 1, &[4]),
        (3, 7, 0, 1, &[-4]),
        (4, 7, 0, 1, &[2, 3, -1, 0]),
    ];
    let second: &[Element<'_>] = &[
        (3, 7, 0, 1, &[-5]),
        (1, 8, 0, 5, &[1]),
        (4, 7, 0, 1, &[1, -1, 1, 0]),
        (1, 7, 0, 5, &[1]),
        (2, 7, 0, 1, &[3]),
    ];
    let generations = [(1, 5), (2, 1), (3, 1), (4, 1)];
    let contents = contents(&[first, &[], second], &generations);
    let expected = [
        (1, 8, vec![1]),
        // The carry of the sum of squares is lost, as in libdtrace.
        (4, 7, vec![3, 2, 0, 0]),
        (3, 7, vec![-4]),
        (2, 7, vec![3]),
        (1, 7, vec![i64::MIN]),
    ];
    assert_eq!(merged(&contents, &kinds), expected);
}

#[test]
fn what_was_written_before_a_clear_leaves_an_empty_entry_and_what_was_never_written_leaves_none() {
    use AggregationFunction::{Max, Min, Sum};
    let kinds = [(1, Sum), (2, Min), (3, Max)].map(|(variable, it)| (variable, kind(it, 8..16)));
    let kinds = HashMap::from(kinds);
    let first: &[Element<'_>] = &[
        (1, 1, 0, 1, &[10]),
        (1, 2, 0, 1, &[10]),
        (2, 1, 0, 1, &[-9]),
        (3, 1, 0, 1, &[9]),
        (1, 3, 0, 0, &[10]),
    ];
    let second: &[Element<'_>] = &[(1, 1, 0, 2, &[5]), (1, 3, 0, 0, &[10])];
    let contents = contents(&[first, second], &[(1, 2), (2, 2), (3, 2)]);
    let expected =
        [(3, 1, vec![i64::MIN]), (2, 1, vec![i64::MAX]), (1, 2, vec![0]), (1, 1, vec![5])];
    assert_eq!(merged(&contents, &kinds), expected);
}

#[test]
fn what_lies_behind_the_keys_of_an_aggregation_does_not_matter() {
    let kinds = HashMap::from([(1, kind(AggregationFunction::Count, 8..16))]);
    let contents = contents(&[&[(1, 7, 1, 1, &[2]), (1, 7, 2, 1, &[3])]], &[(1, 1)]);
    assert_eq!(merged(&contents, &kinds), [(1, 7, vec![5])]);
}

#[test]
fn contents_that_do_not_fit_are_left_to_libdtrace() {
    let fits = contents(&[&[(1, 7, 0, 1, &[2])]], &[(1, 1)]);
    let count = |value| HashMap::from([(1, kind(AggregationFunction::Count, value))]);
    assert!(Entries::merge(&fits, &count(8..16)).is_some());
    // A value beyond the map's, an unknown aggregation, and an unknown generation.
    assert!(Entries::merge(&fits, &count(40..48)).is_none());
    assert!(Entries::merge(&fits, &HashMap::new()).is_none());
    let unknown = contents(&[&[(1, 7, 0, 1, &[2])]], &[(2, 1)]);
    assert!(Entries::merge(&unknown, &count(8..16)).is_none());
}

#[test]
fn an_order_that_depends_on_rounding_is_left_to_libdtrace() {
    let function = AggregationFunction::LQuantize;
    // From 0 to 2 in steps of 1.
    let linear = || Kind { signature: 1 << 48 | 2 << 32, ..kind(function, 8..40) };
    let kinds = HashMap::from([(1, linear())]);
    for (count, is_exact) in [(1 << 61, true), (i64::MAX, false), (i64::MIN, false)] {
        let contents = contents(&[&[(1, 7, 0, 1, &[0, 0, 0, count])]], &[(1, 1)]);
        let mut entries = Entries::merge(&contents, &kinds).expect("it fits");
        assert_eq!(entries.sort(Order::Value).is_some(), is_exact, "{count}");
        let mut entries = Entries::merge(&contents, &kinds).expect("it fits");
        assert!(entries.sort(Order::Key).is_some());
    }
}

proptest! {
    #[test]
    fn whatever_the_kernel_returns_is_merged_or_left_to_libdtrace(
        (key_size, value_size) in (0..40usize, 0..40usize),
        maps in vec((vec(0..3u8, 0..200), vec(0..3u8, 0..200)), 0..4),
        generations in vec((0..4u32, 0..4u64), 0..4),
        kinds in vec((0..4u32, 0..9usize, 0..40usize, 0..40usize, 0..40usize), 0..4),
    ) {
        let maps = maps.into_iter().map(|(keys, values)| MapContents { id: 0, keys, values });
        let contents = Contents {
            key_size,
            value_size,
            maps: maps.collect(),
            generations: generations.into_iter().collect(),
        };
        let kinds = kinds.into_iter().map(|(variable, function, size, start, length)| {
            let function = AggregationFunction::ALL[function];
            (variable, Kind { key_size: size, ..kind(function, start..start + length) })
        });
        let kinds = kinds.collect();
        let most: usize = contents.maps.iter().map(|map| contents.elements(map).count()).sum();
        for order in [Order::Unsorted, Order::KeyAcross, Order::ValueReversed] {
            if let Some(mut entries) = Entries::merge(&contents, &kinds) {
                prop_assert!(entries.iter().count() <= most);
                let _ = entries.sort(order);
            }
        }
    }
}

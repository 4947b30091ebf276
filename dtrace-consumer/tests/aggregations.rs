//! What do closures receive of aggregations?

use std::collections::BTreeMap;
use std::time::Duration;

use dtrace_consumer::aggregation::{AggregationFunction, AggregationValue, Mode};
use dtrace_consumer::value::FromValue;
use dtrace_consumer::{ConsumerThread, Script, ValueRef, run_synchronous};
use dtrace_test_support::kernel::{CREDENTIALS, DEEP, IS_LINUX, MODULE};
use dtrace_test_support::live_tests;
use dtrace_test_support::sessions::{entries_of, named};
use dtrace_test_support::traced::{call, this_thread, traced_program};

live_tests! {
    needs: [Tracing],
    tests: [
        all_nine_functions_deliver_their_values,
        stacks_and_symbols_as_keys_have_frames_and_names,
        a_users_address_as_key_is_a_symbol_of_its_process,
        several_keys_arrive_in_the_order_of_the_script,
        percentiles_of_a_distribution_agree_with_those_of_its_records,
        normalized_values_are_divided_and_their_raw_values_kept,
        a_script_without_aggregations_walks_over_nothing,
        differences_over_several_walks_add_up_to_the_total,
        what_is_added_after_a_clear_by_the_script_is_told_no_more_than_once,
    ],
    long: [
        sums_beyond_32_bits_and_below_zero_are_whole,
        negative_averages_are_rounded_towards_zero_and_exact_on_request,
        string_keys_of_255_characters_are_whole_and_told_apart,
        a_large_structure_as_key_is_bytes_and_no_stack,
        a_count_that_was_cleared_is_there_with_zero,
        an_aggregation_that_was_truncated_is_gone,
        distributions_keep_their_parameters_after_clear,
        aggregations_of_end_are_in_the_last_walk,
        an_average_over_several_walks_is_that_of_what_was_added,
        integer_keys_of_every_width_are_read_with_the_sign_that_is_asked_for,
    ],
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    long: [the_smallest_and_largest_of_nothing_are_no_numbers],
}

fn all_nine_functions_deliver_their_values() {
    let mut seen = BTreeMap::new();
    run_synchronous(
        "BEGIN {
            @count = count(); @count = count();
            @sum = sum(5); @sum = sum(-7);
            @min = min(4); @min = min(-4);
            @max = max(-4); @max = max(-9);
            @avg = avg(10); @avg = avg(20);
            @stddev = stddev(2); @stddev = stddev(4);
            @quantize = quantize(7);
            @lquantize = lquantize(5, 0, 10, 1);
            @llquantize = llquantize(35, 10, 0, 3, 10);
        }",
        ["true"],
    )
    .walk(|entry| {
        assert_eq!(entry.name(), entry.function().name());
        let shown = match entry.value().distribution() {
            None => entry.number()?.to_string(),
            Some(distribution) => {
                assert!(entry.number().is_err());
                let buckets: Vec<_> = distribution.counted().collect();
                let [bucket] = &buckets[..] else { panic!("{buckets:?}") };
                assert_eq!(distribution.total(), 1);
                format!("{bucket:?}")
            }
        };
        seen.insert(entry.function(), (shown, entry.value().clone()));
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert_eq!(seen.len(), AggregationFunction::ALL.len());
    let number = |function| seen[&function].0.as_str();
    use AggregationFunction::*;
    assert_eq!([Count, Sum, Min, Max, Avg, Stddev].map(number), ["2", "-2", "-4", "-4", "15", "1"]);
    for (function, value) in [(Quantize, 7), (LQuantize, 5), (LLQuantize, 35)] {
        let distribution = seen[&function].1.distribution().expect("it is one");
        let bucket = distribution.bucket_of(value).expect("every value has one");
        assert!(distribution.counted().eq([bucket]), "{function:?}");
    }
}

fn sums_beyond_32_bits_and_below_zero_are_whole() {
    let entries = entries_of(
        "BEGIN {
            @large = sum(2147483647); @large = sum(2147483647); @large = sum(5);
            @negative = sum(-2147483648); @negative = sum(-2147483648);
            @max = max(9223372036854775807); @min = min(-9223372036854775807);
            @avg = avg(-4000000000); @avg = avg(-4000000001);
        }",
    );
    let number = |name| named(&entries, name).as_i64();
    assert_eq!(number("large"), Some(4_294_967_299));
    assert_eq!(number("negative"), Some(-4_294_967_296));
    assert_eq!(number("max"), Some(i64::MAX));
    assert_eq!(number("min"), Some(-i64::MAX));
    assert_eq!(number("avg"), Some(-4_000_000_000));
}

fn negative_averages_are_rounded_towards_zero_and_exact_on_request() {
    let entries = entries_of("BEGIN { @ = avg(-3); @ = avg(-4); }");
    let AggregationValue::Avg(average) = named(&entries, "_") else { panic!("{entries:?}") };
    assert_eq!((average.count(), average.sum(), average.mean()), (2, -7, Some(-3)));
    assert_eq!(average.mean_f64(), Some(-3.5));
}

/// The only key of the only entry, given to `f` as it lies.
fn key_of<T>(script: &str, f: impl Fn(ValueRef<'_>) -> T) -> T {
    let mut keys = Vec::new();
    run_synchronous(script, traced_program("calls", 1))
        .walk(|entry| {
            keys.extend(entry.keys().map(&f));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(keys.len(), 1, "{script}");
    keys.pop().expect("one key")
}

fn key_as<T: for<'a> FromValue<'a>>(script: &str) -> T {
    key_of(script, |key| T::from_value(key)).expect("the key is of that type")
}

fn integer_keys_of_every_width_are_read_with_the_sign_that_is_asked_for() {
    assert_eq!(key_as::<i32>("BEGIN { @[(int32_t)-1] = count(); }"), -1);
    assert_eq!(key_as::<i8>("BEGIN { @[(int8_t)-2] = count(); }"), -2);
    assert_eq!(key_as::<u8>("BEGIN { @[(uint8_t)254] = count(); }"), 254);
    assert_eq!(key_as::<i16>("BEGIN { @[(int16_t)-3] = count(); }"), -3);
    assert_eq!(key_as::<u16>("BEGIN { @[(uint16_t)65533] = count(); }"), 65533);
    assert_eq!(key_as::<i64>("BEGIN { @[-9223372036854775807] = count(); }"), -i64::MAX);
    assert_eq!(key_as::<u64>("BEGIN { @[0xffffffffffffffff] = count(); }"), u64::MAX);
}

fn string_keys_of_255_characters_are_whole_and_told_apart() {
    let shared: String = ('a'..='z').cycle().take(254).collect();
    let entries = entries_of(&format!(
        r#"BEGIN {{ @["{shared}x"] = sum(1); @["{shared}y"] = sum(2); @[""] = sum(3); }}"#
    ));
    let mut found: Vec<(String, Option<i64>)> = Vec::new();
    for entry in &entries {
        let [dtrace_consumer::Value::String(key)] = &entry.keys[..] else { panic!("{entry:?}") };
        found.push((String::from_utf8_lossy(key).into_owned(), entry.value.as_i64()));
    }
    found.sort();
    assert_eq!(
        found,
        [
            (String::new(), Some(3)),
            (format!("{shared}x"), Some(1)),
            (format!("{shared}y"), Some(2))
        ]
    );
}

fn a_large_structure_as_key_is_bytes_and_no_stack() {
    let size =
        key_of(&format!("BEGIN {{ @[*curthread->{CREDENTIALS}] = count(); }}"), |key| match key {
            ValueRef::Bytes(bytes) => bytes.len(),
            other => panic!("{other:?}"),
        });
    assert!(size >= 160, "{size}");
}

fn stacks_and_symbols_as_keys_have_frames_and_names() {
    let frames = key_of(
        &format!("{DEEP} /pid == $target && !done/ {{ done = 1; @[stack(5)] = count(); }}"),
        |key| match key {
            ValueRef::Stack(stack) => stack.frames().map(|f| f.to_string()).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        },
    );
    assert!((1..=5).contains(&frames.len()), "{frames:?}");
    assert!(frames.iter().all(|frame| frame.starts_with(&format!("{MODULE}`"))), "{frames:?}");
    let name = key_of(
        &format!("{DEEP} /pid == $target && !done/ {{ done = 1; @[sym(caller)] = count(); }}"),
        |key| match key {
            ValueRef::Symbol(symbol) => symbol.to_string(),
            other => panic!("{other:?}"),
        },
    );
    assert!(name.starts_with(&format!("{MODULE}`")), "{name}");
}

fn a_users_address_as_key_is_a_symbol_of_its_process() {
    let mut found = Vec::new();
    run_synchronous(
        "syscall::getppid:entry /pid == $target/ { @[usym(uregs[R_PC]), pid] = count(); }",
        traced_program("calls", 1),
    )
    .walk(|entry| {
        let Some(ValueRef::Symbol(symbol)) = entry.keys().next() else { panic!("{entry:?}") };
        assert_ne!(symbol.address(), 0);
        found.push((symbol.pid(), entry.key::<u32>(1)?));
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    let [(Some(of_symbol), pid)] = found[..] else { panic!("{found:?}") };
    assert_eq!(of_symbol, pid);
}

fn several_keys_arrive_in_the_order_of_the_script() {
    let mut rows = Vec::new();
    run_synchronous(
        r#"BEGIN { @many["a", (int8_t)-1, 7, "b"] = sum(-12); @["none"] = count(); }"#,
        ["true"],
    )
    .walk(|entry| {
        match entry.name() {
            "many" => {
                let key = (entry.key::<String>(0)?, entry.key::<i8>(1)?, entry.key::<i64>(2)?);
                assert_eq!(key, ("a".to_owned(), -1, 7));
                assert!(entry.key::<i64>(3).is_err() && entry.key::<i64>(4).is_err());
                rows.push(entry.row::<(String, i8, i64, String, i64)>()?);
            }
            anonymous => assert_eq!(anonymous, "_"),
        }
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert_eq!(rows, [("a".to_owned(), -1, 7, "b".to_owned(), -12)]);
}

/// Elsewhere they are zero, as dtrace(1) prints them.
#[cfg(target_os = "linux")]
fn the_smallest_and_largest_of_nothing_are_no_numbers() {
    let entries = entries_of(
        "BEGIN { @min = min(3); @max = max(-3); @avg = avg(1); clear(@min); clear(@max); clear(@avg); }",
    );
    let numbers = ["min", "max", "avg"].map(|name| named(&entries, name).as_i64());
    assert_eq!(numbers, [None; 3]);
}

fn a_count_that_was_cleared_is_there_with_zero() {
    let entries = entries_of("BEGIN { @a = count(); @b = sum(4); clear(@a); }");
    assert_eq!(named(&entries, "a").as_i64(), Some(0));
    assert_eq!(named(&entries, "b").as_i64(), Some(4));
}

fn an_aggregation_that_was_truncated_is_gone() {
    let entries = entries_of(
        "BEGIN { @a[1] = count(); @b[1] = sum(1); @b[2] = sum(2); @b[3] = sum(3); trunc(@a); trunc(@b, 2); }",
    );
    let mut left: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.value.as_i64())).collect();
    left.sort();
    assert_eq!(left, [("b", Some(2)), ("b", Some(3))]);
}

fn distributions_keep_their_parameters_after_clear() {
    let entries = entries_of(
        "BEGIN { @ll = llquantize(35, 10, 0, 3, 10); @l = lquantize(5, 0, 10, 1); clear(@ll); clear(@l); }
        END { @ll = llquantize(35, 10, 0, 3, 10); @l = lquantize(5, 0, 10, 1); }",
    );
    for (name, value) in [("ll", 35), ("l", 5)] {
        let found = named(&entries, name);
        let distribution = found.distribution().expect("it is one");
        let bucket = distribution.bucket_of(value).expect("every value has one");
        assert!(bucket.range.contains(value));
        assert!(distribution.counted().eq([bucket]), "@{name}: {distribution:?}");
    }
}

fn percentiles_of_a_distribution_agree_with_those_of_its_records() {
    let (mut values, mut entries) = (Vec::new(), Vec::new());
    // Only Linux tells values below zero apart in llquantize().
    let least = if IS_LINUX { -500 } else { 1 };
    let outcome = run_synchronous(
        format!(
            r#"syscall::getppid:entry /pid == $target/
           {{
               this->value = (int)(timestamp % (4500 - ({least}))) + ({least});
               printf("%d", this->value);
               @quantize = quantize(this->value);
               @lquantize = lquantize(this->value, -500, 4500, 100);
               @llquantize = llquantize(this->value, 10, 0, 3, 20);
           }}"#
        ),
        traced_program("calls", 500),
    )
    .rows(|(value,): (i32,)| {
        values.push(i64::from(value));
        Ok(())
    })
    .walk(|entry| {
        entries.push(entry.value().distribution().expect("it is one").clone());
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    assert!(outcome.losses.is_empty(), "{}", outcome.losses);
    assert_eq!((values.len(), entries.len()), (500, 3));
    values.sort_unstable();
    let mean = values.iter().sum::<i64>() as f64 / 500.0;
    for distribution in &entries {
        assert_eq!(distribution.total(), 500);
        let width_at = |value: i64| {
            let range = distribution.bucket_of(value).expect("every value has one").range;
            (range.upper.expect("no value is out of bounds") - range.lower.unwrap_or(0)) as f64
        };
        for percent in [0.0, 1.0, 10.0, 50.0, 90.0, 99.0, 100.0] {
            let rank = ((percent * 5.0) as usize).max(1);
            let (truth, estimate) = (values[rank - 1], distribution.percentile_estimate(percent));
            let error = (estimate.expect("there are values") - truth as f64).abs();
            assert!(error <= width_at(truth), "{percent}: {truth} {estimate:?} {distribution:?}");
        }
        let error = (distribution.mean_estimate().expect("there are values") - mean).abs();
        let bound = values.iter().map(|&value| width_at(value)).sum::<f64>() / 500.0;
        assert!(error <= bound, "{mean} {error} {bound} {distribution:?}");
    }
}

fn normalized_values_are_divided_and_their_raw_values_kept() {
    let entries = entries_of(
        "BEGIN { @a = sum(-7); @b = count(); @b = count(); @b = count(); normalize(@a, 2); normalize(@b, 2); }",
    );
    let (AggregationValue::Sum(a), AggregationValue::Count(b)) =
        (named(&entries, "a"), named(&entries, "b"))
    else {
        panic!("{entries:?}")
    };
    assert_eq!((a.get(), a.raw(), a.normal()), (-3, -7, 2));
    assert_eq!((b.get(), b.raw(), b.normal()), (1, 3, 2));
}

fn aggregations_of_end_are_in_the_last_walk() {
    let entries = entries_of("BEGIN { @ = count(); } END { @ = count(); @ = count(); }");
    assert_eq!(named(&entries, "_").as_i64(), Some(3));
}

fn a_script_without_aggregations_walks_over_nothing() {
    let mut walks = 0;
    run_synchronous("BEGIN { trace(1); }", ["true"])
        .walk(|entry| panic!("{entry:?}"))
        .walked(|| {
            walks += 1;
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    assert_eq!(walks, 1);
}

/// What each walk delivers, by name, while this thread makes 100 calls before each of so many walks.
/// `$1` is this process and `$2` this thread.
fn over_walks(script: &str, mode: Mode, rounds: usize) -> Vec<BTreeMap<String, i64>> {
    let (told, walked) = crossbeam_channel::unbounded();
    let shared = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (ours, theirs) = (shared.clone(), shared);
    let current = std::sync::Arc::new(parking_lot::Mutex::new(BTreeMap::new()));
    let adding = current.clone();
    let of_this_thread = [nix::unistd::getpid().to_string(), this_thread().to_string()];
    let thread = ConsumerThread::builder(Script::new(script).args(of_this_thread))
        .mode(mode)
        .walk_every(Duration::from_millis(20))
        .walk(move |entry| {
            *adding.lock().entry(entry.name().to_owned()).or_insert(0) += entry.number()?;
            Ok(())
        })
        .walked(move || {
            theirs.lock().push(std::mem::take(&mut *current.lock()));
            let _ = told.send(());
            Ok(())
        })
        .spawn()
        .expect("tracing can be started");
    for _ in 0..rounds {
        call(100);
        walked.recv().expect("there are walks");
    }
    thread.stop().expect("the session comes to its end");
    std::mem::take(&mut *ours.lock())
}

fn differences_over_several_walks_add_up_to_the_total() {
    let script =
        "syscall::getppid:entry /pid == $1 && tid == $2/ { @calls = count(); @sum = sum(-3); }";
    let walks = over_walks(script, Mode::Delta, 5);
    assert!(walks.len() > 5);
    let total = |name: &str| walks.iter().filter_map(|walk| walk.get(name)).sum::<i64>();
    assert_eq!((total("calls"), total("sum")), (500, -1500));
    assert!(walks.iter().filter(|walk| walk.contains_key("calls")).count() > 1);
    let last = over_walks(script, Mode::Cumulative, 3);
    assert_eq!(last.last().and_then(|walk| walk.get("calls")), Some(&300));
}

fn an_average_over_several_walks_is_that_of_what_was_added() {
    let script = "syscall::getppid:entry /pid == $1 && tid == $2/ { @ = avg(-8); }";
    let walks = over_walks(script, Mode::Delta, 3);
    let means: Vec<i64> = walks.iter().flat_map(|walk| walk.values().copied()).collect();
    assert!(means.len() > 1 && means.iter().all(|mean| *mean == -8), "{walks:?}");
}

fn what_is_added_after_a_clear_by_the_script_is_told_no_more_than_once() {
    // The script clears on its own; what was there before a clear and was never walked is lost to
    // everybody, also to dtrace(1). Nothing may be told twice.
    let script =
        "syscall::getppid:entry /pid == $1 && tid == $2/ { @kept = count(); @cleared = count(); }
        syscall::getppid:entry /pid == $1 && tid == $2 && ++n % 150 == 0/ { clear(@cleared); }";
    let walks = over_walks(script, Mode::Delta, 6);
    let total = |name: &str| walks.iter().filter_map(|walk| walk.get(name)).sum::<i64>();
    assert_eq!(total("kept"), 600);
    assert!((0..=600).contains(&total("cleared")), "{walks:?}");
    assert!(walks.iter().flat_map(|walk| walk.values()).all(|n| *n >= 0), "{walks:?}");
}

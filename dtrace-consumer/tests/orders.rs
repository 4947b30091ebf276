//! Are the entries of walks sorted as libdtrace sorts them, also where the crate sorts?

use dtrace_consumer::aggregation::{Mode, Order};
use dtrace_consumer::{replay, run_synchronous};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing],
    tests: [differences_are_sorted_as_libdtrace_sorts_totals],
    long: [recordings_are_sorted_as_libdtrace_sorts_in_every_order],
}

/// Entries with equal keys, equal values, negative numbers, and all functions.
const MANY: &str = r#"BEGIN {
    @b[1] = sum(5); @b[-1] = sum(5); @b[3] = sum(-5); @b[2] = sum(7);
    @a[3] = sum(6); @a[1] = sum(5); @a[-2] = sum(-9);
    @text["b", 1] = sum(1); @text["a", 2] = sum(1); @text["a", 1] = sum(1); @text["c", 0] = sum(0);
    @count[1] = count(); @count[2] = count(); @count[2] = count();
    @min[1] = min(4); @min[2] = min(-4); @max[1] = max(-9); @max[2] = max(1);
    @avg[1] = avg(-3); @avg[1] = avg(-4); @avg[2] = avg(-5); @avg[3] = avg(-3);
    @stddev[1] = stddev(2); @stddev[1] = stddev(9); @stddev[2] = stddev(3); @stddev[3] = stddev(100);
    @q[1] = quantize(9); @q[2] = quantize(-9); @q[3] = quantize(0); @q[4] = quantize(0); @q[4] = quantize(0);
    @q[5] = quantize(1000);
    @l[1] = lquantize(5, -10, 10, 2); @l[2] = lquantize(-5, -10, 10, 2); @l[3] = lquantize(-50, -10, 10, 2);
    @l[4] = lquantize(50, -10, 10, 2); @l[5] = lquantize(0, -10, 10, 2); @l[6] = lquantize(1, -10, 10, 2);
    @ll[1] = llquantize(35, 10, 0, 3, 10); @ll[2] = llquantize(-35, 10, 0, 3, 10);
    @ll[3] = llquantize(0, 10, 0, 3, 10); @ll[4] = llquantize(3500000, 10, 0, 3, 10);
    @ll[5] = llquantize(36, 10, 0, 3, 10);
}"#;

/// Names and keys of the entries of the only walk, in their order.
fn sequence<S: dtrace_consumer::session::Source>(
    session: dtrace_consumer::Session<S>,
) -> Vec<String> {
    let mut entries = Vec::new();
    session
        .walk(|entry| {
            entries.push(entry.to_string());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    entries
}

fn differences_are_sorted_as_libdtrace_sorts_totals() {
    // In the first walk differences are totals.
    for order in [Order::Value, Order::ValueAcrossReversed] {
        let session = || run_synchronous(MANY, ["true"]).order(order);
        assert_eq!(sequence(session().mode(Mode::Delta)), sequence(session()), "{order:?}");
    }
}

fn recordings_are_sorted_as_libdtrace_sorts_in_every_order() {
    let scratch = tempfile::tempdir().expect("a directory");
    let file = scratch.path().join("many.dtrace");
    let unsorted = run_synchronous(MANY, ["true"]).order(Order::Unsorted).record(&file);
    assert_eq!(sequence(unsorted), sequence(replay(&file)));
    use Order::*;
    for order in [
        Key,
        KeyReversed,
        KeyAcross,
        KeyAcrossReversed,
        Value,
        ValueReversed,
        ValueAcross,
        ValueAcrossReversed,
    ] {
        let live = sequence(run_synchronous(MANY, ["true"]).order(order));
        assert_eq!(sequence(replay(&file).order(order)), live, "{order:?}");
    }
}

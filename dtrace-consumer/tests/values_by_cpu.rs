//! Are the values of an aggregation on each CPU right, however many CPUs there are?
//!
//! The possible CPUs may be more than those online, whose highest number determines the length of libdtrace's
//! lists. `VM_CPUS=2,maxcpus=8 vm/lane test --only values_by_cpu` runs this on such a machine.

use dtrace_consumer::aggregation::AggregationValue;
use dtrace_consumer::run_synchronous;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [values_by_cpu_add_up_to_the_whole_and_none_is_beyond_the_cpus_online],
}

/// Returns the number of places up to the highest CPU that is online.
fn places() -> usize {
    let online = std::fs::read_to_string("/sys/devices/system/cpu/online").expect("a list");
    let last = online.trim().rsplit(['-', ',']).next().expect("a last number");
    last.parse::<usize>().expect("a number") + 1
}

fn values_by_cpu_add_up_to_the_whole_and_none_is_beyond_the_cpus_online() {
    let script = "syscall::getppid:entry /pid == $target/ {
        @counts = count(); @sums = sum(3); @cpus[cpu] = count(); @most = max(9); @powers = quantize(5);
    }";
    let mut seen = Vec::new();
    run_synchronous(script, traced_program("calls", 7))
        .flag("aggpercpu")
        .walk(|entry| {
            let number = |value: &AggregationValue| match value {
                AggregationValue::Quantize(powers) => {
                    powers.counted().map(|bucket| bucket.count).sum::<i64>().into()
                }
                value => value.as_i64().map_or(i128::MIN, i128::from),
            };
            let by_cpu: Vec<i128> = entry.per_cpu().map(|(_, value)| number(&value)).collect();
            seen.push((entry.name().to_owned(), number(entry.value()), by_cpu));
            Ok(())
        })
        .run()
        .expect("it runs");
    let whole = |name: &str| seen.iter().find(|it| it.0 == name).map(|it| it.1);
    assert_eq!((whole("counts"), whole("sums"), whole("powers")), (Some(7), Some(21), Some(7)));
    for (name, whole, by_cpu) in &seen {
        assert_eq!(by_cpu.len(), places(), "{name}: {by_cpu:?}");
        let combined =
            if name == "most" { by_cpu.iter().copied().max() } else { Some(by_cpu.iter().sum()) };
        assert_eq!(combined, Some(*whole), "{name}: {by_cpu:?}");
    }
}

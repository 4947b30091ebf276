//! Does every number of a request have a bound?

use std::time::Duration;

use super::*;
use crate::data::aggregation::Order;
use crate::data::session_info::OmittedLibrary;
use crate::stream::job::Gate;

fn job() -> Job {
    Job {
        purpose: Purpose::Trace,
        library: "".into(),
        unknown: None,
        syslibdir: None,
        omit: Vec::new(),
        options: Vec::new(),
        all_libraries: false,
        compile_flags: 0,
        scripts: Vec::new(),
        target: None,
        processes: Vec::new(),
        firings: false,
        text: false,
        printed: false,
        order: Order::KeyAcrossReversed,
        drain: false,
        report: false,
        read_options: Vec::new(),
        snapshot_interval: None,
        max_delay: Duration::ZERO,
    }
}

fn script(text: &str, arguments: Vec<String>) -> Script {
    let name = "script".to_owned();
    Script { argument_zero: name.clone(), name, text: text.into(), arguments, specifier: None }
}

fn asks(purpose: Purpose) -> Job {
    Job { purpose, ..job() }
}

/// Asserts that a request is permitted with `most` of something, and refused with one more.
fn assert_bound(what: &str, most: usize, shown: &str, with: impl Fn(usize) -> Job) {
    let configuration = Configuration { grab: true, ..Configuration::default() };
    let policy = Policy { uid: nix::unistd::geteuid().as_raw(), configuration: &configuration };
    assert_eq!(policy.check(&with(most)), Ok(()), "{what}");
    let refused = policy.check(&with(most + 1)).expect_err(what);
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.attempt.contains(what) && refused.message.contains(shown), "{refused:?}");
}

#[test]
#[cfg_attr(miri, ignore = "processes")]
fn every_number_of_a_request_has_a_bound() {
    let own = i32::try_from(std::process::id()).expect("a pid");
    let words = |n: usize| vec!["quiet".to_owned(); n];
    let library = || OmittedLibrary { file: "io.d".into(), reason: "x".into() };
    let of = |what: &str, with: &dyn Fn(usize) -> Job| assert_bound(what, 1024, "1024", with);
    of("scripts", &|n| Job { scripts: vec![script("", Vec::new()); n], ..job() });
    of("arguments", &|n| Job { scripts: vec![script("", words(n))], ..job() });
    of("options", &|n| Job { options: vec![("quiet".into(), None); n], ..job() });
    of("options", &|n| Job { read_options: words(n), ..job() });
    of("omitted D libraries", &|n| Job { omit: vec![library(); n], ..job() });
    of("processes", &|n| Job { processes: vec![Process::Grab(own); n], ..job() });
    of("patterns", &|n| asks(Purpose::List { patterns: words(n), describe: true }));
    of("types", &|n| asks(Purpose::Types { names: words(n) }));

    let of = |with: &dyn Fn(usize) -> Job| assert_bound("symbols", 1 << 16, "65536", with);
    of(&|n| asks(Purpose::Lookup { names: words(n), addresses: Vec::new() }));
    of(&|n| asks(Purpose::Lookup { names: Vec::new(), addresses: vec![1; n] }));

    assert_bound("to write 17 bytes", 16, "16", |n| {
        let gate = Some(Gate { address: 1, opening: vec![0; n] });
        Job { target: Some(Target { pid: own, gate }), ..job() }
    });
    assert_bound("to write 17 bytes", 16, "16", |n| {
        let gate = Some(Gate { address: 1, opening: vec![0; n] });
        Job { processes: vec![Process::Created(Target { pid: own, gate })], ..job() }
    });
    // Here, exceeding the bound means being smaller.
    assert_bound("the interval of walks", 0, "1 ms", |n| {
        let interval = Duration::from_millis(1).saturating_sub(Duration::from_nanos(n as u64));
        Job { snapshot_interval: Some(interval), ..job() }
    });
    assert_bound("the delay of records", 1_000_000_000, "1s", |n| Job {
        max_delay: Duration::from_nanos(n as u64),
        ..job()
    });
}

#[test]
fn an_option_beyond_its_bound_is_refused_by_name_wherever_it_is_set() {
    let configuration = Configuration::default();
    let policy = Policy { uid: 1000, configuration: &configuration };
    for (name, value, bound) in [
        ("bufsize", "268435457", "256 MiB"),
        ("specsize", "17m", "16 MiB"),
        ("nspec", "257", "256"),
        ("maxframes", "4097", "4096"),
        ("strsize", "1048577", "1 MiB"),
        ("switchrate", "10001hz", "100 µs"),
    ] {
        let set = Job { options: vec![(name.to_owned(), Some(value.to_owned()))], ..job() };
        let pragma = format!("#pragma D option {name}={value}\nBEGIN {{ }}");
        let by_pragma = Job { scripts: vec![script(&pragma, Vec::new())], ..job() };
        for job in [set, by_pragma] {
            let refused = policy.check(&job).expect_err(name);
            assert_eq!(refused.attempt, format!("option {name}"));
            assert!(refused.message.contains(bound), "{refused:?}");
        }
    }
}

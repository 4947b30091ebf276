//! Data that libdtrace delivers and that cannot be.

use std::process::Command;

use dtrace_consumer::loss::DropKind;
use dtrace_consumer::{Error, Failure, Outcome, trace};
use dtrace_stand_in::plan::{
    Entry, EntryOddity, Event, Firing, ListingOddity, Oddity, Plan, Record,
};

use crate::calls::{Use, checked, listed, looked_up};
use crate::stage::*;

/// Runs a session in which `odd` comes after a firing that is as it should be.
pub(crate) fn after_a_good_one(prefix: &Prefix, odd: Event) -> (Seen, Result<Outcome, Failure>) {
    let rounds = vec![
        vec![Event::Firing(number(7)), odd],
        vec![Event::Firing(number(8)), Event::Firing(number(9))],
    ];
    Plan { rounds, ..Plan::default() }.put(&prefix.path);
    session(&prefix.path)
}

/// It is refused with a reason, and the firing before it has arrived.
pub(crate) fn refused(prefix: &Prefix, odd: Event, says: &str) {
    let what = format!("{odd:?}");
    let (seen, result) = after_a_good_one(prefix, odd);
    let Err(Failure { error: Error::Libdtrace { call, message, .. }, .. }) = result else {
        panic!("{what}: {result:?}")
    };
    assert_eq!(call, "dtrace_work", "{what}");
    assert!(message.contains("invalid data from libdtrace"), "{what}: {message}");
    assert!(message.contains(says), "{what}: {message}");
    assert_eq!(seen.numbers, [7], "{what}");
}

pub(crate) fn firings_that_cannot_be_are_refused_and_those_before_them_arrive() {
    let prefix = Prefix::new();
    let odd = |oddity| Event::Firing(Firing { statement: 3, oddity: Some(oddity), ..everything() });
    let cases = [
        (Oddity::NoDescription, "null pointer to a description of records"),
        (Oddity::CrookedDescription, "misaligned pointer"),
        (Oddity::NoProbe, "null pointer to a description of a probe"),
        (Oddity::Count(-1), "of records: -1"),
        (Oddity::Count(i32::MAX), "of records: 2147483647"),
        (Oddity::NoData, "null pointer to data"),
        (Oddity::Size(0), "of data"),
        (Oddity::Size(20), "of data"),
        (Oddity::ForeignRecord, "outside the list of its firing"),
        (Oddity::CrookedRecord, "outside the list of its firing"),
        (Oddity::RecordOfNothing, "null pointer to a firing"),
        (Oddity::NoEnd, "without an end"),
        (Oddity::Nested, "nested firing"),
        (Oddity::TwoEnds, "that did not begin"),
    ];
    for (oddity, says) in cases {
        refused(&prefix, odd(oddity), says);
    }
    // Elsewhere the list is a part of the description.
    if !SUN {
        refused(&prefix, odd(Oddity::NoRecords), "null pointer to records");
        refused(&prefix, odd(Oddity::CrookedRecords), "misaligned pointer");
    }
    refused(&prefix, Event::NoFiring, "null pointer to a firing");
    refused(&prefix, Event::LoneRecord, "without a firing");
    refused(&prefix, Event::LoneEnd, "that did not begin");
    refused(&prefix, Event::Drop { kind: 0, drops: 1, missing: true }, "null pointer to");
    refused(&prefix, Event::Fault { probe: true, missing: true }, "null pointer to a fault");
    refused(&prefix, Event::Option { missing: true }, "null pointer to");
}

pub(crate) fn records_that_lie_outside_of_their_data_are_refused() {
    let prefix = Prefix::new();
    for (offset, size) in [(0, 5), (4, 1), (u32::MAX, 4), (0, u32::MAX), (u32::MAX, u32::MAX)] {
        let mut firing = number(1);
        firing.statement = 3;
        firing.records.push(record(1, offset, size));
        refused(&prefix, Event::Firing(firing), "record 1 at");
    }
    // A clause that was described with less than it has now.
    let mut more = number(1);
    more.data.truncate(2);
    refused(&prefix, Event::Firing(more), "record 0 at");
}

pub(crate) fn odd_firings_that_can_be_arrive() {
    let prefix = Prefix::new();
    // No record, no data, records of no size and of odd alignment, unknown actions.
    let empty = Firing { statement: 3, ..Firing::default() };
    let mut strange = number(1);
    strange.statement = 4;
    strange.records = vec![
        Record { alignment: 0, ..record(0xffff, 1, 3) },
        Record { alignment: 3, argument: u64::MAX, ..record(1, 0, 0) },
        Record { format: Some("%*.*hhd %".to_owned()), ..record(3, 1, 1) },
    ];
    let nameless = Firing { oddity: Some(Oddity::NoNames), ..number(1) };
    for firing in [empty, strange, nameless] {
        let (seen, result) = after_a_good_one(&prefix, Event::Firing(firing.clone()));
        let outcome = result.unwrap_or_else(|failure| panic!("{firing:?}: {failure}"));
        assert_eq!(outcome.firings, 4, "{firing:?}");
        assert!(seen.numbers.ends_with(&[8, 9]), "{seen:?}");
    }
}

pub(crate) fn a_firing_that_was_interrupted_and_comes_again_arrives_once() {
    let prefix = Prefix::new();
    let again = Firing { oddity: Some(Oddity::Redelivered), ..number(8) };
    let rounds =
        vec![vec![Event::Firing(number(7)), Event::Firing(again), Event::Firing(number(9))]];
    Plan { rounds, ..Plan::default() }.put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    result.expect("a signal is no failure");
    assert_eq!(seen.numbers, [7, 8]);
}

pub(crate) fn a_signal_during_the_wait_is_no_failure() {
    let prefix = Prefix::new();
    let (seen, result) = after_a_good_one(&prefix, Event::Interrupted);
    result.expect("a signal is no failure");
    assert_eq!(seen.numbers, [7, 8, 9]);
}

pub(crate) fn the_end_of_a_process_that_libdtrace_misses_ends_the_session() {
    let prefix = Prefix::new();
    // It goes on for a minute without a word about the process.
    Plan { rounds: vec![vec![Event::Pause(100)]; 600], ..Plan::default() }.put(&prefix.path);
    let mut child = Command::new("sleep").arg("1000").spawn().expect("sleep(1) is there");
    let pid = child.id().cast_signed();
    let mut gone = Vec::new();
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .grab(pid)
        .on_start(|_| Ok(child.kill()?))
        .on_process(|event| {
            gone.push((event.pid, event.gone));
            Ok(())
        })
        .run();
    result.expect("the session comes to its end");
    assert_eq!(gone, [(pid, true)]);
    child.wait().expect("it is a child");
}

pub(crate) fn drops_of_every_kind_are_counted() {
    let prefix = Prefix::new();
    use DropKind::*;
    let kinds = [
        (0, Principal),
        (1, Aggregation),
        (2, Dynamic),
        (3, DynamicRinse),
        (4, DynamicDirty),
        (5, Speculation),
        (6, SpeculationBusy),
        (7, SpeculationUnavailable),
        (8, StackStringOverflow),
        (9, DoubleError),
        (10, Other(10)),
        (-1, Other(-1)),
        (i32::MAX, Other(i32::MAX)),
    ];
    for (kind, named) in kinds {
        let (seen, result) =
            after_a_good_one(&prefix, Event::Drop { kind, drops: 5, missing: false });
        let outcome = result.expect("drops are no failure");
        assert_eq!((seen.drops, &seen.numbers[..]), (5, &[7, 8, 9][..]), "kind {kind}");
        assert_eq!(outcome.losses.dropped(named), 5, "kind {kind}");
    }
}

pub(crate) fn drops_that_are_told_while_a_firing_is_printed_are_counted() {
    let prefix = Prefix::new();
    let rounds = vec![vec![Event::Firing(everything()), Event::Firing(number(7))]];
    Plan { drops_in_snapshot: 2, rounds, entries: vec![entry(1, 10)], ..Plan::default() }
        .put(&prefix.path);
    let (seen, result) = session(&prefix.path);
    result.expect("drops are no failure");
    // One snapshot for printa(), one at the end.
    assert_eq!((seen.drops, &seen.numbers[..], &seen.entries[..]), (4, &[7][..], &[(1, 10)][..]));
}

pub(crate) fn entries_that_cannot_be_are_refused_and_what_was_before_them_arrives() {
    let prefix = Prefix::new();
    let cases = [
        (EntryOddity::NoEntry, "null pointer to an entry of an aggregation"),
        (EntryOddity::NoDescription, "null pointer to a description of an aggregation"),
        (
            EntryOddity::Keys(-1),
            if SUN { "of records of an entry: -1" } else { "of keys: 4294967295" },
        ),
        (EntryOddity::Keys(i32::MAX), "2147483647"),
        (EntryOddity::NoKeys, "at 0x0"),
        (EntryOddity::KeyOutside, "record 1 at 5"),
        (EntryOddity::NoValue, "data at 0x0"),
        (EntryOddity::ValueOutside, "at 4294967295"),
        (EntryOddity::Function(7), "unknown aggregating function 7"),
    ];
    for (oddity, says) in cases {
        let odd = Entry { oddity: Some(oddity), ..entry(2, 20) };
        let rounds = vec![vec![Event::Firing(number(7))]];
        let entries = vec![entry(1, 10), odd, entry(3, 30)];
        Plan { rounds, entries, ..Plan::default() }.put(&prefix.path);
        let (seen, result) = session(&prefix.path);
        let Err(Failure { error: Error::Libdtrace { call, message, .. }, .. }) = result else {
            panic!("{oddity:?}: {result:?}")
        };
        assert_eq!(call, "dtrace_aggregate_walk_valsorted", "{oddity:?}");
        assert!(message.contains(says), "{oddity:?}: {message}");
        assert_eq!((seen.numbers, seen.entries), (vec![7], vec![(1, 10)]), "{oddity:?}");
    }
}

pub(crate) fn entries_of_which_something_is_missing_arrive_or_are_damaged() {
    let prefix = Prefix::new();
    let run = |oddity| {
        let entries = vec![Entry { oddity: Some(oddity), ..entry(2, 20) }];
        Plan { entries, ..Plan::default() }.put(&prefix.path);
        session(&prefix.path)
    };
    let (seen, result) = run(EntryOddity::NoName);
    result.expect("a name is not needed");
    assert_eq!(seen.entries, [(2, 20)]);
    let (seen, result) = run(EntryOddity::ShortValue);
    assert!(matches!(result, Err(Failure { error: Error::Stream { .. }, .. })), "{result:?}");
    assert!(seen.entries.is_empty());
}

pub(crate) fn descriptions_of_probes_and_programs_that_cannot_be_are_refused() {
    let prefix = Prefix::new();
    let run = |oddity, what: Use| {
        Plan { listing: Some(oddity), ..Plan::default() }.put(&prefix.path);
        what(&prefix.path)
    };
    let cases: [(ListingOddity, Use, &str); 9] = [
        (ListingOddity::NoProbe, listed, "dtrace_probe_iter"),
        (ListingOddity::CrookedProbe, listed, "dtrace_probe_iter"),
        (ListingOddity::Arguments(-1), listed, "dtrace_probe_iter"),
        (ListingOddity::Arguments(i32::MAX), listed, "dtrace_probe_iter"),
        (ListingOddity::NoArguments, listed, "dtrace_probe_iter"),
        (ListingOddity::NoStatement, checked, "dtrace_stmt_iter"),
        (ListingOddity::NoClause, checked, "dtrace_stmt_iter"),
        (ListingOddity::CrookedStatement, checked, "dtrace_stmt_iter"),
        (ListingOddity::CrookedClause, checked, "dtrace_stmt_iter"),
    ];
    for (oddity, what, named) in cases {
        match run(oddity, what) {
            Err(Error::Libdtrace { call, message, .. }) => {
                assert_eq!(call, named, "{oddity:?}");
                assert!(message.contains("invalid data from libdtrace"), "{oddity:?}: {message}");
            }
            result => panic!("{oddity:?}: {result:?}"),
        }
    }
    run(ListingOddity::NoSymbol, looked_up).expect("names are not needed");
}

pub(crate) fn a_description_without_its_parts_is_not_handed_back_to_the_library() {
    let prefix = Prefix::new();
    Plan { listing: Some(ListingOddity::NoParts), ..Plan::default() }.put(&prefix.path);
    let result = listed(&prefix.path);
    // Elsewhere a description holds its parts.
    if SUN {
        return result.expect("nothing is missing");
    }
    let Err(Error::Libdtrace { call, .. }) = result else { panic!("{result:?}") };
    assert_eq!(call, "dtrace_str2desc");
}

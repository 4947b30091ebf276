//! What does a record cost on the consumer's side?
//!
//! Recordings in memory are replayed, which needs neither privilege nor libdtrace. Each run delivers [`RECORDS`]
//! records: divide times and allocations by that. For the number of instructions, which a busy machine does not change,
//! docs/performance.md has a command.

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use dtrace_consumer::{Outcome, replay_from};
use serde::Deserialize;

mod recorded;

use recorded::{Printf, Recording, Value};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// How many records, or entries of an aggregation, each run delivers.
const RECORDS: u32 = 100_000;

const NUMBERS: Printf =
    Printf { format: "%d %d\n", values: &[Value::Number(4711), Value::Number(4712)], text: "" };

const TEXT: Printf = Printf { text: "4711 4712\n", ..NUMBERS };

const MIXED: [Value; 3] =
    [Value::Number(4711), Value::Number(512), Value::Text("/usr/lib/os-release")];

const UNNAMED: Printf = Printf { format: "%d %d %s\n", values: &MIXED, text: "" };

const NAMED: Printf = Printf { format: "pid=%d size=%d path=%s\n", ..UNNAMED };

const STRING: Printf = Printf { format: "%s\n", values: &[MIXED[2]], text: "" };

/// A row that owns its text: one allocation for each.
#[derive(Deserialize)]
struct Read {
    pid: i32,
    size: u64,
    path: String,
}

fn main() {
    divan::main();
}

fn firings(printf: &Printf) -> Vec<u8> {
    Recording::begin().firings(printf, RECORDS).end()
}

/// Measures `replay`, which must deliver all of `recording`.
fn measure(bencher: Bencher<'_, '_>, recording: &[u8], replay: impl Fn(&[u8]) -> Outcome + Sync) {
    bencher.counter(ItemsCount::new(RECORDS)).bench(|| replay(black_box(recording)));
}

#[divan::bench]
fn no_handler(bencher: Bencher<'_, '_>) {
    measure(bencher, &firings(&NUMBERS), |recording| replay_from(recording).run().unwrap());
}

#[divan::bench]
fn chew(bencher: Bencher<'_, '_>) {
    measure(bencher, &firings(&NUMBERS), |recording| {
        let chew = |firing: &dtrace_consumer::Firing<'_>| {
            black_box(firing.cpu());
            Ok(())
        };
        replay_from(recording).chew(chew).run().unwrap()
    });
}

#[divan::bench]
fn text(bencher: Bencher<'_, '_>) {
    measure(bencher, &firings(&TEXT), |recording| {
        let out = |output: &dtrace_consumer::Output<'_>| {
            black_box(output.bytes());
            Ok(())
        };
        replay_from(recording).out(out).run().unwrap()
    });
}

#[divan::bench]
fn row_of_two_numbers(bencher: Bencher<'_, '_>) {
    measure(bencher, &firings(&NUMBERS), |recording| {
        let rows = |row: (i64, i64)| {
            black_box(row);
            Ok(())
        };
        replay_from(recording).rows(rows).run().unwrap()
    });
}

#[divan::bench]
fn row_of_a_string(bencher: Bencher<'_, '_>) {
    measure(bencher, &firings(&STRING), |recording| {
        let rows = |path: String| {
            black_box(path);
            Ok(())
        };
        replay_from(recording).rows(rows).run().unwrap()
    });
}

fn rows_of_three(bencher: Bencher<'_, '_>, printf: &Printf) {
    measure(bencher, &firings(printf), |recording| {
        let rows = |Read { pid, size, path }: Read| {
            black_box((pid, size, path));
            Ok(())
        };
        replay_from(recording).rows(rows).run().unwrap()
    });
}

#[divan::bench]
fn row_of_three_by_position(bencher: Bencher<'_, '_>) {
    rows_of_three(bencher, &UNNAMED);
}

#[divan::bench]
fn row_of_three_by_name(bencher: Bencher<'_, '_>) {
    rows_of_three(bencher, &NAMED);
}

#[divan::bench]
fn walk(bencher: Bencher<'_, '_>) {
    measure(bencher, &Recording::begin().walk(RECORDS).end(), |recording| {
        let walk = |entry: &dtrace_consumer::Aggregated<'_>| {
            black_box(entry.name());
            Ok(())
        };
        replay_from(recording).walk(walk).run().unwrap()
    });
}

#[divan::bench]
fn walk_by_rows(bencher: Bencher<'_, '_>) {
    measure(bencher, &Recording::begin().walk(RECORDS).end(), |recording| {
        let walk = |row: (i64, String, u64)| {
            black_box(row);
            Ok(())
        };
        replay_from(recording).walk_rows(walk).run().unwrap()
    });
}

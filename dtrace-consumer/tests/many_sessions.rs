//! Does every session account for every record, one after the other and many at once?
//!
//! Each traces a command of its own that makes a known number of calls. The figures are printed:
//!
//!     cargo test -p dtrace-consumer --test many_sessions -- --ignored --nocapture
//!
//! `DTRACE_CONSUMER_SESSIONS` says how many run one after the other, 200 by default.

use dtrace_consumer::run_synchronous;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    by_hand: [
        sessions_one_after_the_other_account_for_every_record,
        sessions_at_once_account_for_every_record,
    ],
}

/// How many calls the command of each session makes.
const CALLS: u64 = 100;

/// What sessions came to.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    started: u64,
    ended: u64,
    records: u64,
    /// By the outcomes' own account.
    lost: u64,
}

impl Sum {
    /// What a number of sessions comes to.
    fn of(sessions: u64) -> Sum {
        Sum { started: sessions, ended: sessions, records: sessions * CALLS, lost: 0 }
    }

    fn add(&mut self, other: Sum) {
        self.started += other.started;
        self.ended += other.ended;
        self.records += other.records;
        self.lost += other.lost;
    }
}

/// Runs a session, whose records are numbered.
fn session() -> Sum {
    let mut sum = Sum { started: 1, ..Sum::default() };
    let script = "syscall::getppid:entry /pid == $target/ { trace(++n); }";
    let result = run_synchronous(script, traced_program("calls", CALLS))
        .rows(|number: u64| {
            sum.records += 1;
            if number == sum.records { Ok(()) } else { Err(format!("record {number}").into()) }
        })
        .run();
    match result {
        Ok(outcome) => {
            sum.ended = 1;
            sum.lost = outcome.losses.total_drops();
        }
        Err(failure) => println!("a session failed: {failure}"),
    }
    sum
}

/// Returns how many sessions run one after the other.
fn wanted() -> u64 {
    let number = std::env::var("DTRACE_CONSUMER_SESSIONS");
    number.map_or(200, |number| number.parse().expect("a number of sessions"))
}

fn sessions_one_after_the_other_account_for_every_record() {
    let number = wanted();
    let (_alone, guard) = alone();
    let mut sum = Sum::default();
    for _ in 0..number {
        sum.add(session());
    }
    println!("one after the other: {sum:?}");
    guard.check();
    println!("nothing is left behind");
    assert_eq!(sum, Sum::of(number));
}

fn sessions_at_once_account_for_every_record() {
    let (_alone, guard) = alone();
    for number in [8, 16] {
        let sum = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..number).map(|_| scope.spawn(session)).collect();
            let mut sum = Sum::default();
            for thread in threads {
                sum.add(thread.join().expect("a session does not panic"));
            }
            sum
        });
        println!("{number} at once: {sum:?}");
        assert_eq!(sum, Sum::of(number));
    }
    guard.check();
    println!("nothing is left behind");
}

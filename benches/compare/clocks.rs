//! Which clocks measure a session?

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// Returns a time that two processes can compare.
pub(crate) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Returns the CPU time of a process that runs.
pub(crate) fn cpu_of(pid: i32) -> io::Result<Duration> {
    let clock: ClockId = clock_getcpuclockid(Pid::from_raw(pid))?;
    let time: TimeSpec = clock_gettime(clock)?;
    Ok(time.into())
}

/// The CPU time of processes from the second record on.
#[derive(Debug, Default)]
pub(crate) struct Span {
    processes: Vec<Clock>,
    /// How many records came up to the last look.
    records: u64,
}

/// The CPU time of a process at the first and at the last look.
#[derive(Debug)]
struct Clock {
    pid: i32,
    first: Duration,
    last: Duration,
}

impl Span {
    /// Begins. Processes that have ended by now are left out: the worker of the session before may be one.
    pub(crate) fn begin(processes: Vec<i32>) -> Span {
        let clocks = processes.into_iter().filter_map(|pid| {
            let first = cpu_of(pid).ok()?;
            Some(Clock { pid, first, last: first })
        });
        Span { processes: clocks.collect(), records: 0 }
    }

    /// Notes that so many records have come until now.
    pub(crate) fn until_now(&mut self, records: u64) {
        for clock in &mut self.processes {
            clock.last = cpu_of(clock.pid).unwrap_or(clock.last);
        }
        self.records = records.saturating_sub(2);
    }

    /// Returns the time for each record.
    pub(crate) fn each(&self) -> Duration {
        let time: Duration = self.processes.iter().map(|it| it.last.saturating_sub(it.first)).sum();
        time / u32::try_from(self.records).unwrap_or(u32::MAX).max(1)
    }
}

/// How long records were on their way.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Notes that a record has arrived. It is the time at which its probe fired, in nanoseconds of the monotonic
    /// clock, which is that of `timestamp` in D.
    pub(crate) fn arrived(&mut self, record: &[u8]) {
        let fired = std::str::from_utf8(record).ok().and_then(|text| text.trim().parse().ok());
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
        if let (Some(fired), Ok(now)) = (fired, now) {
            self.0.push(now.saturating_sub(Duration::from_nanos(fired)));
        }
    }

    /// Returns the median.
    pub(crate) fn median(self) -> Duration {
        median(self.0)
    }
}

/// Returns the median of these times; zero if there are none.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

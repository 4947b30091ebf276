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
    processes: Vec<i32>,
    first: Duration,
    /// The time up to the last look.
    time: Duration,
    /// How many records came in this time.
    records: u64,
}

impl Span {
    /// Begins.
    pub(crate) fn begin(processes: Vec<i32>) -> io::Result<Span> {
        let mut span = Span { processes, ..Span::default() };
        span.first = span.now()?;
        Ok(span)
    }

    fn now(&self) -> io::Result<Duration> {
        self.processes.iter().map(|pid| cpu_of(*pid)).sum()
    }

    /// Notes that so many records have come until now.
    pub(crate) fn until_now(&mut self, records: u64) -> io::Result<()> {
        self.time = self.now()?.saturating_sub(self.first);
        self.records = records.saturating_sub(2);
        Ok(())
    }

    /// Returns the time for each record.
    pub(crate) fn each(&self) -> Duration {
        self.time / u32::try_from(self.records).unwrap_or(u32::MAX).max(1)
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

//! How long does the library wait, and when does it read the buffers?

use std::time::{Duration, Instant};

/// The options that are intervals. Each is a second by default.
const OPTIONS: [&str; 3] = ["switchrate", "statusrate", "aggrate"];

/// The intervals, and when the library last did what each is for.
#[derive(Clone, Copy)]
pub(crate) struct Rates([(Duration, Option<Instant>); OPTIONS.len()]);

impl Default for Rates {
    fn default() -> Rates {
        Rates([(Duration::from_secs(1), None); OPTIONS.len()])
    }
}

impl Rates {
    /// Sets an option, if it is an interval that is understood here.
    pub(crate) fn set(&mut self, option: &str, value: &str) {
        if let Some(at) = OPTIONS.iter().position(|known| *known == option) {
            self.0[at].0 = parse(value).unwrap_or(self.0[at].0);
        }
    }

    /// Returns an interval in nanoseconds, if the option is one.
    pub(crate) fn of(&self, option: &str) -> Option<i64> {
        let at = OPTIONS.iter().position(|known| *known == option)?;
        self.0[at].0.as_nanos().try_into().ok()
    }

    /// Returns how long there is nothing to do.
    #[cfg_attr(
        not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")),
        expect(dead_code, reason = "the library does not wait by itself")
    )]
    pub(crate) fn idle(&self) -> Duration {
        let left = |(rate, last): &(Duration, Option<Instant>)| {
            last.map_or(Duration::ZERO, |last| rate.saturating_sub(last.elapsed()))
        };
        self.0.iter().map(left).min().unwrap_or_default()
    }

    /// Begins the intervals that are over anew. Returns whether it is time to read the buffers.
    pub(crate) fn are_over(&mut self) -> bool {
        let over = self.0.map(|(rate, last)| last.is_none_or(|last| last.elapsed() >= rate));
        for ((_, last), _) in self.0.iter_mut().zip(over).filter(|(_, over)| *over) {
            *last = Some(Instant::now());
        }
        over[0]
    }
}

/// Returns the interval that an option's value means.
fn parse(value: &str) -> Option<Duration> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let number: u64 = value[..digits].parse().ok()?;
    Some(match &value[digits..] {
        "ns" => Duration::from_nanos(number),
        "us" => Duration::from_micros(number),
        "ms" => Duration::from_millis(number),
        "s" | "sec" => Duration::from_secs(number),
        "hour" => Duration::from_secs(3600 * number),
        "hz" => Duration::from_secs(1) / u32::try_from(number).ok()?,
        _ => return None,
    })
}

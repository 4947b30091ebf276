//! How long does libdtrace wait before it looks into its buffers?

use std::ffi::c_int;
use std::time::Duration;

/// How long to wait before each last look, in delays, when records no longer wait. A program that began before may still
/// write.
const LAST_LOOKS: [c_int; 2] = [1, 10];

/// Whether records wait in their buffers, and for how long.
#[derive(Debug)]
pub(super) struct Patience {
    /// How long records may wait, in milliseconds.
    delay: c_int,
    waits: bool,
    /// How many last looks are left.
    looks: usize,
}

impl Patience {
    /// Records do not wait yet. The kernel's waits have milliseconds; a shorter delay is one.
    pub(super) fn new(delay: Duration) -> Patience {
        let delay = c_int::try_from(delay.as_millis()).unwrap_or(c_int::MAX).max(1);
        Patience { delay, waits: false, looks: 0 }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waits
    }

    /// Notes that records wait from now on, or that they no longer do.
    pub(super) fn change(&mut self, waits: bool) {
        self.looks = if self.waits && !waits { LAST_LOOKS.len() } else { 0 };
        self.waits = waits;
    }

    /// Returns how long to wait now, of the `left` milliseconds; a negative number is for ever.
    pub(super) fn next(&mut self, left: c_int) -> c_int {
        let delays = match self.looks.checked_sub(1) {
            _ if self.waits => 1,
            Some(rest) => {
                self.looks = rest;
                LAST_LOOKS[LAST_LOOKS.len() - 1 - rest]
            }
            None => return left,
        };
        let now = self.delay.saturating_mul(delays);
        if left < 0 { now } else { now.min(left) }
    }

    /// Returns whether the same wait goes on, if it has found nothing.
    pub(super) fn looks_again(&self) -> bool {
        self.looks > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_lasts_one_delay_while_records_wait() {
        let mut patience = Patience::new(Duration::from_millis(5));
        assert_eq!([patience.next(1000), patience.next(-1)], [1000, -1]);
        patience.change(true);
        assert!(patience.is_waiting() && !patience.looks_again());
        assert_eq!([1000, 3, 0, -1].map(|left| patience.next(left)), [5, 3, 0, 5]);
    }

    #[test]
    fn what_was_written_late_is_looked_for() {
        let mut patience = Patience::new(Duration::from_micros(10));
        patience.change(true);
        patience.change(false);
        let mut looks = Vec::new();
        while patience.looks_again() {
            looks.push(patience.next(-1));
        }
        assert_eq!(looks, LAST_LOOKS, "a delay is at least one millisecond");
        assert_eq!([patience.next(-1), patience.next(1000)], [-1, 1000]);
    }
}

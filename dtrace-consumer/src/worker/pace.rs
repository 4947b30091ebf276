//! Do records come fast enough to let them wait?

use std::time::Duration;

/// How many records show how fast they come. If reading is slower than writing, a single round may bring them all.
const ENOUGH: u64 = 20;

/// Records wait if as many as this come within their longest delay.
const MANY: u32 = 4;

/// They no longer wait when fewer than this have come within it.
const FEW: u64 = 2;

/// How fast records come.
#[derive(Debug)]
pub(super) struct Pace {
    /// How long records may wait. If it is zero, none waits.
    delay: Duration,
    waits: bool,
    /// What was seen while they do not wait: what came, and in which time.
    time: Duration,
    came: u64,
}

impl Pace {
    pub(super) fn new(delay: Duration) -> Pace {
        Pace { delay, waits: false, time: Duration::ZERO, came: 0 }
    }

    /// Notes how many records a round has brought, and how long it took. Returns whether records may wait now.
    pub(super) fn note(&mut self, came: u64, took: Duration) -> bool {
        if self.waits {
            self.waits = came >= FEW;
            return self.waits;
        }
        self.time += took;
        self.came += came;
        if self.came >= ENOUGH {
            let many = self.time.as_secs_f64() * f64::from(MANY);
            let fast = self.came as f64 * self.delay.as_secs_f64() >= many;
            *self = Pace { waits: fast && !self.delay.is_zero(), ..Pace::new(self.delay) };
        }
        self.waits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(5);

    /// Returns whether records wait after so many rounds that bring so many.
    fn after(pace: &mut Pace, rounds: u32, came: u64, took: Duration) -> bool {
        (0..rounds).map(|_| pace.note(came, took)).last().expect("rounds")
    }

    #[test]
    fn records_wait_if_many_come_for_some_time() {
        for (rounds, came, took, wait) in [
            (20, 1, Duration::from_micros(50), true),
            (20, 1, Duration::from_micros(1200), true),
            (20, 1, Duration::from_micros(1300), false),
            (3, 8, Duration::from_micros(50), true),
            (1000, 0, Duration::from_micros(1), false),
            // Four at once, but no more for a second.
            (5, 4, Duration::from_secs(1), false),
            // Reading takes longer than the delay.
            (1, 100_000, Duration::from_millis(100), true),
            (1, 100, Duration::from_millis(200), false),
        ] {
            let mut pace = Pace::new(DELAY);
            assert!(rounds == 1 || !after(&mut pace, rounds - 1, came, took));
            assert_eq!(after(&mut pace, 1, came, took), wait, "{rounds} times {came} in {took:?}");
        }
        assert!(!after(&mut Pace::new(Duration::ZERO), 1000, 1000, Duration::from_micros(1)));
    }

    #[test]
    fn many_records_after_few_are_noticed() {
        let mut pace = Pace::new(DELAY);
        assert!(!after(&mut pace, 59, 1, Duration::from_secs(1)));
        assert!(!pace.note(10_000, DELAY), "these and the few are seen together");
        assert!(pace.note(10_000, DELAY));
    }

    #[test]
    fn records_wait_until_hardly_any_come() {
        let mut pace = Pace::new(DELAY);
        assert!(pace.note(ENOUGH, Duration::from_micros(50)));
        assert!(after(&mut pace, 100, FEW, DELAY));
        assert!(!after(&mut pace, 1, FEW - 1, DELAY));
        assert!(!pace.note(ENOUGH - 1, Duration::from_micros(50)), "anew");
    }
}

//! In which unit is a span of time easy to read?

use std::fmt;

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// 10⁻⁶ s.
    Microseconds,
    /// 10⁻³ s.
    Milliseconds,
    /// 1 s.
    Seconds,
}

impl Unit {
    /// Returns the unit for times up to so many nanoseconds.
    #[must_use]
    pub fn for_span(nanoseconds: u64) -> Unit {
        match nanoseconds {
            0..5_000_000 => Unit::Microseconds,
            5_000_000..5_000_000_000 => Unit::Milliseconds,
            _ => Unit::Seconds,
        }
    }

    /// Returns nanoseconds in this unit.
    #[must_use]
    pub fn of(self, nanoseconds: u64) -> f64 {
        let one = match self {
            Unit::Microseconds => 1e3,
            Unit::Milliseconds => 1e6,
            Unit::Seconds => 1e9,
        };
        nanoseconds as f64 / one
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unit::Microseconds => "µs",
            Unit::Milliseconds => "ms",
            Unit::Seconds => "s",
        })
    }
}

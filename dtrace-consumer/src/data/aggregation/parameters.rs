//! Which values does each bucket of a distribution count?
//!
//! `quantize`, `lquantize` and `llquantize` keep an array of counts. This module maps an index into that
//! array (a *slot*) to the values counted there, from the parameters that the D compiler packed into one
//! 64-bit word. The word of `lquantize` is the same everywhere. The word and the array of `llquantize` differ
//! between Linux and the Sun lineage; see [`ParameterEncoding`].

use super::decode_error::DecodeError;
use super::function::AggregationFunction;

/// Number of slots of a `quantize`: one for zero, 63 for each sign.
const QUANTIZE_SLOTS: usize = 127;
/// The slot of a `quantize` that counts zeros.
const QUANTIZE_ZERO: usize = 63;

/// The lineage whose layout of aggregation values the data have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterEncoding {
    /// DTrace for Linux. The parameters are the aggregation's signature (`dtagd_sig`); the value holds counts
    /// only. `llquantize` has steps in bits 48-63, high magnitude in 32-47, low magnitude in 16-31 and factor
    /// in 0-15. It counts negative values by magnitude, too.
    Linux,
    /// illumos, FreeBSD, macOS. The first word of an `lquantize` or `llquantize` value holds the parameters;
    /// the counts follow. `llquantize` has factor in bits 48-63, low magnitude in 32-47, high magnitude in
    /// 16-31 and steps in 0-15. It counts all values below factor^low, so every negative one, together.
    Sun,
}

/// The values that a bucket counts: all `v` with `lower <= v <= upper`.
///
/// `None` is an open end: the bucket counts everything below, or above. D programs count `i64` values, so
/// `i64::MIN` and `i64::MAX` bound an open end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketRange {
    /// The smallest value counted here; `None` if there is none.
    pub lower: Option<i64>,
    /// The largest value counted here; `None` if there is none.
    pub upper: Option<i64>,
}

impl BucketRange {
    /// Returns whether a bucket with this range counts `value`.
    pub fn contains(&self, value: i64) -> bool {
        self.lower.is_none_or(|lower| lower <= value)
            && self.upper.is_none_or(|upper| value <= upper)
    }

    /// Clamps bounds, which may lie outside the range of an `i64`. Returns `None` if no `i64` is within them.
    fn clamped(lower: Option<i128>, upper: Option<i128>) -> Option<BucketRange> {
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        if lower.unwrap_or(min).max(min) > upper.unwrap_or(max).min(max) {
            return None;
        }
        let clamp = |bound: i128| bound.clamp(min, max) as i64;
        Some(BucketRange { lower: lower.map(clamp), upper: upper.map(clamp) })
    }
}

/// The parameters of `quantize`, `lquantize` or `llquantize`, besides the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DistributionParameters {
    /// `quantize(v)`: a bucket per power of two.
    Quantize,
    /// `lquantize(v, base, limit, step)`: buckets of equal width.
    Linear(Linear),
    /// `llquantize(v, factor, low, high, steps)`: buckets of equal width within each order of magnitude.
    LogLinear(LogLinear),
}

/// The parameters of an `lquantize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Linear {
    base: i32,
    step: u16,
    levels: u16,
}

impl Linear {
    /// Returns the lower end of the first bucket. Smaller values are counted together.
    pub fn base(&self) -> i32 {
        self.base
    }

    /// Returns the width of each bucket.
    pub fn step(&self) -> u16 {
        self.step
    }

    /// Returns the number of buckets between the two open ones.
    pub fn levels(&self) -> u16 {
        self.levels
    }

    /// Returns the start of the open bucket at the upper end. It lies beyond the script's limit if the step
    /// does not divide the distance.
    pub fn limit(&self) -> i64 {
        self.start(i64::from(self.levels))
    }

    fn start(&self, level: i64) -> i64 {
        i64::from(self.base) + level * i64::from(self.step)
    }

    fn decode(word: u64) -> Result<Linear, &'static str> {
        let linear = Linear {
            base: word as u32 as i32,
            levels: (word >> 32) as u16,
            step: (word >> 48) as u16,
        };
        match linear {
            Linear { step: 0, .. } => Err("the step is zero"),
            Linear { levels: 0, .. } => Err("there are no levels"),
            linear => Ok(linear),
        }
    }

    fn range(&self, slot: usize) -> Option<BucketRange> {
        let level = slot as i64;
        let lower = (slot > 0).then(|| self.start(level - 1));
        let upper = (slot <= usize::from(self.levels)).then(|| self.start(level) - 1);
        Some(BucketRange { lower, upper })
    }
}

/// The parameters of an `llquantize`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LogLinear {
    factor: u16,
    low: u16,
    high: u16,
    steps: u16,
    encoding: ParameterEncoding,
}

impl LogLinear {
    /// Returns the base of the magnitudes.
    pub fn factor(&self) -> u16 {
        self.factor
    }

    /// Returns the lowest order of magnitude that is distinguished. Values below factor^low are counted
    /// together.
    pub fn low(&self) -> u16 {
        self.low
    }

    /// Returns the highest order of magnitude that is distinguished. Values from factor^(high+1) on are
    /// counted together.
    pub fn high(&self) -> u16 {
        self.high
    }

    /// Returns the number of steps that factor^(m+1) is divided into. One step is the width of the buckets of
    /// order m.
    pub fn steps(&self) -> u16 {
        self.steps
    }

    /// Returns the lineage of these buckets.
    pub fn encoding(&self) -> ParameterEncoding {
        self.encoding
    }

    fn decode(word: u64, encoding: ParameterEncoding) -> Result<LogLinear, &'static str> {
        let part = |shift: u32| (word >> shift) as u16;
        let parameters = match encoding {
            ParameterEncoding::Linux => LogLinear {
                steps: part(48),
                high: part(32),
                low: part(16),
                factor: part(0),
                encoding,
            },
            ParameterEncoding::Sun => LogLinear {
                factor: part(48),
                low: part(32),
                high: part(16),
                steps: part(0),
                encoding,
            },
        };
        // The D compilers of both lineages enforce all of these conditions, so any other word is not of an
        // llquantize. A Sun library leaves all zeros after an aggregation clear.
        let LogLinear { factor, low, high, steps, .. } = parameters;
        if factor < 2 {
            return Err("the factor is less than two");
        }
        if low > high {
            return Err("the low magnitude is above the high one");
        }
        if steps < factor || steps % factor != 0 {
            return Err("the steps are not a multiple of the factor");
        }
        match u64::from(factor).checked_pow(u32::from(high) + 1) {
            Some(_) => Ok(parameters),
            None => Err("the high magnitude exceeds 64 bits"),
        }
    }

    /// Returns factor^magnitude. The constructor checked that the largest one in use, of high + 1, fits.
    pub(super) fn power(&self, magnitude: u16) -> u64 {
        u64::from(self.factor).checked_pow(u32::from(magnitude)).unwrap_or(0)
    }

    /// Returns the number of slots per order of magnitude on Linux, where all orders have the same number.
    fn slots_per_order(&self) -> usize {
        usize::from(self.steps - self.steps / self.factor)
    }

    /// Returns the slot that counts the values with an absolute value less than factor^low.
    pub(super) fn zero_slot(&self) -> usize {
        match self.encoding {
            ParameterEncoding::Linux => {
                1 + usize::from(self.high - self.low + 1) * self.slots_per_order()
            }
            ParameterEncoding::Sun => 0,
        }
    }

    /// Returns the orders of magnitude of the Sun lineage as (slots, end of the order, number of buckets that
    /// factor^(order+1) is cut into). The orders below `steps` have a slot per integer.
    fn sun_orders(&self) -> impl Iterator<Item = (usize, u64, u64)> {
        let (factor, steps) = (u64::from(self.factor), u64::from(self.steps));
        (self.low..=self.high).map(move |order| {
            let end = self.power(order + 1);
            let cuts = end.min(steps);
            ((cuts - cuts / factor) as usize, end, cuts)
        })
    }

    pub(super) fn slots(&self) -> usize {
        match self.encoding {
            ParameterEncoding::Linux => 2 * self.zero_slot() + 1,
            ParameterEncoding::Sun => 2 + self.sun_orders().map(|(slots, ..)| slots).sum::<usize>(),
        }
    }

    fn range(&self, slot: usize) -> Option<BucketRange> {
        let zero = self.zero_slot();
        if slot >= zero {
            return self.range_above(slot - zero);
        }
        let (lower, upper) = self.bounds_above(zero - slot)?;
        BucketRange::clamped(upper.map(|bound| -bound), lower.map(|bound| -bound))
    }

    fn range_above(&self, distance: usize) -> Option<BucketRange> {
        let (lower, upper) = self.bounds_above(distance)?;
        BucketRange::clamped(lower, upper)
    }

    /// Returns the bounds of the slot that lies `distance` above the zero slot. Returns `None` for a ghost
    /// slot of Linux, which exists in orders of magnitude with fewer integers than slots.
    fn bounds_above(&self, distance: usize) -> Option<(Option<i128>, Option<i128>)> {
        let least = i128::from(self.power(self.low));
        if distance == 0 {
            let lower = (self.encoding == ParameterEncoding::Linux).then_some(1 - least);
            return Some((lower, Some(least - 1)));
        }
        let (end, cuts, index) = match self.encoding {
            ParameterEncoding::Linux => {
                let (order, index) = (
                    (distance - 1) / self.slots_per_order(),
                    (distance - 1) % self.slots_per_order(),
                );
                if order > usize::from(self.high - self.low) {
                    return Some((Some(i128::from(self.power(self.high + 1))), None));
                }
                (self.power(self.low + order as u16 + 1), u64::from(self.steps), index)
            }
            ParameterEncoding::Sun => {
                let mut index = distance - 1;
                let order = self.sun_orders().find(|(slots, ..)| {
                    let found = index < *slots;
                    if !found {
                        index -= slots;
                    }
                    found
                });
                match order {
                    Some((_, end, cuts)) => (end, cuts, index),
                    None => return Some((Some(i128::from(self.power(self.high + 1))), None)),
                }
            }
        };
        // Cut number c of [0, end) into `cuts` parts starts at the first integer that is at least c · end /
        // cuts.
        let (end, cuts) = (i128::from(end), i128::from(cuts));
        let first = index as i128 + cuts / i128::from(self.factor);
        let start = |cut: i128| (cut * end + cuts - 1) / cuts;
        let (lower, upper) = (start(first), start(first + 1) - 1);
        (lower <= upper).then_some((Some(lower), Some(upper)))
    }
}

impl DistributionParameters {
    /// Decodes the parameter word of `function`: `dtagd_sig` on Linux, the first word of the value in the Sun
    /// lineage. `quantize` has no parameters; its word is ignored.
    ///
    /// # Errors
    /// [`DecodeError::Parameters`] if the word is invalid for this function, or the function does not produce
    /// a distribution.
    pub(crate) fn decode(
        function: AggregationFunction,
        encoding: ParameterEncoding,
        word: u64,
    ) -> Result<DistributionParameters, DecodeError> {
        let decoded = match function {
            AggregationFunction::Quantize => Ok(DistributionParameters::Quantize),
            AggregationFunction::LQuantize => {
                Linear::decode(word).map(DistributionParameters::Linear)
            }
            AggregationFunction::LLQuantize => {
                LogLinear::decode(word, encoding).map(DistributionParameters::LogLinear)
            }
            _ => Err("the function has no distribution"),
        };
        decoded.map_err(|reason| DecodeError::Parameters { function, word, reason })
    }

    /// Returns the aggregating function that has these parameters.
    pub fn function(&self) -> AggregationFunction {
        match self {
            DistributionParameters::Quantize => AggregationFunction::Quantize,
            DistributionParameters::Linear(_) => AggregationFunction::LQuantize,
            DistributionParameters::LogLinear(_) => AggregationFunction::LLQuantize,
        }
    }

    /// Returns the number of counts that libdtrace keeps for this distribution, ghost slots included.
    pub fn slots(&self) -> usize {
        match self {
            DistributionParameters::Quantize => QUANTIZE_SLOTS,
            DistributionParameters::Linear(linear) => usize::from(linear.levels) + 2,
            DistributionParameters::LogLinear(log_linear) => log_linear.slots(),
        }
    }

    /// Returns the values counted at index `slot` of libdtrace's array. Returns `None` for a ghost slot,
    /// where nothing can be counted, and beyond the end of the array.
    pub fn range(&self, slot: usize) -> Option<BucketRange> {
        if slot >= self.slots() {
            return None;
        }
        match self {
            DistributionParameters::Quantize => Some(quantize_range(slot)),
            DistributionParameters::Linear(linear) => linear.range(slot),
            DistributionParameters::LogLinear(log_linear) => log_linear.range(slot),
        }
    }
}

/// Returns the value with which dtrace(1) labels a slot of `quantize`: the end nearer to zero.
pub(super) fn quantize_label(slot: usize) -> i64 {
    match slot {
        QUANTIZE_ZERO => 0,
        slot if slot < QUANTIZE_ZERO => -(1 << (QUANTIZE_ZERO - 1 - slot)),
        slot => 1 << (slot - QUANTIZE_ZERO - 1).min(62),
    }
}

/// Returns the slot of a `quantize` that counts zeros.
pub(super) fn quantize_zero() -> usize {
    QUANTIZE_ZERO
}

fn quantize_range(slot: usize) -> BucketRange {
    let (label, last) = (quantize_label(slot), QUANTIZE_SLOTS - 1);
    let (lower, upper) = match slot {
        QUANTIZE_ZERO => (Some(0), Some(0)),
        0 => (None, Some(label)),
        slot if slot == last => (Some(label), None),
        slot if slot < QUANTIZE_ZERO => (Some(2 * label + 1), Some(label)),
        _ => (Some(label), Some(2 * label - 1)),
    };
    BucketRange { lower, upper }
}

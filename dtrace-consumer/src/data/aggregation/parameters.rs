//! Which values does each bucket of a distribution hold?
//!
//! `quantize`, `lquantize` and `llquantize` keep an array of counts; this module maps an index of
//! that array (a *slot*) to the values counted there, from the parameters that the D compiler
//! packed into one 64-bit word. The word of `lquantize` is the same everywhere, that of
//! `llquantize` and its array differ between Linux and the Sun lineage, see [`ParameterEncoding`].

use super::decode_error::DecodeError;
use super::function::AggregationFunction;

/// Number of slots of a `quantize`: one for zero, 63 for each sign.
const QUANTIZE_SLOTS: usize = 127;
/// The slot of a `quantize` that counts zeros.
const QUANTIZE_ZERO: usize = 63;

/// Whose layout of aggregation values the data has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ParameterEncoding {
    /// DTrace for Linux: parameters are the aggregation's signature (`dtagd_sig`), the value holds
    /// counts only; `llquantize` has steps in bits 48-63, high magnitude in 32-47, low magnitude
    /// in 16-31, factor in 0-15, and counts negative values by magnitude too.
    Linux,
    /// illumos, FreeBSD, macOS: the first word of an `lquantize` or `llquantize` value holds the
    /// parameters, the counts follow; `llquantize` has factor in bits 48-63, low magnitude in
    /// 32-47, high magnitude in 16-31, steps in 0-15, and counts all values below
    /// factor^low (so every negative one) together.
    Sun,
}

/// The values that a bucket counts: all `v` with `lower <= v <= upper`.
///
/// `None` is an open end: the bucket counts everything below, or above. (What a D program can
/// count is an `i64`, so an open end is never further away than that.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BucketRange {
    /// Smallest value counted here; `None` if there is none.
    pub lower: Option<i64>,
    /// Largest value counted here; `None` if there is none.
    pub upper: Option<i64>,
}

impl BucketRange {
    /// Whether a bucket with this range counts `value`.
    pub fn contains(&self, value: i64) -> bool {
        self.lower.is_none_or(|lower| lower <= value)
            && self.upper.is_none_or(|upper| value <= upper)
    }

    /// A range from bounds that may lie outside of what an `i64` can hold; `None` if no `i64` is
    /// inside.
    fn clamped(lower: Option<i128>, upper: Option<i128>) -> Option<BucketRange> {
        let (min, max) = (i128::from(i64::MIN), i128::from(i64::MAX));
        if lower.unwrap_or(min).max(min) > upper.unwrap_or(max).min(max) {
            return None;
        }
        let clamp = |bound: i128| bound.clamp(min, max) as i64;
        Some(BucketRange { lower: lower.map(clamp), upper: upper.map(clamp) })
    }
}

/// What was given to `quantize`, `lquantize` or `llquantize` besides the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DistributionParameters {
    /// `quantize(v)`: a bucket per power of two.
    Quantize,
    /// `lquantize(v, base, limit, step)`: buckets of equal width.
    Linear(Linear),
    /// `llquantize(v, factor, low, high, steps)`: per order of magnitude, buckets of equal width.
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
    /// Lower end of the first bucket; what is smaller is counted together.
    pub fn base(&self) -> i32 {
        self.base
    }

    /// Width of each bucket.
    pub fn step(&self) -> u16 {
        self.step
    }

    /// Number of buckets between the two open ones.
    pub fn levels(&self) -> u16 {
        self.levels
    }

    /// Where the open bucket at the upper end starts. It may lie beyond the limit that the script
    /// gave when the step does not divide the distance.
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
    /// The base of the magnitudes.
    pub fn factor(&self) -> u16 {
        self.factor
    }

    /// The lowest order of magnitude that is told apart: values below factor^low are counted
    /// together.
    pub fn low(&self) -> u16 {
        self.low
    }

    /// The highest order of magnitude that is told apart: values from factor^(high+1) on are
    /// counted together.
    pub fn high(&self) -> u16 {
        self.high
    }

    /// Into how many steps factor^(m+1) is divided to give the width of the buckets of order m.
    pub fn steps(&self) -> u16 {
        self.steps
    }

    /// Whose buckets these are.
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
        // The D compilers of both lineages demand all of these, so anything else is not an
        // llquantize's word (all zeros is what a Sun library leaves after an aggregation clear).
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

    /// factor^magnitude. The largest one asked for, of high + 1, was checked to fit.
    pub(super) fn power(&self, magnitude: u16) -> u64 {
        u64::from(self.factor).checked_pow(u32::from(magnitude)).unwrap_or(0)
    }

    /// Slots per order of magnitude on Linux, where every order has equally many.
    fn slots_per_order(&self) -> usize {
        usize::from(self.steps - self.steps / self.factor)
    }

    /// The slot that counts the values whose amount is less than factor^low.
    pub(super) fn zero_slot(&self) -> usize {
        match self.encoding {
            ParameterEncoding::Linux => {
                1 + usize::from(self.high - self.low + 1) * self.slots_per_order()
            }
            ParameterEncoding::Sun => 0,
        }
    }

    /// Orders of magnitude as (slots, end of the order, buckets that factor^(order+1) is cut
    /// into), in the Sun lineage, where the orders below `steps` have a slot per integer.
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

    /// Bounds of the slot that lies `distance` above the zero slot; `None` for one of Linux' ghost
    /// slots, which exist in orders of magnitude with fewer integers than slots.
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
        // Cut number c of [0, end) in `cuts` parts starts at the first integer not below c/cuts.
        let (end, cuts) = (i128::from(end), i128::from(cuts));
        let first = index as i128 + cuts / i128::from(self.factor);
        let start = |cut: i128| (cut * end + cuts - 1) / cuts;
        let (lower, upper) = (start(first), start(first + 1) - 1);
        (lower <= upper).then_some((Some(lower), Some(upper)))
    }
}

impl DistributionParameters {
    /// Decode the parameter word of `function`: `dtagd_sig` on Linux, the first word of the value
    /// in the Sun lineage. `quantize` has none, the word is ignored.
    ///
    /// # Errors
    /// [`DecodeError::Parameters`] if the word cannot be one of this function, or the function is
    /// not one that gives a distribution.
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

    /// The aggregating function that has such parameters.
    pub fn function(&self) -> AggregationFunction {
        match self {
            DistributionParameters::Quantize => AggregationFunction::Quantize,
            DistributionParameters::Linear(_) => AggregationFunction::LQuantize,
            DistributionParameters::LogLinear(_) => AggregationFunction::LLQuantize,
        }
    }

    /// Number of counts that libdtrace keeps for such a distribution, ghost slots included.
    pub fn slots(&self) -> usize {
        match self {
            DistributionParameters::Quantize => QUANTIZE_SLOTS,
            DistributionParameters::Linear(linear) => usize::from(linear.levels) + 2,
            DistributionParameters::LogLinear(log_linear) => log_linear.slots(),
        }
    }

    /// What is counted at index `slot` of libdtrace's array; `None` for a ghost slot, where
    /// nothing can be counted, and beyond the array's end.
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

/// The value with which dtrace(1) labels a slot of `quantize`: the end nearer to zero.
pub(super) fn quantize_label(slot: usize) -> i64 {
    match slot {
        QUANTIZE_ZERO => 0,
        slot if slot < QUANTIZE_ZERO => -(1 << (QUANTIZE_ZERO - 1 - slot)),
        slot => 1 << (slot - QUANTIZE_ZERO - 1).min(62),
    }
}

/// The slot of a `quantize` that counts zeros.
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

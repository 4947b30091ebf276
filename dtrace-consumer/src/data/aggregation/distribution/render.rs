//! What does dtrace(1) print for a distribution?
//!
//! The text matches that of libdtrace 2.0.7 on Linux byte for byte, quirks included: labels of `llquantize`
//! are truncated after 15 characters, labels of `lquantize` are computed in 32 bits, and counts are divided
//! by the normalisation as unsigned numbers. For a Sun `llquantize`, whose slots differ, the text follows the
//! illumos library.

use super::Distribution;
use crate::data::aggregation::parameters::{
    DistributionParameters, Linear, LogLinear, ParameterEncoding, quantize_label, quantize_zero,
};
use std::fmt::Write;
use std::ops::RangeInclusive;

/// Width of the bars.
const BAR: usize = 40;
/// Number of characters of an `llquantize` label that fit libdtrace's buffer.
const LABEL: usize = 15;

/// Returns the text that dtrace(1) prints for `distribution`: a line feed, the header and a line for each
/// bucket from just before the first to just after the last one with a count.
pub(super) fn render(distribution: &Distribution) -> String {
    let slots = distribution.slots();
    let lines = match distribution.parameters() {
        DistributionParameters::Quantize => {
            let zero = quantize_zero();
            labelled(shown(slots, zero - 1..=zero + 1), |slot| {
                Some(quantize_label(slot).to_string())
            })
        }
        DistributionParameters::Linear(linear) => {
            labelled(shown(slots, 0..=2), |slot| Some(linear_label(linear, slot)))
        }
        DistributionParameters::LogLinear(log_linear) => match log_linear.encoding() {
            ParameterEncoding::Linux => log_linear_lines(log_linear, slots),
            ParameterEncoding::Sun => {
                labelled(shown(slots, 0..=1), |slot| sun_label(distribution, slot))
            }
        },
    };

    let scale = Scale::of(slots);
    let mut text = format!("\n{:>16} {:>41} {:<9}\n", "value", HEADER, "count");
    for (slot, label) in lines {
        let raw = slots.get(slot).copied().unwrap_or(0);
        let printed = (raw as u64).checked_div(distribution.normal()).unwrap_or(0) as i64;
        // Writing to a String does not fail.
        let _ = writeln!(text, "{label:>16} {} {printed:<9}", scale.bar(raw));
    }
    text
}

const HEADER: &str = "------------- Distribution -------------";

/// Returns the first and the last slot with a count.
fn counted(slots: &[i64]) -> Option<RangeInclusive<usize>> {
    let first = slots.iter().position(|&count| count != 0)?;
    let last = slots.iter().rposition(|&count| count != 0)?;
    Some(first..=last)
}

/// Returns the slots that get a line: from the first to the last one with a count, plus one on either side,
/// or `empty` if nothing was counted.
fn shown(slots: &[i64], empty: RangeInclusive<usize>) -> RangeInclusive<usize> {
    match counted(slots) {
        Some(counted) => broadened(slots, counted),
        None => empty,
    }
}

fn broadened(slots: &[i64], shown: RangeInclusive<usize>) -> RangeInclusive<usize> {
    let last = slots.len().saturating_sub(1);
    shown.start().saturating_sub(1)..=(shown.end() + 1).min(last)
}

fn labelled(
    shown: RangeInclusive<usize>,
    label: impl Fn(usize) -> Option<String>,
) -> Vec<(usize, String)> {
    shown.filter_map(|slot| Some((slot, label(slot)?))).collect()
}

fn linear_label(linear: &Linear, slot: usize) -> String {
    let start =
        |level: i32| linear.base().wrapping_add(level.wrapping_mul(i32::from(linear.step())));
    let levels = i32::from(linear.levels());
    match slot as i32 {
        0 => format!("< {}", linear.base()),
        slot if slot == levels + 1 => format!(">= {}", start(levels)),
        slot => start(slot - 1).to_string(),
    }
}

fn sun_label(distribution: &Distribution, slot: usize) -> Option<String> {
    let range = distribution.parameters().range(slot)?;
    match (range.lower, range.upper) {
        (Some(lower), None) => Some(format!(">= {lower}")),
        (Some(lower), Some(_)) => Some(lower.to_string()),
        (None, upper) => Some(format!("< {}", upper?.wrapping_add(1))),
    }
}

/// The labels of an `llquantize` around the visible slots, as libdtrace prepares them.
struct Labels {
    /// The slot of the first label; negative when the padding reaches below the array.
    from: i64,
    labels: Vec<Option<String>>,
}

impl Labels {
    fn new(from: i64, to: i64) -> Labels {
        Labels { from, labels: vec![None; usize::try_from(to - from + 1).unwrap_or(0)] }
    }

    fn index(&self, slot: i64) -> Option<usize> {
        usize::try_from(slot - self.from).ok().filter(|&index| index < self.labels.len())
    }

    fn get(&self, slot: i64) -> Option<&String> {
        self.labels.get(self.index(slot)?)?.as_ref()
    }

    fn set(&mut self, slot: i64, label: impl FnOnce() -> String) {
        if let Some(index) = self.index(slot) {
            let mut label = label();
            label.truncate(LABEL);
            self.labels[index] = Some(label);
        }
    }
}

fn log_linear_lines(parameters: &LogLinear, slots: &[i64]) -> Vec<(usize, String)> {
    let zero = parameters.zero_slot();
    let last_slot = slots.len().saturating_sub(1);
    let shown = broadened(slots, counted(slots).unwrap_or(zero + 1..=zero + 1));
    let (first, last) = (*shown.start(), *shown.end());

    // In order of magnitude zero, with more steps than the factor, only every `stride`-th slot is an integer.
    // The slots between are ghosts without a label.
    let stride = i64::from(parameters.steps() / parameters.factor());
    let has_ghosts = parameters.low() == 0 && parameters.steps() > parameters.factor();
    let padding = if has_ghosts { stride } else { 0 };
    let (first_slot, end_slot, zero_slot) = (first as i64, last as i64, zero as i64);
    let mut labels = Labels::new(first_slot - padding, end_slot + padding);

    let least = parameters.power(parameters.low());
    labels.set(zero_slot, || match least {
        1 => "0".to_owned(),
        least if first >= zero => format!("< {least}"),
        least => format!("abs() < {least}"),
    });
    let mut both = |distance: i64, value: u64| {
        labels.set(zero_slot - distance, || format!("-{value}"));
        labels.set(zero_slot + distance, || value.to_string());
    };
    both(1, least);
    let mut distance = 1;
    let mut magnitude = parameters.low();
    if has_ghosts {
        for value in 2..=u64::from(parameters.factor()) {
            distance += stride;
            both(distance, value);
        }
        magnitude += 1;
    }
    let steps = u64::from(parameters.steps());
    for magnitude in magnitude..=parameters.high() {
        let width = parameters.power(magnitude + 1) / steps;
        for step in stride as u64 + 1..=steps {
            distance += 1;
            both(distance, step.wrapping_mul(width));
        }
    }
    let most = parameters.power(parameters.high() + 1);
    labels.set(0, || format!("<= -{most}"));
    labels.set(last_slot as i64, || format!(">= {most}"));

    // A ghost at an end takes the label of the nearest integer outside.
    let borrow = |labels: &mut Labels, ghost: i64, direction: i64| {
        if labels.get(ghost).is_none() {
            let found = (1..padding).find_map(|i| labels.get(ghost + direction * i).cloned());
            if let Some(label) = found {
                labels.set(ghost, || label);
            }
        }
    };
    borrow(&mut labels, first_slot, -1);
    borrow(&mut labels, end_slot, 1);

    labelled(shown, |slot| labels.get(slot as i64).cloned())
}

/// The scale of the bars.
struct Scale {
    total: u128,
    has_positive: bool,
    has_negative: bool,
}

impl Scale {
    fn of(slots: &[i64]) -> Scale {
        Scale {
            total: slots.iter().map(|count| u128::from(count.unsigned_abs())).sum(),
            has_positive: slots.iter().any(|&count| count > 0),
            has_negative: slots.iter().any(|&count| count < 0),
        }
    }

    /// Returns the bar length of `count`: its share of all, in characters of `length`, rounded half up.
    fn depth(&self, count: i64, length: usize) -> usize {
        let doubled = 2 * length as u128 * u128::from(count.unsigned_abs()) + self.total;
        doubled.checked_div(2 * self.total).unwrap_or(0) as usize
    }

    fn bar(&self, count: i64) -> String {
        let half = BAR / 2;
        let ats = |length| "@".repeat(self.depth(count, length));
        match (self.has_negative, self.has_positive) {
            (false, _) => format!("|{:<BAR$}", ats(BAR)),
            (true, false) => format!("{:>BAR$}|", ats(BAR)),
            (true, true) if count <= 0 => format!("{:>half$}|{:half$}", ats(half), ""),
            (true, true) => format!("{:half$}|{:<half$}", "", ats(half)),
        }
    }
}

//! How is an entry of an aggregation sent?

use std::rc::Rc;

use dtrace_sys::abi::*;

use super::context::Context;
use super::delivered::{Misdelivered, owned};
use super::describe::describe as describe_record;
use super::platform::Entry;
use super::sink::Sink;
use super::told::Keys;
use crate::data::aggregation::AggregationFunction;
use crate::stream::frame::Frame;
use crate::stream::payload::{AggregationFrame, EntryFrame};

/// Returns how to treat the keys of an entry's aggregation. Describes the aggregation if it is new.
///
/// # Safety
/// The entry's name is a C string or null.
pub(super) unsafe fn describe<S: Sink>(
    context: &Context<S>,
    found: &Entry<'_>,
) -> Result<Rc<Keys>, Misdelivered> {
    let handle = context.handle;
    let function = function_of(found)?;
    let mut told = context.told.borrow_mut();
    let (keys, new) =
        told.aggregation((found.variable, found.layout), found.normal, |key| AggregationFrame {
            key,
            variable: found.variable,
            // SAFETY: the caller guarantees it; see `# Safety`.
            name: unsafe { owned(found.name) },
            function,
            signature: found.signature,
            normal: found.normal,
            // The first key is the variable's own number.
            keys: (1..found.keys.len())
                .map(|index| describe_record(handle, &context.statements, found.keys, index))
                .collect(),
        });
    new.iter().for_each(|frame| context.send(frame));
    Ok(keys)
}

/// Sends the symbols of the addresses among the keys, unless they were sent before.
pub(super) fn send_symbols<S: Sink>(context: &Context<S>, keys: &Keys, key_bytes: &[u8]) {
    for addresses in keys.with_addresses.iter().filter_map(|f| f.addresses(key_bytes)) {
        addresses.iter().for_each(|address| context.send_symbol(addresses.pid, address));
    }
}

/// An entry's data.
pub(super) struct Sent<'e> {
    pub(super) generation: u64,
    pub(super) key_bytes: &'e [u8],
    pub(super) value: &'e [u8],
    pub(super) per_cpu: &'e [u8],
}

/// Sends an entry.
pub(super) fn send<S: Sink>(context: &Context<S>, keys: &Keys, entry: &Sent<'_>) {
    let mut packed = context.packed.borrow_mut();
    packed.clear();
    keys.packing.pack(entry.key_bytes, &mut packed);
    context.send(&Frame::Entry(EntryFrame {
        aggregation: keys.aggregation,
        generation: entry.generation,
        keys: &packed,
        value: entry.value,
        per_cpu: entry.per_cpu,
    }));
}

/// Returns the aggregating function of an entry.
pub(super) fn function_of(found: &Entry<'_>) -> Result<AggregationFunction, Misdelivered> {
    Ok(match found.function {
        DTRACEAGG_COUNT => AggregationFunction::Count,
        DTRACEAGG_SUM => AggregationFunction::Sum,
        DTRACEAGG_MIN => AggregationFunction::Min,
        DTRACEAGG_MAX => AggregationFunction::Max,
        DTRACEAGG_AVG => AggregationFunction::Avg,
        DTRACEAGG_STDDEV => AggregationFunction::Stddev,
        DTRACEAGG_QUANTIZE => AggregationFunction::Quantize,
        DTRACEAGG_LQUANTIZE => AggregationFunction::LQuantize,
        DTRACEAGG_LLQUANTIZE => AggregationFunction::LLQuantize,
        unknown => {
            return Err(Misdelivered::new(format!("unknown aggregating function {unknown}")));
        }
    })
}

//! How do the entries of aggregations get to the encoder?

use std::cell::RefCell;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dtrace_sys::abi::*;

use super::callbacks::{Context, describe, resolve};
use super::delivered::{Misdelivered, bytes, owned};
use super::libdtrace::{CallFailure, Handle, Tracing};
use super::platform;
use crate::aggregation::Order;
use crate::stream::frame::{AggregationFrame, EntryFrame, Frame};
use crate::worker::encoder::Encoder;

type WalkFunction =
    unsafe extern "C" fn(*mut dtrace_hdl_t, Option<dtrace_aggregate_f>, *mut c_void) -> c_int;

/// What a walk is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// To send all entries, and remove them if that is said.
    Entries { remove: bool },
    /// To send the entries of one variable.
    Variable(Option<u64>),
    /// To send the symbols of the addresses among the keys.
    Symbols,
}

/// What a walk over aggregations works with.
struct Walk<'e> {
    handle: Handle,
    encoder: &'e RefCell<Encoder>,
    /// How many CPUs there may be.
    cpus: usize,
    wanted: Wanted,
    /// What cannot be among what was delivered.
    refused: Option<Misdelivered>,
}

impl Tracing {
    /// Reads the aggregations and hands every entry to the encoder; `drain` removes them.
    pub(crate) fn snapshot(&mut self, order: Order, drain: bool) -> Result<(), CallFailure> {
        self.read(order, Wanted::Entries { remove: drain })
    }

    /// Reads the aggregations and hands the symbols of the addresses among their keys to the encoder.
    pub(crate) fn resolve_keys(&mut self) -> Result<(), CallFailure> {
        self.read(Order::Unsorted, Wanted::Symbols)
    }

    fn read(&mut self, order: Order, wanted: Wanted) -> Result<(), CallFailure> {
        let context = self.context();
        let handle = context.handle;
        // SAFETY: the handle is open and tracing.
        let result = unsafe { (handle.api.dtrace_aggregate_snap)(handle.raw) };
        handle.check("dtrace_aggregate_snap", result)?;
        let (call, function) = function_for(order, handle);
        let result = walk(context, call, function, wanted);
        handle.check(call, result)
    }
}

/// Sends the entries of one aggregation, as `printa()` is about to print them. That libdtrace cannot read
/// or walk them shows in their absence.
pub(super) fn send_printed(context: &Context, variable: Option<u64>) {
    let handle = context.handle;
    context.encoder.borrow_mut().send(&Frame::PrintaBegin);
    // SAFETY: libdtrace reads aggregations for printa() at this point, too.
    unsafe { (handle.api.dtrace_aggregate_snap)(handle.raw) };
    let (call, function) = function_for(Order::Value, handle);
    walk(context, call, function, Wanted::Variable(variable));
    context.encoder.borrow_mut().send(&Frame::SnapshotEnd);
}

fn walk(context: &Context, call: &str, function: WalkFunction, wanted: Wanted) -> c_int {
    let mut walk = Walk {
        handle: context.handle,
        encoder: &context.encoder,
        cpus: context.cpus,
        wanted,
        refused: None,
    };
    // SAFETY: the handle is open and tracing; the callback gets the walk, which outlives the call.
    let result =
        unsafe { function(context.handle.raw, Some(entry), (&raw mut walk).cast::<c_void>()) };
    if let Some(refused) = walk.refused {
        context.refuse(call, &refused);
    }
    result
}

fn function_for(order: Order, handle: Handle) -> (&'static str, WalkFunction) {
    let api = handle.api;
    match order {
        Order::Unsorted => ("dtrace_aggregate_walk", api.dtrace_aggregate_walk),
        Order::Key => ("dtrace_aggregate_walk_keysorted", api.dtrace_aggregate_walk_keysorted),
        Order::KeyReversed => {
            ("dtrace_aggregate_walk_keyrevsorted", api.dtrace_aggregate_walk_keyrevsorted)
        }
        Order::KeyAcross => {
            ("dtrace_aggregate_walk_keyvarsorted", api.dtrace_aggregate_walk_keyvarsorted)
        }
        Order::KeyAcrossReversed => {
            ("dtrace_aggregate_walk_keyvarrevsorted", api.dtrace_aggregate_walk_keyvarrevsorted)
        }
        Order::Value => ("dtrace_aggregate_walk_valsorted", api.dtrace_aggregate_walk_valsorted),
        Order::ValueReversed => {
            ("dtrace_aggregate_walk_valrevsorted", api.dtrace_aggregate_walk_valrevsorted)
        }
        Order::ValueAcross => {
            ("dtrace_aggregate_walk_valvarsorted", api.dtrace_aggregate_walk_valvarsorted)
        }
        Order::ValueAcrossReversed => {
            ("dtrace_aggregate_walk_valvarrevsorted", api.dtrace_aggregate_walk_valvarrevsorted)
        }
    }
}

impl Walk<'_> {
    /// # Safety
    /// `a` is what libdtrace passed to the walk's callback that is running.
    unsafe fn entry(&mut self, a: *const dtrace_aggdata_t) -> Result<(), Misdelivered> {
        // SAFETY: as of this function.
        let found = unsafe { platform::entry(a)? };
        if matches!(self.wanted, Wanted::Variable(Some(only)) if only != found.variable) {
            return Ok(());
        }
        let handle = self.handle;
        let mut per_cpu = Vec::new();
        if !found.per_cpu.is_null() {
            for cpu in 0..self.cpus {
                let size = found.value.len();
                // SAFETY: the list has a place for each possible CPU; what is there is null or has the
                // value where the entry's own data have it.
                let value = unsafe {
                    let data = *found.per_cpu.add(cpu);
                    if data.is_null() {
                        &[]
                    } else {
                        bytes(data.wrapping_add(found.per_cpu_at), size, "a CPU's value")?
                    }
                };
                per_cpu.extend_from_slice(value);
                per_cpu.resize((cpu + 1) * size, 0);
            }
        }
        let function = function_number(found.function).ok_or_else(|| {
            Misdelivered::new(format!("an aggregating function of number {}", found.function))
        })?;
        let mut encoder = self.encoder.borrow_mut();
        let key = encoder.aggregation(found.variable, found.normal, |key| AggregationFrame {
            key,
            variable: found.variable,
            // SAFETY: the name is a C string of the description.
            name: unsafe { owned(found.name) },
            function,
            signature: found.signature,
            normal: found.normal,
            // The first key is the variable's own number.
            keys: found.keys.iter().skip(1).map(|r| describe(handle, r)).collect(),
        });
        encoder.key_addresses(key, found.key_bytes, |pid, address| resolve(handle, pid, address));
        if self.wanted == Wanted::Symbols {
            return Ok(());
        }
        encoder.entry(&EntryFrame {
            aggregation: key,
            generation: found.generation,
            keys: found.key_bytes,
            value: found.value,
            per_cpu: &per_cpu,
        });
        Ok(())
    }
}

/// The stream's number of an aggregating function.
fn function_number(action: u16) -> Option<u16> {
    Some(match action {
        DTRACEAGG_COUNT => 1,
        DTRACEAGG_SUM => 2,
        DTRACEAGG_MIN => 3,
        DTRACEAGG_MAX => 4,
        DTRACEAGG_AVG => 5,
        DTRACEAGG_STDDEV => 6,
        DTRACEAGG_QUANTIZE => 7,
        DTRACEAGG_LQUANTIZE => 8,
        DTRACEAGG_LLQUANTIZE => 9,
        _ => return None,
    })
}

unsafe extern "C" fn entry(a: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int {
    // SAFETY: `walk` passes a pointer to its own, which nobody else uses until the walk ends.
    let Some(walk) = (unsafe { arg.cast::<Walk<'_>>().as_mut() }) else {
        return DTRACE_AGGWALK_ABORT;
    };
    if walk.refused.is_some() {
        return DTRACE_AGGWALK_ABORT;
    }
    // SAFETY: libdtrace passes valid data for the duration of the call.
    let sent = catch_unwind(AssertUnwindSafe(|| unsafe { walk.entry(a) }));
    match sent {
        Ok(Ok(())) if walk.wanted == (Wanted::Entries { remove: true }) => DTRACE_AGGWALK_REMOVE,
        Ok(Ok(())) => DTRACE_AGGWALK_NEXT,
        Ok(Err(what)) => {
            walk.refused = Some(what);
            DTRACE_AGGWALK_ABORT
        }
        Err(_) => {
            if let Ok(mut encoder) = walk.encoder.try_borrow_mut() {
                encoder.panicked();
            }
            DTRACE_AGGWALK_ABORT
        }
    }
}

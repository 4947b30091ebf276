//! Sends entries of aggregations to the sink.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dtrace_sys::abi::*;

use super::context::Context;
use super::delivered::{Misdelivered, bytes, list};
use super::entries::{self, Sent};
use super::handle::{CallFailure, Handle};
use super::kernel_maps::KernelMaps;
use super::kernel_walk::{self, Purpose};
use super::platform::{self, Entry};
use super::printed::Printed;
use super::sink::Sink;
use crate::data::aggregation::Order;
use crate::stream::frame::Frame;

type WalkFunction =
    unsafe extern "C" fn(*mut dtrace_hdl_t, Option<dtrace_aggregate_f>, *mut c_void) -> c_int;

/// The purpose of a walk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// Send all entries, and optionally remove them.
    Entries { remove: bool },
    /// Send the entries of one variable.
    Variable(Option<u64>),
    /// Send the symbols of the addresses among the keys.
    Symbols,
}

/// The state of a walk over aggregations.
struct Walk<'c, S> {
    context: &'c Context<S>,
    wanted: Wanted,
    /// What the entries add to a text that libdtrace has printed.
    printed: Option<Printed>,
    /// The invalid data that ended the walk.
    refused: Option<Misdelivered>,
}

/// Reads the aggregations and sends every entry in `order`. `drain` removes the entries. Without `maps`, libdtrace
/// reads them.
pub(super) fn snapshot<S: Sink>(
    context: &Context<S>,
    maps: Option<&dyn KernelMaps>,
    order: Order,
    drain: bool,
) -> Result<(), CallFailure> {
    read(context, maps, order, Wanted::Entries { remove: drain })
}

/// Reads the aggregations and sends the symbols of the addresses among their keys.
pub(super) fn resolve_keys<S: Sink>(
    context: &Context<S>,
    maps: Option<&dyn KernelMaps>,
) -> Result<(), CallFailure> {
    read(context, maps, Order::Unsorted, Wanted::Symbols)
}

fn read<S: Sink>(
    context: &Context<S>,
    maps: Option<&dyn KernelMaps>,
    order: Order,
    wanted: Wanted,
) -> Result<(), CallFailure> {
    let handle = context.handle;
    if let (Some(contents), Some(maps)) = (kernel_walk::snapshot(context, maps)?, maps) {
        let only_symbols = wanted == Wanted::Symbols;
        let remove = wanted == (Wanted::Entries { remove: true });
        let purpose = Purpose { order, only_symbols, remove };
        if kernel_walk::deliver(context, maps, &contents, purpose)? {
            return Ok(());
        }
        kernel_walk::leave_to_libdtrace(context, maps)?;
    }
    context.clears.restore(handle, context.cpus.get());
    let (call, function) = function_for(order, handle);
    let (result, _) = walk(context, call, function, wanted, None);
    handle.check(call, result)
}

/// Sends the entries of one aggregation that `printa()` is about to print. If libdtrace fails to read or walk
/// them, none are sent.
pub(super) fn send_printed<S: Sink>(context: &Context<S>, variable: Option<u64>) {
    let handle = context.handle;
    context.send(&Frame::PrintaBegin);
    // SAFETY: libdtrace reads aggregations for printa() at this point, too.
    unsafe { (handle.api.dtrace_aggregate_snap)(handle.raw) };
    context.clears.restore(handle, context.cpus.get());
    let (call, function) = function_for(Order::Value, handle);
    walk(context, call, function, Wanted::Variable(variable), None);
    context.send(&Frame::SnapshotEnd);
}

/// Replaces the addresses of functions by names in what libdtrace has printed of aggregations. Returns `None` if there
/// is nothing to replace.
pub(super) fn named<S: Sink>(
    context: &Context<S>,
    text: &[u8],
    printed: Printed,
) -> Option<Vec<u8>> {
    if !context.told.borrow().names.may_apply_to(text) {
        return None;
    }
    // Every key is looked up: an address of the text may be that of a process that nobody has asked about.
    let (call, function) = function_for(Order::Unsorted, context.handle);
    let (_, printed) = walk(context, call, function, Wanted::Symbols, Some(printed));
    context.told.borrow().names.applied_to(text, &printed?)
}

fn walk<S: Sink>(
    context: &Context<S>,
    call: &str,
    function: WalkFunction,
    wanted: Wanted,
    printed: Option<Printed>,
) -> (c_int, Option<Printed>) {
    let mut walk = Walk { context, wanted, printed, refused: None };
    // SAFETY: the handle is open and tracing. The callback's argument is a walk of its type, which outlives
    // the call.
    let result =
        unsafe { function(context.handle.raw, Some(entry::<S>), (&raw mut walk).cast::<c_void>()) };
    if let Some(refused) = walk.refused {
        context.refuse(call, &refused);
    }
    (result, walk.printed)
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

impl<S: Sink> Walk<'_, S> {
    /// # Safety
    /// `a` is the argument of the walk's callback that is running.
    unsafe fn entry(&mut self, a: *const dtrace_aggdata_t) -> Result<(), Misdelivered> {
        // SAFETY: the caller guarantees it; see `# Safety`.
        let found = unsafe { platform::entry(a)? };
        if matches!(self.wanted, Wanted::Variable(Some(only)) if only != found.variable) {
            return Ok(());
        }
        if self.printed.as_ref().is_some_and(|printed| !printed.shows(found.variable)) {
            return Ok(());
        }
        // SAFETY: the entry is that of the running callback; see `# Safety`.
        let per_cpu = unsafe { self.per_cpu(&found)? };
        // SAFETY: the description's name is a C string.
        let keys = unsafe { entries::describe(self.context, &found)? };
        entries::send_symbols(self.context, &keys, found.key_bytes);
        if let Some(printed) = &mut self.printed {
            printed.add(&keys.fields, found.key_bytes, (found.value, found.normal));
        }
        if self.wanted == Wanted::Symbols {
            return Ok(());
        }
        let Entry { generation, key_bytes, value, .. } = found;
        let generation = generation.wrapping_add(self.context.clears.times(found.variable));
        let sent = Sent { generation, key_bytes, value, per_cpu: &per_cpu };
        entries::send(self.context, &keys, &sent);
        Ok(())
    }

    /// Returns the values on each CPU in turn; empty if libdtrace does not keep them.
    ///
    /// # Safety
    /// The entry is that of the callback that is running.
    unsafe fn per_cpu(&self, found: &Entry<'_>) -> Result<Vec<u8>, Misdelivered> {
        let mut per_cpu = Vec::new();
        if found.per_cpu.is_null() {
            return Ok(per_cpu);
        }
        let number = self.context.cpus.get();
        let number = number.ok_or_else(|| Misdelivered::new("a list by CPU of unknown length"))?;
        // SAFETY: the number is that of the places for which the library allocates such a list.
        let places = unsafe { list(found.per_cpu, number, "values by CPU")? };
        let size = found.value.len();
        for (cpu, data) in places.iter().enumerate() {
            let data = data.cast_const();
            // SAFETY: a place is null, or its data have the value at the same offset as the entry's own data.
            let value = unsafe {
                if data.is_null() {
                    &[]
                } else {
                    bytes(data.wrapping_add(found.per_cpu_at), size, "a CPU's value")?
                }
            };
            per_cpu.extend_from_slice(value);
            per_cpu.resize((cpu + 1) * size, 0);
        }
        Ok(per_cpu)
    }
}

unsafe extern "C" fn entry<S: Sink>(a: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int {
    // SAFETY: `walk` passes a pointer to its own state, which nobody else uses until the walk ends.
    let Some(walk) = (unsafe { arg.cast::<Walk<'_, S>>().as_mut() }) else {
        return DTRACE_AGGWALK_ABORT;
    };
    if walk.refused.is_some() {
        return DTRACE_AGGWALK_ABORT;
    }
    // SAFETY: libdtrace passes data that are valid for the duration of the call.
    let sent = catch_unwind(AssertUnwindSafe(|| unsafe { walk.entry(a) }));
    match sent {
        Ok(Ok(())) if walk.wanted == (Wanted::Entries { remove: true }) => DTRACE_AGGWALK_REMOVE,
        Ok(Ok(())) => DTRACE_AGGWALK_NEXT,
        Ok(Err(what)) => {
            walk.refused = Some(what);
            DTRACE_AGGWALK_ABORT
        }
        Err(_) => {
            walk.context.panicked();
            DTRACE_AGGWALK_ABORT
        }
    }
}

//! How does a walk deliver what the kernel's maps hold, without a snapshot of libdtrace's?
//!
//! libdtrace's snapshot keeps the entries of an aggregation in one list, and compares each key that it reads with all of
//! them. With 50 000 keys this takes many seconds. The walks of a session therefore read the maps themselves
//! ([`KernelMaps`]). libdtrace's own snapshot remains for what it does itself: `printa()`, `trunc()`, `clear()`, and its
//! report at the end. It takes a new one for these whenever it consumes records, so it never prints or removes what it
//! has seen in part.
//!
//! The maps are read while libdtrace takes a snapshot, in the place of its calls, and not at a time of this module's
//! choice. So they are the maps of the CPUs that libdtrace reads, in the same order, and it reports drops as ever. It
//! also describes the aggregations to a walk, because it gets to see a key of each. Nothing depends on where its
//! structures have what.
//!
//! Some aggregations are left to libdtrace: those with values by CPU; those whose keys are addresses that libdtrace
//! replaces by that of the function or module (`sym`, `mod`, `usym`, `umod`); those that it might sort differently, because
//! it adds floating-point numbers; and all with `aggrate`, by which libdtrace decides when to read. So are those of a
//! libdtrace whose version is not known.
//!
//! There is one difference. If a script clears an aggregation, a value from before that comes back once in libdtrace's
//! snapshot if the key was new and libdtrace had not seen it yet. Here it counts as cleared.
//!
//! Two alternatives would have kept libdtrace's snapshot. Taking it less often, or reading its maps faster for it, leaves
//! the comparisons: of the time for 20 000 keys, the kernel's part is a sixth. Relinking its lists before each comparison,
//! so that the entry of the key comes first, would have made all of libdtrace fast, with its own order and its own
//! `printa()`. But it writes into structures that no header describes, while libdtrace works on them, and a wrong guess
//! would corrupt its memory instead of being noticed.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dtrace_sys::abi::*;

use super::context::Context;
use super::delivered::Misdelivered;
use super::entries::{self, Sent};
use super::handle::CallFailure;
use super::kernel_maps::{Contents, Entries, KernelMaps, Kind, Watched, generation_of};
use super::platform;
use super::sink::Sink;
use crate::data::aggregation::Order;
use crate::data::record::Action;

/// What a walk is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    pub(super) order: Order,
    /// Whether to send only the symbols of the addresses among the keys.
    pub(super) only_symbols: bool,
    /// Whether to remove the entries.
    pub(super) remove: bool,
}

/// Takes a snapshot for a walk. Returns the contents of the kernel's maps if they are to be delivered instead.
pub(super) fn snapshot<S: Sink>(
    context: &Context<S>,
    maps: Option<&dyn KernelMaps>,
) -> Result<Option<Contents>, CallFailure> {
    const CALL: &str = "dtrace_aggregate_snap";
    let handle = context.handle;
    // SAFETY: the handle is open and tracing.
    let snap = || unsafe { platform::snap(handle) };
    let Some(maps) = maps.filter(|_| context.reads_maps.get()) else {
        return snap().map(|()| None);
    };
    // Whatever happens now, libdtrace may regard what it has read in part as a valid snapshot.
    let was_in_part = context.in_part.replace(true);
    let mut result = Ok(());
    let mut watched = maps.watch(true, &mut || result = snap());
    result?;
    if was_in_part && matches!(watched, Watched::Nothing) {
        watched = maps.watch(true, &mut || renew(context));
    }
    match watched {
        Watched::Instead(contents) => return Ok(Some(contents)),
        Watched::Nothing | Watched::ByLibdtrace => context.in_part.set(false),
        Watched::InPart => leave_to_libdtrace(context, maps)?,
        Watched::Interrupted => return Err(handle.failure(CALL)),
    }
    Ok(None)
}

/// Has libdtrace take a whole snapshot, and leaves all later walks to it.
pub(super) fn leave_to_libdtrace<S: Sink>(
    context: &Context<S>,
    maps: &dyn KernelMaps,
) -> Result<(), CallFailure> {
    context.reads_maps.set(false);
    match maps.watch(false, &mut || renew(context)) {
        Watched::Interrupted => Err(context.handle.failure("dtrace_aggregate_print")),
        _ => Ok(()),
    }
}

/// Makes libdtrace take a snapshot even if it regards the last one as valid.
fn renew<S: Sink>(context: &Context<S>) {
    unsafe extern "C" fn no_walk(
        _: *mut dtrace_hdl_t,
        _: Option<dtrace_aggregate_f>,
        _: *mut c_void,
    ) -> c_int {
        0
    }
    let handle = context.handle;
    // SAFETY: the handle is open and tracing, and the stream is open. The library takes a snapshot, and leaves the rest
    // to the function that it is given. That one prints nothing.
    unsafe {
        let output = context.output.file().cast();
        (handle.api.dtrace_aggregate_print)(handle.raw, output, Some(no_walk));
    }
}

/// Delivers the contents of the kernel's maps. Returns `false`, and delivers nothing, if they are to be left to
/// libdtrace.
pub(super) fn deliver<S: Sink>(
    context: &Context<S>,
    maps: &dyn KernelMaps,
    contents: &Contents,
    purpose: Purpose,
) -> Result<bool, CallFailure> {
    let Some(kinds) = kinds(context) else { return Ok(false) };
    let Some(mut entries) = Entries::merge(contents, &kinds) else { return Ok(false) };
    if entries.sort(purpose.order).is_none() {
        return Ok(false);
    }
    for (entry, value) in entries.iter() {
        let (keys, key_bytes) = (&entry.kind.keys, entry.keys);
        entries::send_symbols(context, keys, key_bytes);
        if !purpose.only_symbols {
            let (generation, per_cpu) = (entry.generation, &[][..]);
            entries::send(context, keys, &Sent { generation, key_bytes, value, per_cpu });
        }
    }
    if purpose.remove {
        remove(context, maps, contents).map_err(|error| CallFailure {
            call: "bpf",
            number: error.raw_os_error().unwrap_or(0),
            message: format!("removing the delivered entries: {error}"),
        })?;
    }
    Ok(true)
}

/// Removes what has been delivered.
fn remove<S: Sink>(
    context: &Context<S>,
    maps: &dyn KernelMaps,
    contents: &Contents,
) -> std::io::Result<()> {
    unsafe extern "C" fn each(_: *const dtrace_aggdata_t, _: *mut c_void) -> c_int {
        DTRACE_AGGWALK_REMOVE
    }
    for map in &contents.maps {
        let written = contents.elements(map).filter(|(_, value)| generation_of(value) != 0);
        let keys: Vec<u8> = written.flat_map(|(key, _)| key).copied().collect();
        maps.remove(map.id, &keys, contents.key_size)?;
    }
    let handle = context.handle;
    // SAFETY: the handle is open and tracing, and the callback does not use its arguments.
    unsafe { (handle.api.dtrace_aggregate_walk)(handle.raw, Some(each), std::ptr::null_mut()) };
    Ok(())
}

/// The aggregations that a walk has shown.
struct Shown<'c, S> {
    context: &'c Context<S>,
    kinds: HashMap<u32, Kind>,
    /// Whether one is to be left to libdtrace.
    unfit: bool,
    /// The invalid data that ended the walk.
    refused: Option<Misdelivered>,
}

/// Returns the aggregations that have entries. Returns `None` if one is to be left to libdtrace.
fn kinds<S: Sink>(context: &Context<S>) -> Option<HashMap<u32, Kind>> {
    let mut shown = Shown { context, kinds: HashMap::new(), unfit: false, refused: None };
    let handle = context.handle;
    // SAFETY: the handle is open and tracing. The callback's argument is a value of its type, which outlives the call.
    let result = unsafe {
        let arg = (&raw mut shown).cast::<c_void>();
        (handle.api.dtrace_aggregate_walk)(handle.raw, Some(show::<S>), arg)
    };
    if let Some(refused) = shown.refused {
        context.refuse("dtrace_aggregate_walk", &refused);
    }
    (result == 0 && !shown.unfit).then_some(shown.kinds)
}

impl<S: Sink> Shown<'_, S> {
    /// # Safety
    /// `a` is the argument of the walk's callback that is running.
    unsafe fn add(&mut self, a: *const dtrace_aggdata_t) -> Result<(), Misdelivered> {
        // SAFETY: the caller guarantees it; see `# Safety`.
        let found = unsafe { platform::entry(a)? };
        let Ok(variable) = u32::try_from(found.variable) else {
            self.unfit = true;
            return Ok(());
        };
        if self.kinds.contains_key(&variable) {
            return Ok(());
        }
        // SAFETY: the description's name is a C string.
        let keys = unsafe { entries::describe(self.context, &found)? };
        let is_replaced =
            |action| matches!(action, Action::Sym | Action::Mod | Action::USym | Action::UMod);
        let replaced = keys.fields.iter().any(|field| is_replaced(field.description.action));
        self.unfit |= replaced || !found.per_cpu.is_null();
        let kind = Kind {
            keys,
            function: entries::function_of(&found)?,
            signature: found.signature,
            key_size: found.key_bytes.len(),
            value: found.per_cpu_at..found.per_cpu_at + found.value.len(),
        };
        self.kinds.insert(variable, kind);
        Ok(())
    }
}

unsafe extern "C" fn show<S: Sink>(a: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int {
    // SAFETY: `kinds` passes a pointer to its own state, which nobody else uses until the walk ends.
    let Some(shown) = (unsafe { arg.cast::<Shown<'_, S>>().as_mut() }) else {
        return DTRACE_AGGWALK_ABORT;
    };
    if shown.unfit {
        return DTRACE_AGGWALK_ABORT;
    }
    // SAFETY: libdtrace passes data that are valid for the duration of the call.
    match catch_unwind(AssertUnwindSafe(|| unsafe { shown.add(a) })) {
        Ok(Ok(())) => DTRACE_AGGWALK_NEXT,
        Ok(Err(what)) => {
            shown.refused = Some(what);
            DTRACE_AGGWALK_ABORT
        }
        Err(_) => {
            shown.context.panicked();
            DTRACE_AGGWALK_ABORT
        }
    }
}

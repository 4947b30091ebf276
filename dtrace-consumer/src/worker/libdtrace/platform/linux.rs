//! The structures and calls of libdtrace on Linux.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::time::Duration;

use dtrace_sys::abi::*;

use super::super::bpf_maps::own_maps;
use super::super::delivered::{Misdelivered, bytes, list, owned, reference, within};
use super::super::handle::{CallFailure, Handle};
use super::{Entry, Names};
use crate::data::probe::Probe;
use crate::data::record::Action;
use crate::data::session_info::Platform;

/// The platform's name in the stream.
pub(crate) const PLATFORM: Platform = Platform::Linux;

/// A firing's structure.
pub(in crate::worker::libdtrace) type Firing = dtrace_probedata_t;

/// Returns the number of the statement that fired, and its records.
///
/// # Safety
/// `d` is the argument of the callback that is running.
pub(in crate::worker::libdtrace) unsafe fn records<'a>(
    d: &Firing,
) -> Result<(u32, &'a [dtrace_recdesc_t]), Misdelivered> {
    // SAFETY: descriptions live until the handle is closed, which happens when the process ends.
    unsafe {
        let description = reference(d.dtpda_ddesc, "a description of records")?;
        let records = list(description.dtdd_recs.cast_const(), description.dtdd_nrecs, "records")?;
        Ok((d.dtpda_stid, records))
    }
}

/// Returns the size of the firing's data, in bytes.
///
/// # Safety
/// `d` is the argument of the probe callback that is running.
pub(in crate::worker::libdtrace) unsafe fn extent(d: &Firing) -> Result<usize, Misdelivered> {
    // The data start with their size, which excludes the size field itself.
    let size = d.dtpda_data.cast::<u32>();
    if size.is_null() {
        return Err(Misdelivered::new("null pointer to data"));
    }
    // SAFETY: the pointer is not null, and a firing's data start with a header of four u32.
    Ok(size_of::<u32>() + unsafe { size.read_unaligned() } as usize)
}

/// Copies the names of a probe.
///
/// # Safety
/// The names are C strings or null.
pub(in crate::worker::libdtrace) unsafe fn name_of(probe: &dtrace_probedesc_t) -> Probe {
    // SAFETY: the caller guarantees it; see `# Safety`.
    unsafe {
        Probe {
            id: probe.id,
            provider: owned(probe.prv),
            module: owned(probe.r#mod),
            function: owned(probe.fun),
            name: owned(probe.prb),
        }
    }
}

/// Returns the number of a probe.
pub(in crate::worker::libdtrace) fn number_of(probe: &dtrace_probedesc_t) -> u32 {
    probe.id
}

/// Returns the parts of an entry of an aggregation.
///
/// # Safety
/// `a` is the argument of the walk's callback that is running.
pub(in crate::worker::libdtrace) unsafe fn entry<'a>(
    a: *const dtrace_aggdata_t,
) -> Result<Entry<'a>, Misdelivered> {
    // SAFETY: the caller guarantees it; see `# Safety`.
    let a = unsafe { reference(a, "an entry of an aggregation")? };
    // SAFETY: description, records and data are valid during the callback, and have the lengths in the
    // description.
    let (description, keys, values, key_bytes, data) = unsafe {
        let description = reference(a.dtada_desc, "a description of an aggregation")?;
        let d = description;
        (
            d,
            list(d.dtagd_krecs.cast_const(), d.dtagd_nkrecs, "keys")?,
            // The clear generation and the value.
            list(d.dtagd_drecs.cast_const(), 2, "records of a value")?,
            bytes(a.dtada_key, d.dtagd_ksize as usize, "keys")?,
            bytes(a.dtada_data, d.dtagd_dsize as usize, "an aggregation's data")?,
        )
    };
    within(keys, key_bytes.len())?;
    within(values, data.len())?;
    let [_, value] = values else { return Err(Misdelivered::new("a value without records")) };
    let generation = data
        .first_chunk()
        .ok_or_else(|| Misdelivered::new("no generation in an aggregation's data"))?;
    Ok(Entry {
        variable: u64::from(description.dtagd_varid),
        layout: 0,
        name: description.dtagd_name,
        function: value.dtrd_action,
        signature: description.dtagd_sig,
        normal: description.dtagd_normal,
        generation: u64::from_ne_bytes(*generation),
        keys,
        key_bytes,
        value: &data[value.dtrd_offset as usize..][..value.dtrd_size as usize],
        per_cpu: a.dtada_percpu,
        per_cpu_at: value.dtrd_offset as usize,
    })
}

/// Returns the aggregation that a record of `printa()` names.
pub(in crate::worker::libdtrace) fn variable_of(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|b| u64::from(u32::from_ne_bytes(*b)))
}

/// Returns the action that made a record.
pub(in crate::worker::libdtrace) fn action_of(r: &dtrace_recdesc_t) -> Action {
    Action::from_number(r.dtrd_action)
}

/// Returns `true`: libdtrace lists only records.
pub(in crate::worker::libdtrace) fn is_record(_: &dtrace_recdesc_t) -> bool {
    true
}

/// Returns whether two records of `printa()`, neither far from the other, were made by one call.
pub(in crate::worker::libdtrace) fn is_one_printa(
    first: &dtrace_recdesc_t,
    other: &dtrace_recdesc_t,
) -> bool {
    first.dtrd_arg == other.dtrd_arg
}

/// Returns a record's compiled format, with which libdtrace can print it and the further arguments of its call.
pub(in crate::worker::libdtrace) fn format_data(
    _: &Statements,
    records: &[dtrace_recdesc_t],
    index: usize,
) -> Option<*mut c_void> {
    let format = records[index].dtrd_format;
    (!format.is_null()).then_some(format)
}

/// What the programs' statements tell of records. Here the records tell it themselves.
#[derive(Debug)]
pub(in crate::worker::libdtrace) struct Statements;

impl Statements {
    /// Examines programs.
    ///
    /// # Errors
    /// None.
    pub(in crate::worker::libdtrace) fn of(
        _: Handle,
        _: &[*mut dtrace_prog_t],
    ) -> Result<Statements, CallFailure> {
        Ok(Statements)
    }

    /// Returns the alignment of a record, in bytes, and the argument of its action. The alignment of strings is 1.
    pub(in crate::worker::libdtrace) fn nature(
        &self,
        records: &[dtrace_recdesc_t],
        index: usize,
    ) -> (u16, u64) {
        let r = &records[index];
        (r.dtrd_alignment, r.dtrd_arg)
    }
}

/// The flags to open libdtrace with. None of them depends on the purpose.
pub(in crate::worker::libdtrace) const OPEN_TO_COMPILE: c_int = 0;

/// Returns whether a fault has an address.
pub(in crate::worker::libdtrace) fn has_address(_: c_int) -> bool {
    true
}

/// Starts tracing.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn go(handle: Handle) -> c_int {
    // SAFETY: the caller guarantees it; see `# Safety`.
    unsafe { (handle.api.dtrace_go)(handle.raw, 0) }
}

/// The options that a session has if nobody sets them: libdtrace's own.
pub(crate) fn defaults(_: Duration) -> Vec<(&'static str, String)> {
    Vec::new()
}

/// Reads the aggregations.
///
/// # Safety
/// The handle is open and tracing.
pub(in crate::worker::libdtrace) unsafe fn snap(handle: Handle) -> Result<(), CallFailure> {
    // SAFETY: the caller guarantees it; see `# Safety`.
    let result = unsafe { (handle.api.dtrace_aggregate_snap)(handle.raw) };
    handle.check("dtrace_aggregate_snap", result)
}

/// Does nothing: on Linux `dtrace_work` itself waits for data.
///
/// # Safety
/// None.
pub(in crate::worker::libdtrace) unsafe fn wait(_: Handle) {}

/// Does `work`, in which libdtrace reads the buffers: its wait for them may have been ended already.
pub(in crate::worker::libdtrace) fn read_at_once<T>(
    _: Handle,
    work: impl FnOnce() -> Result<T, CallFailure>,
) -> Result<T, CallFailure> {
    work()
}

/// The name of the function that [`grab`] calls.
pub(in crate::worker::libdtrace) const GRAB: &str = "dtrace_proc_grab_pid";

/// Grabs a running process. Returns null if that fails, and `None` if this library lacks the function. `hold`
/// is whether to stop it and attach to it.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn grab(
    handle: Handle,
    pid: pid_t,
    hold: bool,
) -> Option<*mut dtrace_proc_handle_t> {
    let grab = handle.api.dtrace_proc_grab_pid?;
    // SAFETY: the caller guarantees it; see `# Safety`.
    Some(unsafe { grab(handle.raw, pid, if hold { 0 } else { DTRACE_PROC_SHORTLIVED }) })
}

/// Finds the symbol at an address.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn lookup_by_addr(
    handle: Handle,
    address: u64,
    symbol: &mut GElf_Sym,
    info: &mut dtrace_syminfo_t,
) -> c_int {
    // SAFETY: the handle is open, and the call only writes to the structures.
    unsafe { (handle.api.dtrace_lookup_by_addr)(handle.raw, address, symbol, info) }
}

/// Returns an empty structure for names.
pub(in crate::worker::libdtrace) fn no_symbol() -> dtrace_syminfo_t {
    dtrace_syminfo_t { object: ptr::null(), name: ptr::null(), id: 0 }
}

/// Returns an empty structure for a type.
pub(in crate::worker::libdtrace) fn no_type() -> dtrace_typeinfo_t {
    dtrace_typeinfo_t { dtt_object: ptr::null(), dtt_ctfp: ptr::null_mut(), dtt_type: 0 }
}

/// Returns module and name of a symbol.
pub(in crate::worker::libdtrace) fn names(info: &dtrace_syminfo_t) -> Names {
    Names { module: info.object, name: info.name }
}

/// Returns a description that matches any probe. Null parts would crash the library.
pub(in crate::worker::libdtrace) fn any_probe() -> dtrace_probedesc_t {
    let empty = c"".as_ptr();
    dtrace_probedesc_t { id: 0, prv: empty, r#mod: empty, fun: empty, prb: empty }
}

/// Refuses a description that would crash the library.
pub(in crate::worker::libdtrace) fn complete(
    description: &dtrace_probedesc_t,
) -> Result<(), Misdelivered> {
    let dtrace_probedesc_t { prv, r#mod, fun, prb, .. } = *description;
    if [prv, r#mod, fun, prb].iter().any(|part| part.is_null()) {
        return Err(Misdelivered::new("a probe description with a missing part"));
    }
    Ok(())
}

/// Frees the parts that `dtrace_str2desc` allocated.
///
/// # Safety
/// `dtrace_str2desc` filled the description, and nobody uses it afterwards.
pub(in crate::worker::libdtrace) unsafe fn free(description: &dtrace_probedesc_t) {
    let dtrace_probedesc_t { prv, r#mod, fun, prb, .. } = *description;
    for part in [prv, r#mod, fun, prb] {
        // SAFETY: dtrace_str2desc allocates the parts with malloc, for its caller to free.
        unsafe { libc::free(part.cast_mut().cast::<c_void>()) };
    }
}

/// The argument with which libdtrace reports events of a process: its pid, negative if it has ended.
pub(in crate::worker::libdtrace) type Process = pid_t;

/// The function that calls the handler of processes.
pub(in crate::worker::libdtrace) const PROCESS_EVENTS_FROM: &str = "dtrace_work";

/// Whether libdtrace prints `%hd` without a sign.
pub(in crate::worker::libdtrace) const SHORTS_LOSE_THEIR_SIGN: bool = false;

/// Whether libdtrace reports the end of the processes that it is attached to.
pub(crate) const REPORTS_ENDS: bool = true;

/// Returns the pid of the process, and whether it has ended, if that is to be reported.
pub(in crate::worker::libdtrace) fn process_event(
    process: Process,
    _: bool,
) -> Option<(i32, bool)> {
    Some((process.wrapping_abs(), process < 0))
}

/// Returns the length of libdtrace's lists by CPU; `None` if it is unknown. Tracing must be on.
///
/// The library allocates a place for each CPU up to the highest one that was online when it was opened. That may
/// be fewer than the possible CPUs, and than those that are online now. Its map of aggregations,
/// which is its only array of maps, has the same number of entries.
pub(in crate::worker::libdtrace) fn places_by_cpu() -> Option<usize> {
    const ARRAY_OF_MAPS: u32 = 12;
    let (key_size, value_size) = (size_of::<u32>(), size_of::<u32>());
    let mut maps = own_maps().into_iter().filter(|map| {
        (map.kind, map.key_size, map.value_size) == (ARRAY_OF_MAPS, key_size, value_size)
    });
    match (maps.next(), maps.next()) {
        (Some(map), None) => Some(map.entries),
        _ => None,
    }
}

/// How often each aggregation was cleared. Here libdtrace says it with each entry.
#[derive(Debug)]
pub(in crate::worker::libdtrace) struct Clears;

impl Clears {
    /// Examines statements.
    ///
    /// # Errors
    /// None.
    pub(in crate::worker::libdtrace) fn of(
        _: Handle,
        _: &Statements,
    ) -> Result<Clears, CallFailure> {
        Ok(Clears)
    }

    /// Does nothing.
    pub(in crate::worker::libdtrace) fn note(
        &self,
        _: Handle,
        _: Option<usize>,
        _: (&[dtrace_recdesc_t], &[u8]),
    ) {
    }

    /// Returns what to add to the number of clears that an entry has: nothing.
    pub(in crate::worker::libdtrace) fn times(&self, _: u64) -> u64 {
        0
    }

    /// Does nothing: distributions keep their parameters.
    pub(in crate::worker::libdtrace) fn restore(&self, _: Handle, _: Option<usize>) {}
}

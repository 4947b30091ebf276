//! The structures and calls of libdtrace on FreeBSD, macOS and illumos.
//!
//! Tested on Linux with a stand-in for the library, and run on FreeBSD 12.1 and 15.1.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::time::Duration;

use dtrace_sys::abi::*;

use super::super::delivered::{Misdelivered, address, bytes, list, within};
use super::super::handle::{CallFailure, Handle};
use super::{Entry, Names};
use crate::data::probe::Probe;
use crate::data::session_info::Platform;

/// The platform's name in the stream.
pub(crate) const PLATFORM: Platform = if cfg!(dtrace_abi = "freebsd") {
    Platform::FreeBsd
} else if cfg!(dtrace_abi = "macos") {
    Platform::MacOs
} else {
    Platform::Illumos
};

/// The part of a firing's structure that all versions share. FreeBSD's has had a time at its end since 2024.
pub(in crate::worker::libdtrace) type Firing = dtrace_probedata<dtrace_probedesc_t>;

/// Returns the enabled probe that fired, and its records.
///
/// # Safety
/// `d` is the argument of the callback that is running.
pub(in crate::worker::libdtrace) unsafe fn records<'a>(
    d: &Firing,
) -> Result<(u32, &'a [dtrace_recdesc_t]), Misdelivered> {
    let e = address(d.dtpda_edesc.cast_const(), "a description of records")?;
    // SAFETY: descriptions live until the handle is closed, which happens when the process ends. No reference
    // covers a whole description, because it has as many records as its count gives, while the type declares
    // one.
    unsafe {
        let first = (&raw const (*e).dtepd_rec).cast::<dtrace_recdesc_t>();
        Ok(((*e).dtepd_epid, list(first, (*e).dtepd_nrecs, "records")?))
    }
}

/// Returns the size of the firing's data, in bytes.
///
/// # Safety
/// `d` is the argument of the probe callback that is running.
pub(in crate::worker::libdtrace) unsafe fn extent(d: &Firing) -> Result<usize, Misdelivered> {
    let e = address(d.dtpda_edesc.cast_const(), "a description of records")?;
    address(d.dtpda_data.cast_const(), "data")?;
    // SAFETY: as in `records`.
    Ok(unsafe { (*e).dtepd_size } as usize)
}

/// Copies the names of a probe.
///
/// # Safety
/// None: the names are in the description.
pub(in crate::worker::libdtrace) unsafe fn name_of(probe: &dtrace_probedesc_t) -> Probe {
    Probe {
        id: probe.dtpd_id,
        provider: text(&probe.dtpd_provider),
        module: text(&probe.dtpd_mod),
        function: text(&probe.dtpd_func),
        name: text(&probe.dtpd_name),
    }
}

/// Returns a text that ends with a NUL or with its array.
fn text(array: &[c_char]) -> String {
    // The type has no sign on some processors.
    let bytes = array.iter().flat_map(|c| c.to_ne_bytes());
    let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns the number of a probe.
pub(in crate::worker::libdtrace) fn number_of(probe: &dtrace_probedesc_t) -> u32 {
    probe.dtpd_id
}

/// Returns the parts of an entry of an aggregation.
///
/// # Safety
/// `a` is the argument of the walk's callback that is running.
pub(in crate::worker::libdtrace) unsafe fn entry<'a>(
    a: *const dtrace_aggdata_t,
) -> Result<Entry<'a>, Misdelivered> {
    let a = address(a, "an entry of an aggregation")?;
    // SAFETY: entry, description and data are valid during the callback. No reference covers the whole entry,
    // which is shorter in old versions, nor the whole description, as in `records`.
    let (d, records, data, normal, per_cpu) = unsafe {
        let d = address((*a).dtada_desc.cast_const(), "a description of an aggregation")?;
        let first = (&raw const (*d).dtagd_rec).cast::<dtrace_recdesc_t>();
        let size = ((*d).dtagd_size as usize).min((*a).dtada_size);
        (
            d,
            list(first, (*d).dtagd_nrecs, "records of an entry")?,
            bytes((*a).dtada_data, size, "an aggregation's data")?,
            (*a).dtada_normal,
            (*a).dtada_percpu,
        )
    };
    within(records, data.len())?;
    let [keys @ .., value] = records else {
        return Err(Misdelivered::new("an entry without records"));
    };
    // They precede the value.
    within(keys, value.dtrd_offset as usize)?;
    let (key_bytes, rest) = data.split_at(value.dtrd_offset as usize);
    Ok(Entry {
        // SAFETY: as above.
        variable: unsafe { (*d).dtagd_varid }.cast_unsigned(),
        // SAFETY: as above.
        layout: unsafe { (*d).dtagd_id },
        // SAFETY: as above.
        name: unsafe { (*d).dtagd_name },
        function: value.dtrd_action,
        // The first word of the value has the parameters.
        signature: 0,
        normal,
        generation: 0,
        keys,
        key_bytes,
        value: &rest[..value.dtrd_size as usize],
        per_cpu,
        per_cpu_at: 0,
    })
}

/// Returns the aggregation that a record of `printa()` names.
pub(in crate::worker::libdtrace) fn variable_of(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|b| u64::from_ne_bytes(*b))
}

/// Returns whether a fault has an address. The kernel passes one with every fault: that of an earlier one, perhaps.
pub(in crate::worker::libdtrace) fn has_address(fault: c_int) -> bool {
    matches!(fault, DTRACEFLT_BADADDR | DTRACEFLT_BADALIGN | DTRACEFLT_BADSTACK)
}

/// Starts tracing.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn go(handle: Handle) -> c_int {
    // SAFETY: the caller guarantees it; see `# Safety`.
    unsafe { (handle.api.dtrace_go)(handle.raw) }
}

/// The flag to open libdtrace with where nothing is traced. Without it, libdtrace aborts on a script that defines a
/// provider.
pub(in crate::worker::libdtrace) const OPEN_TO_COMPILE: c_int = DTRACE_O_NODEV;

/// How often to look for records at most. Each look interrupts every CPU.
const SHORTEST_DELAY: Duration = Duration::from_millis(20);

/// The options that a session has if nobody sets them.
///
/// libdtrace reads the buffers, and looks whether a script has called `exit()`, once a second by default. Records are to
/// be late by no more than `max_delay`. FreeBSD and illumos read the buffers CPU by CPU unless they are told to deliver
/// what they record in its order, as dtrace(1) does. macOS always does.
pub(crate) fn defaults(max_delay: Duration) -> Vec<(&'static str, String)> {
    let delay = format!("{}us", max_delay.max(SHORTEST_DELAY).as_micros());
    let mut defaults = vec![("switchrate", delay.clone()), ("statusrate", delay)];
    if PLATFORM != Platform::MacOs {
        defaults.push(("temporal", "yes".to_owned()));
    }
    defaults
}

/// Reads the aggregations, however long ago libdtrace has read them. It would leave them alone until the interval of the
/// option `aggrate` is over, and then shows what there was before.
///
/// # Safety
/// The handle is open and tracing.
pub(in crate::worker::libdtrace) unsafe fn snap(handle: Handle) -> Result<(), CallFailure> {
    at_once(handle, c"aggrate", || {
        // SAFETY: the caller guarantees it; see `# Safety`.
        let result = unsafe { (handle.api.dtrace_aggregate_snap)(handle.raw) };
        handle.check("dtrace_aggregate_snap", result)
    })
}

/// Has libdtrace read the buffers in `work`, however long ago it has read them. It would leave them alone until the
/// interval of the option `switchrate` is over.
pub(in crate::worker::libdtrace) fn read_at_once<T>(
    handle: Handle,
    work: impl FnOnce() -> Result<T, CallFailure>,
) -> Result<T, CallFailure> {
    at_once(handle, c"switchrate", work)
}

/// Does something while the interval of an option is over at once. The option may be set while tracing is on.
fn at_once<T>(
    handle: Handle,
    option: &CStr,
    act: impl FnOnce() -> Result<T, CallFailure>,
) -> Result<T, CallFailure> {
    let mut rate = DTRACEOPT_UNSET;
    // SAFETY: the handle is open, the name ends in NUL, and the call only writes to `rate`.
    let result = unsafe { (handle.api.dtrace_getopt)(handle.raw, option.as_ptr(), &raw mut rate) };
    if result != 0 || rate == DTRACEOPT_UNSET {
        return act();
    }
    let set = |value: &str| handle.set_option(&option.to_string_lossy(), Some(value.as_bytes()));
    set("1ns")?;
    let done = act();
    set(&format!("{rate}ns"))?;
    done
}

/// Waits until there may be something to do, as long as the options allow.
///
/// # Safety
/// The handle is open and tracing, and the context of its handlers is only shared.
pub(in crate::worker::libdtrace) unsafe fn wait(handle: Handle) {
    if let Some(sleep) = handle.api.dtrace_sleep {
        // SAFETY: the caller guarantees it; see `# Safety`.
        unsafe { sleep(handle.raw) };
    }
}

/// The name of the function that [`grab`] calls.
pub(in crate::worker::libdtrace) const GRAB: &str = "dtrace_proc_grab";

/// The flag of libproc with which a process is only looked at: `PGRAB_RDONLY`.
const LOOK: c_int = if cfg!(dtrace_abi = "freebsd") { 2 } else { 4 };

/// Grabs a running process. Returns null if that fails, and `None` if this library lacks the function. `hold` is whether
/// to stop it and attach to it.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn grab(
    handle: Handle,
    pid: pid_t,
    hold: bool,
) -> Option<*mut dtrace_proc_handle_t> {
    let grab = handle.api.dtrace_proc_grab?;
    // SAFETY: the caller guarantees it; see `# Safety`.
    Some(unsafe { grab(handle.raw, pid, if hold { 0 } else { LOOK }) })
}

/// Finds the symbol at an address.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn lookup_by_addr(
    handle: Handle,
    at: u64,
    symbol: &mut GElf_Sym,
    info: &mut dtrace_syminfo_t,
) -> c_int {
    let look_up = handle.api.dtrace_lookup_by_addr;
    // SAFETY: the handle is open, and the call only writes to the structures. With a null buffer it makes up
    // no names.
    #[cfg(dtrace_abi = "macos")]
    return unsafe { look_up(handle.raw, at, ptr::null_mut(), 0, symbol, info) };
    // SAFETY: the handle is open, and the call only writes to the structures.
    #[cfg(not(dtrace_abi = "macos"))]
    return unsafe { look_up(handle.raw, at, symbol, info) };
}

/// Returns an empty structure for names.
pub(in crate::worker::libdtrace) fn no_symbol() -> dtrace_syminfo_t {
    dtrace_syminfo_t { dts_object: ptr::null(), dts_name: ptr::null(), dts_id: 0 }
}

/// Returns an empty structure for a type.
pub(in crate::worker::libdtrace) fn no_type() -> dtrace_typeinfo_t {
    let dtt_ctfp = ptr::null_mut();
    dtrace_typeinfo_t { dtt_object: ptr::null(), dtt_ctfp, dtt_type: 0, dtt_flags: 0 }
}

/// Returns module and name of a symbol.
pub(in crate::worker::libdtrace) fn names(info: &dtrace_syminfo_t) -> Names {
    Names { module: info.dts_object, name: info.dts_name }
}

/// Returns a description that matches any probe.
pub(in crate::worker::libdtrace) fn any_probe() -> dtrace_probedesc_t {
    dtrace_probedesc_t {
        dtpd_id: 0,
        dtpd_provider: [0; DTRACE_PROVNAMELEN],
        dtpd_mod: [0; DTRACE_MODNAMELEN],
        dtpd_func: [0; DTRACE_FUNCNAMELEN],
        dtpd_name: [0; DTRACE_NAMELEN],
    }
}

/// Accepts every description: here none lacks a part.
pub(in crate::worker::libdtrace) fn complete(_: &dtrace_probedesc_t) -> Result<(), Misdelivered> {
    Ok(())
}

/// Does nothing: a description contains its parts.
///
/// # Safety
/// None.
pub(in crate::worker::libdtrace) unsafe fn free(_: &dtrace_probedesc_t) {}

/// The argument with which libdtrace reports events of a process.
pub(in crate::worker::libdtrace) type Process = *mut ps_prochandle;

/// The function that calls the handler of processes.
pub(in crate::worker::libdtrace) const PROCESS_EVENTS_FROM: &str = "dtrace_sleep";

/// Whether libdtrace prints `%hd` without a sign. It parses its own text of a format again, in which `%hd` has become `%d`,
/// and takes that for unsigned. In that text, `i`, `u` or `lld` stands for every other `d`.
pub(in crate::worker::libdtrace) const SHORTS_LOSE_THEIR_SIGN: bool = true;

/// Whether libdtrace reports the end of the processes that it is attached to. It does not say of which one.
pub(crate) const REPORTS_ENDS: bool = false;

/// Returns the pid of the process, and whether it has ended, if that is to be reported. Only messages are: the pid is 0,
/// because only libproc knows it.
pub(in crate::worker::libdtrace) fn process_event(
    _: Process,
    has_message: bool,
) -> Option<(i32, bool)> {
    has_message.then_some((0, false))
}

/// Returns the length of libdtrace's lists by CPU; `None` if it is unknown.
///
/// The library allocates a place for each number up to `_SC_CPUID_MAX`. FreeBSD and macOS derive that from the
/// number of configured CPUs, and it is never less on illumos.
pub(in crate::worker::libdtrace) fn places_by_cpu() -> Option<usize> {
    // SAFETY: the call has no preconditions.
    let configured = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
    usize::try_from(configured).ok().filter(|configured| *configured > 0)
}

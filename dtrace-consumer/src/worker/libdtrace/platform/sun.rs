//! What do libdtrace's structures and calls look like on FreeBSD, macOS and illumos?
//!
//! Run against a stand-in on Linux only, not on those systems.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use dtrace_sys::abi::*;

use super::super::delivered::{Misdelivered, address, bytes, list, owned, within};
use super::super::handle::Handle;
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

/// The part of a firing's structure that every version has: FreeBSD's has a time at its end since 2024.
pub(in crate::worker::libdtrace) type Firing = dtrace_probedata<dtrace_probedesc_t>;

/// A format is a number here, whose text only the library can find.
pub(in crate::worker::libdtrace) const FORMATS: bool = false;

/// Whether a process that was grabbed is stopped until it is let go, however it was grabbed.
pub(in crate::worker::libdtrace) const GRAB_STOPS: bool = true;

/// The enabled probe that fired, and its records.
///
/// # Safety
/// `d` is what libdtrace passed to the callback that is running.
pub(in crate::worker::libdtrace) unsafe fn records<'a>(
    d: &Firing,
) -> Result<(u32, &'a [dtrace_recdesc_t]), Misdelivered> {
    let e = address(d.dtpda_edesc.cast_const(), "a description of records")?;
    // SAFETY: descriptions live until the handle is closed, which is at the process's end. There is
    // no reference to the whole of one, since it has as many records as it says, and not one.
    unsafe {
        let first = (&raw const (*e).dtepd_rec).cast::<dtrace_recdesc_t>();
        Ok(((*e).dtepd_epid, list(first, (*e).dtepd_nrecs, "records")?))
    }
}

/// How many bytes of data the firing has.
///
/// # Safety
/// `d` is what libdtrace passed to the probe callback that is running.
pub(in crate::worker::libdtrace) unsafe fn extent(d: &Firing) -> Result<usize, Misdelivered> {
    let e = address(d.dtpda_edesc.cast_const(), "a description of records")?;
    address(d.dtpda_data.cast_const(), "data")?;
    // SAFETY: as of `records`.
    Ok(unsafe { (*e).dtepd_size } as usize)
}

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

/// A text that ends with a NUL or with its array.
fn text(array: &[c_char]) -> String {
    let bytes: Vec<u8> =
        array.iter().map(|c| c.cast_unsigned()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The number of a probe.
pub(in crate::worker::libdtrace) fn number_of(probe: &dtrace_probedesc_t) -> u32 {
    probe.dtpd_id
}

/// What an entry of an aggregation consists of.
///
/// # Safety
/// `a` is what libdtrace passed to the walk's callback that is running.
pub(in crate::worker::libdtrace) unsafe fn entry<'a>(
    a: *const dtrace_aggdata_t,
) -> Result<Entry<'a>, Misdelivered> {
    let a = address(a, "an entry of an aggregation")?;
    // SAFETY: entry, description and data are valid during the callback. There is no reference to the
    // whole of the first, which lacks its end in old versions, nor of the second, as of `records`.
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
    // They stand before the value.
    within(keys, value.dtrd_offset as usize)?;
    let (key_bytes, rest) = data.split_at(value.dtrd_offset as usize);
    Ok(Entry {
        // SAFETY: as above.
        variable: unsafe { (*d).dtagd_varid }.cast_unsigned(),
        // SAFETY: as above.
        name: unsafe { (*d).dtagd_name },
        function: value.dtrd_action,
        // The parameters stand in the value's first word.
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

/// The aggregation that a record of `printa()` names.
pub(in crate::worker::libdtrace) fn variable_of(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|b| u64::from_ne_bytes(*b))
}

/// The text of a record's format: only the library knows it.
///
/// # Safety
/// None.
pub(in crate::worker::libdtrace) unsafe fn format_of(
    _: Handle,
    _: &dtrace_recdesc_t,
) -> Option<String> {
    None
}

/// What libdtrace has compiled of a record's format: only it knows.
pub(in crate::worker::libdtrace) fn format_data(_: &dtrace_recdesc_t) -> Option<*mut c_void> {
    None
}

/// Turns tracing on.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn go(handle: Handle) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { (handle.api.dtrace_go)(handle.raw) }
}

/// Waits until there may be something to do, a second at most.
///
/// # Safety
/// The handle is open and tracing, and the context of its handlers is only shared.
pub(in crate::worker::libdtrace) unsafe fn wait(handle: Handle) {
    if let Some(sleep) = handle.api.dtrace_sleep {
        // SAFETY: as the caller promises.
        unsafe { sleep(handle.raw) };
    }
}

/// The name of the function that [`grab`] calls.
pub(in crate::worker::libdtrace) const GRAB: &str = "dtrace_proc_grab";

/// Grabs a running process; null if that fails, `None` if this library cannot.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn grab(
    handle: Handle,
    pid: pid_t,
    _hold: bool,
) -> Option<*mut dtrace_proc_handle_t> {
    let grab = handle.api.dtrace_proc_grab?;
    // SAFETY: as the caller promises.
    Some(unsafe { grab(handle.raw, pid, 0) })
}

/// Creates a process; null if that fails.
///
/// # Safety
/// The handle is open; `words` are C strings, of which there is one, and a null pointer behind them.
pub(in crate::worker::libdtrace) unsafe fn create(
    handle: Handle,
    words: &[*mut c_char],
) -> *mut dtrace_proc_handle_t {
    let create = handle.api.dtrace_proc_create;
    // SAFETY: as the caller promises.
    #[cfg(dtrace_abi = "freebsd")]
    return unsafe { create(handle.raw, words[0], words.as_ptr(), None, ptr::null_mut()) };
    // SAFETY: as the caller promises.
    #[cfg(not(dtrace_abi = "freebsd"))]
    return unsafe { create(handle.raw, words[0], words.as_ptr()) };
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
    // SAFETY: as the caller promises; the structures are for the call to fill, and names that it would
    // have to make up are not wanted.
    #[cfg(dtrace_abi = "macos")]
    return unsafe { look_up(handle.raw, at, ptr::null_mut(), 0, symbol, info) };
    // SAFETY: as the caller promises; the structures are for the call to fill.
    #[cfg(not(dtrace_abi = "macos"))]
    return unsafe { look_up(handle.raw, at, symbol, info) };
}

/// Names that are yet to be filled in.
pub(in crate::worker::libdtrace) fn no_symbol() -> dtrace_syminfo_t {
    dtrace_syminfo_t { dts_object: ptr::null(), dts_name: ptr::null(), dts_id: 0 }
}

/// A type that is yet to be filled in.
pub(in crate::worker::libdtrace) fn no_type() -> dtrace_typeinfo_t {
    let dtt_ctfp = ptr::null_mut();
    dtrace_typeinfo_t { dtt_object: ptr::null(), dtt_ctfp, dtt_type: 0, dtt_flags: 0 }
}

/// Module and name of a symbol.
pub(in crate::worker::libdtrace) fn names(info: &dtrace_syminfo_t) -> Names {
    Names { module: info.dts_object, name: info.dts_name }
}

/// A description whose parts match anything.
pub(in crate::worker::libdtrace) fn any_probe() -> dtrace_probedesc_t {
    dtrace_probedesc_t {
        dtpd_id: 0,
        dtpd_provider: [0; DTRACE_PROVNAMELEN],
        dtpd_mod: [0; DTRACE_MODNAMELEN],
        dtpd_func: [0; DTRACE_FUNCNAMELEN],
        dtpd_name: [0; DTRACE_NAMELEN],
    }
}

/// A description has all of its parts.
pub(in crate::worker::libdtrace) fn complete(_: &dtrace_probedesc_t) -> Result<(), Misdelivered> {
    Ok(())
}

/// A description holds its parts: there is nothing to free.
///
/// # Safety
/// None.
pub(in crate::worker::libdtrace) unsafe fn free(_: &dtrace_probedesc_t) {}

/// What libdtrace calls a process when it has news of it.
pub(in crate::worker::libdtrace) type Process = *mut ps_prochandle;

/// The function within which libdtrace tells of processes.
pub(in crate::worker::libdtrace) const PROCESS_EVENTS_FROM: &str = "dtrace_sleep";

/// The number of a process of which there is news, and whether it is gone: it is if there is no message.
/// Which process it is, only libproc could tell.
pub(in crate::worker::libdtrace) fn process_event(_: Process, has_message: bool) -> (i32, bool) {
    (0, !has_message)
}

/// How many places libdtrace's lists by CPU have: one for each CPU that the system may have.
pub(crate) fn places_by_cpu() -> usize {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(0, |last| last + 1)
}

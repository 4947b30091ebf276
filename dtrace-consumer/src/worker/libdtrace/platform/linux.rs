//! What do libdtrace's structures and calls look like on Linux?

use std::ffi::{c_char, c_int, c_void};
use std::ptr;

use dtrace_sys::abi::*;

use super::super::delivered::{Misdelivered, bytes, list, owned, reference, within};
use super::super::handle::Handle;
use super::{Entry, Names};
use crate::data::probe::Probe;
use crate::data::session_info::Platform;

/// The platform's name in the stream.
pub(crate) const PLATFORM: Platform = Platform::Linux;

/// A firing's structure.
pub(in crate::worker::libdtrace) type Firing = dtrace_probedata_t;

/// Whether the text of a format can be read from a record.
pub(in crate::worker::libdtrace) const FORMATS: bool = true;

/// Whether a process that was grabbed is stopped until it is let go, however it was grabbed.
pub(in crate::worker::libdtrace) const GRAB_STOPS: bool = false;

/// The number of the statement that fired, and its records.
///
/// # Safety
/// `d` is what libdtrace passed to the callback that is running.
pub(in crate::worker::libdtrace) unsafe fn records<'a>(
    d: &Firing,
) -> Result<(u32, &'a [dtrace_recdesc_t]), Misdelivered> {
    // SAFETY: descriptions live until the handle is closed, which is at the process's end.
    unsafe {
        let description = reference(d.dtpda_ddesc, "a description of records")?;
        let records = list(description.dtdd_recs.cast_const(), description.dtdd_nrecs, "records")?;
        Ok((d.dtpda_stid, records))
    }
}

/// How many bytes of data the firing has.
///
/// # Safety
/// `d` is what libdtrace passed to the probe callback that is running.
pub(in crate::worker::libdtrace) unsafe fn extent(d: &Firing) -> Result<usize, Misdelivered> {
    // The data begin with their size, which does not count itself.
    let size = d.dtpda_data.cast::<u32>();
    if size.is_null() {
        return Err(Misdelivered::new("data at no address"));
    }
    // SAFETY: every firing's data begin with a header of four such words.
    Ok(size_of::<u32>() + unsafe { size.read_unaligned() } as usize)
}

/// # Safety
/// The names are C strings or null.
pub(in crate::worker::libdtrace) unsafe fn name_of(probe: &dtrace_probedesc_t) -> Probe {
    // SAFETY: as the caller promises.
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

/// The number of a probe.
pub(in crate::worker::libdtrace) fn number_of(probe: &dtrace_probedesc_t) -> u32 {
    probe.id
}

/// What an entry of an aggregation consists of.
///
/// # Safety
/// `a` is what libdtrace passed to the walk's callback that is running.
pub(in crate::worker::libdtrace) unsafe fn entry<'a>(
    a: *const dtrace_aggdata_t,
) -> Result<Entry<'a>, Misdelivered> {
    // SAFETY: as of this function.
    let a = unsafe { reference(a, "an entry of an aggregation")? };
    // SAFETY: description, records and data are valid during the callback, and as long as the
    // description says.
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
    let generation = data.first_chunk().ok_or_else(|| Misdelivered::new("no generation"))?;
    Ok(Entry {
        variable: u64::from(description.dtagd_varid),
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

/// The aggregation that a record of `printa()` names.
pub(in crate::worker::libdtrace) fn variable_of(record: &[u8]) -> Option<u64> {
    record.first_chunk().map(|b| u64::from(u32::from_ne_bytes(*b)))
}

/// The text of a record's compiled format, if it has one.
///
/// # Safety
/// The record is of a printf-like action, and the handle's.
pub(in crate::worker::libdtrace) unsafe fn format_of(
    handle: Handle,
    r: &dtrace_recdesc_t,
) -> Option<String> {
    // More than any script has: the compiler's strings are bounded far below.
    const MOST_BYTES: usize = 1 << 20;
    if r.dtrd_format.is_null() {
        return None;
    }
    let mut buffer = vec![0u8; 256];
    loop {
        // SAFETY: the handle is open, the format is that of a record with a printf-like action, and
        // the buffer is as long as said; like snprintf, the function returns the whole length.
        let whole = unsafe {
            (handle.api.dtrace_printf_format)(
                handle.raw,
                r.dtrd_format,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        };
        if whole < buffer.len() {
            buffer.truncate(buffer.iter().position(|b| *b == 0).unwrap_or(0));
            return Some(String::from_utf8_lossy(&buffer).into_owned());
        }
        if whole > MOST_BYTES {
            return Some(String::new());
        }
        buffer = vec![0; whole + 1];
    }
}

/// Whether libdtrace has compiled a format for the record, with which it can be printed.
pub(in crate::worker::libdtrace) fn format_data(r: &dtrace_recdesc_t) -> Option<*mut c_void> {
    (!r.dtrd_format.is_null()).then_some(r.dtrd_format)
}

/// Turns tracing on.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn go(handle: Handle) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { (handle.api.dtrace_go)(handle.raw, 0) }
}

/// Waits until there may be something to do: here `dtrace_work` does that by itself.
///
/// # Safety
/// None.
pub(in crate::worker::libdtrace) unsafe fn wait(_: Handle) {}

/// The name of the function that [`grab`] calls.
pub(in crate::worker::libdtrace) const GRAB: &str = "dtrace_proc_grab_pid";

/// Grabs a running process; null if that fails, `None` if this library cannot. `hold` is whether it
/// shall stop and be attached to.
///
/// # Safety
/// The handle is open.
pub(in crate::worker::libdtrace) unsafe fn grab(
    handle: Handle,
    pid: pid_t,
    hold: bool,
) -> Option<*mut dtrace_proc_handle_t> {
    let grab = handle.api.dtrace_proc_grab_pid?;
    // SAFETY: as the caller promises.
    Some(unsafe { grab(handle.raw, pid, if hold { 0 } else { DTRACE_PROC_SHORTLIVED }) })
}

/// Creates a process; null if that fails.
///
/// # Safety
/// The handle is open; `words` are C strings, of which there is one, and a null pointer behind them.
pub(in crate::worker::libdtrace) unsafe fn create(
    handle: Handle,
    words: &[*mut c_char],
) -> *mut dtrace_proc_handle_t {
    // SAFETY: as the caller promises.
    unsafe { (handle.api.dtrace_proc_create)(handle.raw, words[0], words.as_ptr(), 0) }
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
    // SAFETY: as the caller promises; the structures are for the call to fill.
    unsafe { (handle.api.dtrace_lookup_by_addr)(handle.raw, address, symbol, info) }
}

/// Names that are yet to be filled in.
pub(in crate::worker::libdtrace) fn no_symbol() -> dtrace_syminfo_t {
    dtrace_syminfo_t { object: ptr::null(), name: ptr::null(), id: 0 }
}

/// A type that is yet to be filled in.
pub(in crate::worker::libdtrace) fn no_type() -> dtrace_typeinfo_t {
    dtrace_typeinfo_t { dtt_object: ptr::null(), dtt_ctfp: ptr::null_mut(), dtt_type: 0 }
}

/// Module and name of a symbol.
pub(in crate::worker::libdtrace) fn names(info: &dtrace_syminfo_t) -> Names {
    Names { module: info.object, name: info.name }
}

/// A description whose parts match anything. Null parts would crash the library.
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
        return Err(Misdelivered::new("a probe description without all of its parts"));
    }
    Ok(())
}

/// Frees what `dtrace_str2desc` has allocated.
///
/// # Safety
/// The description was filled by it, and is not used any more.
pub(in crate::worker::libdtrace) unsafe fn free(description: &dtrace_probedesc_t) {
    let dtrace_probedesc_t { prv, r#mod, fun, prb, .. } = *description;
    for part in [prv, r#mod, fun, prb] {
        // SAFETY: dtrace_str2desc allocates the parts with malloc for its caller to free.
        unsafe { libc::free(part.cast_mut().cast::<c_void>()) };
    }
}

/// What libdtrace calls a process when it has news of it: its number, negative if it is gone.
pub(in crate::worker::libdtrace) type Process = pid_t;

/// The function within which libdtrace tells of processes.
pub(in crate::worker::libdtrace) const PROCESS_EVENTS_FROM: &str = "dtrace_work";

/// The number of a process of which there is news, and whether it is gone.
pub(in crate::worker::libdtrace) fn process_event(process: Process, _: bool) -> (i32, bool) {
    (process.wrapping_abs(), process < 0)
}

/// How many places libdtrace's lists by CPU have: one for each CPU that the system may have.
pub(crate) fn places_by_cpu() -> usize {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(0, |last| last + 1)
}

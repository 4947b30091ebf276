//! How are the structures of FreeBSD, macOS and illumos built?

use std::collections::HashMap;
use std::ffi::c_char;
use std::ptr;
use std::sync::Mutex;

use dtrace_sys::abi::*;

use super::programs::{Maker, calls, is_printf_like, maker_of};
use super::{bytes, crooked, keep, list, text};
use crate::plan::{Entry, EntryOddity, Firing, Oddity, Record, StatementOddity};

/// Size of the header in front of the records in a firing's data: the enabled probe's number, and padding.
const HEADER: u32 = 8;

/// Where an entry's keys begin: behind the number of its variable.
const KEYS_AT: u32 = 4;

/// The descriptions of enabled probes, by number. Each one always has the same description.
static CLAUSES: Mutex<Option<HashMap<u32, usize>>> = Mutex::new(None);

/// The formats, numbered from 1.
static FORMATS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Returns the number of another format with this text.
fn new_format(format: &str) -> u16 {
    let mut formats = FORMATS.lock().expect("nobody panics");
    formats.push(text(format).expose_provenance());
    u16::try_from(formats.len()).expect("few formats")
}

/// Makes the records of a clause or of an aggregation's keys, which start at `start`. Those that one call makes have the
/// same format, but each under a number of its own, and at an address of its own in the kernel.
fn records(maker: Maker, records: &[Record], start: u32) -> Vec<dtrace_recdesc_t> {
    let mut made = Vec::new();
    for call in calls(records) {
        let format = records[call.start].format.as_deref();
        for (index, r) in call.clone().zip(&records[call]) {
            let number = match r.statement {
                Some(StatementOddity::NoNumber) => 0,
                _ => format.map_or(0, new_format),
            };
            // The number of the variable is before the keys of an aggregation.
            let place = if matches!(maker, Maker::Aggregation(_)) { index + 1 } else { index };
            let maker = maker_of(maker, place);
            made.push(dtrace_recdesc_t {
                dtrd_action: r.action,
                dtrd_size: r.size,
                dtrd_offset: r.offset.saturating_add(start),
                dtrd_alignment: if r.alignment == 1 { natural(r.size) } else { r.alignment },
                dtrd_format: number,
                dtrd_arg: match is_printf_like(r.action) {
                    true if number == 0 => 0,
                    true => 0xffff_f800_0000_0000 + 32 * u64::from(number),
                    false => r.argument,
                },
                dtrd_uarg: match r.statement {
                    Some(StatementOddity::Unnamed) => 0,
                    Some(StatementOddity::Beside(distance)) => maker.wrapping_add_signed(distance),
                    Some(StatementOddity::Elsewhere(address)) => address,
                    _ => maker,
                },
            });
        }
    }
    made
}

/// Returns the alignment that the kernel gives to a record, whatever it holds.
fn natural(size: u32) -> u16 {
    [8, 4, 2].into_iter().find(|alignment| size.is_multiple_of(u32::from(*alignment))).unwrap_or(1)
}

/// Returns whether the library performs the action of a record without passing the record on.
pub(crate) fn is_for_library(r: &dtrace_recdesc_t) -> bool {
    r.dtrd_action == DTRACEACT_LIBACT
        || (r.dtrd_action == DTRACEACT_TRACEMEM_DYNSIZE && r.dtrd_size == 8)
}

/// Makes a structure that ends in a list of records, allocated to the exact byte. Its C type declares one.
fn with_records<T>(head: T, at: usize, records: &[dtrace_recdesc_t]) -> *mut T {
    let size = at + size_of_val(records);
    let layout = std::alloc::Layout::from_size_align(size, 8).expect("a small layout");
    // SAFETY: the size is not 0. The head is copied up to the start of its records, and they follow it.
    unsafe {
        let start = std::alloc::alloc_zeroed(layout);
        start.copy_from((&raw const head).cast(), at);
        start.add(at).copy_from(records.as_ptr().cast(), size_of_val(records));
        start.cast()
    }
}

fn description(firing: &Firing, number: i32, size: u32) -> *mut dtrace_eprobedesc_t {
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut head: dtrace_eprobedesc_t = unsafe { std::mem::zeroed() };
    head.dtepd_epid = firing.statement;
    head.dtepd_nrecs = number;
    head.dtepd_size = size;
    let records = records(Maker::Clause(firing.statement), &firing.records, HEADER);
    with_records(head, std::mem::offset_of!(dtrace_eprobedesc_t, dtepd_rec), &records)
}

fn clause(firing: &Firing) -> *mut dtrace_eprobedesc_t {
    let number = i32::try_from(firing.records.len()).expect("few records");
    let size = HEADER + u32::try_from(firing.data.len()).expect("few data");
    match firing.oddity {
        Some(Oddity::NoDescription) => ptr::null_mut(),
        Some(Oddity::CrookedDescription) => crooked(description(firing, number, size)),
        Some(Oddity::Count(number)) => description(firing, number, size),
        Some(Oddity::Size(size)) => description(firing, number, size),
        _ => {
            let mut clauses = CLAUSES.lock().expect("nobody panics");
            let known = clauses.get_or_insert_default().entry(firing.statement);
            let made = || description(firing, number, size).expose_provenance();
            let known: *mut dtrace_eprobedesc_t =
                ptr::with_exposed_provenance_mut(*known.or_insert_with(made));
            // Keeps the claimed size equal to the delivered data, even if a clause changes.
            // SAFETY: it was made above and is never freed.
            unsafe { (*known).dtepd_size = size };
            known
        }
    }
}

fn fill(array: &mut [c_char], text: &str) {
    for (place, byte) in array.iter_mut().zip(text.bytes()) {
        *place = byte.cast_signed();
    }
}

/// Makes a probe, with names if they are wanted.
pub(crate) fn probe(id: u32, named: bool) -> *mut dtrace_probedesc_t {
    // SAFETY: a structure of integers, for which zeros are valid.
    let mut probe: dtrace_probedesc_t = unsafe { std::mem::zeroed() };
    probe.dtpd_id = id;
    if named {
        fill(&mut probe.dtpd_provider, "stand");
        fill(&mut probe.dtpd_mod, "in");
        // Fills the whole array, without a NUL.
        probe.dtpd_func.fill(b'f'.cast_signed());
        fill(&mut probe.dtpd_name, "probe");
    }
    keep(probe)
}

/// Fills in the result of `dtrace_str2desc`.
///
/// # Safety
/// `into` may be written to.
pub(crate) unsafe fn fill_description(into: *mut dtrace_probedesc_t, parts: bool) {
    // SAFETY: the probe was just made; the rest is as the caller promises.
    unsafe { *into = *probe(0, parts) };
}

/// The length of a firing in every version of the library, and of an entry: what FreeBSD's have had at their ends
/// since 2024 is missing.
pub(crate) const FIRING: usize = 64;
pub(crate) const ENTRY: usize = 80;

/// Makes a firing as the probe callback receives it, and its records.
pub(crate) fn firing(firing: &Firing) -> (dtrace_probedata_t, *mut dtrace_recdesc_t) {
    let clause = clause(firing);
    let mut data = vec![0; HEADER as usize];
    data[..4].copy_from_slice(&firing.statement.to_ne_bytes());
    data.extend_from_slice(&firing.data);
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut delivered: dtrace_probedata_t = unsafe { std::mem::zeroed() };
    delivered.dtpda_edesc = clause;
    if firing.oddity != Some(Oddity::NoProbe) {
        delivered.dtpda_pdesc = probe(1, firing.oddity != Some(Oddity::NoNames));
    }
    if let Some(prefix) = &firing.prefix {
        delivered.dtpda_prefix = text(prefix);
    }
    if firing.oddity != Some(Oddity::NoData) {
        delivered.dtpda_data = bytes(&data);
    }
    // SAFETY: a pointer that is neither null nor misaligned was made above; only the address is computed.
    let records = unsafe { (&raw mut (*clause.cast::<dtrace_eprobedesc_t>()).dtepd_rec).cast() };
    (delivered, records)
}

/// Returns the text of a record's format.
pub(crate) fn format(r: &dtrace_recdesc_t) -> *const c_char {
    let formats = FORMATS.lock().expect("nobody panics");
    let index = usize::from(r.dtrd_format).checked_sub(1);
    let address = index.and_then(|index| formats.get(index)).copied().unwrap_or(0);
    ptr::with_exposed_provenance(address)
}

/// Makes an entry as a walk's callback receives it, with values by CPU if there is a number of CPUs. So many of their
/// places are missing.
pub(crate) fn entry(entry: &Entry, cpus: Option<u32>, missing: u32) -> dtrace_aggdata_t {
    let odd = |oddity| entry.oddity == Some(oddity);
    let plain = |action, offset, size| dtrace_recdesc_t {
        dtrd_action: action,
        dtrd_size: size,
        dtrd_offset: offset,
        dtrd_alignment: 4,
        dtrd_format: 0,
        dtrd_arg: 0,
        dtrd_uarg: 0,
    };
    let value = entry.whole_value(0);
    let function = match entry.oddity {
        Some(EntryOddity::Function(number)) => number,
        _ => value.function,
    };
    let ((variable, name), key) = (entry.aggregation(), entry.whole_key());
    let value_offset =
        (KEYS_AT + u32::try_from(key.data.len()).expect("a short key")).next_multiple_of(8);
    let value_at = if odd(EntryOddity::ValueOutside) { u32::MAX } else { value_offset };
    let value_size = u32::try_from(value.bytes.len()).expect("a short value");
    let maker = Maker::Aggregation(variable);
    let statement = maker_of(maker, 0);
    let mut made =
        vec![dtrace_recdesc_t { dtrd_uarg: statement, ..plain(DTRACEACT_DIFEXPR, 0, 4) }];
    made.extend(records(maker, &key.records, KEYS_AT));
    made.push(dtrace_recdesc_t { dtrd_uarg: statement, ..plain(function, value_at, value_size) });
    // SAFETY: structures of integers and pointers, for which zeros are valid.
    let (mut head, mut delivered): (dtrace_aggdesc_t, dtrace_aggdata_t) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    head.dtagd_name = if odd(EntryOddity::NoName) { ptr::null_mut() } else { text(name) };
    head.dtagd_varid = variable.into();
    head.dtagd_size = value_offset + value_size;
    head.dtagd_nrecs = match entry.oddity {
        Some(EntryOddity::Keys(number)) => number,
        _ => i32::try_from(made.len()).expect("few records"),
    };
    let mut data = [&variable.to_ne_bytes()[..], &key.data].concat();
    data.resize(value_offset as usize, 0);
    data.extend_from_slice(&value.bytes);
    if !odd(EntryOddity::NoDescription) {
        let at = std::mem::offset_of!(dtrace_aggdesc_t, dtagd_rec);
        delivered.dtada_desc = with_records(head, at, &made);
    }
    if !odd(EntryOddity::NoValue) && !odd(EntryOddity::NoKeys) {
        delivered.dtada_data = bytes(&data);
    }
    delivered.dtada_size = data.len();
    delivered.dtada_normal = 1;
    if cpus.is_some() {
        // SAFETY: the call has no preconditions.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        let on = |cpu: i64| bytes(&entry.whole_value(cpu.cast_unsigned()).bytes);
        delivered.dtada_percpu = list((0..cpus - i64::from(missing)).map(on).collect());
    }
    delivered
}

/// Makes a fault as the handler receives it.
pub(crate) fn fault(with_probe: bool) -> dtrace_errdata_t {
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut fault: dtrace_errdata_t = unsafe { std::mem::zeroed() };
    if with_probe {
        fault.dteda_pdesc = probe(1, true);
    }
    fault.dteda_fault = DTRACEFLT_BADADDR;
    fault.dteda_addr = 16;
    fault.dteda_msg = text("invalid address (0x10)\n");
    fault
}

/// Makes the names of a symbol.
pub(crate) fn symbol(named: bool) -> dtrace_syminfo_t {
    let name = |name| if named { text(name).cast_const() } else { ptr::null() };
    dtrace_syminfo_t { dts_object: name("kernel"), dts_name: name("stand_in"), dts_id: 1 }
}

//! How are Linux's structures built?

use std::collections::HashMap;
use std::ffi::{c_char, c_void};
use std::ptr;
use std::sync::Mutex;

use dtrace_sys::abi::*;

use super::{bytes, crooked, keep, list, statement, text};
use crate::plan::{Entry, EntryOddity, Firing, Oddity, Plan, Record};

/// Size of the header in front of the records in a firing's data: size, speculation, probe, statement.
const HEADER: u32 = 16;

/// Where an entry's keys begin: behind the number of its variable.
const KEYS_AT: u32 = 4;

/// The descriptions of clauses, by statement. Each clause always has the same one.
static CLAUSES: Mutex<Option<HashMap<u32, usize>>> = Mutex::new(None);

fn record(r: &Record) -> dtrace_recdesc_t {
    dtrace_recdesc_t {
        dtrd_action: r.action,
        dtrd_size: r.size,
        dtrd_offset: r.offset.saturating_add(HEADER),
        dtrd_alignment: r.alignment,
        dtrd_format: r.format.as_ref().map_or(ptr::null_mut(), |f| text(f).cast::<c_void>()),
        dtrd_arg: r.argument,
    }
}

fn records(records: &[Record]) -> *mut dtrace_recdesc_t {
    list(records.iter().map(record).collect())
}

fn description(records: *mut dtrace_recdesc_t, number: i32) -> *mut dtrace_datadesc_t {
    keep(dtrace_datadesc_t {
        dtdd_uarg: 0,
        dtdd_size: 0,
        dtdd_nrecs: number,
        dtdd_recs: records,
        dtdd_refcnt: 1,
    })
}

fn clause(firing: &Firing) -> *mut dtrace_datadesc_t {
    let number = i32::try_from(firing.records.len()).expect("few records");
    match firing.oddity {
        Some(Oddity::NoDescription) => ptr::null_mut(),
        Some(Oddity::CrookedDescription) => crooked(description(records(&firing.records), number)),
        Some(Oddity::NoRecords) => description(ptr::null_mut(), number.max(1)),
        Some(Oddity::CrookedRecords) => description(crooked(records(&firing.records)), number),
        Some(Oddity::Count(number)) => description(records(&firing.records), number),
        _ => {
            let mut clauses = CLAUSES.lock().expect("nobody panics");
            let known = clauses.get_or_insert_default().entry(firing.statement);
            let made = || description(records(&firing.records), number).expose_provenance();
            ptr::with_exposed_provenance_mut(*known.or_insert_with(made))
        }
    }
}

/// Makes the start of a clause, which is all that callers may know.
pub(crate) fn new_clause() -> *mut dtrace_ecbdesc_t {
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut clause: dtrace_ecbdesc_t = unsafe { std::mem::zeroed() };
    // SAFETY: the probe was just made.
    clause.dted_probe = unsafe { *probe(0, true) };
    keep(clause)
}

/// Makes the statements of a program: one, because nothing refers to statements.
pub(crate) fn statements(_: &Plan) -> Vec<*mut dtrace_stmtdesc_t> {
    vec![statement(new_clause())]
}

/// Returns whether the library performs the action of a record without passing the record on.
pub(crate) fn is_for_library(_: &dtrace_recdesc_t) -> bool {
    false
}

/// Makes a probe, with names if they are wanted.
pub(crate) fn probe(id: u32, named: bool) -> *mut dtrace_probedesc_t {
    let part = |part: &str| if named { text(part).cast_const() } else { ptr::null() };
    keep(dtrace_probedesc_t {
        id,
        prv: part("stand"),
        r#mod: part("in"),
        fun: part(""),
        prb: part("probe"),
    })
}

/// Fills in the result of `dtrace_str2desc`, which the caller frees.
///
/// # Safety
/// `into` may be written to.
pub(crate) unsafe fn fill_description(into: *mut dtrace_probedesc_t, parts: bool) {
    // SAFETY: strdup copies a C string with malloc; the rest is as the caller promises.
    unsafe {
        let part = |part: &std::ffi::CStr| {
            if parts { libc::strdup(part.as_ptr()) } else { ptr::null_mut() }
        };
        *into = dtrace_probedesc_t {
            id: 0,
            prv: part(c"stand"),
            r#mod: part(c""),
            fun: part(c""),
            prb: part(c""),
        };
    }
}

/// The length of a firing in every version of the library, and of an entry.
pub(crate) const FIRING: usize = size_of::<dtrace_probedata_t>();
pub(crate) const ENTRY: usize = size_of::<dtrace_aggdata_t>();

/// Makes a firing as the probe callback receives it, and its records.
pub(crate) fn firing(firing: &Firing) -> (dtrace_probedata_t, *mut dtrace_recdesc_t) {
    let clause = clause(firing);
    let whole = HEADER as usize + firing.data.len();
    let mut size = u32::try_from(whole - 4).expect("few data");
    if let Some(Oddity::Size(claimed)) = firing.oddity {
        size = claimed;
    }
    let mut data = Vec::with_capacity(whole);
    for word in [size, 0, 1, firing.statement] {
        data.extend_from_slice(&word.to_ne_bytes());
    }
    data.extend_from_slice(&firing.data);
    let delivered = dtrace_probedata_t {
        dtpda_handle: ptr::null_mut(),
        dtpda_stid: firing.statement,
        dtpda_ddesc: clause,
        dtpda_pdesc: match firing.oddity {
            Some(Oddity::NoProbe) => ptr::null_mut(),
            oddity => probe(1, oddity != Some(Oddity::NoNames)),
        },
        dtpda_cpu: 0,
        dtpda_data: match firing.oddity {
            Some(Oddity::NoData) => ptr::null_mut(),
            _ => bytes(&data),
        },
        dtpda_flow: 0,
        dtpda_prefix: firing.prefix.as_ref().map_or(ptr::null(), |prefix| text(prefix)),
        dtpda_indent: 0,
    };
    let records = if clause.is_null() || !clause.is_aligned() {
        records(&firing.records)
    } else {
        // SAFETY: a pointer that is neither null nor misaligned was made above.
        unsafe { (*clause).dtdd_recs }
    };
    (delivered, records)
}

/// Returns the text of a record's format.
pub(crate) fn format(r: &dtrace_recdesc_t) -> *const c_char {
    r.dtrd_format.cast_const().cast()
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
        dtrd_format: ptr::null_mut(),
        dtrd_arg: 0,
    };
    let value = entry.whole_value(0);
    let function = match entry.oddity {
        Some(EntryOddity::Function(number)) => number,
        _ => value.function,
    };
    let value_at = if odd(EntryOddity::ValueOutside) { u32::MAX } else { 8 };
    let value_size = u32::try_from(value.bytes.len()).expect("a short value");
    let ((variable, name), key) = (entry.aggregation(), entry.whole_key());
    let key_records = key.records.iter().map(|r| {
        let r = record(r);
        dtrace_recdesc_t { dtrd_offset: r.dtrd_offset - HEADER + KEYS_AT, ..r }
    });
    let key_records = [plain(DTRACEACT_DIFEXPR, 0, 4)].into_iter().chain(key_records);
    let key_size = KEYS_AT + u32::try_from(key.data.len()).expect("a short key");
    let description = dtrace_aggdesc_t {
        dtagd_name: if odd(EntryOddity::NoName) { ptr::null_mut() } else { text(name) },
        dtagd_varid: variable,
        dtagd_flags: 0,
        dtagd_sig: value.signature,
        dtagd_normal: 1,
        dtagd_ksize: key_size,
        dtagd_dsize: 8 + value_size,
        dtagd_nkrecs: match entry.oddity {
            Some(EntryOddity::Keys(number)) => number.cast_unsigned(),
            _ => 1 + u32::try_from(key.records.len()).expect("few keys"),
        },
        dtagd_keyidx: 0,
        dtagd_krecs: list(key_records.collect()),
        dtagd_drecs: list(vec![
            plain(DTRACEACT_DIFEXPR, 0, 8),
            plain(function, value_at, value_size),
        ]),
    };
    let keys = [&variable.to_ne_bytes()[..], &vec![0; KEYS_AT as usize - 4], &key.data].concat();
    // The library does not fill in the generation in front of a CPU's value.
    let with_generation = |generation: u64, value: Vec<u8>| {
        bytes(&[generation.to_ne_bytes().to_vec(), value].concat())
    };
    let on = |cpu| with_generation(u64::MAX, entry.whole_value(cpu).bytes);
    dtrace_aggdata_t {
        dtada_hdl: ptr::null_mut(),
        dtada_desc: match odd(EntryOddity::NoDescription) {
            true => ptr::null_mut(),
            false => keep(description),
        },
        dtada_key: if odd(EntryOddity::NoKeys) { ptr::null_mut() } else { bytes(&keys) },
        dtada_data: match odd(EntryOddity::NoValue) {
            true => ptr::null_mut(),
            false => with_generation(0, value.bytes),
        },
        dtada_percpu: match cpus {
            Some(cpus) => list((0..u64::from(cpus - missing)).map(on).collect()),
            None => ptr::null_mut(),
        },
    }
}

/// Makes a fault as the handler receives it.
pub(crate) fn fault(with_probe: bool) -> dtrace_errdata_t {
    dtrace_errdata_t {
        dteda_handle: ptr::null_mut(),
        dteda_ddesc: ptr::null_mut(),
        dteda_pdesc: if with_probe { probe(1, true) } else { ptr::null_mut() },
        dteda_cpu: 0,
        dteda_action: 1,
        dteda_offset: 2,
        dteda_fault: DTRACEFLT_BADADDR,
        dteda_addr: 16,
        dteda_msg: text("invalid address (0x10)"),
    }
}

/// Makes the names of a symbol.
pub(crate) fn symbol(named: bool) -> dtrace_syminfo_t {
    let name = |name| if named { text(name).cast_const() } else { ptr::null() };
    dtrace_syminfo_t { object: name("vmlinux"), name: name("stand_in"), id: 1 }
}

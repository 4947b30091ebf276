//! Which aggregations does a script clear, and what does libdtrace lose by that?
//!
//! On FreeBSD, macOS and illumos libdtrace does not report that it has cleared an aggregation; the firing with that action
//! tells. Clearing an llquantize() also sets its parameters to zero, which libdtrace needs later to sort and print it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use dtrace_sys::abi::*;

use super::super::handle::{CallFailure, Handle};
use super::{Statements, variable_of};

/// How often each aggregation was cleared.
#[derive(Debug)]
pub(in crate::worker::libdtrace) struct Clears {
    /// The argument of the action that clears one, if a program may have that action.
    action: Option<u64>,
    times: RefCell<HashMap<u64, u64>>,
}

impl Clears {
    /// Examines statements.
    pub(in crate::worker::libdtrace) fn of(
        handle: Handle,
        statements: &Statements,
    ) -> Result<Clears, CallFailure> {
        // All actions on aggregations that libdtrace performs itself are of one kind. Their arguments tell them apart, and
        // are not the same in all versions.
        let action = match statements.argument_for_library() {
            Some(_) => number_of_clear(handle)?,
            None => None,
        };
        Ok(Clears { action, times: RefCell::default() })
    }

    /// Notes what a firing with these records clears. libdtrace has not yet done it.
    pub(in crate::worker::libdtrace) fn note(
        &self,
        handle: Handle,
        cpus: Option<usize>,
        (records, data): (&[dtrace_recdesc_t], &[u8]),
    ) {
        let Some(clear) = self.action else { return };
        let is_for_library = |r: &&dtrace_recdesc_t| r.dtrd_action == DTRACEACT_LIBACT;
        let for_library = records.iter().filter(is_for_library);
        if for_library.clone().next().is_some() {
            // It may sort the entries.
            self.restore(handle, cpus);
        }
        let cleared = for_library
            .filter(|r| r.dtrd_arg == clear)
            .filter_map(|r| variable_of(data.get(r.dtrd_offset as usize..)?));
        for variable in cleared {
            *self.times.borrow_mut().entry(variable).or_default() += 1;
        }
    }

    /// Returns how often an aggregation was cleared.
    pub(in crate::worker::libdtrace) fn times(&self, variable: u64) -> u64 {
        self.times.borrow().get(&variable).copied().unwrap_or(0)
    }

    /// Gives cleared distributions their parameters back. Without them libdtrace reads beyond the end of such an entry
    /// when it sorts by value. `cpus` is the length of libdtrace's lists by CPU, if it is known.
    pub(in crate::worker::libdtrace) fn restore(&self, handle: Handle, cpus: Option<usize>) {
        if self.action.is_some() {
            let mut cpus = cpus.unwrap_or(0);
            let arg = (&raw mut cpus).cast();
            // SAFETY: the handle is open and tracing. The callback's argument is the number, which outlives the call.
            unsafe {
                (handle.api.dtrace_aggregate_walk)(handle.raw, Some(restore_one), arg);
            }
        }
    }
}

/// Gives an entry its parameters back.
unsafe extern "C" fn restore_one(a: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int {
    // SAFETY: libdtrace passes an entry that is valid for the duration of the call, and `restore` the length of its list
    // by CPU, if there is one.
    unsafe {
        if let (Some(parameters), Some(cpus)) = (parameters_of(a), arg.cast::<usize>().as_ref()) {
            let Parameters { value, offset, percpu } = parameters;
            set_if_zero((*a).dtada_data.wrapping_add(offset), value);
            for cpu in 0..if percpu.is_null() { 0 } else { *cpus } {
                set_if_zero(*percpu.add(cpu), value);
            }
        }
    }
    DTRACE_AGGWALK_NEXT
}

/// The parameters of a distribution.
struct Parameters {
    value: u64,
    /// Where they are in the entry's data, in bytes.
    offset: usize,
    /// The values by CPU, which begin with them, or null.
    percpu: *const caddr_t,
}

/// Returns the parameters that an entry must have, if it is one of llquantize().
///
/// # Safety
/// `a` is null, or an entry of the walk that is running.
unsafe fn parameters_of(a: *const dtrace_aggdata_t) -> Option<Parameters> {
    // SAFETY: an entry has a description with as many records as that counts.
    let (record, size, percpu) = unsafe {
        if a.is_null() || (*a).dtada_desc.is_null() || (*a).dtada_data.is_null() {
            return None;
        }
        let description = (*a).dtada_desc;
        let last = usize::try_from((*description).dtagd_nrecs).ok()?.checked_sub(1)?;
        let first = (&raw const (*description).dtagd_rec).cast::<dtrace_recdesc_t>();
        (first.add(last).read(), (*a).dtada_size, (*a).dtada_percpu)
    };
    let offset = record.dtrd_offset as usize;
    let is_inside = size.checked_sub(offset).is_some_and(|left| left >= size_of::<u64>());
    let is_one = record.dtrd_action == DTRACEAGG_LLQUANTIZE && is_inside;
    is_one.then_some(Parameters { value: record.dtrd_arg, offset, percpu })
}

/// Sets a word if it is zero.
///
/// # Safety
/// `at` is null, or there are eight bytes of libdtrace's own data.
unsafe fn set_if_zero(at: caddr_t, value: u64) {
    let at = at.cast::<u64>();
    // SAFETY: the caller guarantees it; see `# Safety`.
    unsafe {
        if !at.is_null() && at.read_unaligned() == 0 {
            at.write_unaligned(value);
        }
    }
}

/// Returns the argument of the action that clears an aggregation. A program is compiled for it, which is never enabled.
fn number_of_clear(handle: Handle) -> Result<Option<u64>, CallFailure> {
    const CLEARS: &CStr = c"dtrace:::BEGIN { @__cleared = count(); clear(@__cleared); }";
    // SAFETY: the handle is open, the text is a C string, and there are no arguments.
    let program = unsafe {
        (handle.api.dtrace_program_strcompile)(
            handle.raw,
            CLEARS.as_ptr(),
            DTRACE_PROBESPEC_NAME,
            0,
            0,
            ptr::null(),
        )
    };
    if program.is_null() {
        return Err(handle.failure("dtrace_program_strcompile"));
    }
    Ok(Statements::of(handle, &[program])?.argument_for_library())
}

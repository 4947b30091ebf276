//! Enables compiled programs and describes them.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dtrace_sys::abi::*;

use super::delivered::{Misdelivered, reference};
use super::handle::{CallFailure, Handle};
use super::platform;
use super::probes::{attributes, details, ends_iteration};
use crate::data::listing::ListedProbe;
use crate::data::session_info::ProgramInfo;

/// Enables a program. Returns the library's information about it, with its clauses.
pub(super) fn enable(
    handle: Handle,
    program: *mut dtrace_prog_t,
    clauses: Vec<ListedProbe>,
) -> Result<ProgramInfo, CallFailure> {
    let mut info = dtrace_proginfo_t::default();
    // SAFETY: the program belongs to this handle, and `info` is valid for the call.
    let result = unsafe { (handle.api.dtrace_program_exec)(handle.raw, program, &raw mut info) };
    handle.check("dtrace_program_exec", result)?;
    Ok(filled(&info, clauses))
}

/// Returns the library's information about a program.
pub(super) fn program_info(
    handle: Handle,
    program: *mut dtrace_prog_t,
    describe: bool,
) -> Result<ProgramInfo, CallFailure> {
    let mut info = dtrace_proginfo_t::default();
    let mut clauses =
        Clauses { handle, describe, last: ptr::null(), found: Vec::new(), refused: None };
    // SAFETY: the program belongs to the handle. The first call only writes to `info`. The callback's
    // argument is the list, which outlives the call.
    let result = unsafe {
        (handle.api.dtrace_program_info)(handle.raw, program, &raw mut info);
        let list = (&raw mut clauses).cast::<c_void>();
        (handle.api.dtrace_stmt_iter)(handle.raw, program, Some(statement), list)
    };
    if let Some(what) = clauses.refused {
        return Err(CallFailure::misdelivered("dtrace_stmt_iter", &what));
    }
    handle.check("dtrace_stmt_iter", result)?;
    Ok(filled(&info, clauses.found))
}

/// The state of an iteration over statements.
struct Clauses {
    handle: Handle,
    describe: bool,
    /// The description of the previous statement. The actions of a clause share theirs.
    last: *const dtrace_ecbdesc_t,
    found: Vec<ListedProbe>,
    refused: Option<Misdelivered>,
}

fn filled(info: &dtrace_proginfo_t, clauses: Vec<ListedProbe>) -> ProgramInfo {
    ProgramInfo {
        matches: info.dpi_matches,
        record_generators: info.dpi_recgens,
        description_stability: attributes(info.dpi_descattr),
        statement_stability: attributes(info.dpi_stmtattr),
        clauses,
    }
}

unsafe extern "C" fn statement(
    _handle: *mut dtrace_hdl_t,
    _program: *mut dtrace_prog_t,
    statement: *mut dtrace_stmtdesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `program_info` passes a pointer to its list, which nobody else uses during the call.
    let Some(clauses) = (unsafe { arg.cast::<Clauses>().as_mut() }) else { return 1 };
    let added = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the statement and its description are valid during the call.
        let clause = unsafe {
            let statement = reference(statement.cast_const(), "a statement")?;
            reference(statement.dtsd_ecbdesc.cast_const(), "a clause")?
        };
        if !ptr::eq(clauses.last, clause) {
            clauses.last = clause;
            let description = &clause.dted_probe;
            // SAFETY: the names in the description are C strings.
            let probe = unsafe { platform::name_of(description) };
            let wanted = clauses.describe;
            let details =
                wanted.then(|| details(clauses.handle, description)).transpose()?.flatten();
            clauses.found.push(ListedProbe { probe, details });
        }
        Ok(())
    }));
    ends_iteration(added, &mut clauses.refused)
}

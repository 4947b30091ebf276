//! What do the statements of programs tell of the records that they make?
//!
//! On FreeBSD, macOS and illumos a record says neither whether it is a string, nor what its format is. It has the address
//! of its statement, which the program still has. The address has been in the kernel, so it is followed only if it is
//! that of a statement.

use std::collections::HashSet;
use std::ffi::{c_int, c_void};

use dtrace_sys::abi::*;

use super::super::handle::{CallFailure, Handle};
use crate::data::record::Action;
use crate::records::layout::{
    STACK_WITHOUT_HEADER, TRACE_BY_REFERENCE, TRACE_SIGN_UNKNOWN, TRACEMEM_SIZE,
    TRACEMEM_SIZE_BEFORE,
};

/// The addresses of the statements of all programs. They are never freed.
#[derive(Debug)]
pub(in crate::worker::libdtrace) struct Statements(HashSet<u64>);

impl Statements {
    /// Examines programs.
    pub(in crate::worker::libdtrace) fn of(
        handle: Handle,
        programs: &[*mut dtrace_prog_t],
    ) -> Result<Statements, CallFailure> {
        let mut statements = Statements(HashSet::new());
        for program in programs {
            let found = (&raw mut statements).cast::<c_void>();
            // SAFETY: the program belongs to the handle. The callback's argument is the set, which outlives the call.
            let result =
                unsafe { (handle.api.dtrace_stmt_iter)(handle.raw, *program, Some(add), found) };
            handle.check("dtrace_stmt_iter", result)?;
        }
        Ok(statements)
    }

    /// Returns the statement that made a record, if it is known.
    fn of_record(&self, r: &dtrace_recdesc_t) -> Option<dtrace_stmtdesc_t> {
        self.0.get(&r.dtrd_uarg).and_then(statement_at)
    }

    /// Returns the type of the value in a record, if it is known.
    fn type_of(&self, records: &[dtrace_recdesc_t], index: usize) -> Option<dtrace_diftype_t> {
        let r = &records[index];
        let statement = self.of_record(r)?;
        // A statement makes its records in the order of its actions, one for each.
        let earlier = records[..index].iter().filter(|it| it.dtrd_uarg == r.dtrd_uarg).count();
        let dtrace_actdesc_t { dtad_kind, dtad_difo, .. } = actions(&statement).nth(earlier)?;
        if dtad_kind != r.dtrd_action {
            return None;
        }
        // SAFETY: the code lives as long as its action.
        Some(unsafe { read(dtad_difo)? }.dtdo_rtype)
    }

    /// Returns the argument of an action that libdtrace performs itself, if a statement has one.
    pub(super) fn argument_for_library(&self) -> Option<u64> {
        // Nobody writes so many. The list of them might never end.
        const MOST_ACTIONS: usize = 1 << 16;
        let for_library = |statement: dtrace_stmtdesc_t| {
            let mut actions = actions(&statement).take(MOST_ACTIONS);
            actions.find(|action| action.dtad_kind == DTRACEACT_LIBACT)
        };
        let found = self.0.iter().filter_map(statement_at).find_map(for_library);
        found.map(|action| action.dtad_arg)
    }

    /// Returns the alignment of a record, in bytes, and the argument of its action. The alignment of strings is 1, and
    /// that of other records with several bytes is more.
    pub(in crate::worker::libdtrace) fn nature(
        &self,
        records: &[dtrace_recdesc_t],
        index: usize,
    ) -> (u16, u64) {
        let r = &records[index];
        match r.dtrd_action {
            DTRACEACT_DIFEXPR | DTRACEACT_PRINTF => {}
            DTRACEACT_STACK | DTRACEACT_USTACK | DTRACEACT_JSTACK => {
                return (r.dtrd_alignment, r.dtrd_arg | STACK_WITHOUT_HEADER);
            }
            // This is where the kernel has the format.
            DTRACEACT_PRINTA | DTRACEACT_SYSTEM | DTRACEACT_FREOPEN => {
                return (r.dtrd_alignment, 0);
            }
            DTRACEACT_TRACEMEM_DYNSIZE => return (r.dtrd_alignment, TRACEMEM_SIZE),
            DTRACEACT_TRACEMEM
                if follows(records, index, |it| it.dtrd_action == DTRACEACT_TRACEMEM_DYNSIZE) =>
            {
                return (r.dtrd_alignment, TRACEMEM_SIZE_BEFORE);
            }
            _ => return (r.dtrd_alignment, r.dtrd_arg),
        }
        let kind = self.type_of(records, index);
        let is_string = kind.is_some_and(|it| it.dtdt_kind == DIF_TYPE_STRING);
        let by_reference = kind.is_some_and(|it| it.dtdt_flags & DIF_TF_BYREF != 0);
        match (is_string, by_reference) {
            (true, _) => (1, 0),
            (false, true) => (r.dtrd_alignment.max(2), TRACE_BY_REFERENCE),
            (false, false) if r.dtrd_size == 1 => (1, TRACE_SIGN_UNKNOWN),
            (false, false) => (r.dtrd_alignment.max(2), TRACE_SIGN_UNKNOWN),
        }
    }
}

/// Returns the statement at one of the known addresses.
fn statement_at(address: &u64) -> Option<dtrace_stmtdesc_t> {
    let address = usize::try_from(*address).ok()?;
    // SAFETY: this is the address of a statement, which libdtrace frees only with its program. No program is destroyed.
    unsafe { read(std::ptr::with_exposed_provenance(address)) }
}

/// Returns the actions of a statement, in their order.
fn actions(statement: &dtrace_stmtdesc_t) -> impl Iterator<Item = dtrace_actdesc_t> {
    let (mut next, last) = (Some(statement.dtsd_action), statement.dtsd_action_last);
    std::iter::from_fn(move || {
        let at = next.take()?;
        // SAFETY: the actions up to the statement's last one are its own, and live as long as it does.
        let action = unsafe { read(at)? };
        next = (at != last).then_some(action.dtad_next);
        Some(action)
    })
}

/// Reads what a pointer points to, unless it is null or misaligned.
///
/// # Safety
/// Otherwise it points to a valid value.
unsafe fn read<T: Copy>(pointer: *const T) -> Option<T> {
    // SAFETY: the caller guarantees it; see `# Safety`.
    (!pointer.is_null() && pointer.is_aligned()).then(|| unsafe { pointer.read() })
}

/// Returns whether a record follows one of the same statement that is as `is` wants it.
fn follows(
    records: &[dtrace_recdesc_t],
    index: usize,
    is: impl FnOnce(&dtrace_recdesc_t) -> bool,
) -> bool {
    let before = index.checked_sub(1).map(|before| &records[before]);
    before.is_some_and(|before| before.dtrd_uarg == records[index].dtrd_uarg && is(before))
}

/// Returns the action that made a record.
pub(in crate::worker::libdtrace) fn action_of(r: &dtrace_recdesc_t) -> Action {
    match r.dtrd_action {
        // On Linux, this is the number of another action.
        DTRACEACT_TRACEMEM_DYNSIZE => Action::Tracemem,
        number => Action::from_number(number),
    }
}

/// Returns whether this is a record on every system. The kernel lists assignments and actions that record nothing, too.
pub(in crate::worker::libdtrace) fn is_record(r: &dtrace_recdesc_t) -> bool {
    use Action::*;
    let may_record_nothing =
        matches!(action_of(r), Trace | Speculate | Stop | Raise | Breakpoint | Panic | Chill);
    r.dtrd_size != 0 || !may_record_nothing
}

/// Returns whether two records of `printa()`, neither far from the other, were made by one call.
pub(in crate::worker::libdtrace) fn is_one_printa(
    first: &dtrace_recdesc_t,
    other: &dtrace_recdesc_t,
) -> bool {
    first.dtrd_uarg == other.dtrd_uarg
}

/// Adds a statement to a set.
unsafe extern "C" fn add(
    _: *mut dtrace_hdl_t,
    _: *mut dtrace_prog_t,
    statement: *mut dtrace_stmtdesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `of` passes a pointer to its set, which nobody else uses during the call.
    if let Some(Statements(known)) = unsafe { arg.cast::<Statements>().as_mut() } {
        // One that cannot be is refused where the clauses are described.
        if !statement.is_null() && statement.is_aligned() {
            known.insert(statement.expose_provenance() as u64);
        }
    }
    0
}

/// Returns a record's compiled format, with which libdtrace can print it and the further arguments of its call. Those
/// have formats of their own, which are the same.
pub(in crate::worker::libdtrace) fn format_data(
    statements: &Statements,
    records: &[dtrace_recdesc_t],
    index: usize,
) -> Option<*mut c_void> {
    let r = &records[index];
    if r.dtrd_format == 0 || follows(records, index, |it| it.dtrd_action == r.dtrd_action) {
        return None;
    }
    let statement = statements.of_record(r)?;
    (!statement.dtsd_fmtdata.is_null()).then_some(statement.dtsd_fmtdata)
}

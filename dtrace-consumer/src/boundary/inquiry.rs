//! What libdtrace says of probes and programs without tracing them.

use std::ffi::{CString, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dtrace_sys::abi::*;

use super::delivered::{Misdelivered, list, owned, reference};
use super::kernel_types::Container;
use super::libdtrace::{CallFailure, Compiling, Handle};
use super::platform;
use crate::description::ProgramInfo;
use crate::listing::{Attributes, ListedProbe, MOST_ARGUMENTS, ProbeDetails};
use crate::lookup::KernelSymbol;
use crate::probe::Probe;

impl Compiling {
    /// What the library says of each program, in the order in which they were compiled.
    ///
    /// # Errors
    /// [`CallFailure`] if it says what cannot be.
    pub(crate) fn programs(&self, describe: bool) -> Result<Vec<ProgramInfo>, CallFailure> {
        self.programs.iter().map(|program| program_info(self.handle, *program, describe)).collect()
    }

    /// Hands every probe that matches `pattern` to `visit`; all of them without a pattern.
    pub(crate) fn list(
        &self,
        pattern: Option<&str>,
        describe: bool,
        visit: &mut dyn FnMut(ListedProbe),
    ) -> Result<(), CallFailure> {
        let Some(pattern) = pattern else {
            return iterate(self.handle, ptr::null(), describe, visit);
        };
        let failure =
            |number, message: String| CallFailure { call: "dtrace_str2desc", number, message };
        let text = CString::new(pattern).map_err(|_| {
            failure(libc::EINVAL, "a probe description cannot contain a NUL byte".to_owned())
        })?;
        let mut description = platform::any_probe();
        // SAFETY: the handle is open, the text ends in NUL, and the description is filled by the
        // call with strings that are now this function's to free.
        let result = unsafe {
            (self.handle.api.dtrace_str2desc)(
                self.handle.raw,
                DTRACE_PROBESPEC_NAME,
                text.as_ptr(),
                &raw mut description,
            )
        };
        self.handle.check("dtrace_str2desc", result).map_err(|mut f| {
            f.message = format!("probe description {pattern}: {}", f.message);
            f
        })?;
        let listed = match platform::complete(&description) {
            Ok(()) => iterate(self.handle, &raw const description, describe, visit),
            Err(what) => Err(CallFailure::misdelivered("dtrace_str2desc", &what)),
        };
        // SAFETY: dtrace_str2desc has filled it, and it is not used any more.
        unsafe { platform::free(&description) };
        listed
    }

    /// Hands every probe that a statement's description matches to `visit`.
    pub(crate) fn list_clause(
        &self,
        clause: &Probe,
        describe: bool,
        visit: &mut dyn FnMut(ListedProbe),
    ) -> Result<(), CallFailure> {
        self.list(Some(&clause.to_string()), describe, visit)
    }
}

impl Compiling {
    /// The kernel's symbol of a name.
    pub(crate) fn symbol_named(&self, name: &str) -> Option<KernelSymbol> {
        let name = CString::new(name).ok()?;
        // A pseudo pointer that stands for all objects.
        let every = ptr::without_provenance(DTRACE_OBJ_EVERY.addr());
        let (mut symbol, mut info) = (GElf_Sym::default(), platform::no_symbol());
        // SAFETY: the handle is open, the name ends in NUL, and the structures are for the call to
        // fill.
        let result = unsafe {
            (self.handle.api.dtrace_lookup_by_name)(
                self.handle.raw,
                every,
                name.as_ptr(),
                &raw mut symbol,
                &raw mut info,
            )
        };
        // SAFETY: the call has filled in the names, which the library owns.
        (result == 0).then(|| unsafe { found(&symbol, &info) })
    }

    /// The kernel's symbol that contains an address.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<KernelSymbol> {
        let (mut symbol, mut info) = (GElf_Sym::default(), platform::no_symbol());
        // SAFETY: the handle is open.
        let result =
            unsafe { platform::lookup_by_addr(self.handle, address, &mut symbol, &mut info) };
        // SAFETY: the call has filled in the names, which the library owns.
        (result == 0).then(|| unsafe { found(&symbol, &info) })
    }
}

/// # Safety
/// The names are null or C strings.
unsafe fn found(symbol: &GElf_Sym, info: &dtrace_syminfo_t) -> KernelSymbol {
    let names = platform::names(info);
    // SAFETY: as the caller promises.
    let (module, name) = unsafe { (owned(names.module), owned(names.name)) };
    KernelSymbol { module, name, address: symbol.st_value, size: symbol.st_size }
}

/// What an iteration's callback works with.
struct Iteration<'v> {
    handle: Handle,
    describe: bool,
    visit: &'v mut dyn FnMut(ListedProbe),
    refused: Option<Misdelivered>,
}

fn iterate(
    handle: Handle,
    description: *const dtrace_probedesc_t,
    describe: bool,
    visit: &mut dyn FnMut(ListedProbe),
) -> Result<(), CallFailure> {
    let mut iteration = Iteration { handle, describe, visit, refused: None };
    // SAFETY: the handle is open; the description is null or has four strings; the callback gets
    // the iteration, which outlives the call.
    let result = unsafe {
        (handle.api.dtrace_probe_iter)(
            handle.raw,
            description,
            Some(listed),
            (&raw mut iteration).cast::<c_void>(),
        )
    };
    if let Some(what) = iteration.refused {
        return Err(CallFailure::misdelivered("dtrace_probe_iter", &what));
    }
    match handle.check("dtrace_probe_iter", result) {
        // That nothing matches is an answer.
        Err(failure) if failure.message == "No probe matches description" => Ok(()),
        checked => checked,
    }
}

unsafe extern "C" fn listed(
    _handle: *mut dtrace_hdl_t,
    probe: *const dtrace_probedesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `iterate` passes a pointer to its iteration, which nobody else uses meanwhile.
    let Some(iteration) = (unsafe { arg.cast::<Iteration<'_>>().as_mut() }) else { return 1 };
    let visited = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: libdtrace passes a valid description, whose parts are C strings.
        let (description, probe) = unsafe {
            let description = reference(probe, "a description of a probe")?;
            (description, platform::name_of(description))
        };
        let wanted = iteration.describe;
        let details = wanted.then(|| details(iteration.handle, description)).transpose()?.flatten();
        (iteration.visit)(ListedProbe { probe, details });
        Ok(())
    }));
    ends_iteration(visited, &mut iteration.refused)
}

/// Notes why an iteration cannot go on; anything but 0 ends it.
fn ends_iteration(
    visited: std::thread::Result<Result<(), Misdelivered>>,
    refused: &mut Option<Misdelivered>,
) -> c_int {
    match visited {
        Ok(Ok(())) => return 0,
        Ok(Err(what)) => *refused = Some(what),
        Err(_) => *refused = Some(Misdelivered::new("the worker panicked")),
    }
    1
}

fn details(
    handle: Handle,
    probe: &dtrace_probedesc_t,
) -> Result<Option<ProbeDetails>, Misdelivered> {
    let mut info = dtrace_probeinfo_t {
        dtp_attr: dtrace_attribute_t::default(),
        dtp_arga: dtrace_attribute_t::default(),
        dtp_argv: ptr::null(),
        dtp_argc: 0,
    };
    // SAFETY: handle and description are valid, and `info` is for the call to fill.
    let result = unsafe { (handle.api.dtrace_probe_info)(handle.raw, probe, &raw mut info) };
    if result != 0 {
        return Ok(None);
    }
    // SAFETY: the call filled in an array of as many types, which the library owns.
    let types = unsafe { list(info.dtp_argv, info.dtp_argc, "arguments")? };
    if types.len() > MOST_ARGUMENTS {
        return Err(Misdelivered::new(format!("{} arguments", types.len())));
    }
    Ok(Some(ProbeDetails {
        stability: attributes(info.dtp_attr),
        argument_stability: attributes(info.dtp_arga),
        arguments: types.iter().map(|t| Container::of(handle, t)?.name(t.dtt_type)).collect(),
    }))
}

fn attributes(a: dtrace_attribute_t) -> Attributes {
    Attributes::from_numbers(a.dtat_name, a.dtat_data, a.dtat_class)
}

fn program_info(
    handle: Handle,
    program: *mut dtrace_prog_t,
    describe: bool,
) -> Result<ProgramInfo, CallFailure> {
    let mut info = dtrace_proginfo_t::default();
    let mut clauses =
        Clauses { handle, describe, last: ptr::null(), found: Vec::new(), refused: None };
    // SAFETY: the program belongs to the handle; `info` is for the call to fill, and the callback
    // gets the list, which outlives the call.
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

/// What an iteration over statements works with.
struct Clauses {
    handle: Handle,
    describe: bool,
    /// The description of the statement before; the actions of one clause share theirs.
    last: *const dtrace_ecbdesc_t,
    found: Vec<ListedProbe>,
    refused: Option<Misdelivered>,
}

pub(super) fn filled(info: &dtrace_proginfo_t, clauses: Vec<ListedProbe>) -> ProgramInfo {
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
    // SAFETY: `program_info` passes a pointer to its list, which nobody else uses meanwhile.
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
            // SAFETY: the description holds C strings.
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

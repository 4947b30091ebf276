//! Lists probes.

use std::ffi::{CString, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dtrace_sys::abi::*;

use super::delivered::{Misdelivered, list as list_of, reference};
use super::handle::{CallFailure, Handle};
use super::platform;
use super::types::Container;
use crate::data::listing::{Attributes, ListedProbe, MOST_ARGUMENTS, ProbeDetails};
use crate::data::sentences;

/// Calls `visit` with every probe that matches `pattern`, or with all probes if there is none.
pub(super) fn list(
    handle: Handle,
    pattern: Option<&str>,
    describe: bool,
    visit: &mut dyn FnMut(ListedProbe),
) -> Result<(), CallFailure> {
    let Some(pattern) = pattern else {
        return iterate(handle, ptr::null(), describe, visit);
    };
    let failure =
        |number, message: String| CallFailure { call: "dtrace_str2desc", number, message };
    let text = CString::new(pattern)
        .map_err(|_| failure(libc::EINVAL, "a probe description contains a NUL byte".to_owned()))?;
    let mut description = platform::any_probe();
    // SAFETY: the handle is open, and the text ends in NUL. The call fills the description with strings that
    // this function frees.
    let result = unsafe {
        (handle.api.dtrace_str2desc)(
            handle.raw,
            DTRACE_PROBESPEC_NAME,
            text.as_ptr(),
            &raw mut description,
        )
    };
    handle.check("dtrace_str2desc", result).map_err(|mut f| {
        f.message = format!("probe description {pattern}: {}", f.message);
        f
    })?;
    let listed = match platform::complete(&description) {
        Ok(()) => iterate(handle, &raw const description, describe, visit),
        Err(what) => Err(CallFailure::misdelivered("dtrace_str2desc", &what)),
    };
    // SAFETY: dtrace_str2desc filled it, and it is not used afterwards.
    unsafe { platform::free(&description) };
    listed
}

/// The state of an iteration.
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
    // SAFETY: the handle is open. The description is null or has four strings. The callback's argument is the
    // iteration, which outlives the call.
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
        // Finding no match is a valid result.
        Err(failure) if sentences::nothing_matches(&failure.message) => Ok(()),
        checked => checked,
    }
}

unsafe extern "C" fn listed(
    _handle: *mut dtrace_hdl_t,
    probe: *const dtrace_probedesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `iterate` passes a pointer to its iteration, which nobody else uses during the call.
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

/// Notes why an iteration failed. Any result but 0 ends the iteration.
pub(super) fn ends_iteration(
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

/// Returns the provider's description of a probe; `None` if it has none.
pub(super) fn details(
    handle: Handle,
    probe: &dtrace_probedesc_t,
) -> Result<Option<ProbeDetails>, Misdelivered> {
    let mut info = dtrace_probeinfo_t {
        dtp_attr: dtrace_attribute_t::default(),
        dtp_arga: dtrace_attribute_t::default(),
        dtp_argv: ptr::null(),
        dtp_argc: 0,
    };
    // SAFETY: handle and description are valid, and the call only writes to `info`.
    let result = unsafe { (handle.api.dtrace_probe_info)(handle.raw, probe, &raw mut info) };
    if result != 0 {
        return Ok(None);
    }
    // SAFETY: the call filled in an array of that many types, which the library owns.
    let types = unsafe { list_of(info.dtp_argv, info.dtp_argc, "arguments")? };
    if types.len() > MOST_ARGUMENTS {
        return Err(Misdelivered::new(format!("{} arguments", types.len())));
    }
    Ok(Some(ProbeDetails {
        stability: attributes(info.dtp_attr),
        argument_stability: attributes(info.dtp_arga),
        arguments: types.iter().map(|t| Container::of(handle, t)?.name(t.dtt_type)).collect(),
    }))
}

pub(super) fn attributes(a: dtrace_attribute_t) -> Attributes {
    Attributes::from_numbers(a.dtat_name, a.dtat_data, a.dtat_class)
}

//! Writes the files for programs that define probes.

use std::ffi::{CString, c_char, c_int};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use dtrace_sys::abi::*;

use super::handle::{CallFailure, Handle};
use super::memstream::Memstream;

/// Returns the C header of the providers that the programs define. Its file name is `name`.
pub(super) fn header(handle: Handle, name: &str) -> Result<Vec<u8>, CallFailure> {
    let call = "dtrace_program_header";
    let name = c_string(name.as_bytes(), call)?;
    let stream = Memstream::open().ok_or_else(|| CallFailure {
        call,
        number: libc::ENOMEM,
        message: "out of memory".to_owned(),
    })?;
    let file = stream.file().cast();
    // SAFETY: handle and stream are open, and the name ends in NUL.
    let result = unsafe { (handle.api.dtrace_program_header)(handle.raw, file, name.as_ptr()) };
    handle.check(call, result)?;
    Ok(stream.text(stream.length()).to_vec())
}

/// Writes the object file for the first program, and prepares the objects for linking with it.
pub(super) fn link(
    handle: Handle,
    program: Option<*mut dtrace_prog_t>,
    output: &Path,
    objects: &[PathBuf],
) -> Result<(), CallFailure> {
    let call = "dtrace_program_link";
    let failure =
        |message: &str| CallFailure { call, number: libc::EINVAL, message: message.to_owned() };
    let link = handle.api.dtrace_program_link;
    let link = link.ok_or_else(|| failure("missing from this libdtrace"))?;
    let program = program.ok_or_else(|| failure("no script given"))?;
    let output = c_string(output.as_os_str().as_bytes(), call)?;
    let objects: Vec<CString> = objects
        .iter()
        .map(|path| c_string(path.as_os_str().as_bytes(), call))
        .collect::<Result<_, _>>()?;
    let list: Vec<*mut c_char> = objects.iter().map(|path| path.as_ptr().cast_mut()).collect();
    let count = c_int::try_from(list.len()).map_err(|_| failure("too many objects"))?;
    // SAFETY: handle and program are valid. The strings end in NUL and outlive the call, and `count` is their
    // number.
    let result = unsafe {
        link(handle.raw, program, DTRACE_D_PROBES, output.as_ptr(), count, list.as_ptr())
    };
    handle.check(call, result)
}

fn c_string(bytes: &[u8], call: &'static str) -> Result<CString, CallFailure> {
    CString::new(bytes).map_err(|_| invalid(call, "a name contains a NUL byte"))
}

fn invalid(call: &'static str, message: &str) -> CallFailure {
    CallFailure { call, number: libc::EINVAL, message: message.to_owned() }
}

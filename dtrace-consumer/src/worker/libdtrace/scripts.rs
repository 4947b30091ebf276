//! Passes scripts to libdtrace's compiler.

use std::ffi::{CString, c_char};
use std::io::{self, Seek, Write};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

use dtrace_sys::abi::*;

use super::handle::{CallFailure, Handle};
use crate::data::script::{Script, Specifier};
use crate::stream::unnamed::unnamed_file;

/// Compiles a script. Returns its program, which is not null.
pub(super) fn compile(
    handle: Handle,
    script: &Script,
    flags: u32,
) -> Result<*mut dtrace_prog_t, CallFailure> {
    let arguments = macro_arguments(script)?;
    match script.specifier {
        Some(specifier) => compile_text(handle, &script.text, specifier, flags, arguments),
        None => compile_file(handle, &script.text, flags, arguments),
    }
}

fn refused(message: impl Into<String>) -> CallFailure {
    let message = message.into();
    CallFailure { call: "dtrace_program_fcompile", number: libc::EINVAL, message }
}

/// Returns `$0`, `$1`… of a script as C strings, and their number. The library keeps the pointers for the
/// macro variables, so they are never freed.
fn macro_arguments(script: &Script) -> Result<(i32, *const *mut c_char), CallFailure> {
    let mut arguments = Vec::with_capacity(script.arguments.len() + 1);
    for argument in std::iter::once(&script.argument_zero).chain(&script.arguments) {
        let argument = CString::new(argument.as_str())
            .map_err(|_| refused("an argument of the script contains a NUL byte"))?;
        arguments.push(argument.into_raw());
    }
    let count = i32::try_from(arguments.len()).map_err(|_| refused("too many arguments"))?;
    Ok((count, arguments.leak().as_ptr()))
}

/// Compiles a text that may be a bare probe description.
fn compile_text(
    handle: Handle,
    text: &[u8],
    specifier: Specifier,
    flags: u32,
    (count, arguments): (i32, *const *mut c_char),
) -> Result<*mut dtrace_prog_t, CallFailure> {
    let text = CString::new(text).map_err(|_| refused("the script contains a NUL byte"))?;
    // SAFETY: the handle is open, and text and arguments are C strings.
    let program = unsafe {
        (handle.api.dtrace_program_strcompile)(
            handle.raw,
            text.as_ptr(),
            specifier.number(),
            flags | DTRACE_C_PSPEC,
            count,
            arguments,
        )
    };
    if program.is_null() { Err(handle.failure("dtrace_program_strcompile")) } else { Ok(program) }
}

/// Compiles a script as a file. Only then do messages have line numbers.
fn compile_file(
    handle: Handle,
    text: &[u8],
    flags: u32,
    (count, arguments): (i32, *const *mut c_char),
) -> Result<*mut dtrace_prog_t, CallFailure> {
    let file = script_file(text).map_err(|e| refused(e.to_string()))?;
    // SAFETY: handle and file are open, and the arguments are C strings.
    let program = unsafe {
        (handle.api.dtrace_program_fcompile)(handle.raw, file.cast(), flags, count, arguments)
    };
    // Read the failure before fclose can change errno.
    let failure = program.is_null().then(|| handle.failure("dtrace_program_fcompile"));
    // SAFETY: the stream is open, and the library has finished reading it.
    unsafe { libc::fclose(file) };
    failure.map_or(Ok(program), Err)
}

/// Returns a C stream that reads `text`. It has a descriptor, which the preprocessor needs.
fn script_file(text: &[u8]) -> io::Result<*mut libc::FILE> {
    let mut memory = unnamed_file()?;
    memory.write_all(text)?;
    memory.rewind()?;
    let fd = memory.into_raw_fd();
    // SAFETY: the descriptor is open, and the stream takes ownership of it.
    let file = unsafe { libc::fdopen(fd, c"r".as_ptr()) };
    if file.is_null() {
        let error = io::Error::last_os_error();
        // SAFETY: the descriptor is open, and no stream has taken it.
        drop(unsafe { OwnedFd::from_raw_fd(fd) });
        return Err(error);
    }
    Ok(file)
}

//! How does a program become the benchmark that it traces?
//!
//! It starts itself again, so there is nothing else to build.

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// The first argument with which a program becomes the benchmark.
const AS_BENCHMARK: &str = "as-ipc-benchmark";

/// Runs the benchmark, if this process was started to be it. A program that contains it calls this first.
#[must_use]
pub fn as_benchmark() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    let is_it = words.next().is_some_and(|word| word == AS_BENCHMARK);
    is_it.then(|| crate::main(words, &[AS_BENCHMARK.into()]))
}

/// Returns the command line that starts `command`. For `ipc-benchmark` it starts this executable again.
///
/// # Errors
/// The path of this executable is not known.
pub fn to_start(command: &[OsString]) -> io::Result<Vec<OsString>> {
    match command.split_first() {
        Some((program, arguments)) if program == crate::NAME => {
            let this = env::current_exe()?.into_os_string();
            Ok([this, AS_BENCHMARK.into()].into_iter().chain(arguments.iter().cloned()).collect())
        }
        _ => Ok(command.to_vec()),
    }
}

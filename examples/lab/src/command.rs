//! The command that an example traces: the user's, or the benchmark that is built in.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

/// The first argument with which an example becomes the IPC benchmark.
const AS_BENCHMARK: &str = "as-ipc-benchmark";

/// Runs the benchmark, if this process was started to be it. An example calls this first.
#[must_use]
pub fn as_benchmark() -> Option<ExitCode> {
    let mut words = env::args_os().skip(1);
    let is_it = words.next().is_some_and(|word| word == AS_BENCHMARK);
    is_it.then(|| ipc_benchmark::main(words, &[AS_BENCHMARK.into()]))
}

/// Returns the command line that starts `command`. For `ipc-benchmark` it starts this executable again,
/// so there is nothing else to build.
///
/// # Errors
/// The path of this executable is not known.
pub fn to_start(command: &[OsString]) -> io::Result<Vec<OsString>> {
    match command.split_first() {
        Some((program, arguments)) if program == ipc_benchmark::NAME => {
            let this = env::current_exe()?.into_os_string();
            Ok([this, AS_BENCHMARK.into()].into_iter().chain(arguments.iter().cloned()).collect())
        }
        _ => Ok(command.to_vec()),
    }
}

/// Runs an example. If its error is that the reader of a pipe has closed it, that is its end; another is printed.
pub fn run(example: impl FnOnce() -> Result<(), Box<dyn Error>>) -> ExitCode {
    match example() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

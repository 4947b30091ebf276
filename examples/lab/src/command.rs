//! What every example of the lab does with its command line and its end.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use ipc_benchmark::{EX_USAGE, as_benchmark};

/// The exit status of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

/// The user has ended the program.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// Runs an example with its arguments, and prints its error. A reader that closes the pipe is not an error. If this
/// process was started to be the benchmark that an example traces, it is that instead.
pub fn main<C: Parser>(example: impl FnOnce(C) -> Result<(), Box<dyn Error>>) -> ExitCode {
    if let Some(end) = as_benchmark() {
        return end;
    }
    let arguments = match C::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { EX_USAGE.into() } else { ExitCode::SUCCESS };
        }
    };
    let error = match example(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    if is_broken_pipe(&*error) {
        return ExitCode::SUCCESS;
    }
    // Nobody may be reading it.
    let _ = writeln!(io::stderr(), "{error}");
    if error.is::<Interrupted>() {
        return INTERRUPTED.into();
    }
    if error.is::<clap::Error>() { EX_USAGE.into() } else { ExitCode::FAILURE }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

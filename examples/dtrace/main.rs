//! A dtrace(1) built on this crate, with the same options, output, messages and exit statuses.
//!
//! It refuses `-B`, which shows internals of libdtrace that the crate does not expose, and `-A` and `-a`,
//! which other systems have.

mod arguments;
mod list;
mod output;
mod run;
mod usdt;

use std::ffi::OsString;
use std::process::ExitCode;

use arguments::{Arguments, Mode, Refused};

/// Exit statuses of dtrace(1).
const E_ERROR: u8 = 1;
const E_USAGE: u8 = 2;

fn main() -> ExitCode {
    // Like dtrace(1), this program ends by SIGPIPE when nobody reads its output any more.
    sigpipe::reset();
    let words: Vec<OsString> = std::env::args_os().collect();
    let arguments = match Arguments::parse(&words) {
        Ok(arguments) => arguments,
        Err(Refused(message)) => {
            eprint!("{message}");
            return ExitCode::from(E_USAGE);
        }
    };
    let status = match arguments.mode {
        Mode::Version => list::version(),
        Mode::List => list::probes(arguments),
        Mode::Header => usdt::header(&arguments),
        Mode::Link => usdt::link(arguments),
        Mode::Execute if arguments.check_only => list::check(arguments),
        Mode::Execute => run::run(arguments),
        Mode::Unsupported(option) => {
            Err(format!("option -{option} is not supported: {}", reason(option)))
        }
    };
    match status {
        Ok(status) => ExitCode::from(status),
        Err(message) => {
            eprintln!("dtrace: {message}");
            ExitCode::from(E_ERROR)
        }
    }
}

/// Returns why this example does not support an option.
fn reason(option: char) -> &'static str {
    match option {
        'B' => {
            "dtrace-consumer does not expose libdtrace's internal code (use the dtrace(1) of libdtrace)"
        }
        _ => "libdtrace for Linux cannot trace while the system boots (start tracing after that)",
    }
}

//! Prints the answers for a recording or, with the feature `live`, for a command. Given.
//!
//! ```text
//! cargo run                               # recordings/lab.dtrace
//! cargo run -- other.dtrace
//! cargo build --features live && sudo target/debug/tcp-lab COMMAND
//! ```

use std::env;
use std::process::ExitCode;

use lab::questions::QUESTIONS;
use lab::trace::Trace;

fn main() -> ExitCode {
    match trace(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(trace) => {
            for question in &QUESTIONS {
                for (part, answer) in (question.answer)(&trace) {
                    println!("{}\t{part}\t{answer}", question.name);
                }
            }
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{}: {message}", env!("CARGO_PKG_NAME"));
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(feature = "live"))]
fn trace(arguments: &[String]) -> Result<Trace, String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/lab.dtrace");
    lab::trace::read(arguments.first().map_or(file, String::as_str).as_ref())
}

#[cfg(feature = "live")]
fn trace(command: &[String]) -> Result<Trace, String> {
    if command.is_empty() {
        return Err(
            "no command to trace (name one, such as `curl -s http://example.com`)".to_owned()
        );
    }
    lab::trace::live(command)
}

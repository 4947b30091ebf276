//! The IPC benchmark of the TCP lab as a separate program.
//!
//! ```text
//! cargo run --release --example ipc_benchmark -- -v -i tcp -b 64 -t 1024 2thread
//! ```

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    ipc_benchmark::main(env::args_os().skip(1), &[])
}

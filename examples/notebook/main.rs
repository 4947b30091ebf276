//! The notebook of the TCP lab, line by line. docs/from-python-dtrace.md has both side by side.
//!
//! ```text
//! cargo run --example notebook
//! ```

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::process::ExitCode;

use dtrace_consumer::{Aggregated, CallbackResult, Failure, Output, run_synchronous};

/// script - a D script
/// walker - a closure to receive data from aggregations
/// out - a closure to receive data from output
/// cmdline - a command to run
fn dtrace_synchronous(
    script: &str,
    walker: impl FnMut(&Aggregated) -> CallbackResult,
    out: impl FnMut(&Output) -> CallbackResult,
    cmdline: &str,
) -> Result<(), Failure> {
    println!("## Starting {cmdline}");
    let words: Vec<&str> = cmdline.split(' ').collect();
    let outcome = run_synchronous(script, words).walk(walker).out(out).run()?;
    match outcome.command.and_then(|command| command.status.code()) {
        Some(0) => println!("## Finished {cmdline}"),
        Some(64) => println!("## Invalid command {cmdline}"), // EX_USAGE
        code => println!("## Failed with the exit code {code:?}"),
    }
    Ok(())
}

const TCP_SCRIPT: &str = if cfg!(target_os = "freebsd") {
    include_str!("freebsd.d") // the notebook's own
} else {
    include_str!("linux.d")
};

struct Segment {
    seq: u32,
    ack: u32,
    state: String,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    // This program is the benchmark, too, so nothing else has to be built.
    let mut args = env::args_os();
    let this = args.next().ok_or("a program has a name")?;
    if args.next().is_some_and(|word| word == "ipc-benchmark") {
        return Ok(ipc_benchmark::main(args, &["ipc-benchmark".into()]));
    }

    let mut syscall_count_values: BTreeMap<String, i64> = BTreeMap::new();
    let mut tcp_segments = Vec::new();

    let tcp_walker = |entry: &Aggregated| {
        *syscall_count_values.entry(entry.key(0)?).or_default() += entry.number()?;
        Ok(())
    };
    let tcp_out = |output: &Output| {
        let text = output.text();
        let value: Vec<&str> = text.split(' ').collect();
        let [seq, ack, state] = value[..] else { return Err("not three words".into()) };
        tcp_segments.push(Segment { seq: seq.parse()?, ack: ack.parse()?, state: state.into() });
        Ok(())
    };
    let cmdline = format!("{} ipc-benchmark -j -v -i tcp -b 64 -t 64 2thread", this.display());
    dtrace_synchronous(TCP_SCRIPT, tcp_walker, tcp_out, &cmdline)?;

    for (x, value) in &syscall_count_values {
        println!("Number of {x} calls: {value}");
    }
    for Segment { seq, ack, state } in &tcp_segments {
        println!("seq={seq} ack={ack} string={state}");
    }
    Ok(ExitCode::SUCCESS)
}

//! How is one transfer measured, in a process of its own?

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use dtrace_consumer::loss::{LossPolicy, Losses};
use dtrace_consumer::{StopHandle, run_synchronous};
use dtrace_lab::command::Interrupted;
use dtrace_lab::latency::Windows;
use ipc_benchmark::{Config, Report, Sample};
use serde::{Deserialize, Serialize};

use crate::link::{self, Kind};

/// The first argument with which this program makes one transfer. The second one is the [`Job`], the third one the
/// process that wants it.
pub(crate) const AS_TRANSFER: &str = "as-transfer";

/// A transfer. Without a configuration there is only the link, to see whether it can be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) network: Kind,
    pub(crate) delay_ms: u32,
    pub(crate) config: Option<Config>,
}

/// What ends the program: Ctrl-C.
#[derive(Default)]
pub(crate) struct Interrupt {
    happened: AtomicBool,
    stop: StopHandle,
}

impl Interrupt {
    /// Ends what is being measured, and what will be.
    pub(crate) fn raise(&self) {
        self.happened.store(true, Ordering::SeqCst);
        self.stop.stop();
    }

    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        if self.happened.load(Ordering::SeqCst) { Err(Interrupted) } else { Ok(()) }
    }
}

/// Makes one transfer: the side of the process that was started for it.
pub(crate) fn transfer(arguments: &[OsString]) -> ExitCode {
    match try_transfer(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = write!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn try_transfer(arguments: &[OsString]) -> Result<(), Box<dyn Error>> {
    let word = |at: usize| arguments.get(at).and_then(|it| it.to_str()).unwrap_or_default();
    let job: Job = serde_json::from_str(word(0))
        .map_err(|e| format!("{AS_TRANSFER} is for internal use: {e}"))?;
    let program: u32 =
        word(1).parse().map_err(|e| format!("{AS_TRANSFER} is for internal use: {e}"))?;
    let mut config = job
        .config
        .clone()
        .unwrap_or(Config::new(ipc_benchmark::IpcType::Tcp, ipc_benchmark::Mode::TwoThreads));
    link::make(job.network, Duration::from_millis(job.delay_ms.into()), &mut config)?;
    end_with(program);
    if job.config.is_some() {
        let report = ipc_benchmark::run(&config, &[])?;
        serde_json::to_writer(io::stdout(), &report)?;
    }
    Ok(())
}

/// Ends this process when `program`, which has started it, ends or has ended, even if it is killed.
fn end_with(program: u32) {
    thread::spawn(move || {
        while parent_id() == program {
            thread::sleep(Duration::from_millis(100));
        }
        process::exit(1);
    });
}

impl Job {
    fn command(&self) -> io::Result<[OsString; 4]> {
        Ok([
            env::current_exe()?.into_os_string(),
            AS_TRANSFER.into(),
            serde_json::to_string(self)?.into(),
            process::id().to_string().into(),
        ])
    }

    /// Makes the transfer; returns nothing if there is only a link.
    pub(crate) fn run(&self, interrupt: &Interrupt) -> Result<Option<Sample>, Box<dyn Error>> {
        let [program, arguments @ ..] = self.command()?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal ends only this program, which then ends the transfer.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("cannot start this program again: {e}"))?;
        let mut child = Ended(Some(child));
        // What it writes fits into the pipes.
        while child.is_running()? {
            interrupt.check()?;
            thread::sleep(Duration::from_millis(5));
        }
        let Some(ended) = child.0.take() else { return Ok(None) };
        let output = ended.wait_with_output()?;
        interrupt.check()?;
        if !output.status.success() {
            return Err(failure(&output.stderr, &output.status.to_string()).into());
        }
        if self.config.is_none() { Ok(None) } else { the_sample(&output.stdout).map(Some) }
    }

    /// Makes the transfer, and returns the windows of its connection.
    /// The second value is what was lost of them.
    pub(crate) fn trace(
        &self,
        interrupt: &Interrupt,
    ) -> Result<(Vec<Windows>, Losses), Box<dyn Error>> {
        let mut rows: Vec<Row> = Vec::new();
        let outcome = run_synchronous(include_str!("windows.d"), self.command()?)
            .capture_output()
            .stop_handle(&interrupt.stop)
            // The caller says what was lost.
            .losses(LossPolicy::Count)
            .rows(|row| {
                rows.push(row);
                Ok(())
            })
            .run();
        interrupt.check()?;
        let outcome = outcome?;
        let output = outcome.output.unwrap_or_default();
        if let Some(command) = outcome.command.filter(|it| !it.finished()) {
            return Err(failure(&output.stderr, &command.status.to_string()).into());
        }
        Ok((windows(rows, the_sample(&output.stdout)?.client_port), outcome.losses))
    }
}

fn failure(stderr: &[u8], status: &str) -> String {
    match String::from_utf8_lossy(stderr).trim() {
        "" => format!("the transfer failed: {status}"),
        message => message.to_owned(),
    }
}

fn the_sample(json: &[u8]) -> Result<Sample, Box<dyn Error>> {
    let report: Report =
        serde_json::from_slice(json).map_err(|e| format!("cannot read the result: {e}"))?;
    report.samples.into_iter().next().ok_or_else(|| "the result is empty".into())
}

/// A process that is killed where it is not waited for.
struct Ended(Option<Child>);

impl Ended {
    fn is_running(&mut self) -> io::Result<bool> {
        match &mut self.0 {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the script prints about an acknowledgement.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Row {
    timestamp: u64,
    port: u16,
    acknowledged: u32,
    next: u32,
    advertised: u32,
    congestion: u32,
    segment: u32,
}

/// Selects the connection with a local port, and counts its bytes and its time from its first acknowledgement.
fn windows(mut rows: Vec<Row>, port: Option<u16>) -> Vec<Windows> {
    rows.retain(|row| port.is_none_or(|port| port == row.port));
    // Each CPU has its own buffer, and they are delivered one after the other.
    rows.sort_by_key(|row| row.timestamp);
    let Some(first) = rows.first().copied() else { return Vec::new() };
    let (mut before, mut acknowledged) = (first.acknowledged, 0);
    rows.iter()
        .map(|row| {
            // Sequence numbers wrap, more than once in a long transfer. They may also be delivered out of order.
            acknowledged += i64::from(row.acknowledged.wrapping_sub(before).cast_signed());
            before = row.acknowledged;
            Windows {
                time: (row.timestamp - first.timestamp) as f64 / 1e9,
                congestion: u64::from(row.congestion) * u64::from(row.segment),
                advertised: row.advertised.into(),
                in_flight: row.next.wrapping_sub(row.acknowledged).into(),
                acknowledged: u64::try_from(acknowledged).unwrap_or(0),
            }
        })
        .collect()
}

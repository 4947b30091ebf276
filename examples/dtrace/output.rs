//! Where does the output go, and how is a firing printed?
//!
//! `dtrace-recording replay` prints firings in the same layout (`dtrace-recording/src/printed.rs`). A change of the layout
//! concerns both.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

use dtrace_consumer::record::{Action, FlowKind};
use dtrace_consumer::{CallbackResult, Firing};

/// Opens standard output, or a file for appending.
pub(crate) fn open(file: Option<&OsStr>) -> Result<Destination, String> {
    match file {
        None => Ok(Destination::Standard(io::stdout())),
        Some(name) => append(name).map(Destination::File).map_err(|e| {
            format!("failed to open output file '{}': {}", name.display(), reason(&e))
        }),
    }
}

/// Returns the text of strerror(3), without the number that Rust appends.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

fn append(name: &OsStr) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(name)
}

pub(crate) enum Destination {
    Standard(io::Stdout),
    File(File),
}

impl Write for Destination {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Destination::Standard(out) => out.write(buffer),
            Destination::File(out) => out.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Destination::Standard(out) => out.flush(),
            Destination::File(out) => out.flush(),
        }
    }
}

/// The widest indent of a function in the style of `flowindent`.
const MOST_INDENT: usize = 1 << 10;

/// How firings are printed. The script may change it while it runs.
#[derive(Default)]
pub(crate) struct Style {
    pub(crate) quiet: bool,
    pub(crate) flow: bool,
    /// A change by `setopt()`. It applies from the records of the next firing on, which is the firing
    /// that called it.
    pub(crate) quiet_next: Option<bool>,
    pub(crate) flow_next: Option<bool>,
    headed: bool,
}

impl Style {
    /// Prints a firing like dtrace(1), and carries out `system()` and `freopen()`.
    pub(crate) fn write(&mut self, out: &mut Destination, firing: &Firing<'_>) -> CallbackResult {
        if !std::mem::replace(&mut self.headed, true) {
            if self.flow {
                writeln!(out, "{:>3} {:<41}", "CPU", "FUNCTION")?;
            } else if !self.quiet {
                writeln!(out, "{:>3} {:>6} {:>32}", "CPU", "ID", "FUNCTION:NAME")?;
            }
        }
        self.write_name(out, firing)?;
        self.quiet = self.quiet_next.take().unwrap_or(self.quiet);
        self.flow = self.flow_next.take().unwrap_or(self.flow);
        for output in firing.output() {
            match output.action() {
                Some(Action::System) => {
                    out.flush()?;
                    let command = OsStr::from_bytes(output.bytes());
                    let shell =
                        std::process::Command::new("/bin/sh").arg("-c").arg(command).status();
                    if let Err(e) = shell {
                        eprintln!("dtrace: cannot run a command of system(): {}", reason(&e));
                    }
                }
                Some(Action::Freopen) => match reopened(OsStr::from_bytes(output.bytes())) {
                    Ok(reopened) => *out = reopened,
                    Err(e) => eprintln!(
                        "dtrace: couldn't freopen() \"{}\": {}",
                        output.text(),
                        reason(&e)
                    ),
                },
                _ => out.write_all(output.bytes())?,
            }
        }
        if !self.quiet {
            writeln!(out)?;
        }
        Ok(out.flush()?)
    }

    fn write_name(&self, out: &mut Destination, firing: &Firing<'_>) -> io::Result<()> {
        let probe = firing.probe();
        let full = format!("{}:{}", probe.function, probe.name);
        if self.flow {
            let Some(flow) = firing.flow() else {
                return write!(out, "{:>3} {full:<41} ", firing.cpu());
            };
            let name = if flow.kind == FlowKind::None { &full } else { &probe.function };
            let indent = usize::try_from(flow.indent).unwrap_or(0).min(MOST_INDENT);
            let name = format!("{:indent$}{}{name}", "", flow.prefix);
            write!(out, "{:>3} {name:<41} ", firing.cpu())
        } else if !self.quiet {
            write!(out, "{:>3} {:>6} {full:>32} ", firing.cpu(), probe.id)
        } else {
            Ok(())
        }
    }
}

/// Opens the file of `freopen()`. `freopen("")` returns to standard output; libdtrace reports it as a dot.
fn reopened(name: &OsStr) -> io::Result<Destination> {
    if name.is_empty() || name == "." {
        Ok(Destination::Standard(io::stdout()))
    } else {
        append(name).map(Destination::File)
    }
}

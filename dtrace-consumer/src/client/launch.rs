//! How is a worker process started, and how is its end noticed?

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crossbeam_channel::Receiver;
use dtrace_locate::locate::Libdtrace;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::elevation::{self, Elevation};
use super::settings::Settings;
use super::system;
use super::terminal::without_terminal;
use crate::error::Error;
use crate::error::elevation::ElevationProblem;
use crate::stream::elevated::{GREETING, INSTALLED_WORKERS, SERVE, VERSION};
use crate::stream::marker::{MARKER, MARKER_VALUE};

/// How much of what a worker wrote to its standard error is kept for a message, in bytes.
const LAST_WORDS: u64 = 4096;

/// How long to wait for the end of a worker that has closed its channel without a word.
const END_OF_WORKER: Duration = Duration::from_secs(1);

/// How long to wait for the first sign of an elevated worker.
const SIGN_OF_LIFE: Duration = Duration::from_secs(120);

/// A running worker. It may be another user's process, which this one cannot kill: it ends because its
/// channel does.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) channel: UnixStream,
    pid: Pid,
    ended: Receiver<io::Result<ExitStatus>>,
    stderr: Option<File>,
}

/// Starts a worker: the program that is named, or this process's own executable; elevated, the
/// installed one. `library` is given unless it is elevated.
///
/// What it writes to its standard error is kept for messages, or goes where this process's goes.
pub(super) fn launch(settings: &Settings, library: Option<&Libdtrace>) -> Result<Worker, Error> {
    let (access, inherit_stderr) = (&settings.access, settings.inherit_stderr);
    let (elevation, named) = (&access.elevation, access.worker.as_deref());
    let (program, mut command) = match elevation.words() {
        Some(words) => {
            let program = elevation::installed_worker(named)
                .or(named.map(Path::to_owned))
                .unwrap_or_else(|| PathBuf::from(INSTALLED_WORKERS[0]));
            let command = elevated(&words, &program);
            (program, command)
        }
        None => {
            let program =
                named.map_or_else(system::own_executable, |named| Ok(named.to_owned()))?;
            let command = plain(&program, library);
            (program, command)
        }
    };
    let failed =
        |e: io::Error| Error::WorkerStart { program: program.clone(), reason: e.to_string() };
    let (channel, theirs) = UnixStream::pair().map_err(failed)?;
    let stderr = if inherit_stderr { None } else { system::scratch_file() };
    let written = match stderr.as_ref().and_then(|file| file.try_clone().ok()) {
        Some(file) => Stdio::from(file),
        None if inherit_stderr => Stdio::inherit(),
        None => Stdio::null(),
    };
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(written);
    let mut child = match command.spawn() {
        Err(e) if e.kind() == io::ErrorKind::NotFound && *elevation != Elevation::None => {
            let problem = Some(ElevationProblem::NotInstalled);
            return Err(elevation::failed(elevation, &program, problem, ""));
        }
        child => child.map_err(failed)?,
    };
    // The command still holds the worker's end of the channel; without it, the end of the worker is
    // the end of the channel.
    drop(command);
    let pid = Pid::from_raw(child.id().cast_signed());
    let (tell, ended) = crossbeam_channel::bounded(1);
    // Somebody must wait for the worker, whose end may be long after the session's.
    std::thread::Builder::new()
        .name("dtrace-reaper".to_owned())
        .spawn(move || {
            let _ = tell.send(child.wait());
        })
        .map_err(failed)?;
    let worker = Worker { channel, pid, ended, stderr };
    if *elevation != Elevation::None {
        worker
            .greet()
            .map_err(|(problem, said)| elevation::failed(elevation, &program, problem, &said))?;
    }
    Ok(worker)
}

/// The user's own executable, or what is named instead of it.
fn plain(program: &Path, library: Option<&Libdtrace>) -> Command {
    let mut command = match library.and_then(|library| library.loader.as_ref()) {
        // A libdtrace that needs a newer C library than the system's comes with a loader of its own.
        Some(loader) => loader.command(program),
        None => Command::new(program),
    };
    // Ctrl-C at the terminal is for the user's process alone.
    command.env(MARKER, MARKER_VALUE).process_group(0);
    command
}

/// The installed worker, started by a program that gives it privilege.
fn elevated(words: &[OsString], program: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program).arg(SERVE);
    // Its messages are to be understood, also by this crate.
    command.env("LC_ALL", "C").stdout(Stdio::null());
    without_terminal(&mut command);
    command
}

/// A worker that nobody listens to any more ends, also where a process forked off this one still
/// has the channel.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.channel.shutdown(Shutdown::Both);
    }
}

impl Worker {
    /// Waits for the first words of an elevated worker. Before them nothing is sent: what is started
    /// may be something else, that would read it. The error is what went wrong, if that is known, and what was
    /// written to standard error.
    fn greet(&self) -> Result<(), (Option<ElevationProblem>, String)> {
        let read = || -> io::Result<String> {
            self.channel.set_read_timeout(Some(SIGN_OF_LIFE))?;
            let mut greeting = [0; 5];
            (&self.channel).read_exact(&mut greeting)?;
            if !greeting.starts_with(GREETING) {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut version = vec![0; usize::from(greeting[4])];
            (&self.channel).read_exact(&mut version)?;
            self.channel.set_read_timeout(None)?;
            Ok(String::from_utf8_lossy(&version).into_owned())
        };
        match read() {
            Ok(version) if version == VERSION => Ok(()),
            Ok(version) => {
                let said = format!("it is {version}, this is {}", VERSION);
                Err((Some(ElevationProblem::Version), said))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                Err((Some(ElevationProblem::Silent), self.last_words()))
            }
            Err(_) => {
                // Its last words come before its end.
                let status = self.ended.recv_timeout(END_OF_WORKER);
                let words = self.last_words();
                match status {
                    Ok(Ok(status)) if words.is_empty() => Err((None, status.to_string())),
                    _ => Err((None, words)),
                }
            }
        }
    }

    /// Puts an end to a worker that does not answer. One that is another user's process ends when it
    /// notices that its channel has.
    pub(super) fn kill(&self) {
        // Only while nobody has reaped it is the number surely this process's.
        if self.ended.is_empty() {
            let _ = kill(self.pid, Signal::SIGKILL);
        }
    }

    /// What became of a worker that closed its channel before the end of its stream.
    pub(super) fn post_mortem(&self) -> Error {
        let status = match self.ended.recv_timeout(END_OF_WORKER) {
            Ok(Ok(status)) if status.signal() == Some(libc::SIGSYS) => {
                format!("was ended by its system call filter ({status})")
            }
            Ok(Ok(status)) => format!("ended ({status})"),
            Ok(Err(e)) => format!("ended ({e})"),
            Err(_) => "closed its channel".to_owned(),
        };
        Error::WorkerDied { status, last_words: self.last_words() }
    }

    /// The end of what it has written to its standard error.
    pub(super) fn last_words(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = self.stderr.as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS)))?;
            let mut words = Vec::new();
            file.take(LAST_WORDS).read_to_end(&mut words)?;
            Ok(String::from_utf8_lossy(&words).trim().to_owned())
        };
        read().unwrap_or_default()
    }
}

//! Launches worker processes and notices their end.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use dtrace_locate::locate::Libdtrace;
use nix::sys::signal::Signal;
use nix::sys::stat::fstat;

use super::child::Signals;
use super::descriptors::above_standard;
use super::elevation::{self, Elevation};
use super::settings::Settings;
use super::start::start;
use super::system;
use super::template::{self, Kind, Passed};
use super::terminal::without_terminal;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::error::elevation::ElevationProblem;
use crate::stream::elevated::{GREETING, INSTALLED_WORKERS, SERVE, VERSION};
use crate::stream::job::Job;
use crate::stream::marker::{MARKER, REFUSED, marker_for};
use crate::stream::passing;
use crate::stream::unnamed::unnamed_file;

/// How much of a worker's standard error to keep for messages, in bytes.
const LAST_WORDS: u64 = 4096;

/// How much of it to search for what the kernel says of a program, in bytes. Since Linux 7 a line for each of up to 256
/// functions follows that.
const LAST_LINES: u64 = 64 << 10;

/// How long to wait for the end of a worker that closed its channel without an error frame.
const END_OF_WORKER: Duration = Duration::from_secs(1);

/// How long a worker whose channel was closed has to end. It gives itself ten seconds.
const TIDYING: Duration = Duration::from_secs(15);

/// How long to wait for an elevated worker's greeting, unless the session has another limit of silence.
const SIGN_OF_LIFE: Duration = Duration::from_secs(120);

/// How much to show of a greeting that is not a worker's, in bytes.
const SHOWN: usize = 64;

/// A running worker. It may be another user's process, which this one cannot kill; it ends when its channel
/// closes.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) channel: UnixStream,
    program: PathBuf,
    signals: Signals,
    ended: Receiver<io::Result<ExitStatus>>,
    stderr: Option<File>,
    /// The socket for requests to the template that the worker is to leave behind.
    template: Option<OwnedFd>,
}

/// Starts a worker for a job: the named program, or this process's own executable; elevated, the installed worker.
/// If this process has a template, it is a copy of that. `library` is given unless the worker is elevated.
///
/// The worker's standard error is kept for messages, or inherited from this process.
pub(super) fn launch(
    settings: &Settings,
    library: Option<&Libdtrace>,
    job: &Job,
    ending: &Ending,
) -> Result<Worker, Error> {
    let coolings = template::coolings();
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
    let kind = library
        .filter(|_| {
            system::WORKERS_ARE_COPIED && *elevation == Elevation::None && job.takes_any_libdtrace()
        })
        .map(|library| Kind::of(&program, library));
    if let Some(kind) = &kind {
        let ends = Ends::new(inherit_stderr).map_err(failed)?;
        if let Some(copy) = ends.copied(kind, job, ending) {
            let (process, life) = copy.into_parts();
            let signals = Signals::to_process(process);
            let ended = reap(move || life.wait()).map_err(|e| {
                ends.close();
                failed(e)
            })?;
            let Ends { channel, stderr, .. } = ends;
            return Ok(Worker { channel, program, signals, ended, stderr, template: None });
        }
        // A copy that comes too late finds the end of its channel.
        ends.close();
    }
    let Ends { channel, theirs, stderr, .. } = Ends::new(inherit_stderr).map_err(failed)?;
    if *elevation == Elevation::None {
        command.env(MARKER, marker_for(fstat(&theirs).map_err(|e| failed(e.into()))?.st_ino));
    }
    let written = match stderr.as_ref().and_then(|file| file.try_clone().ok()) {
        Some(file) => Stdio::from(file),
        None if inherit_stderr => Stdio::inherit(),
        None => Stdio::null(),
    };
    command.stdin(Stdio::from(OwnedFd::from(theirs))).stderr(written);
    let mut child = match start(&mut command) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && *elevation != Elevation::None => {
            let problem = Some(ElevationProblem::NotInstalled);
            return Err(elevation::failed(elevation, &program, problem, ""));
        }
        child => child.map_err(failed)?,
    };
    // The command still holds the worker's end of the channel. Once it is dropped, the channel ends when the
    // worker does.
    drop(command);
    let signals = Signals::to(&mut child).map_err(failed)?;
    let (reaper, id) = (signals.clone(), child.id());
    let ended = reap(move || reaper.wait(&mut child)).map_err(|e| {
        // One that is another user's process ends with its channel.
        let _ = channel.shutdown(Shutdown::Both);
        signals.kill_and_reap(id);
        failed(e)
    })?;
    let template = kind.and_then(|kind| template::begin(kind, coolings, ending));
    Ok(Worker { channel, program, signals, ended, stderr, template })
}

/// What this process and a worker share.
struct Ends {
    channel: UnixStream,
    theirs: UnixStream,
    /// Where the worker's standard error is kept.
    stderr: Option<File>,
    inherits: bool,
}

impl Ends {
    fn new(inherit_stderr: bool) -> io::Result<Ends> {
        let (channel, theirs) = UnixStream::pair()?;
        let (channel, theirs) = (above_standard(channel)?, above_standard(theirs)?);
        let kept = || unnamed_file().ok().and_then(|file| above_standard(file).ok());
        let stderr = if inherit_stderr { None } else { kept() };
        Ok(Ends { channel, theirs, stderr, inherits: inherit_stderr })
    }

    /// Asks for a copy of the template with these ends.
    fn copied(&self, kind: &Kind, job: &Job, ending: &Ending) -> Option<template::Copy> {
        let inherited = io::stderr();
        let kept = self.stderr.as_ref().map(AsFd::as_fd);
        let passed = Passed {
            channel: &self.theirs,
            stderr: if self.inherits { Some(inherited.as_fd()) } else { kept },
            types: job.seems_to_need_types(),
        };
        template::copied(kind, &passed, ending)
    }

    /// Ends the channel for everybody who has it.
    fn close(&self) {
        let _ = self.channel.shutdown(Shutdown::Both);
    }
}

/// Waits for a worker in a thread: it may end long after the session.
fn reap(
    wait: impl FnOnce() -> io::Result<ExitStatus> + Send + 'static,
) -> io::Result<Receiver<io::Result<ExitStatus>>> {
    let (tell, ended) = crossbeam_channel::bounded(1);
    let wait = move || {
        let _ = tell.send(wait());
    };
    std::thread::Builder::new().name("dtrace-reaper".to_owned()).spawn(wait)?;
    Ok(ended)
}

/// Returns the command for the user's own executable, or the program named instead.
fn plain(program: &Path, library: Option<&Libdtrace>) -> Command {
    let mut command = match library.and_then(|library| library.loader.as_ref()) {
        // A libdtrace that needs a newer C library than the system's comes with its own loader.
        Some(loader) => {
            let mut loader = loader.clone();
            // The prefix's libraries come first: they belong to this loader.
            let position = loader.library_path.len().min(1);
            loader.library_path.splice(position..position, system::library_directories());
            loader.command(program)
        }
        None => Command::new(program),
    };
    // Ctrl-C at the terminal should reach only the user's process.
    command.process_group(0);
    command
}

/// Returns the command for the installed worker, through the program that grants privilege.
fn elevated(words: &[OsString], program: &Path) -> Command {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program).arg(SERVE);
    // This crate parses its messages, so they must be English.
    command.env("LC_ALL", "C").stdout(Stdio::null());
    without_terminal(&mut command);
    command
}

/// Returns the greeting of a worker of this version.
fn expected_greeting() -> Vec<u8> {
    let length = u8::try_from(VERSION.len()).unwrap_or(u8::MAX);
    [&GREETING[..], &[length], VERSION.as_bytes()].concat()
}

/// Ends a worker that nobody listens to any more, even if a process forked off this one still holds the
/// channel.
impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.channel.shutdown(Shutdown::Both);
    }
}

impl Worker {
    /// Waits for the greeting of an elevated worker. Nothing is sent before, because the program that grants
    /// privilege may have started something else, which would read it.
    pub(super) fn greet(&self, settings: &Settings) -> Result<(), Error> {
        let elevation = &settings.access.elevation;
        if *elevation == Elevation::None {
            return Ok(());
        }
        self.check_greeting(limit_of_greeting(settings.silence_limit))
            .map_err(|(problem, said)| elevation::failed(elevation, &self.program, problem, &said))
    }

    /// Reads the greeting. The error is the problem, if known, and what was found.
    fn check_greeting(&self, limit: Duration) -> Result<(), (Option<ElevationProblem>, String)> {
        let expected = expected_greeting();
        let mut greeting = Vec::new();
        match self.read_greeting(&mut greeting, Instant::now() + limit) {
            Ok(()) if greeting == expected => Ok(()),
            Ok(()) if greeting.starts_with(GREETING) => {
                let version = greeting[GREETING.len() + 1..].escape_ascii();
                Err((
                    Some(ElevationProblem::Version),
                    format!("version {version} instead of {VERSION}"),
                ))
            }
            Ok(()) => {
                let began = greeting.escape_ascii();
                Err((Some(ElevationProblem::NotAWorker), format!("it sent \"{began}\"")))
            }
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                let waited = format!("no greeting within {limit:?}");
                let said = [waited, self.last_words()].into_iter().filter(|it| !it.is_empty());
                Err((Some(ElevationProblem::Silent), said.collect::<Vec<_>>().join("; ")))
            }
            Err(_) => {
                // It writes its last messages before it ends.
                let status = self.ended.recv_timeout(END_OF_WORKER);
                let words = self.last_words();
                match status {
                    Ok(Ok(status)) if words.is_empty() => Err((None, status.to_string())),
                    Err(_) if words.is_empty() => Err((None, "it closed the channel".to_owned())),
                    _ => Err((None, words)),
                }
            }
        }
    }

    /// Reads a whole greeting, or the beginning of something else.
    fn read_greeting(&self, greeting: &mut Vec<u8>, until: Instant) -> io::Result<()> {
        let mut byte = [0];
        loop {
            let begins_as_one =
                greeting.iter().zip(GREETING).all(|(read, expected)| read == expected);
            let whole = match greeting.get(GREETING.len()) {
                _ if !begins_as_one => SHOWN,
                None => GREETING.len() + 1,
                Some(length) => GREETING.len() + 1 + usize::from(*length),
            };
            if greeting.len() >= whole {
                return self.channel.set_read_timeout(None);
            }
            let left = until.saturating_duration_since(Instant::now());
            // Anything else is shown as far as it has arrived.
            let left = if begins_as_one { left } else { left.min(END_OF_WORKER) };
            self.channel.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            let read = (&self.channel).read(&mut byte);
            match read {
                Ok(0) | Err(_) if !begins_as_one => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => greeting.push(byte[0]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e)
                    if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends the first message, with the job.
    pub(super) fn send_job(&mut self, message: &[u8]) -> io::Result<()> {
        let template = self.template.take();
        let with: Vec<_> = template.iter().map(AsFd::as_fd).collect();
        let sent = passing::send(&self.channel, message, &with)?;
        (&self.channel).write_all(message.get(sent..).unwrap_or_default())
    }

    /// Returns what kills the worker, from any thread.
    pub(super) fn killer(&self) -> Result<Killer, Error> {
        let attempt = "duplicate the channel to the worker";
        let channel = self.channel.try_clone().map_err(|cause| Error::System { attempt, cause })?;
        Ok(Killer { channel, signals: self.signals.clone() })
    }

    /// Kills a worker that does not answer. One that is another user's process ends when it notices that its
    /// channel has closed.
    pub(super) fn kill(&self) {
        self.signals.send(Signal::SIGKILL);
    }

    /// Returns the error for a worker that closed its channel before the end of its stream.
    pub(super) fn post_mortem(&self) -> Error {
        let status = match self.ended.recv_timeout(END_OF_WORKER) {
            Ok(Ok(status)) if status.signal() == Some(libc::SIGSYS) => {
                format!("was killed by its system call filter ({status})")
            }
            Ok(Ok(status)) if status.code() == Some(REFUSED) => {
                let reason = match self.last_words() {
                    words if words.is_empty() => "it is a worker of another version".to_owned(),
                    words => words,
                };
                return Error::WorkerStart { program: self.program.clone(), reason };
            }
            Ok(Ok(status)) => format!("ended ({status})"),
            Ok(Err(e)) => format!("ended ({e})"),
            Err(_) => "closed its channel".to_owned(),
        };
        Error::WorkerDied { status, last_words: self.last_words() }
    }

    /// Returns the end of what the worker wrote to its standard error.
    pub(super) fn last_words(&self) -> String {
        self.last_bytes(LAST_WORDS)
    }

    /// Returns more of what the worker wrote than its last words.
    pub(super) fn last_lines(&self) -> String {
        self.last_bytes(LAST_LINES)
    }

    fn last_bytes(&self, most: u64) -> String {
        let read = || -> io::Result<String> {
            let mut file = self.stderr.as_ref().ok_or(io::ErrorKind::NotFound)?.try_clone()?;
            let length = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
            let mut words = Vec::new();
            file.take(most).read_to_end(&mut words)?;
            Ok(String::from_utf8_lossy(&words).trim().to_owned())
        };
        read().unwrap_or_default()
    }
}

/// Ends a worker that nobody listens to any more, from any thread.
pub(super) struct Killer {
    channel: UnixStream,
    signals: Signals,
}

impl Killer {
    /// Closes the worker's channel, so that it tidies up and ends. Whoever reads the channel finds its end. Kills a
    /// worker that is still there after a while, unless it is another user's process.
    pub(super) fn kill(&self) {
        let _ = self.channel.shutdown(Shutdown::Both);
        let signals = self.signals.clone();
        let kill = move || {
            std::thread::sleep(TIDYING);
            signals.send(Signal::SIGKILL);
        };
        // Without a thread, a worker that is stuck stays.
        let _ = std::thread::Builder::new().name("dtrace-killer".to_owned()).spawn(kill);
    }
}

/// Returns how long to wait for the greeting of an elevated worker in a session with this limit of silence.
fn limit_of_greeting(silence_limit: Option<Duration>) -> Duration {
    silence_limit.unwrap_or(SIGN_OF_LIFE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_two_minutes_unless_the_session_says_otherwise() {
        assert_eq!(limit_of_greeting(None), Duration::from_secs(2 * 60));
        for limit in [1, 9, 500].map(Duration::from_secs) {
            assert_eq!(limit_of_greeting(Some(limit)), limit);
        }
    }
}

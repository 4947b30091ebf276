//! What does the worker process do, from its first message to its end?
//!
//! It is the user's executable started again (see [`crate::boundary::start_up`]), runs one session
//! with libdtrace, and never returns to `main`. Its standard input is the channel to the consumer.

pub(crate) mod confinement;
pub(crate) mod control;
pub(crate) mod encoder;
pub(crate) mod held_process;
pub(crate) mod ledger;
pub(crate) mod libraries;
pub(crate) mod surroundings;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use crate::boundary::PLATFORM;
use crate::boundary::drop_counters;
use crate::boundary::libdtrace::{CallFailure, Compiling, Tracing, Work, close_foreign};
use crate::description::SessionInfo;
use crate::stream::frame::{FailureFrame, FailureKind, Frame, StepTimes};
use crate::stream::job::{Command, Job, Process, Purpose};
use control::Control;
use encoder::Encoder;
use surroundings::{Shortcoming, Surroundings};

/// How long to let records gather when they come fast. Each wake-up costs far more than a record, and
/// at the kernel's highest rate a few megabytes of buffer hold much more than this.
const BATCH: Duration = Duration::from_millis(5);

/// After so many rounds in a row with data and without a pause, batches begin.
const BUSY_ROUNDS: u32 = 20;

/// Batches end when one holds fewer firings than this.
const BUSY_FIRINGS: u64 = 4;

/// Serves one session; the result is the process's exit status.
pub(crate) fn main() -> i32 {
    match channel().and_then(|channel| {
        require_own(&channel)?;
        let job = first_message(&channel)?;
        serve(job, channel, None)
    }) {
        Ok(()) => 0,
        Err(e) => {
            // Only the consumer reads this, when no frame could tell it.
            eprintln!("dtrace-consumer worker: {e}");
            1
        }
    }
}

/// Takes over standard input, and leaves nothing in its place for programs that tracing starts.
pub(crate) fn channel() -> io::Result<UnixStream> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let channel = UnixStream::from(input);
    // Fails if it is no such socket: the marker was set by something else than a consumer.
    channel.local_addr()?;
    nix::unistd::dup2_stdin(File::open("/dev/null")?)?;
    Ok(channel)
}

/// A worker that anybody can start serves the user that it runs as, and nobody else: only
/// [`crate::serve`] knows what others may be given.
fn require_own(channel: &UnixStream) -> io::Result<()> {
    let peer = getsockopt(channel, PeerCredentials)?;
    if peer.uid() == nix::unistd::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::other("the channel belongs to another user"))
}

fn first_message(channel: &UnixStream) -> io::Result<Job> {
    match control::read_command(channel, control::MESSAGE_LIMIT)? {
        Some(Command::Job(job)) => Ok(*job),
        _ => Err(io::Error::other("the consumer sent no job")),
    }
}

/// Why a session did not come to its end.
struct Failed(FailureFrame);

impl Failed {
    fn of(kind: FailureKind, failure: CallFailure) -> Failed {
        Failed(FailureFrame {
            kind,
            attempt: failure.call.to_owned(),
            number: failure.number,
            message: failure.message,
            script: None,
        })
    }
}

impl Failed {
    fn to_control(process: &Process, failure: CallFailure) -> Failed {
        let attempt = match process {
            Process::Create(words) => format!("start {}", words.join(" ")),
            Process::Grab(pid) => format!("take hold of process {pid}"),
        };
        Failed(FailureFrame { attempt, ..Failed::of(FailureKind::Process, failure).0 })
    }
}

impl From<CallFailure> for Failed {
    fn from(failure: CallFailure) -> Failed {
        Failed::of(FailureKind::Call, failure)
    }
}

/// Serves one session, from its job to its end. `owner` is the user whom an elevated worker serves.
pub(crate) fn serve(job: Job, channel: UnixStream, owner: Option<u32>) -> io::Result<()> {
    let mut reporter = Encoder::new(channel.try_clone()?, false);
    if let Err(e) = confinement::give_up_privileges(&job) {
        reporter.send(&Frame::Failure(surroundings_failed("give up privileges", &e).0));
        return reporter.finish();
    }
    // Mounts are seen by the threads that are started afterwards.
    let shortcomings = prepare(&job);
    let control = Arc::new(Control::new());
    let interval = job.snapshot_interval;
    control::listen(Arc::clone(&control), channel.try_clone()?, interval)?;
    let result = session(&job, channel, &control, &shortcomings, owner);
    // After a failure the consumer kills the command.
    let outlived = job.target.as_ref().filter(|_| result.is_ok()).map(|target| target.pid);
    if let Err(Failed(frame)) = result {
        reporter.send(&Frame::Failure(frame));
    }
    let _ = reporter.finish();
    control.close();
    leave();
    outlived.into_iter().for_each(held_process::outlive);
    Ok(())
}

fn session(
    job: &Job,
    channel: UnixStream,
    control: &Control,
    shortcomings: &[Shortcoming],
    owner: Option<u32>,
) -> Result<(), Failed> {
    let mut times = StepTimes::default();
    let mut clock = Clock(Instant::now());

    let before = control::eventfds();
    let mut compiling = Compiling::open(&job.library).map_err(|failure| {
        let load = failure.call == "dlopen";
        Failed::of(if load { FailureKind::Load } else { FailureKind::Call }, failure)
    })?;
    control.wake_through(control::eventfds().difference(&before).next().copied());
    times.open = clock.lap();

    let mut encoder = Encoder::new(
        channel.try_clone().map_err(|e| surroundings_failed("duplicate the channel", &e))?,
        job.firings,
    );
    encoder.send(&Frame::Begin(session_info(job, compiling.version())));
    encoder.flush();

    let set_option = |compiling: &mut Compiling, name: &str, value: Option<&str>| {
        compiling.set_option(name, value).map_err(|failure| {
            Failed(FailureFrame {
                kind: FailureKind::Option,
                attempt: name.to_owned(),
                number: failure.number,
                message: failure.message,
                script: None,
            })
        })
    };
    if let Some(dir) = &job.syslibdir {
        set_option(&mut compiling, "syslibdir", Some(&dir.to_string_lossy()))?;
    }
    for (name, value) in &job.options {
        set_option(&mut compiling, name, value.as_deref())?;
    }
    if let Err(failed) = compile(&mut compiling, job, shortcomings) {
        // Processes that were grabbed live on.
        if job.processes.iter().any(|process| matches!(process, Process::Grab(_))) {
            compiling.abandon();
        }
        return Err(failed);
    }
    if libraries::needs_kernel_types(&job.sources) {
        compiling.read_kernel_types();
    }
    times.compile = clock.lap();

    if job.purpose != Purpose::Trace {
        return answer(&compiling, &mut encoder, &job.purpose);
    }

    let (mut tracing, programs) = compiling.enable(encoder, job.text, job.printed)?;
    for info in programs {
        tracing.encoder().send(&Frame::Program(info));
    }
    times.enable = clock.lap();

    if !job.read_options.is_empty() {
        let read = |name: &String| (name.clone(), tracing.option(name));
        let options = job.read_options.iter().map(read).collect();
        tracing.encoder().send(&Frame::Options(options));
    }
    tracing.encoder().flush();
    tracing.go().map_err(|f| with_shortcomings(f, shortcomings))?;
    times.go = clock.lap();
    if let Some((pid, gate)) = job.target.as_ref().and_then(|t| Some((t.pid, t.gate.as_ref()?))) {
        held_process::open_gate(pid, gate, owner)
            .map_err(|e| surroundings_failed("let the command run", &e))?;
    }
    match confinement::confine() {
        Err(e) if owner.is_some() => return Err(surroundings_failed("confine the worker", &e)),
        // A kernel or machine without that traces all the same, as its own user.
        _ => {}
    }
    tracing.encoder().send(&Frame::Started(times));
    tracing.encoder().flush();

    tracing.release_processes();
    let traced = trace(&mut tracing, control, job);
    // Whatever went wrong, what there is gets delivered, and the first failure is told.
    let result = if tracing.encoder().has_given_up() {
        Ok(())
    } else {
        let ended = traced.and(snapshot(&mut tracing, job));
        tracing.encoder().settle_drops(&drop_counters::read());
        if job.report { ended.and(report(&mut tracing)) } else { ended }
    };
    tracing.encoder().flush();
    result
}

/// From the processes to the last script.
fn compile(
    compiling: &mut Compiling,
    job: &Job,
    shortcomings: &[Shortcoming],
) -> Result<(), Failed> {
    if let Some(target) = &job.target {
        let process = Process::Grab(target.pid);
        compiling.set_target(target).map_err(|f| Failed::to_control(&process, f))?;
    }
    for process in &job.processes {
        compiling.control(process).map_err(|f| Failed::to_control(process, f))?;
    }
    compiling.init().map_err(|f| with_shortcomings(f, shortcomings))?;
    for (index, source) in job.sources.iter().enumerate() {
        compiling.compile(source, job.compile_flags).map_err(|failure| {
            let mut failed = Failed::of(FailureKind::Compile, failure);
            failed.0.script = u32::try_from(index).ok();
            if let Some(library) = libraries::named_in(&failed.0.message) {
                failed.0.kind = FailureKind::Library;
                failed.0.attempt = library.to_owned();
            }
            failed
        })?;
    }
    Ok(())
}

/// Does what a session is for that does not trace.
fn answer(compiling: &Compiling, encoder: &mut Encoder, purpose: &Purpose) -> Result<(), Failed> {
    match purpose {
        Purpose::Trace => {}
        Purpose::Check => {
            for info in compiling.programs(true)? {
                encoder.send(&Frame::Program(info));
            }
        }
        Purpose::List { patterns, describe } => list(compiling, encoder, patterns, *describe)?,
        Purpose::Lookup { names, addresses } => {
            let by_name = names.iter().map(|name| compiling.symbol_named(name));
            for found in by_name.chain(addresses.iter().map(|a| compiling.symbol_at(*a))) {
                encoder.send(&Frame::Found(found));
            }
        }
        Purpose::Types { names } => {
            for name in names {
                encoder.send(&Frame::FoundType(compiling.type_named(name)));
            }
        }
        Purpose::Header { name } => encoder.send(&Frame::Report(&compiling.header(name)?)),
        Purpose::Link { output, objects } => compiling.link(output, objects)?,
    }
    encoder.flush();
    Ok(())
}

/// Lists the probes of the patterns, or of the scripts' clauses, or all.
fn list(
    compiling: &Compiling,
    encoder: &mut Encoder,
    patterns: &[String],
    describe: bool,
) -> Result<(), Failed> {
    let mut send = |probe| encoder.send(&Frame::Listed(probe));
    let clauses: Vec<_> = compiling.programs(false)?.into_iter().flat_map(|p| p.clauses).collect();
    if patterns.is_empty() && clauses.is_empty() {
        compiling.list(None, describe, &mut send)?;
    }
    for pattern in patterns {
        compiling.list(Some(pattern), describe, &mut send)?;
    }
    for clause in &clauses {
        compiling.list_clause(&clause.probe, describe, &mut send)?;
    }
    Ok(())
}

/// Delivers until the script, the consumer or its disappearance ends the session.
fn trace(tracing: &mut Tracing, control: &Control, job: &Job) -> Result<(), Failed> {
    let mut busy = 0;
    loop {
        let began = Instant::now();
        let firings = tracing.encoder().firings();
        let work = tracing.work()?;
        let encoder = tracing.encoder();
        encoder.flush();
        if encoder.is_broken() || encoder.has_given_up() || control.is_abandoned() {
            return Ok(());
        }
        if work == Work::Done {
            return drain(tracing, control);
        }
        let processes = job.processes.len();
        let processes_ended = processes > 0 && encoder.processes_gone() >= processes;
        if control.take_stop() || processes_ended {
            break;
        }
        if control.take_catch_up() {
            // What is at hand was recorded before; there is no more to wait for.
            control.wake();
            let done = tracing.work()? == Work::Done;
            // libdtrace puts a function's own address for any in it while it can, and would tell one
            // from the other later.
            if !job.sources.iter().any(|it| it.mentions(&["usym", "umod", "ufunc"])) {
                tracing.resolve_keys()?;
            }
            tracing.encoder().send(&Frame::CaughtUp);
            tracing.encoder().flush();
            if done {
                return Ok(());
            }
        }
        if control.take_snapshot() {
            snapshot(tracing, job)?;
            tracing.encoder().flush();
        }
        let came = tracing.encoder().firings() - firings;
        let goes_on = if busy < BUSY_ROUNDS {
            // Data that had to be waited for do not come fast.
            came > 0 && began.elapsed() < BATCH / 2
        } else {
            came >= BUSY_FIRINGS
        };
        busy = if goes_on { busy + 1 } else { 0 };
        if busy >= BUSY_ROUNDS {
            control.pause(BATCH);
        }
    }
    tracing.stop()?;
    drain(tracing, control)
}

/// Delivers what is left in the buffers when tracing is off.
fn drain(tracing: &mut Tracing, control: &Control) -> Result<(), Failed> {
    // Whatever is left is at hand: waiting for more, up to a second, has no purpose any more.
    tracing.set_option("switchrate", Some("1us"))?;
    loop {
        let work = tracing.work()?;
        tracing.encoder().flush();
        if work == Work::Done || tracing.encoder().is_broken() || control.is_abandoned() {
            return Ok(());
        }
    }
}

fn snapshot(tracing: &mut Tracing, job: &Job) -> Result<(), Failed> {
    tracing.encoder().send(&Frame::SnapshotBegin);
    tracing.snapshot(job.order, job.drain)?;
    tracing.encoder().send(&Frame::SnapshotEnd);
    Ok(())
}

fn report(tracing: &mut Tracing) -> Result<(), Failed> {
    let text = tracing.report()?;
    tracing.encoder().send(&Frame::Report(&text));
    Ok(())
}

fn prepare(job: &Job) -> Vec<Shortcoming> {
    let (surroundings, shortcoming) = Surroundings::enter();
    let mut shortcomings = Vec::from_iter(shortcoming);
    shortcomings.extend(surroundings.provide_debugfs());
    surroundings::remove_stale_uprobe_events();
    if let Some(dir) = &job.syslibdir {
        let wanted = libraries::wanted(dir, &job.sources, &job.omit, job.all_libraries);
        shortcomings.extend(surroundings.cover_libraries(dir, |file| !wanted(file)));
    }
    shortcomings
}

fn session_info(job: &Job, library_version: &str) -> SessionInfo {
    let uname = nix::sys::utsname::uname();
    let field = |get: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        uname.as_ref().map_or_else(|_| String::new(), |u| get(u).to_string_lossy().into_owned())
    };
    SessionInfo {
        library_version: library_version.to_owned(),
        library: job.library.display().to_string(),
        platform: PLATFORM,
        kernel: field(|u| u.release()),
        machine: field(|u| u.machine()),
        omitted_libraries: job.omit.clone(),
    }
}

fn surroundings_failed(attempt: &str, error: &io::Error) -> Failed {
    Failed(FailureFrame {
        kind: FailureKind::Surroundings,
        attempt: attempt.to_owned(),
        number: error.raw_os_error().unwrap_or(0),
        message: error.to_string(),
        script: None,
    })
}

/// A failure of libdtrace, with what could not be arranged for it, which is often the reason.
fn with_shortcomings(failure: CallFailure, shortcomings: &[Shortcoming]) -> Failed {
    let mut failed = Failed::from(failure);
    for s in shortcomings {
        failed.0.message.push_str(&format!("; could not {}: {}", s.attempt, s.error));
    }
    failed
}

/// Ends tracing in the kernel at once, by closing what holds it, and cleans up behind it. libdtrace's
/// own close does the same after seconds of freeing memory that is about to vanish.
fn leave() {
    let held = control::descriptors("anon_inode:[perf_event]");
    held.into_iter().for_each(close_foreign);
    surroundings::remove_own_uprobe_events();
}

struct Clock(Instant);

impl Clock {
    /// Nanoseconds since the last lap.
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap = now - self.0;
        self.0 = now;
        u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Reads exactly one message's worth, so that nothing of the next is taken.
pub(crate) fn read_exactly(mut from: &UnixStream, buffer: &mut [u8]) -> io::Result<()> {
    from.read_exact(buffer)
}

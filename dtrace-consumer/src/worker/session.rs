//! Runs a session in the worker, from its job to its end.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use super::answer::answer;
use super::between;
use super::control::{self, Control};
use super::deliver::deliver;
use super::encode::encoder::Encoder;
use super::ending;
use super::failed::{Failed, surroundings_failed, with_shortcomings};
use super::libdtrace::{self, CallFailure, Closing, Compiling, PLATFORM, Tracing, Wanted};
use super::libraries;
use super::never_fires;
use super::opened::Opened;
use super::own_process;
use super::processes::Processes;
use super::served::Served;
use super::system::{self, Reach, Shortcoming, Surroundings, Threads};
use super::template;
use super::tracer::Tracer;
use super::watch::Watch;
use crate::data::session_info::{Admission, ByteOrder, SessionInfo};
use crate::data::warning::{Warning, WarningKind};
use crate::stream::compile_flags::PREPROCESS;
use crate::stream::contents::ContentsFrame;
use crate::stream::frame::Frame;
use crate::stream::job::{Gate, Job, Process, Purpose, Target};
use crate::stream::payload::{FailureFrame, FailureKind, StepTimes};

/// How a session gets its libdtrace.
pub(super) enum Start {
    /// It opens one. A copy of it then waits for those who ask through the socket, if there is one.
    Fresh(Option<OwnedFd>),
    /// It has a copy of one that another session has opened.
    Copy(Opened),
}

/// Serves one session. `served` is given if the worker is elevated.
pub(super) fn serve(
    job: Job,
    channel: UnixStream,
    served: Option<Served>,
    start: Start,
) -> io::Result<()> {
    let mut reporter = Encoder::new(channel.try_clone()?);
    let mut refuse = |failed: Failed| {
        begin(&mut reporter, &job);
        reporter.send(&Frame::Failure(failed.0));
        reporter.finish()
    };
    if let Err(e) = system::give_up_privileges() {
        return refuse(surroundings_failed("giving up privileges", &e));
    }
    // Covers hide the libraries that are left out.
    let directory = job.syslibdir.as_deref();
    let preprocessed = job.compile_flags & PREPROCESS != 0;
    let missed = directory.map(|it| libraries::missed(it, &job.scripts, &job.omit, preprocessed));
    let missed = missed.unwrap_or_default();
    let reach = Reach::of(&job);
    // Another thread would be one that a library of the user's program has started.
    let threads =
        if served.is_some() || system::has_one_thread() { Threads::All } else { Threads::This };
    // Threads that start later share the confinement.
    let mut shortcomings = None;
    if let Some(Served { uid: user, grab }) = served {
        match Surroundings::enter().prepare(&job, Some(user)) {
            Ok(failed) => shortcomings = Some(failed),
            Err(e) => return refuse(surroundings_failed("making mounts read-only", &e)),
        }
        if let Err(e) = system::confine_before_opening(reach, grab) {
            return refuse(surroundings_failed("confining the worker", &e));
        }
    }
    let control = Arc::new(Control::new());
    let (released, closing) = (Cell::new(false), Cell::new(None));
    let session = Session {
        job: &job,
        control: &control,
        served,
        reach,
        threads,
        missed: &missed,
        released: &released,
        closing: &closing,
    };
    let result = session.run(channel, start, shortcomings);
    if let Err(Failed(frame)) = result {
        reporter.send(&Frame::Failure(frame));
    }
    // The consumer kills a command that was not released. It must not run before.
    if !released.get() {
        gates(&job).for_each(|(pid, _)| system::end_held(pid));
    }
    let attached = gates(&job).filter(|_| released.get()).map(|(pid, _)| pid).collect();
    ending::end(reporter, control, attached, closing.take());
    Ok(())
}

/// Serves one session with a libdtrace that another one has opened.
fn serve_copy(job: Job, channel: UnixStream, opened: Opened) -> io::Result<()> {
    serve(job, channel, None, Start::Copy(opened))
}

/// A session and its inputs.
struct Session<'s> {
    job: &'s Job,
    control: &'s Arc<Control>,
    served: Option<Served>,
    reach: Reach,
    /// The threads to confine.
    threads: Threads,
    /// For each script the D libraries left out that define what it uses.
    missed: &'s [Vec<String>],
    /// Whether the processes to trace have been released.
    released: &'s Cell<bool>,
    /// Closes libdtrace, if it was opened.
    closing: &'s Cell<Option<Closing>>,
}

impl Session<'_> {
    /// Runs the session. `shortcomings` are given if the surroundings are prepared.
    fn run(
        &self,
        channel: UnixStream,
        start: Start,
        shortcomings: Option<Vec<Shortcoming>>,
    ) -> Result<(), Failed> {
        let job = self.job;
        let mut times = StepTimes::default();
        let mut clock = Clock(Instant::now());
        let mut encoder = Encoder::new(
            channel
                .try_clone()
                .map_err(|e| surroundings_failed("duplicating the channel to the consumer", &e))?,
        );
        // Opening libdtrace may end the process.
        begin(&mut encoder, job);
        encoder.flush();
        let (opened, shortcomings) = self.open(&channel, start, shortcomings)?;
        let (tracer, mut compiling) = Tracer::of(job, opened, self.served)?;
        self.closing.set(Some(compiling.closing()));
        times.open = clock.lap();

        encoder.send(&Frame::Begin(session_info(job, compiling.version())));
        encoder.flush();
        let mut processes = Processes::default();
        set_options(&mut compiling, job)?;
        self.compile(&mut compiling, &mut processes, &shortcomings)?;
        if compiling.writes_a_document() {
            return Err(Failed::of_document());
        }
        if libraries::needs_kernel_types(&job.scripts) {
            compiling.read_kernel_types();
        }
        times.compile = clock.lap();
        if job.purpose != Purpose::Trace {
            return answer(&compiling, &mut encoder, &job.purpose);
        }

        warn(&compiling, &mut encoder, job, &tracer)?;
        let mut tracing = enable(compiling, encoder, job)?;
        times.enable = clock.lap();
        Tracer::go(&mut tracing).map_err(|f| with_shortcomings(f, &shortcomings))?;
        Tracer::require_begun()?;
        let warnings = [Tracer::warning_once_on(job), tracer.prepare_to_let_wait(job)];
        for warning in warnings.into_iter().flatten() {
            tracing.sink().send(&Frame::Warning(warning));
            tracing.sink().flush();
        }
        times.go = clock.lap();
        self.let_go(&mut tracing, times)?;
        deliver(&mut tracing, self.control, &mut processes, job)
    }

    /// Opens libdtrace, or takes over what another session has opened, prepares what is around it, and listens to the
    /// consumer. Returns also the preparations that failed.
    fn open(
        &self,
        channel: &UnixStream,
        start: Start,
        mut shortcomings: Option<Vec<Shortcoming>>,
    ) -> Result<(Opened, Vec<Shortcoming>), Failed> {
        let prepare = || {
            let prepared = Surroundings::enter().prepare(self.job, None);
            prepared.map_err(|e| surroundings_failed("preparing the worker", &e))
        };
        let opened = match start {
            Start::Copy(opened) => opened,
            Start::Fresh(template) => {
                let opens_first =
                    shortcomings.is_none() && own_process::in_a_copy(system::try_opening_first);
                if !opens_first && shortcomings.is_none() {
                    shortcomings = Some(prepare()?);
                }
                let opened = self.open_anew(channel, template.is_some())?;
                match template.filter(|_| opens_first) {
                    // Its mounts are the consumer's: those of this worker would keep file systems in use.
                    Some(requests) => template::leave(opened, requests, serve_copy),
                    None => opened,
                }
            }
        };
        // Threads that start from here on share the mounts.
        let shortcomings = shortcomings.map_or_else(prepare, Ok)?;
        let interval = self.job.snapshot_interval;
        channel
            .try_clone()
            .and_then(|channel| control::listen(Arc::clone(self.control), channel, interval))
            .map_err(|e| surroundings_failed("listening to the consumer", &e))?;
        self.control.wake_through(opened.waits_on());
        Ok((opened, shortcomings))
    }

    /// Opens libdtrace, for others too if it is `shared`.
    fn open_anew(&self, channel: &UnixStream, shared: bool) -> Result<Opened, Failed> {
        let _watch = Watch::start(channel)
            .map_err(|e| surroundings_failed("watching for the consumer's end", &e))?;
        let mut opened = Opened::open(self.job, channel)?;
        // The script would have them read a moment later, and each copy again.
        if shared && self.job.seems_to_need_types() {
            opened.read_kernel_types();
        }
        Ok(opened)
    }

    /// Returns the user to whom the processes must belong, if that is not decided by the kernel.
    fn user(&self) -> Option<u32> {
        self.served.map(|it| it.uid)
    }

    /// Performs the steps from the processes to the last script.
    fn compile(
        &self,
        compiling: &mut Compiling,
        processes: &mut Processes,
        shortcomings: &[Shortcoming],
    ) -> Result<(), Failed> {
        let job = self.job;
        if let Some(target) = &job.target {
            let process = Process::Created(target.clone());
            set_target(compiling, target, self.user())
                .map_err(|f| Failed::to_control(&process, f))?;
        }
        for process in &job.processes {
            // A target at a gate is held already.
            if let (Process::Grab(pid), Some(Target { pid: target, gate: Some(_) })) =
                (process, &job.target)
                && pid == target
            {
                processes.grabbed(*pid);
                continue;
            }
            control(compiling, process, processes, self.user())?;
        }
        compiling.init().map_err(|f| with_shortcomings(f, shortcomings))?;
        for (index, script) in job.scripts.iter().enumerate() {
            compiling
                .compile(script, job.compile_flags)
                .map_err(|failure| Failed::to_compile(job, index, self.missed, failure))?;
        }
        Ok(())
    }

    /// Confines the worker, notifies the consumer and releases the processes, once tracing is on.
    fn let_go(&self, tracing: &mut Tracing<Encoder>, times: StepTimes) -> Result<(), Failed> {
        for (pid, gate) in gates(self.job) {
            system::open_gate(pid, gate, self.user())
                .map_err(|e| surroundings_failed("opening the command's gate", &e))?;
        }
        match system::confine(self.threads, self.reach) {
            Err(e) if self.served.is_some() => {
                return Err(surroundings_failed("confining the worker", &e));
            }
            // A worker that is not elevated traces even if the kernel or machine lacks these filters.
            _ => {}
        }
        tracing.sink().send(&Frame::Started(times));
        tracing.sink().flush();
        tracing.release_processes();
        self.released.set(true);
        Ok(())
    }
}

fn set_options(compiling: &mut Compiling, job: &Job) -> Result<(), Failed> {
    let syslibdir = job.syslibdir.as_ref().map(|dir| dir.as_os_str().as_bytes());
    let first = syslibdir.map(|dir| ("syslibdir", Some(dir)));
    let defaults = libdtrace::defaults(job.max_delay);
    let defaults = defaults.iter().map(|(name, value)| (*name, Some(value.as_bytes())));
    let others = job
        .options
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_ref().map(|value| value.as_bytes())));
    for (name, value) in first.into_iter().chain(defaults).chain(others) {
        compiling.set_option(name, value).map_err(|failure| {
            let attempt = name.to_owned();
            Failed(FailureFrame { attempt, ..Failed::of(FailureKind::Option, failure).0 })
        })?;
    }
    Ok(())
}

/// Makes a held process `$target`, unless there is one already. libdtrace attaches to it if it is at a gate.
fn set_target(
    compiling: &mut Compiling,
    target: &Target,
    user: Option<u32>,
) -> Result<(), CallFailure> {
    if target.gate.is_some() {
        system::let_run_to_gate(target.pid, user);
    }
    let attaches = target.gate.is_some();
    compiling.set_target(target.pid, attaches)?;
    if attaches {
        between::attached_to(target.pid);
    }
    Ok(())
}

/// Returns the processes that libdtrace attaches to at a gate.
fn gates(job: &Job) -> impl Iterator<Item = (i32, &Gate)> {
    job.held().filter_map(|held| Some((held.pid, held.gate.as_ref()?)))
}

/// Makes libdtrace grab or know a process, and watches for its end.
fn control(
    compiling: &mut Compiling,
    process: &Process,
    processes: &mut Processes,
    user: Option<u32>,
) -> Result<(), Failed> {
    let failed = |failure| Failed::to_control(process, failure);
    match process {
        // libdtrace would wait forever when it continued a process for the second time.
        Process::Grab(pid) if processes.contain(*pid) => Ok(()),
        Process::Grab(pid) => {
            compiling.grab(*pid).map_err(failed)?;
            between::attached_to(*pid);
            processes.grabbed(*pid);
            Ok(())
        }
        Process::Created(held) => {
            set_target(compiling, held, user).map_err(failed)?;
            processes.created(held.pid, held.gate.is_some()).map_err(|error| {
                let number = error.raw_os_error().unwrap_or(0);
                failed(CallFailure { call: system::WATCH, number, message: error.to_string() })
            })
        }
    }
}

/// Sends a warning for each clause that cannot fire. Fails if enabling one would do harm.
fn warn(
    compiling: &Compiling,
    encoder: &mut Encoder,
    job: &Job,
    tracer: &Tracer,
) -> Result<(), Failed> {
    let clauses = compiling.programs(false)?.into_iter().flat_map(|program| program.clauses);
    let clauses: Vec<_> = clauses.map(|clause| clause.probe).collect();
    if let Some(harm) = never_fires::harm(compiling, &clauses) {
        return Err(surroundings_failed("enabling probes on functions of the kernel", &harm));
    }
    let never_fire = never_fires::warnings(compiling, job, &clauses, tracer.uncorrected.as_ref());
    for warning in never_fire.into_iter().chain(tracer.warning(job)) {
        encoder.send(&Frame::Warning(warning));
    }
    // Enabling may end the process.
    encoder.flush();
    Ok(())
}

/// Enables the probes, and sends the information about programs and options.
fn enable(compiling: Compiling, encoder: Encoder, job: &Job) -> Result<Tracing<Encoder>, Failed> {
    let wanted = Wanted { firings: job.firings, text: job.text, printed: job.printed };
    let (mut tracing, programs) = compiling.enable(encoder, wanted)?;
    for info in programs {
        tracing.sink().send(&Frame::Program(info));
    }
    if !job.read_options.is_empty() {
        let mut options = Vec::new();
        for name in &job.read_options {
            let value = tracing.option(name).unwrap_or_else(|failure| {
                let kind = WarningKind::UnknownOption;
                let message = format!("its value cannot be read: {}", failure.message);
                tracing.sink().send(&Frame::Warning(Warning::new(kind, name, message)));
                None
            });
            options.push((name.clone(), value));
        }
        tracing.sink().send(&Frame::Options(options));
    }
    tracing.sink().flush();
    Ok(tracing)
}

/// Begins a stream before libdtrace is open. Its version is not known yet.
pub(super) fn begin(encoder: &mut Encoder, job: &Job) {
    encoder.send(&Frame::Begin(session_info(job, "")));
    let scripts = job.scripts.iter().map(|script| (script.name.clone(), script.text.clone()));
    encoder.send(&Frame::Contents(ContentsFrame {
        firings: job.firings,
        text: job.text,
        printed: job.printed,
        report: job.report,
        preprocessed: job.compile_flags & PREPROCESS != 0,
        scripts: scripts.collect(),
        options: job.options.clone(),
    }));
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
        byte_order: ByteOrder::OWN,
        admission: match &job.unknown {
            None => Admission::Known,
            Some(unknown) if unknown.under_check => Admission::UnderCheck,
            Some(_) => Admission::Verified,
        },
    }
}

struct Clock(Instant);

impl Clock {
    /// Returns the nanoseconds since the last lap.
    fn lap(&mut self) -> u64 {
        let now = Instant::now();
        let lap = now - self.0;
        self.0 = now;
        u64::try_from(lap.as_nanos()).unwrap_or(u64::MAX)
    }
}

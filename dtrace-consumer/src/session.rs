//! One session from the user's side: start a worker, feed its stream to the dispatcher, end it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::Mutex;

use crate::aggregation::{Mode, Order};
use crate::description::OmittedLibrary;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::elevation::Elevation;
use crate::error::{CompileError, Error, Failure, refused_probe};
use crate::launch::{Worker, launch};
use crate::locate::Libdtrace;
use crate::near;
use crate::option;
use crate::outcome::{CommandOutcome, Outcome};
use crate::patience::{Patient, SILENCE_LIMIT};
use crate::preflight::{preflight, preflight_elevated};
use crate::query;
use crate::stop::{CatchUp, StopHandle};
use crate::stream::frame::{FailureFrame, FailureKind, Frame};
use crate::stream::job::{Command, Job, Process, Purpose, Source, Target};
use crate::stream::reader::{FrameReader, ReadError};

/// What a session is to be like, as far as its closures do not decide it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) sources: Vec<Source>,
    pub(crate) options: Vec<(String, Option<String>)>,
    pub(crate) compile_flags: u32,
    pub(crate) prefix: Option<PathBuf>,
    pub(crate) worker: Option<PathBuf>,
    pub(crate) elevation: Elevation,
    pub(crate) losses: LossPolicy,
    pub(crate) mode: Mode,
    pub(crate) interval: Option<Duration>,
    pub(crate) recording: Option<PathBuf>,
    pub(crate) frame_limit: Option<usize>,
    pub(crate) silence_limit: Option<Duration>,
    pub(crate) memory_limit: Option<usize>,
    pub(crate) read_options: Vec<String>,
    pub(crate) processes: Vec<Process>,
    pub(crate) formatted: bool,
    pub(crate) keep_system: bool,
    pub(crate) printed: bool,
    pub(crate) inherit_stderr: bool,
    pub(crate) order: Order,
}

/// A session whose tracing is on.
pub(crate) struct Live<'f> {
    dispatcher: Dispatcher<'f>,
    reader: FrameReader<Tee>,
    worker: Worker,
    stop: StopHandle,
    /// Who waits for the worker to have caught up.
    caught_up: Option<Sender<()>>,
}

/// Copies what is read into a recording.
struct Tee {
    source: Patient,
    copy: Option<(File, PathBuf)>,
    failure: Option<io::Error>,
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        if let Some((copy, _)) = &mut self.copy
            && self.failure.is_none()
        {
            self.failure = copy.write_all(&buffer[..n]).err();
        }
        Ok(n)
    }
}

/// D libraries that were found not to compile, by the libdtrace whose they are.
static KNOWN_BAD: Mutex<Option<HashMap<PathBuf, Vec<OmittedLibrary>>>> = Mutex::new(None);

/// Starts tracing; returns when it is on. Each attempt at it asks `target` for the command.
pub(crate) fn start<'f>(
    settings: &Settings,
    closures: Closures<'f>,
    stop: &StopHandle,
    mut target: impl FnMut() -> Result<Option<Target>, Error>,
) -> Result<Live<'f>, Failure> {
    let began = Instant::now();
    let (library, mut job) = job(settings, Purpose::Trace)?;
    job.firings = closures.want_firings();
    job.text = closures.want_text() || settings.formatted;
    job.report = closures.report.is_some();
    let mut dispatcher = Dispatcher::new(closures, settings.losses, settings.mode)
        .with_memory_limit(settings.memory_limit.unwrap_or(usize::MAX));
    dispatcher.run_system = !settings.keep_system;
    let mut attempts = 0;
    loop {
        attempts += 1;
        job.target = target()?;
        match attempt(settings, library.as_ref(), &job, stop, dispatcher)? {
            Attempt::Live(mut live) => {
                let timings = &mut live.dispatcher.outcome.timings;
                timings.startup = began.elapsed();
                timings.attempts = attempts;
                return Ok(live);
            }
            Attempt::Failed(back, failure) => {
                dispatcher = back;
                if !retry(&mut job, &failure) {
                    let outcome = Box::new(dispatcher.outcome);
                    let mut error = explain(failure, &job);
                    suggest(settings, &mut error);
                    return Err(Failure { error, outcome });
                }
                dispatcher.restart();
            }
            Attempt::Died(back, error) => {
                dispatcher = back;
                if !widen(&mut job) {
                    return Err(error.into());
                }
                dispatcher.restart();
            }
        }
    }
}

/// Asks libdtrace something that needs no tracing; every frame of the answer goes to `take`.
pub(crate) fn inquire(
    settings: &Settings,
    purpose: Purpose,
    mut take: impl FnMut(Frame<'_>, u64) -> Result<Step, Error>,
) -> Result<(), Error> {
    let (library, mut job) = job(settings, purpose)?;
    loop {
        let worker = launch(settings, library.as_ref())?;
        if (&worker.channel).write_all(&Command::Job(Box::new(job.clone())).encode()).is_err() {
            return Err(worker.post_mortem());
        }
        let mut reader = FrameReader::new(patient(settings, &worker)?);
        loop {
            let position = reader.position();
            let frame = match next_frame(&mut reader, &worker) {
                Err(Error::WorkerDied { .. }) if widen(&mut job) => break,
                frame => frame?,
            };
            match take(frame, position)? {
                Step::Continue | Step::Started | Step::CaughtUp => {}
                Step::End => return Ok(()),
                Step::Failed(failure) if retry(&mut job, &failure) => break,
                Step::Failed(failure) => {
                    let mut error = explain(failure, &job);
                    suggest(settings, &mut error);
                    return Err(error);
                }
            }
        }
    }
}

/// libdtrace needs a program's name, and C has no words with a NUL byte.
fn check_words(words: &[String]) -> Result<(), Error> {
    let reason = if words.first().is_none_or(String::is_empty) {
        "no program is named"
    } else if words.iter().any(|word| word.contains('\0')) {
        "a word contains a NUL byte"
    } else {
        return Ok(());
    };
    let cause = io::Error::new(io::ErrorKind::InvalidInput, reason);
    Err(Error::Command { program: words.join(" "), cause })
}

/// Checks what the user has set, and makes a job of it. An elevated worker uses the library that its
/// administrator chose.
fn job(settings: &Settings, purpose: Purpose) -> Result<(Option<Libdtrace>, Job), Error> {
    for source in &settings.sources {
        if source.text.contains(&0) {
            let reason = "it contains a NUL byte".to_owned();
            return Err(Error::Script { script: source.name.clone(), reason });
        }
    }
    for process in &settings.processes {
        if let Process::Create(words) = process {
            check_words(words)?;
        }
    }
    let options = option::complete(&settings.options)?;
    let library = match settings.elevation {
        Elevation::None => Some(preflight(settings.prefix.as_deref()).require()?),
        _ if settings.prefix.is_some() => {
            let what = "the prefix".to_owned();
            let reason = format!(
                "an elevated worker loads the libdtrace that its administrator chose, in {}",
                crate::serve::CONFIGURATION
            );
            return Err(Error::Refused { what, reason });
        }
        _ => {
            preflight_elevated(&settings.elevation, settings.worker.as_deref()).missing()?;
            None
        }
    };
    let (file, syslibdir) = match &library {
        Some(library) => (library.library.clone(), library.syslibdir.clone()),
        None => Default::default(),
    };
    // Nobody knows what a script uses before it is preprocessed.
    let preprocessed = settings.compile_flags & option::PREPROCESS != 0;
    // Types may be those of any library.
    let everything = preprocessed || matches!(purpose, Purpose::Types { .. });
    let job = Job {
        purpose,
        omit: if everything { known_bad(&file) } else { Vec::new() },
        library: file,
        syslibdir,
        all_libraries: everything,
        options,
        compile_flags: settings.compile_flags | option::ERROR_TAGS,
        sources: settings.sources.clone(),
        target: None,
        processes: settings.processes.clone(),
        firings: false,
        text: false,
        printed: settings.printed,
        order: settings.order,
        drain: settings.mode == Mode::Drain,
        report: false,
        read_options: settings.read_options.clone(),
        snapshot_interval: settings.interval,
    };
    Ok((library, job))
}

enum Attempt<'f> {
    Live(Live<'f>),
    /// The worker said why it cannot go on.
    Failed(Dispatcher<'f>, FailureFrame),
    /// It died without a word: libdtrace aborts where it trusts that a D library is there.
    Died(Dispatcher<'f>, Error),
}

fn attempt<'f>(
    settings: &Settings,
    library: Option<&Libdtrace>,
    job: &Job,
    stop: &StopHandle,
    mut dispatcher: Dispatcher<'f>,
) -> Result<Attempt<'f>, Failure> {
    let worker = launch(settings, library)?;
    let copy = settings.recording.as_deref().map(create_recording).transpose()?;
    let source = patient(settings, &worker)?;
    let mut reader = FrameReader::new(Tee { source, copy, failure: None });
    if let Some(bytes) = settings.frame_limit {
        reader = reader.with_limit(bytes);
    }
    let sent = (&worker.channel).write_all(&Command::Job(Box::new(job.clone())).encode());
    if sent.is_err() {
        return Err(worker.post_mortem().into());
    }
    loop {
        let step = match step(&mut reader, &mut dispatcher, &worker) {
            Ok(step) => step,
            Err(error @ Error::WorkerDied { .. }) => return Ok(Attempt::Died(dispatcher, error)),
            Err(error) => return Err(Failure { error, outcome: Box::new(dispatcher.outcome) }),
        };
        match step {
            Step::Continue | Step::CaughtUp => {}
            Step::Started => {
                stop.attach(duplicate(&worker)?);
                let stop = stop.clone();
                reader.source().source.tracing(stop.clone());
                return Ok(Attempt::Live(Live {
                    dispatcher,
                    reader,
                    worker,
                    stop,
                    caught_up: None,
                }));
            }
            Step::Failed(failure) => return Ok(Attempt::Failed(dispatcher, failure)),
            Step::End => return Err(worker.post_mortem().into()),
        }
    }
}

fn duplicate(worker: &Worker) -> Result<UnixStream, Error> {
    let attempt = "duplicate the channel to the worker";
    worker.channel.try_clone().map_err(|cause| Error::System { attempt, cause })
}

/// What the worker says, for as long as it may be silent.
fn patient(settings: &Settings, worker: &Worker) -> Result<Patient, Error> {
    let attempt = "limit the time of reading from the worker";
    let limit = settings.silence_limit.unwrap_or(SILENCE_LIMIT);
    Patient::new(duplicate(worker)?, limit).map_err(|cause| Error::System { attempt, cause })
}

fn create_recording(path: &Path) -> Result<(File, PathBuf), Error> {
    let file =
        File::create(path).map_err(|cause| Error::Recording { path: path.to_owned(), cause })?;
    Ok((file, path.to_owned()))
}

/// Reads one frame and dispatches it.
fn step(
    reader: &mut FrameReader<Tee>,
    dispatcher: &mut Dispatcher<'_>,
    worker: &Worker,
) -> Result<Step, Error> {
    let position = reader.position();
    let frame = next_frame(reader, worker)?;
    dispatcher.take(frame, position)
}

fn next_frame<'r, R: Read>(
    reader: &'r mut FrameReader<R>,
    worker: &Worker,
) -> Result<Frame<'r>, Error> {
    match reader.next() {
        Ok(Some(frame)) => Ok(frame),
        Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {
            worker.kill();
            Err(Error::WorkerSilent { last_words: worker.last_words() })
        }
        // Before the frame that ends a stream, the end of the channel is the end of the worker.
        Ok(None) | Err(ReadError::Io(_) | ReadError::Truncated { .. }) => Err(worker.post_mortem()),
        Err(ReadError::Malformed { position, cause }) => Err(Error::Stream { position, cause }),
    }
}

/// Whether the failure may go away with other D libraries; then the job is changed accordingly.
fn retry(job: &mut Job, failure: &FailureFrame) -> bool {
    match failure.kind {
        // A script that cannot be parsed is wrong with any libraries.
        FailureKind::Compile if failure.message.contains("[D_SYNTAX]") => false,
        FailureKind::Compile | FailureKind::Call => widen(job),
        FailureKind::Library => {
            let library =
                OmittedLibrary { file: failure.attempt.clone(), reason: failure.message.clone() };
            // One that was left out cannot fail again, unless it could not be covered.
            if job.omit.iter().any(|o| o.file == library.file) {
                return false;
            }
            tracing::warn!(library = %library.file, "left out: {}", library.reason);
            job.omit.push(library);
            let mut known = KNOWN_BAD.lock();
            known.get_or_insert_default().insert(job.library.clone(), job.omit.clone());
            true
        }
        _ => false,
    }
}

/// Lets the scripts see every D library from now on; `false` if they do already.
fn widen(job: &mut Job) -> bool {
    if job.all_libraries {
        return false;
    }
    job.all_libraries = true;
    job.omit = known_bad(&job.library);
    true
}

fn known_bad(library: &Path) -> Vec<OmittedLibrary> {
    let known = KNOWN_BAD.lock();
    known.as_ref().and_then(|known| known.get(library)).cloned().unwrap_or_default()
}

/// The user's error of a worker's failure.
fn explain(failure: FailureFrame, job: &Job) -> Error {
    let FailureFrame { kind, attempt, number, message, script } = failure;
    match kind {
        FailureKind::Compile => {
            let source = script.and_then(|n| job.sources.get(n as usize));
            let (name, text) =
                source.map_or(("script", &[][..]), |s| (s.name.as_str(), s.text.as_slice()));
            let mut error = CompileError::parse(name, text, &message);
            error.index = script.map_or(0, |n| n as usize);
            Error::Compile(Box::new(error))
        }
        FailureKind::Option => {
            let value = job.options.iter().rfind(|(name, _)| *name == attempt);
            let value = value.and_then(|(_, value)| value.clone());
            Error::Option { name: attempt, value, reason: message }
        }
        FailureKind::Refused => Error::Refused { what: attempt, reason: message },
        FailureKind::Process => Error::Process { attempt, number, message },
        FailureKind::Load
        | FailureKind::Library
        | FailureKind::Call
        | FailureKind::Surroundings => match refused_probe(&attempt, &message) {
            Some(probe) => Error::Enable { probe: probe.to_owned(), number, message },
            None => {
                let advice = option::advice(&attempt, &message, number);
                Error::Libdtrace { call: attempt, number, message, advice }
            }
        },
    }
}

/// Adds similar probes to the complaint that a description matches none.
fn suggest(settings: &Settings, error: &mut Error) {
    let Error::Compile(error) = error else { return };
    let Some(description) = near::unmatched_description(&error.message) else { return };
    let only_where = Settings {
        prefix: settings.prefix.clone(),
        worker: settings.worker.clone(),
        elevation: settings.elevation.clone(),
        ..Settings::default()
    };
    let everything = Purpose::List { patterns: Vec::new(), describe: false };
    // The complaint stands without, if that fails.
    if let Ok(probes) = query::list(&only_where, everything) {
        error.similar = near::similar(description, &probes);
    }
}

/// Whoever keeps a stop handle must not keep the channel of a session that is over.
impl Drop for Live<'_> {
    fn drop(&mut self) {
        self.stop.detach();
    }
}

impl<'f> Live<'f> {
    /// Delivers until the session ends; then everything has been delivered.
    pub(crate) fn deliver(&mut self) -> Result<(), Error> {
        let result = loop {
            match step(&mut self.reader, &mut self.dispatcher, &self.worker) {
                Ok(Step::Continue | Step::Started) => {}
                Ok(Step::CaughtUp) => self.caught_up = None,
                Ok(Step::End) => break Ok(()),
                // The worker goes on to deliver what it has; the first failure is the cause.
                Ok(Step::Failed(failure)) => {
                    let advice = option::advice(&failure.attempt, &failure.message, failure.number);
                    break Err(Error::Libdtrace {
                        call: failure.attempt,
                        number: failure.number,
                        message: failure.message,
                        advice,
                    });
                }
                Err(error) => break Err(error),
            }
        };
        self.caught_up = None;
        // From here on nobody can write to a worker that has ended.
        if let Some(asked) = self.stop.detach() {
            self.dispatcher.outcome.timings.delivery = asked.elapsed();
        }
        let tee = self.reader.source();
        match (tee.failure.take(), &tee.copy) {
            (Some(cause), Some((_, path))) if result.is_ok() => {
                Err(Error::Recording { path: path.clone(), cause })
            }
            _ => result,
        }
    }

    /// To be waited for once, on another thread than the one that delivers.
    pub(crate) fn catch_up(&mut self) -> CatchUp {
        let (catch_up, tell) = CatchUp::new(self.stop.clone());
        self.caught_up = Some(tell);
        catch_up
    }

    /// Notes the end of the traced command, also in the recording.
    pub(crate) fn command_ended(&mut self, end: CommandOutcome) {
        self.dispatcher.outcome.command = Some(end);
        let tee = self.reader.source();
        if let Some((copy, _)) = &mut tee.copy {
            let mut frame = Vec::new();
            Frame::CommandEnd(end).encode(&mut frame);
            // The session's own data are complete; a recording without this replays all the same.
            let _ = copy.write_all(&frame);
        }
    }

    pub(crate) fn into_outcome(mut self) -> Box<Outcome> {
        Box::new(std::mem::take(&mut self.dispatcher.outcome))
    }
}

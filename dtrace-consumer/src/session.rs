//! One session from the user's side: start a worker, feed its stream to the dispatcher, end it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::aggregation::Mode;
use crate::description::OmittedLibrary;
use crate::dispatch::{Closures, Dispatcher, LossPolicy, Step};
use crate::error::{CompileError, Error};
use crate::launch::{Worker, launch};
use crate::locate::Libdtrace;
use crate::options;
use crate::outcome::{CommandOutcome, Outcome};
use crate::preflight::preflight;
use crate::stream::frame::{FailureFrame, FailureKind, Frame};
use crate::stream::job::{Command, Job, Source};
use crate::stream::reader::{FrameReader, ReadError};

/// What a session is to be like, as far as its closures do not decide it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    pub(crate) sources: Vec<Source>,
    pub(crate) options: Vec<(String, Option<String>)>,
    pub(crate) compile_flags: u32,
    pub(crate) prefix: Option<PathBuf>,
    pub(crate) worker: Option<PathBuf>,
    pub(crate) losses: LossPolicy,
    pub(crate) mode: Mode,
    pub(crate) interval: Option<Duration>,
    pub(crate) recording: Option<PathBuf>,
}

/// Asks a session to stop, from any thread.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    channel: Arc<Mutex<Option<UnixStream>>>,
    pub(crate) asked: Arc<Mutex<Option<Instant>>>,
}

impl Stopper {
    /// Sends the request once; one that comes too late is none.
    pub(crate) fn stop(&self) {
        self.asked.lock().get_or_insert_with(Instant::now);
        if let Some(mut channel) = self.channel.lock().take() {
            let _ = channel.write_all(&Command::Stop.encode());
        }
    }
}

/// A session whose tracing is on.
pub(crate) struct Live<'f> {
    dispatcher: Dispatcher<'f>,
    reader: FrameReader<Tee>,
    worker: Worker,
    stopper: Stopper,
}

/// Copies what is read into a recording.
struct Tee {
    source: UnixStream,
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

/// Starts tracing; returns when it is on.
pub(crate) fn start<'f>(
    settings: &Settings,
    closures: Closures<'f>,
    target: Option<i32>,
) -> Result<Live<'f>, Error> {
    let began = Instant::now();
    for source in &settings.sources {
        if source.text.contains(&0) {
            let reason = "it contains a NUL byte".to_owned();
            return Err(Error::Script { script: source.name.clone(), reason });
        }
    }
    let options = options::complete(&settings.options)?;
    let library = preflight(settings.prefix.as_deref()).require()?;
    let mut job = Job {
        library: library.library.clone(),
        syslibdir: library.syslibdir.clone(),
        omit: Vec::new(),
        all_libraries: false,
        options,
        compile_flags: settings.compile_flags | options::ERROR_TAGS,
        sources: settings.sources.clone(),
        target,
        firings: closures.want_firings(),
        text: closures.want_text(),
        snapshot_interval: settings.interval,
    };
    let mut dispatcher = Dispatcher::new(closures, settings.losses, settings.mode);
    let mut attempts = 0;
    loop {
        attempts += 1;
        match attempt(settings, &library, &job, dispatcher)? {
            Attempt::Live(mut live) => {
                let timings = &mut live.dispatcher.outcome.timings;
                timings.startup = began.elapsed();
                timings.attempts = attempts;
                return Ok(live);
            }
            Attempt::Failed(back, failure) => {
                dispatcher = back;
                if !retry(&mut job, &failure) {
                    return Err(explain(failure, &job));
                }
                dispatcher.restart();
            }
        }
    }
}

enum Attempt<'f> {
    Live(Live<'f>),
    Failed(Dispatcher<'f>, FailureFrame),
}

fn attempt<'f>(
    settings: &Settings,
    library: &Libdtrace,
    job: &Job,
    mut dispatcher: Dispatcher<'f>,
) -> Result<Attempt<'f>, Error> {
    let worker = launch(settings.worker.as_deref(), library)?;
    let duplicate = || {
        let attempt = "duplicate the channel to the worker";
        worker.channel.try_clone().map_err(|cause| Error::System { attempt, cause })
    };
    let copy = settings.recording.as_deref().map(create_recording).transpose()?;
    let mut reader = FrameReader::new(Tee { source: duplicate()?, copy, failure: None });
    let stopper = Stopper {
        channel: Arc::new(Mutex::new(Some(duplicate()?))),
        asked: Arc::new(Mutex::new(None)),
    };
    let sent = (&worker.channel).write_all(&Command::Job(Box::new(job.clone())).encode());
    if sent.is_err() {
        return Err(worker.post_mortem());
    }
    loop {
        match step(&mut reader, &mut dispatcher, &worker)? {
            Step::Continue => {}
            Step::Started => {
                return Ok(Attempt::Live(Live { dispatcher, reader, worker, stopper }));
            }
            Step::Failed(failure) => return Ok(Attempt::Failed(dispatcher, failure)),
            Step::End => return Err(worker.post_mortem()),
        }
    }
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
    match reader.next() {
        Ok(Some(frame)) => dispatcher.take(frame, position),
        // Before the frame that ends a stream, the end of the channel is the end of the worker.
        Ok(None) | Err(ReadError::Io(_) | ReadError::Truncated { .. }) => Err(worker.post_mortem()),
        Err(ReadError::Malformed { position, cause }) => Err(Error::Stream { position, cause }),
    }
}

/// Whether the failure may go away with other D libraries; then the job is changed accordingly.
fn retry(job: &mut Job, failure: &FailureFrame) -> bool {
    match failure.kind {
        // A script that cannot be parsed is wrong with any libraries.
        FailureKind::Compile if !job.all_libraries && !failure.message.contains("[D_SYNTAX]") => {
            job.all_libraries = true;
            job.omit = known_bad(&job.library);
            true
        }
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
            Error::Compile(CompileError::parse(name, text, &message))
        }
        FailureKind::Option => {
            let value = job.options.iter().rfind(|(name, _)| *name == attempt);
            let value = value.and_then(|(_, value)| value.clone());
            Error::Option { name: attempt, value, reason: message }
        }
        FailureKind::Load
        | FailureKind::Library
        | FailureKind::Process
        | FailureKind::Call
        | FailureKind::Surroundings => {
            let advice = options::advice(&attempt, &message, number);
            Error::Libdtrace { call: attempt, number, message, advice }
        }
    }
}

impl<'f> Live<'f> {
    pub(crate) fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Delivers until the session ends; then everything has been delivered.
    pub(crate) fn deliver(&mut self) -> Result<(), Error> {
        let result = loop {
            match step(&mut self.reader, &mut self.dispatcher, &self.worker) {
                Ok(Step::Continue | Step::Started) => {}
                Ok(Step::End) => break Ok(()),
                // The worker goes on to deliver what it has; the first failure is the cause.
                Ok(Step::Failed(failure)) => {
                    let advice =
                        options::advice(&failure.attempt, &failure.message, failure.number);
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
        if let Some(asked) = *self.stopper.asked.lock() {
            self.dispatcher.outcome.timings.delivery = asked.elapsed();
        }
        // From here on nobody can write to a worker that has ended.
        self.stopper.channel.lock().take();
        let tee = self.reader.source();
        match (tee.failure.take(), &tee.copy) {
            (Some(cause), Some((_, path))) if result.is_ok() => {
                Err(Error::Recording { path: path.clone(), cause })
            }
            _ => result,
        }
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

    pub(crate) fn into_outcome(self) -> Box<Outcome> {
        Box::new(self.dispatcher.outcome)
    }
}

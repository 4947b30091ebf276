//! Reads frames from a worker.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use dtrace_locate::locate::Libdtrace;

use super::elevation::Elevation;
use super::launch::{Worker, launch};
use super::patience::{Patient, SILENCE_LIMIT};
use super::settings::Settings;
use crate::decode::stop::Ending;
use crate::error::Error;
use crate::stream::elevated::REQUEST_LIMIT;
use crate::stream::frame::Frame;
use crate::stream::job::{Command, Job};
use crate::stream::reader::{FrameReader, ReadError};

/// A worker with its job, and the reader of its frames.
pub(super) struct Connection<R> {
    pub(super) reader: FrameReader<R>,
    pub(super) worker: Worker,
}

impl<R: Read> Connection<R> {
    /// Launches a worker and sends it its job. An abort kills it. `through` wraps the reader.
    pub(super) fn open(
        settings: &Settings,
        library: Option<&Libdtrace>,
        job: &Job,
        ending: &Ending,
        through: impl FnOnce(Patient) -> Result<R, Error>,
    ) -> Result<Connection<R>, Error> {
        let mut worker = launch(settings, library, job, ending)?;
        let killer = worker.killer()?;
        ending.attach(move |reason| {
            if reason.is_abort() {
                killer.kill();
            }
        });
        worker.greet(settings)?;
        let attempt = "set a time limit for the channel to the worker";
        let limit = settings.silence_limit.unwrap_or(SILENCE_LIMIT);
        let source = Patient::new(duplicate(&worker)?, limit)
            .map_err(|cause| Error::System { attempt, cause })?;
        // A job may be larger than what the channel holds.
        worker
            .channel
            .set_write_timeout(Some(limit.max(Duration::from_millis(1))))
            .map_err(|cause| Error::System { attempt, cause })?;
        let mut reader = FrameReader::new(through(source)?);
        if let Some(bytes) = settings.frame_limit {
            reader = reader.with_limit(bytes);
        }
        let message = Command::Job(Box::new(job.clone())).encode();
        if settings.access.elevation != Elevation::None && message.len() > REQUEST_LIMIT {
            let what = format!("a request of {} bytes", message.len());
            let reason = format!("it may have at most {REQUEST_LIMIT} bytes");
            return Err(Error::Refused { what, reason });
        }
        match worker.send_job(&message) {
            Ok(()) => Ok(Connection { reader, worker }),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Err(silent(&worker)),
            Err(_) => Err(worker.post_mortem()),
        }
    }

    /// Reads the next frame. Returns it with its position in the stream.
    pub(super) fn next(&mut self) -> Result<(Frame<'_>, u64), Error> {
        // Nothing wakes it unless `Patient::wake_by` was called, and whoever called it expects that.
        self.next_unless_woken()?.ok_or(Error::Aborted)
    }

    /// Reads the next frame, unless something else is to be delivered first.
    pub(super) fn next_unless_woken(&mut self) -> Result<Option<(Frame<'_>, u64)>, Error> {
        let position = self.reader.position();
        match self.reader.next() {
            Ok(Some(frame)) => Ok(Some((frame, position))),
            Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {
                Err(silent(&self.worker))
            }
            // If the channel ends before the stream's last frame, the worker has ended.
            Ok(None) | Err(ReadError::Io(_) | ReadError::Truncated { .. }) => {
                Err(self.worker.post_mortem())
            }
            Err(ReadError::Malformed { position, cause }) => Err(Error::damage(position, cause)),
        }
    }
}

/// Kills a worker that does not answer, and returns the error.
fn silent(worker: &Worker) -> Error {
    worker.kill();
    Error::WorkerSilent { last_words: worker.last_words() }
}

/// Returns another descriptor of the channel to a worker.
pub(super) fn duplicate(worker: &Worker) -> Result<UnixStream, Error> {
    let attempt = "duplicate the channel to the worker";
    worker.channel.try_clone().map_err(|cause| Error::System { attempt, cause })
}

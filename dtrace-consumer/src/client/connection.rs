//! How are frames read from a worker?

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use dtrace_locate::locate::Libdtrace;

use super::launch::{Worker, launch};
use super::patience::{Patient, SILENCE_LIMIT};
use super::settings::Settings;
use crate::error::Error;
use crate::stream::frame::Frame;
use crate::stream::job::{Command, Job};
use crate::stream::reader::{FrameReader, ReadError};

/// A worker that has been given its job, and what it sends.
pub(super) struct Connection<R> {
    pub(super) reader: FrameReader<R>,
    pub(super) worker: Worker,
}

impl<R: Read> Connection<R> {
    /// Launches a worker and gives it its job. `through` wraps what is read from it.
    pub(super) fn open(
        settings: &Settings,
        library: Option<&Libdtrace>,
        job: &Job,
        through: impl FnOnce(Patient) -> Result<R, Error>,
    ) -> Result<Connection<R>, Error> {
        let worker = launch(settings, library)?;
        let attempt = "limit the time of reading from the worker";
        let limit = settings.silence_limit.unwrap_or(SILENCE_LIMIT);
        let source = Patient::new(duplicate(&worker)?, limit)
            .map_err(|cause| Error::System { attempt, cause })?;
        let mut reader = FrameReader::new(through(source)?);
        if let Some(bytes) = settings.frame_limit {
            reader = reader.with_limit(bytes);
        }
        let sent = (&worker.channel).write_all(&Command::Job(Box::new(job.clone())).encode());
        if sent.is_err() {
            return Err(worker.post_mortem());
        }
        Ok(Connection { reader, worker })
    }

    /// Reads the next frame, and returns it with where it lies in the stream.
    pub(super) fn next(&mut self) -> Result<(Frame<'_>, u64), Error> {
        let position = self.reader.position();
        match self.reader.next() {
            Ok(Some(frame)) => Ok((frame, position)),
            Err(ReadError::Io(e)) if e.kind() == io::ErrorKind::TimedOut => {
                self.worker.kill();
                Err(Error::WorkerSilent { last_words: self.worker.last_words() })
            }
            // Before the frame that ends a stream, the end of the channel is the end of the worker.
            Ok(None) | Err(ReadError::Io(_) | ReadError::Truncated { .. }) => {
                Err(self.worker.post_mortem())
            }
            Err(ReadError::Malformed { position, cause }) => Err(Error::Stream { position, cause }),
        }
    }
}

/// Another descriptor of the channel to a worker.
pub(super) fn duplicate(worker: &Worker) -> Result<UnixStream, Error> {
    let attempt = "duplicate the channel to the worker";
    worker.channel.try_clone().map_err(|cause| Error::System { attempt, cause })
}

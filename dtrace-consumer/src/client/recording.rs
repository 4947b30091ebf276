//! Records a session to a file while it is delivered.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use super::patience::Patient;
use crate::error::Error;

/// Copies everything that is read from a worker into a recording.
pub(super) struct Tee {
    pub(super) source: Patient,
    copy: Option<Copy>,
}

struct Copy {
    file: File,
    path: PathBuf,
    failure: Option<io::Error>,
}

impl Tee {
    /// Creates a reader of `source`. `path` is the file to record to, if any.
    pub(super) fn new(source: Patient, path: Option<&Path>) -> Result<Tee, Error> {
        let copy = path.map(|path| {
            let path = path.to_owned();
            match File::create(&path) {
                Ok(file) => Ok(Copy { file, path, failure: None }),
                Err(cause) => Err(Error::Recording { path, cause }),
            }
        });
        Ok(Tee { source, copy: copy.transpose()? })
    }

    /// Adds bytes to the recording that no worker has sent.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        if let Some(copy) = &mut self.copy
            && copy.failure.is_none()
        {
            copy.failure = copy.file.write_all(bytes).err();
        }
    }

    /// Fails if writing the recording failed.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        let Some(copy) = &mut self.copy else { return Ok(()) };
        match copy.failure.take() {
            Some(cause) => Err(Error::Recording { path: copy.path.clone(), cause }),
            None => Ok(()),
        }
    }
}

impl Read for Tee {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(buffer)?;
        self.add(&buffer[..n]);
        Ok(n)
    }
}

//! Nothing answers libdtrace for the consumer: how it calls functions of this system is not known.

use std::convert::Infallible;
use std::io;

use crate::worker::system::Peer;

/// Answers libdtrace as the consumer. It never exists.
#[derive(Debug)]
pub(in crate::worker) struct Answering(Infallible);

impl Answering {
    /// Fails.
    pub(in crate::worker) fn for_consumer(_: usize, _: &Peer) -> io::Result<Answering> {
        Err(io::Error::other("libdtrace describes its own process here"))
    }

    /// Returns the consumer's process ID.
    pub(in crate::worker) fn pid(&self) -> i32 {
        match self.0 {}
    }
}

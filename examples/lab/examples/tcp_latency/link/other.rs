//! What does a system without Linux's private networks offer?

use std::time::Duration;

use super::{Ends, Error, Kind};

pub(super) fn netem(_: Duration) -> Result<(), Error> {
    Err(Error::System(Kind::Netem))
}

pub(super) fn tun(_: Duration) -> Result<Ends, Error> {
    Err(Error::System(Kind::Tun))
}

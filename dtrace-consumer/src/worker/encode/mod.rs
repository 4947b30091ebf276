//! How does what libdtrace delivers become a stream?

pub(crate) mod encoder;
pub(crate) mod ledger;

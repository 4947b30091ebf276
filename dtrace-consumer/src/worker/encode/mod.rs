//! Encodes libdtrace's data as a stream.

pub(crate) mod encoder;
pub(crate) mod ledger;

//! A stand-in for libdtrace: the same symbols and structures, with behaviour that a [`plan`] dictates.
//!
//! It produces what the real library cannot be made to show: a failure of each function, the death of
//! the process in each function, and invalid data. Everything that it delivers is allocated to the
//! exact byte, so AddressSanitizer catches reads beyond it. Tests put it and a plan into a private
//! prefix.

pub mod plan;

mod library;
mod memory;

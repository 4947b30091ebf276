//! A stand-in for libdtrace: the same symbols and structures, and behind them what a [`plan`] says.
//!
//! It is for what the real library cannot be made to show: each of its functions failing, its process
//! dying in each, and deliveries that cannot be. What it delivers is allocated to the byte, so that
//! AddressSanitizer sees whoever reads beyond it. Tests put it, and a plan, into a prefix of their own.

pub mod plan;

mod library;
mod memory;

//! What does a self-check ask a libdtrace, and which answers does it predict?
//!
//! This is data, and so each lineage of libdtrace has its own: [`own`] has that of this platform.

#[cfg_attr(dtrace_abi = "linux", path = "linux.rs")]
#[cfg_attr(not(dtrace_abi = "linux"), path = "sun.rs")]
mod own;
mod question;
mod shared;

pub(super) use own::{FAULTS_TELL_CLAUSES, OFFSET, QUESTIONS};
pub(super) use question::{Question, Questions};

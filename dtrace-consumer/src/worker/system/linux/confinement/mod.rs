//! What is a worker prevented from doing, whatever libdtrace does?
//!
//! libdtrace parses input that may be hostile: D scripts, and files and memory of the traced processes. So a
//! worker gives up what libdtrace was not seen to need, in three steps:
//!
//! 1. At its start: capabilities, and privileges from the files of programs.
//! 2. An elevated worker, before it opens libdtrace: starting programs, creating and changing files, opening any for
//!    writing, communicating with others, and all system calls that no session makes. It attaches to processes and
//!    sends signals only if the administrator permits that. What it still writes to is open already. Its mounts are
//!    read-only, and if the session does not look at other processes, Landlock forbids the same once more.
//! 3. When tracing is on: the same system calls, and opening any file for writing. Loading programs into the
//!    kernel, attaching to processes and sending signals stay allowed only if the session needs them.
//!
//! The second step is for elevated workers only: others may preprocess scripts and write object
//! files, both of which an elevated worker refuses.

mod calls;
mod capabilities;
mod filters;
mod landlock;
mod reach;
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod read_only;

use std::io;

pub(crate) use capabilities::give_up_privileges;
pub(crate) use filters::Threads;
pub(crate) use reach::Reach;
pub(super) use read_only::make_read_only;

/// Confines this thread, and those that it starts, before libdtrace is opened. Only for workers that start no programs
/// and change no files for their user. `may_control` is whether libdtrace may attach to processes.
pub(crate) fn confine_before_opening(reach: Reach, may_control: bool) -> io::Result<()> {
    if !reach.other_processes() {
        landlock::forbid_writing()?;
    }
    filters::forbid_what_no_session_does(Threads::All)?;
    filters::forbid_what_elevated_workers_do_not_need(may_control)
}

/// Confines threads when tracing is on: all, including libdtrace's, or only this one.
pub(crate) fn confine(threads: Threads, reach: Reach) -> io::Result<()> {
    filters::forbid_what_no_session_does(threads)?;
    filters::forbid_what_tracing_does_not_need(threads, reach)
}

#[cfg(test)]
mod tests;

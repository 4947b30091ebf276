//! Holds commands on Linux, with ptrace(2).

#[expect(unsafe_code, reason = "ptrace requests without a safe wrapper")]
mod exit_stop;
#[expect(unsafe_code, reason = "registers of the command")]
mod gate;
mod hold;
mod padding;
mod trap;

use std::fs::File;

use nix::fcntl::{FcntlArg, fcntl};

pub(super) use exit_stop::run_to_exit;
pub(super) use hold::{be_held, hold, leave_stopped, release};

/// Returns how much a pipe holds, in bytes.
pub(super) fn pipe_capacity(pipe: &File) -> Option<usize> {
    usize::try_from(fcntl(pipe, FcntlArg::F_GETPIPE_SZ).ok()?).ok()
}

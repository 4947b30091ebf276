//! Holds commands on Linux, with ptrace(2).

#[expect(unsafe_code, reason = "ptrace requests without a safe wrapper")]
mod exit_stop;
#[expect(unsafe_code, reason = "registers of the command")]
mod gate;
#[expect(unsafe_code, reason = "it runs code between fork and exec")]
mod hold;
mod stops;

pub(super) use exit_stop::run_to_exit;
pub(in crate::client) use hold::{leave_stopped, prepare, release, spawn_held};

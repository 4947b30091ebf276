//! Which programs do the tests trace?
//!
//! Each test binary is also the program that its tests trace. What it then does is in `modes.rs`.

use std::ffi::OsString;

/// The first argument of a test binary that is to be a program to trace.
pub(crate) const WORD: &str = "traced-program";

/// The command line of this binary as a program to trace.
///
/// # Panics
/// If the path of this binary is not known.
#[must_use]
pub fn traced_program(mode: &str, argument: impl ToString) -> Vec<OsString> {
    let exe = std::env::current_exe().expect("the test knows its own file");
    vec![exe.into(), WORD.into(), mode.into(), argument.to_string().into()]
}

/// A clause about the calls that this thread makes.
#[must_use]
pub fn calls_of_this_thread(action: &str) -> String {
    let (pid, tid) = (nix::unistd::getpid(), nix::unistd::gettid());
    format!("syscall::getppid:entry /pid == {pid} && tid == {tid}/ {{ {action} }}")
}

/// Calls getppid(2) so many times.
pub fn call(times: i32) {
    for _ in 0..times {
        std::hint::black_box(nix::unistd::getppid());
    }
}

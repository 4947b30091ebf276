//! Which programs do the tests trace?
//!
//! Each test binary is also the program that its tests trace. What it then does is in `modes.rs`.

use std::ffi::OsString;

use nix::unistd::getpgid;

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

/// The number by which scripts know this thread.
#[must_use]
pub fn this_thread() -> i64 {
    crate::system::this_thread()
}

/// A clause about the calls that this thread makes.
#[must_use]
pub fn calls_of_this_thread(action: &str) -> String {
    let (pid, tid) = (nix::unistd::getpid(), this_thread());
    format!("syscall::getppid:entry /pid == {pid} && tid == {tid}/ {{ {action} }}")
}

/// Calls getpgid(2) with each number below `numbers`, on each CPU in turn.
///
/// # Panics
/// If this thread cannot choose its CPU.
pub fn call_on_each_cpu(numbers: i32) {
    crate::system::on_each_cpu(|| {
        for number in 0..numbers {
            // Most processes do not exist.
            let _ = std::hint::black_box(getpgid(Some(nix::unistd::Pid::from_raw(number))));
        }
    });
}

/// Calls getppid(2) so many times.
pub fn call(times: i32) {
    for _ in 0..times {
        std::hint::black_box(nix::unistd::getppid());
    }
}

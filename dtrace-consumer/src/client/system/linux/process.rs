//! Sends signals to a process by its descriptor, which never refers to another process.
//!
//! Every kernel that libdtrace supports has such descriptors (Linux 5.3).

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::client::descriptors::above_standard;

/// How often to look whether the parent of a process that has ended still lives: at first, and later.
const LOOK: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_secs(5);

/// How long to wait, in milliseconds, for the kernel to forget a process that something else has just waited for.
const FORGETTING: u16 = 1000;

/// A process, running or ended.
#[derive(Debug)]
pub(in crate::client) struct ProcessHandle(OwnedFd);

impl ProcessHandle {
    /// Opens the child with this id.
    ///
    /// # Errors
    /// There is no such child (`ESRCH`): it has ended, and something else, which may be the kernel, has waited for
    /// it. By now, its id may be another process's.
    pub(in crate::client) fn open(id: u32) -> io::Result<ProcessHandle> {
        let pid = Pid::from_raw(id.cast_signed()).ok_or(io::ErrorKind::InvalidInput)?;
        let process = above_standard(pidfd_open(pid, PidfdFlags::empty())?)?;
        // Linux before 5.4 cannot tell.
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::PIDFd(process.as_fd()), flags) {
            Err(Errno::ECHILD) => Err(Errno::ESRCH.into()),
            _ => Ok(ProcessHandle(process)),
        }
    }

    /// Takes a descriptor of a process that another process has opened.
    pub(in crate::client) fn received(descriptor: OwnedFd) -> io::Result<ProcessHandle> {
        above_standard(descriptor).map(ProcessHandle)
    }

    /// Waits for its end, and until whoever is its parent has waited for it: maybe this process, which does then.
    pub(in crate::client) fn reap(&self) {
        let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
        let wait =
            || waitid(Id::PIDFd(self.0.as_fd()), WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG);
        // Its parent may end long after it, and this process become its parent then.
        let mut pause = LOOK;
        while wait().is_err() && !self.is_gone() {
            std::thread::sleep(pause);
            pause = (pause * 2).min(SELDOM);
        }
    }

    /// Returns how a process ended that something else has waited for. Linux 6.15 and later can tell.
    pub(in crate::client) fn kept_status(&self) -> Option<ExitStatus> {
        self.ask_status().ok()?.or_else(|| {
            // The other's wait has returned, and the kernel is about to keep the status.
            let mut watched = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
            while poll(&mut watched, FORGETTING) == Err(Errno::EINTR) {}
            self.ask_status().ok()?
        })
    }

    /// Returns the status that the kernel keeps, if it keeps it by now. Fails if it never does.
    fn ask_status(&self) -> nix::Result<Option<ExitStatus>> {
        // SAFETY: all members of the structure are integers, for which zeros are valid.
        let mut information: libc::pidfd_info = unsafe { std::mem::zeroed() };
        information.mask = libc::PIDFD_INFO_EXIT.into();
        // SAFETY: the request contains the structure's size, and the kernel accesses no more than that. The structure
        // outlives the call.
        Errno::result(unsafe {
            libc::ioctl(self.0.as_raw_fd(), libc::PIDFD_GET_INFO, &raw mut information)
        })?;
        let is_kept = information.mask & u64::from(libc::PIDFD_INFO_EXIT) != 0;
        Ok(is_kept.then(|| ExitStatus::from_raw(information.exit_code)))
    }

    /// Returns whether the process has ended and has been waited for.
    fn is_gone(&self) -> bool {
        let (none, flags) = (0, 0);
        // SAFETY: no memory is passed.
        let sent = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.0.as_fd().as_raw_fd(),
                none,
                ptr::null::<libc::siginfo_t>(),
                flags,
            )
        };
        sent == -1 && Errno::last() == Errno::ESRCH
    }

    /// Sends a signal. Fails if the process has been waited for, or may not be signalled.
    pub(in crate::client) fn send(&self, signal: Signal) -> io::Result<()> {
        let signal = rustix::process::Signal::from_named_raw(signal as i32);
        Ok(pidfd_send_signal(&self.0, signal.ok_or(io::ErrorKind::InvalidInput)?)?)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use dtrace_test_support::kernel::keeps_statuses;

    use super::*;

    fn start(program: &str, argument: &str) -> Child {
        Command::new(program).arg(argument).spawn().expect("it starts")
    }

    /// Returns the handle of a process that something else has waited for, and its id.
    fn reaped() -> (ProcessHandle, u32) {
        let mut child = start("true", "");
        let handle = ProcessHandle::open(child.id()).expect("it is there");
        child.wait().expect("a child");
        (handle, child.id())
    }

    #[test]
    #[cfg_attr(miri, ignore = "processes")]
    fn a_process_that_was_waited_for_gets_no_signal() {
        let (handle, _) = reaped();
        let error = handle.send(Signal::SIGKILL).expect_err("it is gone");
        assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32));
    }

    #[test]
    #[cfg_attr(miri, ignore = "processes")]
    fn only_a_child_is_opened() {
        let mut child = start("sleep", "1000");
        assert!(ProcessHandle::open(child.id()).is_ok());
        // One that has ended and that nobody has waited for.
        child.kill().expect("a child");
        assert!(ProcessHandle::open(child.id()).is_ok());
        child.wait().expect("a child");
        for id in [child.id(), std::process::id(), std::os::unix::process::parent_id()] {
            let error = ProcessHandle::open(id).expect_err("it is no child");
            assert_eq!(error.raw_os_error(), Some(Errno::ESRCH as i32), "{id}");
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "processes")]
    fn a_status_that_something_else_has_taken_is_kept() {
        for script in ["exit 3", "kill -9 $$", "exit 0"] {
            let mut child = Command::new("sh").args(["-c", script]).spawn().expect("it starts");
            let handle = ProcessHandle::open(child.id()).expect("it is there");
            let status = child.wait().expect("a child");
            let expected = keeps_statuses().then_some(status);
            assert_eq!(handle.kept_status(), expected, "{script}");
        }
        let mut child = start("sleep", "1000");
        let handle = ProcessHandle::open(child.id()).expect("it is there");
        assert_eq!(handle.kept_status(), None, "it runs");
        child.kill().and_then(|()| child.wait()).expect("a child");
    }

    #[test]
    #[ignore = "needs root, to choose the id of a process"]
    fn a_signal_does_not_reach_another_process_with_the_same_id() {
        let (handle, id) = reaped();
        // Another process of the system may be faster.
        let mut other = loop {
            std::fs::write("/proc/sys/kernel/ns_last_pid", (id - 1).to_string()).expect("root");
            let mut other = start("sleep", "1000");
            if other.id() == id {
                break other;
            }
            other.kill().and_then(|()| other.wait()).expect("a child");
        };
        assert!(handle.send(Signal::SIGKILL).is_err());
        assert!(other.try_wait().expect("a child").is_none(), "it runs");
        other.kill().and_then(|()| other.wait()).expect("a child");
    }
}

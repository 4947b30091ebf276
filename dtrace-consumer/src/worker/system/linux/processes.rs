//! Owners and ends of processes.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::pid_namespace::proc_is_own;
use super::status::Status;
use crate::worker::system::Identity;

/// The process at the other end of a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
}

impl Peer {
    /// Fails unless numbers of processes mean the same to the peer and to this process.
    ///
    /// # Errors
    /// The peer is in another PID namespace, or has ended, or `/proc` cannot tell.
    pub(crate) fn require_own_namespace(&self) -> io::Result<()> {
        let elsewhere = || io::Error::other("the consumer is in another PID namespace");
        // The kernel has no number for a process that this one cannot see.
        if self.pid <= 0 {
            return Err(elsewhere());
        }
        if !proc_is_own() {
            return Err(io::Error::other("/proc is that of another PID namespace"));
        }
        if Status::of(self.pid)?.is_nested() { Err(elsewhere()) } else { Ok(()) }
    }
}

/// Returns the process that opened the other end of a channel, according to the kernel.
pub(crate) fn peer_of(channel: &impl AsFd) -> io::Result<Peer> {
    let peer = getsockopt(channel, PeerCredentials)?;
    Ok(Peer { pid: peer.pid(), uid: peer.uid() })
}

/// Reads the numbers of the process at the other end of a channel.
///
/// # Errors
/// The process is in another PID namespace, or has ended.
pub(crate) fn identity_of(peer: &Peer) -> io::Result<Identity> {
    peer.require_own_namespace()?;
    let status = Status::of(peer.pid)?;
    let number = |name: &str, at| status.number(name, at).ok_or_else(|| lacks(name));
    let pid = nix::unistd::Pid::from_raw(peer.pid);
    Ok(Identity {
        pid: peer.pid,
        ppid: number("PPid", 0)?.cast_signed(),
        pgid: nix::unistd::getpgid(Some(pid))?.as_raw(),
        sid: nix::unistd::getsid(Some(pid))?.as_raw(),
        uid: number("Uid", 0)?,
        euid: number("Uid", 1)?,
        gid: number("Gid", 0)?,
        egid: number("Gid", 1)?,
    })
}

fn lacks(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the consumer's status lacks {name}"))
}

/// The call that [`watch_process`] makes.
pub(crate) const WATCH: &str = "pidfd_open";

/// Returns a descriptor of the process that becomes readable when the process ends.
pub(crate) fn watch_process(pid: i32) -> io::Result<OwnedFd> {
    // A PID is positive; rustix relies on that.
    let pid = Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw);
    Ok(pidfd_open(pid.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?)
}

/// Returns whether the process has only this user's ids, and the user may inspect it.
pub(crate) fn belongs_to(pid: i32, uid: u32) -> bool {
    let status = Status::of(pid).unwrap_or_default();
    // The real, effective, saved and file-system ids. The kernel assigns a process's files in /proc to root
    // if it runs a program that its user may not read, or has had more privilege.
    let all = (0..4).all(|at| status.number("Uid", at) == Some(uid));
    let file = fs::metadata(format!("/proc/{pid}/mem"));
    all && file.is_ok_and(|file| file.uid() == uid)
}

/// Returns what a process is permitted, in words that change when that does.
pub(crate) fn privileges_of(pid: i32) -> io::Result<String> {
    const FIELDS: [&str; 11] = [
        "Uid",
        "Gid",
        "Groups",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
        "Seccomp_filters",
    ];
    let status = Status::of(pid)?;
    Ok(FIELDS.map(|field| status.field(field).unwrap_or_default()).join("; "))
}

/// Returns whether this thread is the process's only one, so that nobody else starts another.
pub(crate) fn has_one_thread() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}

/// Returns whether this process has more privileges than whoever started it (set-uid and the like). Its
/// environment must then not decide what it does.
pub(crate) fn privileges_were_raised() -> bool {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn a_process_belongs_to_the_user_as_whom_it_runs() {
        let own = std::process::id().cast_signed();
        let uid = nix::unistd::geteuid().as_raw();
        assert!(belongs_to(own, uid));
        assert!(!belongs_to(own, uid + 1));
        assert!(!belongs_to(i32::MAX, uid));
    }

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn the_numbers_are_those_of_the_process_at_the_other_end() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let peer = peer_of(&end).expect("it has a peer");
        let identity = identity_of(&peer).expect("this process exists");
        let expected = Identity {
            pid: std::process::id().cast_signed(),
            ppid: nix::unistd::getppid().as_raw(),
            pgid: nix::unistd::getpgrp().as_raw(),
            sid: nix::unistd::getsid(None).expect("a session").as_raw(),
            uid: nix::unistd::getuid().as_raw(),
            euid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getgid().as_raw(),
            egid: nix::unistd::getegid().as_raw(),
        };
        assert_eq!(identity, expected);
    }

    #[test]
    fn a_process_that_cannot_be_seen_has_no_numbers() {
        for pid in [0, -1, i32::MAX] {
            let peer = Peer { pid, uid: 0 };
            assert!(peer.require_own_namespace().is_err(), "{pid}");
            assert!(identity_of(&peer).is_err(), "{pid}");
        }
    }
}

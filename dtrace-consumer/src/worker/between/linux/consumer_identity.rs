//! Whose values do `$pid`, `$uid` and the other macro variables have?
//!
//! In dtrace(1) they have those of the consuming process. When libdtrace is opened, it reads them
//! from the process that it runs in. Here this is the worker, which may have another user, group,
//! session and parent. So the functions that libdtrace calls for this are replaced by functions
//! that answer for the consumer.

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

use libc::{gid_t, pid_t, uid_t};
use nix::unistd::{self, Pid};

use super::called_function;
use crate::worker::system::linux::processes::Peer;
use crate::worker::system::linux::status::Status;

/// The numbers of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ConsumerIdentity {
    pid: pid_t,
    ppid: pid_t,
    pgid: pid_t,
    sid: pid_t,
    uid: uid_t,
    euid: uid_t,
    gid: gid_t,
    egid: gid_t,
}

impl ConsumerIdentity {
    /// Reads the numbers of the process at the other end of a channel.
    ///
    /// # Errors
    /// The process is in another PID namespace, or has ended.
    fn of(peer: &Peer) -> io::Result<ConsumerIdentity> {
        // The kernel has no number for a process that this one cannot see.
        if peer.pid <= 0 {
            return Err(io::Error::other("the consumer is in another PID namespace"));
        }
        let status = Status::of(peer.pid)?;
        let number = |name: &str, at| status.number(name, at).ok_or_else(|| lacks(name));
        let pid = Pid::from_raw(peer.pid);
        Ok(ConsumerIdentity {
            pid: peer.pid,
            ppid: number("PPid", 0)?.cast_signed(),
            pgid: unistd::getpgid(Some(pid))?.as_raw(),
            sid: unistd::getsid(Some(pid))?.as_raw(),
            uid: number("Uid", 0)?,
            euid: number("Uid", 1)?,
            gid: number("Gid", 0)?,
            egid: number("Gid", 1)?,
        })
    }
}

fn lacks(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the consumer's status lacks {name}"))
}

/// The consumer that the replacements answer for.
static CONSUMER: OnceLock<ConsumerIdentity> = OnceLock::new();

/// Defines the functions that libdtrace calls instead, and lists them with the names of those that they replace.
macro_rules! replacements {
    ($($name:ident($($argument:ty)?) -> $number:ty = $field:ident;)+) => {
        $(
            extern "C" fn $name($(_: $argument)?) -> $number {
                // It is set before this function is called.
                CONSUMER.get().map_or(0, |consumer| consumer.$field)
            }
        )+

        fn replacements() -> [(&'static CStr, usize); 8] {
            let name = |name: &'static [u8]| CStr::from_bytes_with_nul(name).unwrap_or_default();
            [$((name(concat!(stringify!($name), "\0").as_bytes()), $name as *const () as usize)),+]
        }
    };
}

replacements! {
    getpid() -> pid_t = pid;
    getppid() -> pid_t = ppid;
    getpgid(pid_t) -> pid_t = pgid;
    getsid(pid_t) -> pid_t = sid;
    getuid() -> uid_t = uid;
    geteuid() -> uid_t = euid;
    getgid() -> gid_t = gid;
    getegid() -> gid_t = egid;
}

/// While this value exists, libdtrace takes the consumer's numbers for those of its own process.
#[must_use]
pub(in crate::worker) struct Answering {
    inside: usize,
    pid: pid_t,
    replaced: Vec<(&'static CStr, usize)>,
}

impl Answering {
    /// Has the libdtrace that contains `inside` read the numbers of the process at the other end of a channel.
    ///
    /// # Errors
    /// The consumer is in another PID namespace, or has ended, or libdtrace does not call these functions as expected.
    pub(in crate::worker) fn for_consumer(inside: usize, consumer: &Peer) -> io::Result<Answering> {
        // A second libdtrace in this process would be for the same consumer.
        let identity = ConsumerIdentity::of(consumer)?;
        let pid = CONSUMER.get_or_init(|| identity).pid;
        let mut answering = Answering { inside, pid, replaced: Vec::new() };
        for (name, replacement) in replacements() {
            // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. The
            // replacement has the type of the function that it replaces.
            let original = unsafe { put(inside, name, replacement)? };
            answering.replaced.push((name, original));
        }
        Ok(answering)
    }

    /// Returns the consumer's process ID.
    pub(in crate::worker) fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        for (name, original) in self.replaced.drain(..) {
            // SAFETY: as before: opening libdtrace starts no thread that calls these functions. What is put
            // back was there. It cannot fail where it has succeeded.
            let _ = unsafe { put(self.inside, name, original) };
        }
    }
}

/// Makes libdtrace call `function` as `name`. Returns what it called so far.
///
/// # Safety
/// No other thread may be calling into the library, and the function has the type of the named one.
unsafe fn put(inside: usize, name: &CStr, function: usize) -> io::Result<usize> {
    let mut before = 0;
    let exchange = |place: *mut usize| {
        // SAFETY: the place is writable, and holds the address of a function.
        before = unsafe { place.replace(function) };
    };
    // SAFETY: the caller guarantees it.
    unsafe { called_function::replace(inside, name, exchange)? };
    Ok(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn the_numbers_are_those_of_the_process_at_the_other_end() {
        let (end, _other) = std::os::unix::net::UnixStream::pair().expect("sockets");
        let peer = crate::worker::system::linux::processes::peer_of(&end).expect("it has a peer");
        let identity = ConsumerIdentity::of(&peer).expect("this process exists");
        let expected = ConsumerIdentity {
            pid: std::process::id().cast_signed(),
            ppid: unistd::getppid().as_raw(),
            pgid: unistd::getpgrp().as_raw(),
            sid: unistd::getsid(None).expect("a session").as_raw(),
            uid: unistd::getuid().as_raw(),
            euid: unistd::geteuid().as_raw(),
            gid: unistd::getgid().as_raw(),
            egid: unistd::getegid().as_raw(),
        };
        assert_eq!(identity, expected);
    }

    #[test]
    fn a_process_that_cannot_be_seen_has_no_numbers() {
        for pid in [0, -1, i32::MAX] {
            assert!(ConsumerIdentity::of(&Peer { pid, uid: 0 }).is_err(), "{pid}");
        }
    }
}

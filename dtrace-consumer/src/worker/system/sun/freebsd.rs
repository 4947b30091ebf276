//! Owners, ends and threads of processes on FreeBSD.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd};

use super::Peer;
use crate::kinfo::process;
use crate::worker::system::Identity;

/// The process runs or ran with other ids than those that it has.
const CHANGED_IDS: libc::c_long = 0x100;

/// Returns the process that opened the other end of a channel, according to the kernel. FreeBSD 12 does not tell its
/// number; then it is this process's parent, if that is the same user's.
pub(crate) fn peer_of(channel: &impl AsFd) -> io::Result<Peer> {
    const LEVEL: i32 = 0;
    let mut peer = MaybeUninit::<libc::xucred>::zeroed();
    let mut length = size_of::<libc::xucred>() as libc::socklen_t;
    let fd = channel.as_fd().as_raw_fd();
    // SAFETY: the call writes at most `length` bytes to the structure.
    let result = unsafe {
        libc::getsockopt(fd, LEVEL, libc::LOCAL_PEERCRED, peer.as_mut_ptr().cast(), &raw mut length)
    };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: zeros are valid for all fields, and so is what the call has written.
    let peer = unsafe { peer.assume_init() };
    // SAFETY: the union is as large as a pointer, all of whose bytes are initialised, and the number is its first part.
    let pid = unsafe { peer.cr_pid__c_anonymous_union.cr_pid };
    if pid == 0 {
        let parent = nix::unistd::getppid().as_raw();
        let is_users = process(parent)?.ki_uid == peer.cr_uid;
        return Ok(Peer { pid: if is_users { parent } else { 0 }, uid: peer.cr_uid });
    }
    Ok(Peer { pid, uid: peer.cr_uid })
}

/// Reads the numbers of the process at the other end of a channel.
///
/// # Errors
/// The process is not known, or has ended.
pub(crate) fn identity_of(peer: &Peer) -> io::Result<Identity> {
    if peer.pid <= 0 {
        return Err(io::Error::other("the system does not tell which process the consumer is"));
    }
    let process = process(peer.pid)?;
    Ok(Identity {
        pid: process.ki_pid,
        ppid: process.ki_ppid,
        pgid: process.ki_pgid,
        sid: process.ki_sid,
        uid: process.ki_ruid,
        euid: process.ki_uid,
        gid: process.ki_rgid,
        // The first of the groups is the effective one.
        egid: process.ki_groups[0],
    })
}

/// Returns the parent of a process, which another one may trace; `None` if the process is not known.
pub(crate) fn parent_of(pid: i32) -> Option<i32> {
    process(pid).ok().map(|it| it.ki_ppid)
}

/// Returns whether the process has only this user's ids, and has not changed them.
pub(crate) fn belongs_to(pid: i32, uid: u32) -> bool {
    process(pid).is_ok_and(|it| {
        [it.ki_uid, it.ki_ruid, it.ki_svuid].iter().all(|id| *id == uid)
            && it.ki_flag & CHANGED_IDS == 0
    })
}

/// Returns whether this process traces the given one, as a debugger does.
pub(crate) fn is_traced(pid: i32) -> bool {
    let own = std::process::id().cast_signed();
    process(pid).is_ok_and(|it| it.ki_tracer == own && it.ki_stat != libc::SZOMB)
}

/// Returns whether this thread is the process's only one, so that nobody else starts another.
pub(crate) fn has_one_thread() -> bool {
    process(std::process::id().cast_signed()).is_ok_and(|it| it.ki_numthreads == 1)
}

//! Owners, ends and threads of processes on macOS.

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::AsFd;

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::LocalPeerPid;

use super::Peer;

/// The process is being traced.
const TRACED: u32 = 2;

/// Returns the process that was the last to use the other end of a channel, according to the kernel.
pub(crate) fn peer_of(channel: &impl AsFd) -> io::Result<Peer> {
    let (uid, _) = nix::unistd::getpeereid(channel)?;
    Ok(Peer { pid: getsockopt(channel, LocalPeerPid)?, uid: uid.as_raw() })
}

/// Reads what the kernel says of a process. `T` is the structure of this kind.
///
/// # Safety
/// The structure belongs to the kind, and zeros are valid for it.
unsafe fn process<T>(pid: i32, kind: i32) -> Option<T> {
    let mut found = MaybeUninit::<T>::zeroed();
    let size = i32::try_from(size_of::<T>()).ok()?;
    // SAFETY: the call writes at most `size` bytes to the structure.
    let written = unsafe { libc::proc_pidinfo(pid, kind, 0, found.as_mut_ptr().cast(), size) };
    // SAFETY: it was written whole; see `# Safety`.
    (written == size).then(|| unsafe { found.assume_init() })
}

/// Returns whether the process has only this user's ids.
pub(crate) fn belongs_to(pid: i32, uid: u32) -> bool {
    // SAFETY: the structure is that of the kind, and has only numbers.
    let found = unsafe { process::<libc::proc_bsdinfo>(pid, libc::PROC_PIDTBSDINFO) };
    found.is_some_and(|it| [it.pbi_uid, it.pbi_ruid, it.pbi_svuid].iter().all(|id| *id == uid))
}

/// Returns whether the given process is traced, as by a debugger. Only libdtrace traces processes of a session.
pub(crate) fn is_traced(pid: i32) -> bool {
    // SAFETY: the structure is that of the kind, and has only numbers.
    let found = unsafe { process::<libc::proc_bsdinfo>(pid, libc::PROC_PIDTBSDINFO) };
    found.is_some_and(|it| it.pbi_flags & TRACED != 0)
}

/// Returns whether this thread is the process's only one, so that nobody else starts another.
pub(crate) fn has_one_thread() -> bool {
    let own = std::process::id().cast_signed();
    // SAFETY: the structure is that of the kind, and has only numbers.
    let found = unsafe { process::<libc::proc_taskinfo>(own, libc::PROC_PIDTASKINFO) };
    found.is_some_and(|it| it.pti_threadnum == 1)
}

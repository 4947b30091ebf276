//! Does the kernel keep how children of this process end?

use std::ptr;

/// Returns whether the kernel discards the exit status of this process's children, because it
/// ignores SIGCHLD.
pub(super) fn loses_statuses() -> bool {
    // SAFETY: zeros are a valid value of the structure, which the call fills; it changes nothing.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGCHLD, ptr::null(), &raw mut action);
        action
    };
    action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0
}

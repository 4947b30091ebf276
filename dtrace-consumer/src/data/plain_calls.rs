//! Which probes of system calls does libdtrace compile without the kernel's types?
//!
//! It reads these types when it first meets an argument of one: a structure, or a number with a name of its own, such
//! as the `umode_t` of open(2). So it does for more than half of the system calls.

/// Frequent system calls whose arguments are plain numbers, text and memory.
const PLAIN: &str = "
    access alarm brk chdir chroot clone close dup dup2 dup3 execve execveat exit exit_group fcntl fdatasync flock
    fork fsync getcwd getegid geteuid getgid getpgid getpgrp getpid getppid getrandom getsid getsockopt gettid
    getuid ioctl kill link listen madvise mmap mprotect mremap munmap pause pipe pipe2 prctl ptrace read readlink
    rename rmdir sched_yield setpgid setsid setsockopt shutdown socket socketpair symlink tgkill unlink write";

/// Returns whether a D text has probes of other system calls. Only time depends on it.
pub(super) fn traces_others(text: &str) -> bool {
    text.split("syscall:").skip(1).any(|rest| {
        // What follows are the module, the function, and the name.
        let function = rest.split(':').nth(1).unwrap_or_default().trim();
        !PLAIN.split_ascii_whitespace().any(|plain| plain == function)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_of_plain_calls_are_told_from_others() {
        for (text, others) in [
            ("syscall::read:entry, syscall::write:return { }", false),
            ("syscall:vmlinux:getppid: { }", false),
            ("syscall::openat:entry { }", true),
            ("syscall::read:entry { } syscall::futex:entry { }", true),
            ("syscall:::entry { }", true),
            ("syscall::re*:entry { }", true),
            ("profile-97 { }", false),
            ("syscall:", true),
        ] {
            assert_eq!(traces_others(text), others, "{text}");
        }
    }
}

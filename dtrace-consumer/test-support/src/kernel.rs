//! What do scripts call that each kernel calls differently?

/// The tests run on Linux; otherwise on FreeBSD.
pub const IS_LINUX: bool = cfg!(target_os = "linux");

/// The member of the structure behind `curthread` that has the name of the thread.
pub const NAME_OF_THREAD: &str = if IS_LINUX { "comm" } else { "td_name" };

/// The one that points to its credentials.
pub const CREDENTIALS: &str = if IS_LINUX { "cred" } else { "td_ucred" };

/// A probe at which the kernel has several functions on its stack. FreeBSD 15.1 loses its way on arm64 where the kernel itself
/// was interrupted, as it is by probes on functions.
pub const DEEP: &str = if IS_LINUX {
    "rawtp:::sys_enter"
} else if cfg!(target_arch = "aarch64") {
    "proc:::exit"
} else {
    "fbt::malloc:entry"
};

/// What the name of a function contains through which every system call comes into the kernel.
pub const ENTRY: &str =
    if !IS_LINUX && cfg!(target_arch = "aarch64") { "el0_sync" } else { "syscall" };

/// The module of the kernel itself.
pub const MODULE: &str = if IS_LINUX { "vmlinux" } else { "kernel" };

/// The system call with which a process ends. FreeBSD 15 has renamed `exit` to `_exit`.
pub const EXIT: &str = if IS_LINUX { "exit_group" } else { "*exit" };

/// Returns whether the kernel keeps how a process ended for those that have a descriptor of it, as Linux 6.15 does.
pub fn keeps_statuses() -> bool {
    let uname = nix::sys::utsname::uname().expect("the kernel's name");
    let release = uname.release().to_str().expect("a number");
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse().ok());
    IS_LINUX && (numbers.next(), numbers.next()) >= (Some(6), Some(15))
}

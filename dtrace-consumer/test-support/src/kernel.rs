//! What do scripts call that each kernel calls differently?

/// The tests run on Linux; otherwise on FreeBSD.
pub const IS_LINUX: bool = cfg!(target_os = "linux");

/// The member of the structure behind `curthread` that has the name of the thread.
pub const NAME_OF_THREAD: &str = if IS_LINUX { "comm" } else { "td_name" };

/// The one that points to its credentials.
pub const CREDENTIALS: &str = if IS_LINUX { "cred" } else { "td_ucred" };

/// A probe at which the kernel has several functions on its stack.
pub const DEEP: &str = if IS_LINUX { "rawtp:::sys_enter" } else { "fbt::malloc:entry" };

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

//! What is a worker prevented from doing, whatever libdtrace does?
//!
//! From the start, programs that it starts gain no privilege from their files, and it keeps only the
//! capabilities that libdtrace was seen to need. Once tracing is on, the kernel kills it at system calls that
//! no session was seen to need: those that start programs, talk to other processes, or change files, mounts,
//! modules, the clock or users. The list names what is forbidden, not what is allowed: the calls that a C
//! library makes differ between its versions, and must not end a session.

use std::collections::BTreeMap;
use std::io;

use caps::{CapSet, Capability, CapsHashSet};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter_all_threads,
};

/// The capabilities that libdtrace needs, and what fails without them (2.0.7, Linux 6.18).
const NEEDED: [Capability; 9] = [
    // Namespaces, mounts, loading programs, reading kernel memory.
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_BPF,
    Capability::CAP_PERFMON,
    // Files of tracefs, and those of other users' processes for symbols, if the worker is not root.
    Capability::CAP_DAC_OVERRIDE,
    // Buffers beyond the limit of locked memory: "Memory allocation failure".
    Capability::CAP_IPC_LOCK,
    Capability::CAP_SYS_RESOURCE,
    // Grabbing processes: "No such process". Symbols of users' stacks.
    Capability::CAP_SYS_PTRACE,
    // Symbols of the kernel: without it, only addresses.
    Capability::CAP_SYSLOG,
    // Continuing a stopped command of another user.
    Capability::CAP_KILL,
];

/// Gives up privileges. Must be called before another thread starts, which would keep them.
pub(crate) fn give_up_privileges() -> io::Result<()> {
    nix::sys::prctl::set_no_new_privs()?;
    let permitted = caps::read(None, CapSet::Permitted).map_err(io::Error::other)?;
    let kept: CapsHashSet = permitted.into_iter().filter(|it| NEEDED.contains(it)).collect();
    for set in [CapSet::Inheritable, CapSet::Ambient] {
        caps::clear(None, set).map_err(io::Error::other)?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Confines all threads, including libdtrace's. Must be called when tracing is on.
pub(crate) fn confine() -> io::Result<()> {
    // Threads may be started, but not processes. The newer of the two calls has its flags behind a pointer,
    // which a filter cannot read, so make the C library use the older call.
    let newer =
        filter([(libc::SYS_clone3, Vec::new())], SeccompAction::Errno(libc::ENOSYS as u32))?;
    let no_thread = condition(0, libc::CLONE_THREAD, 0)?;
    let creates = |argument| -> io::Result<_> {
        Ok(vec![
            condition(argument, libc::O_CREAT, libc::O_CREAT)?,
            condition(argument, libc::O_TRUNC, libc::O_TRUNC)?,
        ])
    };
    let forbidden = FORBIDDEN.iter().map(|call| (*call, Vec::new())).chain([
        (libc::SYS_clone, vec![no_thread]),
        (libc::SYS_openat, creates(2)?),
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, creates(1)?),
    ]);
    let forbidden = filter(forbidden, SeccompAction::KillProcess)?;
    apply_filter_all_threads(&newer).map_err(io::Error::other)?;
    apply_filter_all_threads(&forbidden).map_err(io::Error::other)
}

/// Returns the rule that the bits of `mask` in an argument equal `value`.
fn condition(argument: u8, mask: i32, value: i32) -> io::Result<SeccompRule> {
    let [mask, value] = [mask, value].map(|bits| u64::from(bits.cast_unsigned()));
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(mask), value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .map_err(io::Error::other)
}

fn filter(
    calls: impl IntoIterator<Item = (libc::c_long, Vec<SeccompRule>)>,
    action: SeccompAction,
) -> io::Result<BpfProgram> {
    let rules: BTreeMap<i64, Vec<SeccompRule>> = calls.into_iter().collect();
    let machine = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    SeccompFilter::new(rules, SeccompAction::Allow, action, machine)
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

/// Calls that no session makes once tracing is on.
const FORBIDDEN: &[libc::c_long] = &[
    // Starting programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
    // Talking to anybody but the consumer, whose channel is already open.
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_writev,
    // Changing the kernel.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_syslog,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    // Changing the system's names, clock and limits.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_quotactl,
    // Changing namespaces and mounts.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_open_by_handle_at,
    // Changing users.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setfsuid,
    libc::SYS_setfsgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_personality,
    // Changing files.
    libc::SYS_openat2,
    libc::SYS_mknodat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_symlinkat,
    libc::SYS_linkat,
    libc::SYS_renameat2,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_truncate,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    libc::SYS_renameat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_creat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mkdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rmdir,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_symlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_link,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
];

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    const DO: &str = "DTRACE_CONSUMER_TEST_CONFINED";

    /// Runs this test again in a process that confines itself and performs one action.
    #[test]
    #[cfg_attr(miri, ignore = "files, and processes")]
    fn a_confined_process_is_ended_at_what_it_may_not_do() {
        if let Ok(what) = std::env::var(DO) {
            confine().expect("confining this process");
            match what.as_str() {
                "read" => drop(std::fs::read("/proc/self/status").expect("reading is allowed")),
                "thread" => std::thread::spawn(|| ()).join().expect("threads are allowed"),
                "exec" => drop(Command::new("/bin/true").status()),
                "create" => drop(std::fs::File::create("/dev/null")),
                "connect" => drop(std::net::UdpSocket::bind("127.0.0.1:0")),
                other => panic!("{other}?"),
            }
            crate::worker::own_process::end(0);
        }
        let name = "a_confined_process_is_ended_at_what_it_may_not_do";
        for (what, signal) in [
            ("read", None),
            ("thread", None),
            ("exec", Some(libc::SIGSYS)),
            ("create", Some(libc::SIGSYS)),
            ("connect", Some(libc::SIGSYS)),
        ] {
            let exe = std::env::current_exe().expect("this test's executable");
            let done =
                Command::new(exe).arg(name).env(DO, what).output().expect("starting the test");
            assert_eq!(done.status.signal(), signal, "{what}: {done:?}");
        }
    }
}

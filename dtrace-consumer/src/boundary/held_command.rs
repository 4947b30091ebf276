//! How is a command held until tracing is on?
//!
//! The child asks to be traced, so that its exec stops it, with the new program in place and not one
//! of its instructions run. It stays in that stop, in the hands of the thread that started it, until it
//! is let go; the kernel kills it should that thread end before.
//!
//! Probes on the command's own functions need more: libdtrace has to attach to the process as a
//! debugger does, which only one can at a time, and the loader must have done its work, or no function
//! is found. Nor can the process simply be stopped for that: libdtrace never gets a stopped process
//! to run again. So such a command runs up to the entry point of its program, and is let go, stopped,
//! behind a [`Gate`]: what it finds there is an instruction that jumps to itself. It can be
//! continued to be attached to, and goes nowhere until the worker has taken the gate away.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::stream::job::Gate;

/// Starts a command that does not run yet. Only the calling thread can [`release`] it.
///
/// `at_entry` lets it run up to the entry point of its program, past the loader and the initialisers
/// of the libraries that it is linked with, and puts a gate there, where this machine's code is known.
pub(crate) fn spawn_held(
    command: &mut Command,
    at_entry: bool,
) -> io::Result<(Child, Option<Gate>)> {
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe calls may be made:
    // ptrace is a bare system call, and the error is made from a number without allocation.
    unsafe {
        command.pre_exec(|| {
            ptrace::traceme().map_err(|e: Errno| io::Error::from_raw_os_error(e as i32))
        });
    }
    let mut child = command.spawn()?;
    // The process stops at exec. This thread forked it, so this thread is the one that it obeys.
    match hold(&child, at_entry) {
        Ok(gate) => Ok((child, gate)),
        Err(e) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(e)
        }
    }
}

fn hold(child: &Child, at_entry: bool) -> io::Result<Option<Gate>> {
    let pid = pid_of(child)?;
    wait_for_trap(pid)?;
    die_with_this_thread(pid)?;
    let gate = if at_entry { gate::put(pid)? } else { None };
    if gate.is_some() {
        ptrace::detach(pid, Signal::SIGSTOP)?;
    }
    Ok(gate)
}

/// Waits until the process stops at its exec or at a breakpoint. Other signals are handed on.
fn wait_for_trap(pid: Pid) -> io::Result<()> {
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => return Ok(()),
            Ok(WaitStatus::Stopped(_, signal)) => ptrace::cont(pid, signal)?,
            Ok(status) => return Err(io::Error::other(format!("it ended at once: {status:?}"))),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Lets a held command run, on the thread that started it. One behind a gate runs already, if the
/// worker has taken the gate away.
pub(crate) fn release(child: &Child, gated: bool) -> io::Result<()> {
    let pid = pid_of(child)?;
    if gated {
        kill(pid, Signal::SIGCONT)?;
    } else {
        ptrace::detach(pid, None)?;
    }
    Ok(())
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)
}

/// Asks the kernel to kill the held process when the thread that holds it is gone.
fn die_with_this_thread(pid: Pid) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    ptrace::setoptions(pid, ptrace::Options::PTRACE_O_EXITKILL)?;
    // Elsewhere it is what a debugger's end does anyway.
    let _ = pid;
    Ok(())
}

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod gate {
    use std::io;
    use std::mem::{size_of, zeroed};

    use nix::sys::ptrace;
    use nix::unistd::Pid;

    use super::wait_for_trap;
    use crate::stream::job::Gate;

    /// A breakpoint, and an instruction that jumps to itself.
    #[cfg(target_arch = "x86_64")]
    const CODE: (&[u8], &[u8]) = (&[0xcc], &[0xeb, 0xfe]);
    #[cfg(target_arch = "aarch64")]
    const CODE: (&[u8], &[u8]) = (&[0x00, 0x00, 0x20, 0xd4], &[0x00, 0x00, 0x00, 0x14]);

    /// Lets a process that this thread has stopped at its exec run up to its entry point, and puts
    /// a gate there. `None` if its code is not this program's (32 bit).
    pub(super) fn put(pid: Pid) -> io::Result<Option<Gate>> {
        let Some(mut registers) = registers(pid)? else { return Ok(None) };
        let (breakpoint, circle) = CODE;
        let entry = entry_point(pid)?;
        let original = replace(pid, entry, breakpoint)?;
        ptrace::cont(pid, None)?;
        wait_for_trap(pid)?;
        replace(pid, entry, &original)?;
        // Some machines stop behind the breakpoint, others at it.
        transfer(libc::PTRACE_GETREGSET, pid, &mut registers)?;
        *counter(&mut registers) = entry;
        transfer(libc::PTRACE_SETREGSET, pid, &mut registers)?;
        Ok(Some(Gate { address: entry, original: replace(pid, entry, circle)? }))
    }

    fn counter(registers: &mut libc::user_regs_struct) -> &mut u64 {
        #[cfg(target_arch = "x86_64")]
        return &mut registers.rip;
        #[cfg(target_arch = "aarch64")]
        return &mut registers.pc;
    }

    /// Where the program itself begins, which the kernel tells the loader.
    fn entry_point(pid: Pid) -> io::Result<u64> {
        const AT_ENTRY: u64 = 9;
        let vector = std::fs::read(format!("/proc/{pid}/auxv"))?;
        let words: Vec<u64> = vector
            .chunks_exact(8)
            .filter_map(|c| c.try_into().ok().map(u64::from_ne_bytes))
            .collect();
        let entry = words.chunks_exact(2).find(|pair| pair[0] == AT_ENTRY).map(|pair| pair[1]);
        entry.ok_or_else(|| io::Error::other("its entry point is not known"))
    }

    /// Replaces code of the process, and gives what stood there.
    fn replace(pid: Pid, address: u64, code: &[u8]) -> io::Result<Vec<u8>> {
        let at = address as ptrace::AddressType;
        let word = ptrace::read(pid, at)?;
        let mut bytes = word.to_ne_bytes();
        let original = bytes[..code.len()].to_vec();
        bytes[..code.len()].copy_from_slice(code);
        ptrace::write(pid, at, libc::c_long::from_ne_bytes(bytes))?;
        Ok(original)
    }

    fn registers(pid: Pid) -> io::Result<Option<libc::user_regs_struct>> {
        // SAFETY: the structure is made of integers alone, for which zeros are values.
        let mut registers: libc::user_regs_struct = unsafe { zeroed() };
        let length = transfer(libc::PTRACE_GETREGSET, pid, &mut registers)?;
        Ok((length == size_of::<libc::user_regs_struct>()).then_some(registers))
    }

    fn transfer(
        request: libc::c_uint,
        pid: Pid,
        registers: &mut libc::user_regs_struct,
    ) -> io::Result<usize> {
        const NT_PRSTATUS: usize = 1;
        let mut part = libc::iovec {
            iov_base: std::ptr::from_mut(registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        // SAFETY: the request reads or fills the structure that `part` describes with its true
        // length, and both outlive the call.
        let result = unsafe { libc::ptrace(request, pid.as_raw(), NT_PRSTATUS, &raw mut part) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(part.iov_len) }
    }
}

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
mod gate {
    /// The code of this machine is not known here.
    pub(super) fn put(_: nix::unistd::Pid) -> std::io::Result<Option<crate::stream::job::Gate>> {
        Ok(None)
    }
}

//! Makes a command spin until tracing is on.
//!
//! The gate is a short loop that checks a word below the end of the stack and continues the program once the
//! word is not zero. It is written behind the end of a segment of code, into the rest of its last page, so it
//! overwrites nothing of the program. Nor is it removed: the bytes there belong to no segment, the page is now a copy of
//! this process alone, and the process would have to be stopped again to make sure that it has left the loop. Whoever
//! may write to the process's memory can open the gate, even if the kernel forbids writing to code
//! (`proc_mem.force_override`).
//!
//! If no file has enough room there, an instruction that jumps to itself replaces the next one. The program needs that
//! one, so restoring the original is what opens the gate. That requires a kernel that permits writing to code.
//!
//! A gate is at the entry point of the program, or at its `main`, which runs after the initialisers that
//! register the program's own probes. `main` needs no symbol: the code at the entry point passes it to the C
//! library as the first argument. The program has not set up anything else when it first leaves its own
//! code, whether that leads to the C library or to the dynamic loader, which looks up the function first.

#[cfg(all(target_pointer_width = "64", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use here::{put, run_up_to};

#[cfg(all(target_pointer_width = "64", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod here {
    use std::fs;
    use std::io;
    use std::mem::{size_of, zeroed};

    use nix::sys::ptrace;
    use nix::unistd::Pid;

    use super::super::padding::{self, mapped_code};
    use super::super::trap::wait_for_trap;
    use crate::client::command::place::Hold;
    use crate::stream::job::Gate;

    #[cfg(target_arch = "x86_64")]
    const BREAKPOINT: &[u8] = &[0xcc];
    #[cfg(target_arch = "aarch64")]
    const BREAKPOINT: &[u8] = &[0x00, 0x00, 0x20, 0xd4];

    /// An instruction that jumps to itself.
    #[cfg(target_arch = "x86_64")]
    const TO_ITSELF: &[u8] = &[0xeb, 0xfe];
    #[cfg(target_arch = "aarch64")]
    const TO_ITSELF: &[u8] = &[0x00, 0x00, 0x00, 0x14];

    /// The loop. The address at which to continue the program follows it. It clobbers only registers that are
    /// unused at the start of a program or function.
    #[cfg(target_arch = "x86_64")]
    const SPIN: &[u8] = &[
        0xf3, 0x90, // 1: pause
        0x83, 0xbc, 0x24, 0x00, 0x00, 0xff, 0xff, 0x00, // cmpl $0, -0x10000(%rsp)
        0x74, 0xf4, // je 1b
        0xff, 0x25, 0x00, 0x00, 0x00, 0x00, // jmp *0(%rip)
    ];
    #[cfg(target_arch = "aarch64")]
    const SPIN: &[u8] = &[
        0xf0, 0x43, 0x40, 0xd1, // 1: sub x16, sp, #0x10000
        0x10, 0x02, 0x40, 0xb9, // ldr w16, [x16]
        0xd0, 0xff, 0xff, 0x34, // cbz w16, 1b
        0x50, 0x00, 0x00, 0x58, // ldr x16, 2f
        0x00, 0x02, 0x1f, 0xd6, // br x16; 2:
    ];

    /// Length in bytes of the loop with the address that follows it. It is written in whole words.
    const GATE: usize = (SPIN.len() + size_of::<u64>()).next_multiple_of(size_of::<u64>());

    /// Distance in bytes from the end of the stack to the word that the loop checks: beyond the frame of a
    /// signal handler, and within the stack that every program starts with.
    const BELOW: u64 = 0x10000;

    /// Upper limit of the instructions from the entry point to the program's first call of a library.
    const STEPS: u32 = 100;

    /// Runs a process that this thread has stopped at its exec up to the place to hold it. It stays
    /// at its exec if it is not of this program's architecture (32 bit).
    pub(in super::super) fn run_up_to(pid: Pid, at: Hold) -> io::Result<()> {
        advance(pid, at).map(drop)
    }

    /// Does what [`run_up_to`] does. Returns the registers there and the address of the next instruction;
    /// `None` if the process is still at its exec.
    fn advance(pid: Pid, at: Hold) -> io::Result<Option<(libc::user_regs_struct, u64)>> {
        let Some(mut registers) = registers(pid)? else { return Ok(None) };
        let entry = entry_point(pid)?;
        run_to(pid, entry, &mut registers)?;
        let mut next = entry;
        if at == Hold::Main
            && let Some(main) = main_of(pid)?
        {
            run_to(pid, main, &mut registers)?;
            next = main;
        }
        Ok(Some((registers, next)))
    }

    /// Runs a process that this thread has stopped at its exec up to the place to hold it, and puts
    /// a gate there. Returns `None` if it is not of this program's architecture (32 bit).
    pub(in super::super) fn put(pid: Pid, at: Hold) -> io::Result<Option<Gate>> {
        let Some((mut registers, next)) = advance(pid, at)? else { return Ok(None) };
        let word = *stack_pointer(&mut registers) - BELOW;
        let (goes_on, gate) = match padding::find(pid, GATE)? {
            Some(place) => {
                replace(pid, place, &[SPIN, &next.to_ne_bytes()].concat())?;
                replace(pid, word, &[0; 4])?;
                (place, Gate { address: word, opening: vec![1, 0, 0, 0] })
            }
            None => (next, Gate { address: next, opening: replace(pid, next, TO_ITSELF)? }),
        };
        *counter(&mut registers) = goes_on;
        forget_branch(&mut registers);
        transfer(libc::PTRACE_SETREGSET, pid, &mut registers)?;
        Ok(Some(gate))
    }

    /// Runs the process to an address and reads its registers there.
    fn run_to(pid: Pid, address: u64, there: &mut libc::user_regs_struct) -> io::Result<()> {
        let original = replace(pid, address, BREAKPOINT)?;
        ptrace::cont(pid, None)?;
        wait_for_trap(pid, ptrace::cont)?;
        replace(pid, address, &original)?;
        transfer(libc::PTRACE_GETREGSET, pid, there)?;
        // Some machines stop after the breakpoint, others at it.
        *counter(there) = address;
        transfer(libc::PTRACE_SETREGSET, pid, there)?;
        Ok(())
    }

    /// Returns the first argument that the code at the entry point, where the process is, passes to a library, if
    /// that is the address of code. If it is not, the process is back at its entry point.
    fn main_of(pid: Pid) -> io::Result<Option<u64>> {
        let Some(mut at_entry) = registers(pid)? else { return Ok(None) };
        let code = mapped_code(pid)?;
        let file_of = |address: u64| {
            code.iter().find(|it| it.range.contains(&address)).map(|it| it.file.as_str())
        };
        let program = file_of(*counter(&mut at_entry));
        for _ in 0..STEPS {
            ptrace::step(pid, None)?;
            wait_for_trap(pid, ptrace::step)?;
            let Some(mut now) = registers(pid)? else { break };
            if file_of(*counter(&mut now)) == program {
                continue;
            }
            let main = *first_argument(&mut now);
            if file_of(main).is_some() {
                return Ok(Some(main));
            }
            break;
        }
        // It has written only below the current end of the stack.
        transfer(libc::PTRACE_SETREGSET, pid, &mut at_entry)?;
        Ok(None)
    }

    /// Makes the next instruction one that no branch has led to. A processor with branch target identification
    /// (BTI) remembers an indirect branch in two bits of its state. In code that is marked for it, an
    /// instruction that is no target of branches would then be illegal, such as the first one of the gate.
    #[cfg(target_arch = "aarch64")]
    fn forget_branch(registers: &mut libc::user_regs_struct) {
        const BRANCH_TYPE: u64 = 0b11 << 10;
        registers.pstate &= !BRANCH_TYPE;
    }
    #[cfg(not(target_arch = "aarch64"))]
    fn forget_branch(_: &mut libc::user_regs_struct) {}

    fn counter(registers: &mut libc::user_regs_struct) -> &mut u64 {
        #[cfg(target_arch = "x86_64")]
        return &mut registers.rip;
        #[cfg(target_arch = "aarch64")]
        return &mut registers.pc;
    }

    fn stack_pointer(registers: &mut libc::user_regs_struct) -> &mut u64 {
        #[cfg(target_arch = "x86_64")]
        return &mut registers.rsp;
        #[cfg(target_arch = "aarch64")]
        return &mut registers.sp;
    }

    fn first_argument(registers: &mut libc::user_regs_struct) -> &mut u64 {
        #[cfg(target_arch = "x86_64")]
        return &mut registers.rdi;
        #[cfg(target_arch = "aarch64")]
        return &mut registers.regs[0];
    }

    /// Returns the entry point of the program itself, which the kernel passes to the loader.
    fn entry_point(pid: Pid) -> io::Result<u64> {
        const AT_ENTRY: u64 = 9;
        let vector = fs::read(format!("/proc/{pid}/auxv"))?;
        let words: Vec<u64> = vector
            .chunks_exact(8)
            .filter_map(|c| c.try_into().ok().map(u64::from_ne_bytes))
            .collect();
        let entry = words.chunks_exact(2).find(|pair| pair[0] == AT_ENTRY).map(|pair| pair[1]);
        entry.ok_or_else(|| io::Error::other("its entry point is unknown"))
    }

    fn read(pid: Pid, address: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length + size_of::<u64>());
        while bytes.len() < length {
            let word = ptrace::read(pid, (address + bytes.len() as u64) as ptrace::AddressType)?;
            bytes.extend(word.to_ne_bytes());
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Replaces memory of the process, including code, and returns the original bytes.
    fn replace(pid: Pid, address: u64, with: &[u8]) -> io::Result<Vec<u8>> {
        let mut original = read(pid, address, with.len().next_multiple_of(size_of::<u64>()))?;
        let mut bytes = original.clone();
        bytes[..with.len()].copy_from_slice(with);
        original.truncate(with.len());
        for (word, at) in bytes.chunks_exact(8).zip((address..).step_by(8)) {
            let word = libc::c_long::from_ne_bytes(word.try_into().unwrap_or_default());
            ptrace::write(pid, at as ptrace::AddressType, word)?;
        }
        Ok(original)
    }

    fn registers(pid: Pid) -> io::Result<Option<libc::user_regs_struct>> {
        // SAFETY: the structure has only integer fields, for which zeros are valid.
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
        // SAFETY: the request reads or fills the structure that `part` describes with its correct length.
        // Both outlive the call.
        let result = unsafe { libc::ptrace(request, pid.as_raw(), NT_PRSTATUS, &raw mut part) };
        if result == -1 { Err(io::Error::last_os_error()) } else { Ok(part.iov_len) }
    }
}

#[cfg(not(all(
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
/// Reports that gates are unsupported on this architecture.
pub(super) fn put(
    _: nix::unistd::Pid,
    _: crate::client::command::place::Hold,
) -> std::io::Result<Option<crate::stream::job::Gate>> {
    Ok(None)
}

#[cfg(not(all(
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
/// Leaves the process at its exec: this architecture's code is unknown here.
pub(super) fn run_up_to(
    _: nix::unistd::Pid,
    _: crate::client::command::place::Hold,
) -> std::io::Result<()> {
    Ok(())
}

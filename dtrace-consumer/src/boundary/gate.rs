//! What does a command go round in until tracing is on?
//!
//! In a few instructions that look at a word below its stack's end, over and over, and jump to the entry
//! point of the program once it is not zero. They stand where the file's last page of code is filled
//! up, so nothing of the program is overwritten; and whoever may write to the process's memory can open
//! the gate, also where the kernel keeps code from being written to (`proc_mem.force_override`).
//!
//! Where no such place is found, the instruction at the entry point itself is replaced by one that jumps
//! to itself, and putting it back opens the gate. That takes a kernel which lets code be written to.

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
pub(super) use here::put;

#[cfg(all(
    target_os = "linux",
    target_pointer_width = "64",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod here {
    use std::fs;
    use std::io;
    use std::mem::{size_of, zeroed};

    use nix::sys::ptrace;
    use nix::unistd::Pid;

    use super::super::held_command::wait_for_trap;
    use crate::stream::job::Gate;

    /// A breakpoint, and an instruction that jumps to itself.
    #[cfg(target_arch = "x86_64")]
    const CODE: (&[u8], &[u8]) = (&[0xcc], &[0xeb, 0xfe]);
    #[cfg(target_arch = "aarch64")]
    const CODE: (&[u8], &[u8]) = (&[0x00, 0x00, 0x20, 0xd4], &[0x00, 0x00, 0x00, 0x14]);

    /// The circle, which the entry point's address follows. No register is touched that means anything
    /// to a program that begins.
    #[cfg(target_arch = "x86_64")]
    const CIRCLE: &[u8] = &[
        0xf3, 0x90, // 1: pause
        0x83, 0xbc, 0x24, 0x00, 0x00, 0xff, 0xff, 0x00, // cmpl $0, -0x10000(%rsp)
        0x74, 0xf4, // je 1b
        0xff, 0x25, 0x00, 0x00, 0x00, 0x00, // jmp *0(%rip)
    ];
    #[cfg(target_arch = "aarch64")]
    const CIRCLE: &[u8] = &[
        0xf0, 0x43, 0x40, 0xd1, // 1: sub x16, sp, #0x10000
        0x10, 0x02, 0x40, 0xb9, // ldr w16, [x16]
        0xd0, 0xff, 0xff, 0x34, // cbz w16, 1b
        0x50, 0x00, 0x00, 0x58, // ldr x16, 2f
        0x00, 0x02, 0x1f, 0xd6, // br x16; 2:
    ];

    /// How far below the end of the stack the word is that the circle looks at: out of reach of a
    /// signal's frame, and within the stack that every program begins with.
    const BELOW: u64 = 0x10000;

    /// Lets a process that this thread has stopped at its exec run up to its entry point, and puts
    /// a gate there. `None` if its code is not this program's (32 bit).
    pub(in super::super) fn put(pid: Pid) -> io::Result<Option<Gate>> {
        let Some(mut registers) = registers(pid)? else { return Ok(None) };
        let (breakpoint, to_itself) = CODE;
        let entry = entry_point(pid)?;
        let original = replace(pid, entry, breakpoint)?;
        ptrace::cont(pid, None)?;
        wait_for_trap(pid)?;
        replace(pid, entry, &original)?;
        transfer(libc::PTRACE_GETREGSET, pid, &mut registers)?;
        let word = *stack_pointer(&mut registers) - BELOW;
        let (goes_on, gate) = match place(pid, CIRCLE.len() + size_of::<u64>())? {
            Some(place) => {
                replace(pid, place, &[CIRCLE, &entry.to_ne_bytes()].concat())?;
                replace(pid, word, &[0; 4])?;
                (place, Gate { address: word, opening: vec![1, 0, 0, 0] })
            }
            None => {
                let opening = replace(pid, entry, to_itself)?;
                (entry, Gate { address: entry, opening })
            }
        };
        // Also without a circle: some machines stop behind the breakpoint, others at it.
        *counter(&mut registers) = goes_on;
        transfer(libc::PTRACE_SETREGSET, pid, &mut registers)?;
        Ok(Some(gate))
    }

    /// Where so many bytes of a mapped file's code are filling: the last page's end, if it is of one
    /// value throughout, which code is not.
    fn place(pid: Pid, length: usize) -> io::Result<Option<u64>> {
        // Breakpoints are written, and so is this, in whole words.
        let length = length.next_multiple_of(size_of::<u64>());
        for line in fs::read_to_string(format!("/proc/{pid}/maps"))?.lines() {
            let mut fields = line.split_ascii_whitespace();
            let (range, rights, file) = (fields.next(), fields.next(), fields.nth(3));
            let end = range.and_then(|range| range.split_once('-')).map(|(_, end)| end);
            let Some(end) = end.and_then(|end| u64::from_str_radix(end, 16).ok()) else { continue };
            if rights != Some("r-xp") || !file.is_some_and(|file| file.starts_with('/')) {
                continue;
            }
            let place = end - length as u64;
            let tail = read(pid, place, length)?;
            if tail.iter().all(|byte| *byte == tail[0]) {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

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

    /// Where the program itself begins, which the kernel tells the loader.
    fn entry_point(pid: Pid) -> io::Result<u64> {
        const AT_ENTRY: u64 = 9;
        let vector = fs::read(format!("/proc/{pid}/auxv"))?;
        let words: Vec<u64> = vector
            .chunks_exact(8)
            .filter_map(|c| c.try_into().ok().map(u64::from_ne_bytes))
            .collect();
        let entry = words.chunks_exact(2).find(|pair| pair[0] == AT_ENTRY).map(|pair| pair[1]);
        entry.ok_or_else(|| io::Error::other("its entry point is not known"))
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

    /// Replaces memory of the process, its code too, and gives what stood there.
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
/// The code of this machine is not known here.
pub(super) fn put(_: nix::unistd::Pid) -> std::io::Result<Option<crate::stream::job::Gate>> {
    Ok(None)
}

//! How does the stand-in make the system calls of its plan?

use std::ffi::CString;

use crate::plan::{Argument, SystemCall};

/// Makes a system call. Returns its result, or the negative number of its error, as the kernel does.
pub(super) fn make(call: &SystemCall, results: &[i64]) -> i64 {
    let texts: Vec<CString> = call
        .arguments
        .iter()
        .map(|argument| match argument {
            Argument::Text(text) => CString::new(text.as_str()).expect("a text without NUL"),
            _ => CString::default(),
        })
        .collect();
    let mut arguments = [0i64; 6];
    for ((place, argument), text) in arguments.iter_mut().zip(&call.arguments).zip(&texts) {
        *place = match argument {
            Argument::Number(number) => *number,
            Argument::Text(_) => address(text.as_ptr()),
            Argument::Words(words) => address(words.as_ptr()),
            Argument::Result(before) => {
                results.iter().rev().nth(*before).copied().expect("an earlier call")
            }
            Argument::OwnProcess => i64::from(std::process::id()),
        };
    }
    if call.as_32_bit {
        return make_as_32_bit(call.number, arguments);
    }
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the plan's author is responsible for the call. Addresses are those of texts and
    // words, which outlive it.
    let result = unsafe { libc::syscall(call.number, a, b, c, d, e, f) };
    if result == -1 {
        return -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    result
}

fn address<T>(pointer: *const T) -> i64 {
    pointer.expose_provenance().cast_signed().try_into().expect("an address has 64 bits")
}

#[cfg(target_arch = "x86_64")]
fn make_as_32_bit(number: i64, arguments: [i64; 6]) -> i64 {
    let mut result = number;
    // SAFETY: the arguments are numbers. The kernel may change the registers that are named here, and keeps the
    // others. It does not touch the stack.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}",
            "int 0x80",
            "xchg rbx, {first}",
            first = inout(reg) arguments[0] => _,
            inout("rax") result,
            in("rcx") arguments[1],
            in("rdx") arguments[2],
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    result
}

#[cfg(not(target_arch = "x86_64"))]
fn make_as_32_bit(_: i64, _: [i64; 6]) -> i64 {
    -i64::from(libc::ENOSYS)
}

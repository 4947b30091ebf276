//! Is this the code of a function that does nothing?
//!
//! Only the forms that compilers give such functions are known. Other code is never taken for one.

/// As many bytes decide.
pub(super) const LONGEST: usize = 24;

/// Returns whether the code only returns to its caller, and leaves everything else as it was.
pub(super) fn is_one(code: &[u8]) -> bool {
    let after_landing = LANDING_PADS.iter().find_map(|pad| code.strip_prefix(*pad));
    EMPTY.iter().any(|empty| after_landing.unwrap_or(code).starts_with(empty))
}

/// Instructions that allow indirect branches to a function: `endbr64`.
#[cfg(target_arch = "x86_64")]
const LANDING_PADS: &[&[u8]] = &[b"\xf3\x0f\x1e\xfa"];

/// `ret`; `rep ret`; and with a frame pointer `push %rbp`, `mov %rsp,%rbp`, without or with `nop`, `pop %rbp`, `ret`.
#[cfg(target_arch = "x86_64")]
const EMPTY: &[&[u8]] =
    &[b"\xc3", b"\xf3\xc3", b"\x55\x48\x89\xe5\x5d\xc3", b"\x55\x48\x89\xe5\x90\x5d\xc3"];

/// `bti c`.
#[cfg(target_arch = "aarch64")]
const LANDING_PADS: &[&[u8]] = &[b"\x5f\x24\x03\xd5"];

/// `ret`; `nop`, `ret`; and with a frame pointer `stp x29,x30,[sp,#-16]!`, `mov x29,sp`, `ldp x29,x30,[sp],#16`,
/// `ret`, which `paciasp` and `autiasp` may surround.
#[cfg(target_arch = "aarch64")]
const EMPTY: &[&[u8]] = &[
    b"\xc0\x03\x5f\xd6",
    b"\x1f\x20\x03\xd5\xc0\x03\x5f\xd6",
    b"\xfd\x7b\xbf\xa9\xfd\x03\x00\x91\xfd\x7b\xc1\xa8\xc0\x03\x5f\xd6",
    b"\x3f\x23\x03\xd5\xfd\x7b\xbf\xa9\xfd\x03\x00\x91\xfd\x7b\xc1\xa8\xbf\x23\x03\xd5\xc0\x03\x5f\xd6",
];

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const LANDING_PADS: &[&[u8]] = &[];

/// None is known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const EMPTY: &[&[u8]] = &[];

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn functions_that_only_return_are_empty() {
        for code in [
            &b"\xf3\x0f\x1e\xfa\xc3\x66\x90"[..],
            b"\xc3\xcc",
            b"\xf3\xc3",
            b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x5d\xc3",
            b"\x55\x48\x89\xe5\x90\x5d\xc3",
        ] {
            assert!(is_one(code), "{code:x?}");
        }
    }

    #[test]
    fn all_other_code_is_not() {
        for code in [
            // No code, and a part of it.
            &b""[..],
            b"\xf3\x0f\x1e\xfa",
            b"\x55\x48\x89\xe5\x5d",
            // A jump, a call, a return that removes arguments, and a loop.
            b"\xf3\x0f\x1e\xfa\xe9\x00\x00\x00\x00",
            b"\xf3\x0f\x1e\xfa\xe8\x00\x00\x00\x00\xc3",
            b"\xc2\x08\x00",
            b"\xeb\xfe",
            // A result, and a register that is not restored.
            b"\x31\xc0\xc3",
            b"\x55\x48\x89\xe5\xc3",
            // A breakpoint instead of the first byte.
            b"\xcc\x0f\x1e\xfa\xc3",
            // Two landing pads.
            b"\xf3\x0f\x1e\xfa\xf3\x0f\x1e\xfa\xc3",
        ] {
            assert!(!is_one(code), "{code:x?}");
        }
    }
}

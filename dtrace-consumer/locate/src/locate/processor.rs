//! What are Debian's and ELF's names for this processor?

use elf::abi::{EM_AARCH64, EM_X86_64};

/// Debian's name for the directory of this processor's libraries.
pub(super) const TRIPLET: Option<&str> = NATIVE.0;

/// ELF's number for this processor. `None` if it is unknown here; then only the loader checks.
pub(super) const MACHINE: Option<u16> = NATIVE.1;

const NATIVE: (Option<&str>, Option<u16>) =
    if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        (Some("x86_64-linux-gnu"), Some(EM_X86_64))
    } else if cfg!(target_arch = "aarch64") {
        (Some("aarch64-linux-gnu"), Some(EM_AARCH64))
    } else {
        (None, None)
    };

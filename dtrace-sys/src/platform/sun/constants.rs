//! Constants that illumos, FreeBSD and macOS share, and that differ from Linux.

use super::dtrace_optval_t;
use crate::platform::common::*;
use core::ffi::{c_char, c_int, c_uint};

/// Open: no DTrace device needed.
pub const DTRACE_O_NODEV: c_int = 0x01;
/// Open: no kernel symbols needed. **On Linux this number means 64 bits.**
pub const DTRACE_O_NOSYS: c_int = 0x02;
/// Open: compile for 64-bit programs. **On Linux this number means 32 bits.**
pub const DTRACE_O_LP64: c_int = 0x04;
/// Open: compile for 32-bit programs.
pub const DTRACE_O_ILP32: c_int = 0x08;
/// Open: all valid flags.
pub const DTRACE_O_MASK: c_int = 0x0f;

/// End consuming. **3 on Linux.**
pub const DTRACE_CONSUME_ABORT: c_int = 2;

/// Clear this entry. On Linux 2 is another result, which the library refuses.
pub const DTRACE_AGGWALK_CLEAR: c_int = 2;
/// Normalize this entry. **On Linux 3 removes it.**
pub const DTRACE_AGGWALK_NORMALIZE: c_int = 3;
/// Undo the normalization of this entry.
pub const DTRACE_AGGWALK_DENORMALIZE: c_int = 4;
/// Remove this entry.
pub const DTRACE_AGGWALK_REMOVE: c_int = 5;

/// The total of a distribution is known. (8 means something else on Linux.)
pub const DTRACE_A_TOTAL: u32 = 0x0008;
/// The first and last bucket are known.
pub const DTRACE_A_MINMAXBIN: u32 = 0x0010;
/// There are negative values.
pub const DTRACE_A_HASNEGATIVES: u32 = 0x0020;
/// There are positive values.
pub const DTRACE_A_HASPOSITIVES: u32 = 0x0040;

/// Lookup scope: the run-time linker (a pseudo pointer, never followed).
pub const DTRACE_OBJ_RTLD: *const c_char = core::ptr::without_provenance(1);
/// Lookup scope: C declarations.
pub const DTRACE_OBJ_CDEFS: *const c_char = core::ptr::without_provenance(2);
/// Lookup scope: D declarations.
pub const DTRACE_OBJ_DDEFS: *const c_char = core::ptr::without_provenance(3);

/// `tracemem()` with a size known at run time: the size, 8 bytes, before the buffer. The library consumes it
/// and passes it to no callback.
pub const DTRACEACT_TRACEMEM_DYNSIZE: dtrace_actkind_t = 7;

/// `count()`: the only number that is the same on Linux.
pub const DTRACEAGG_COUNT: dtrace_actkind_t = 0x701;
/// `min()`.
pub const DTRACEAGG_MIN: dtrace_actkind_t = 0x702;
/// `max()`.
pub const DTRACEAGG_MAX: dtrace_actkind_t = 0x703;
/// `avg()`: count and sum.
pub const DTRACEAGG_AVG: dtrace_actkind_t = 0x704;
/// `sum()`.
pub const DTRACEAGG_SUM: dtrace_actkind_t = 0x705;
/// `stddev()`: count, sum, and the sum of squares as low and high word.
pub const DTRACEAGG_STDDEV: dtrace_actkind_t = 0x706;
/// `quantize()`: 127 buckets.
pub const DTRACEAGG_QUANTIZE: dtrace_actkind_t = 0x707;
/// `lquantize()`: the parameter word, then the buckets.
pub const DTRACEAGG_LQUANTIZE: dtrace_actkind_t = 0x708;
/// `llquantize()`: the parameter word, then the buckets.
pub const DTRACEAGG_LLQUANTIZE: dtrace_actkind_t = 0x709;

/// Returns the factor from the parameter word of `llquantize()`. The layout differs from Linux's.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_FACTOR(word: u64) -> u16 {
    (word >> 48) as u16
}
/// Returns the low magnitude from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_LOW(word: u64) -> u16 {
    (word >> 32) as u16
}
/// Returns the high magnitude from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_HIGH(word: u64) -> u16 {
    (word >> 16) as u16
}
/// Returns the number of steps from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_NSTEP(word: u64) -> u16 {
    word as u16
}

/// Returns the number of frames of a `ustack()`, from its record's `dtrd_arg`.
#[must_use]
pub const fn DTRACE_USTACK_NFRAMES(arg: u64) -> u32 {
    arg as u32
}
/// Returns the size of the string table of a `ustack()` or `jstack()` in bytes, from its record's `dtrd_arg`.
#[must_use]
pub const fn DTRACE_USTACK_STRSIZE(arg: u64) -> u32 {
    (arg >> 32) as u32
}

/// The option has no value.
pub const DTRACEOPT_UNSET: dtrace_optval_t = -2;

/// Compile: all valid flags.
pub const DTRACE_C_MASK: c_uint = 0x3bff;

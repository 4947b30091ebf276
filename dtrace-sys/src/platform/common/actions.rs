//! Actions of records with the same numbers everywhere, and constants of stability.

use super::{dtrace_actkind_t, dtrace_class_t, dtrace_stability_t};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {$(
        $(#[$doc])*
        pub const $name: dtrace_actkind_t = $number;
    )*};
}

actions! {
    /// No action.
    DTRACEACT_NONE = 0;
    /// An expression's value: `trace()`, an aggregation's key.
    DTRACEACT_DIFEXPR = 1;
    /// `exit()`: the status, a 32-bit integer. No other record has it.
    DTRACEACT_EXIT = 2;
    /// `printf()`: one record for each argument.
    DTRACEACT_PRINTF = 3;
    /// `printa()`: an aggregation's number (4 bytes on Linux, 8 elsewhere).
    DTRACEACT_PRINTA = 4;
    /// Performed by the library: `clear()`, `trunc()`, `normalize()`... Not passed to the callbacks.
    DTRACEACT_LIBACT = 5;
    /// `tracemem()`: bytes.
    DTRACEACT_TRACEMEM = 6;
    /// Class of actions on the traced process.
    DTRACEACT_PROC = 0x0100;
    /// `ustack()`.
    DTRACEACT_USTACK = 0x0101;
    /// `jstack()`.
    DTRACEACT_JSTACK = 0x0102;
    /// `usym()`: process and address, 64 bits each.
    DTRACEACT_USYM = 0x0103;
    /// `umod()`: process and address, 64 bits each.
    DTRACEACT_UMOD = 0x0104;
    /// `uaddr()`: process and address, 64 bits each.
    DTRACEACT_UADDR = 0x0105;
    /// Class of actions that change the traced process.
    DTRACEACT_PROC_DESTRUCTIVE = 0x0200;
    /// `stop()`.
    DTRACEACT_STOP = 0x0201;
    /// `raise()`.
    DTRACEACT_RAISE = 0x0202;
    /// `system()`.
    DTRACEACT_SYSTEM = 0x0203;
    /// `freopen()`.
    DTRACEACT_FREOPEN = 0x0204;
    /// Class of actions on the kernel.
    DTRACEACT_KERNEL = 0x0400;
    /// `stack()`.
    DTRACEACT_STACK = 0x0401;
    /// `sym()`: an address of 64 bits.
    DTRACEACT_SYM = 0x0402;
    /// `mod()`: an address of 64 bits.
    DTRACEACT_MOD = 0x0403;
    /// Class of actions that change the kernel.
    DTRACEACT_KERNEL_DESTRUCTIVE = 0x0500;
    /// `breakpoint()`.
    DTRACEACT_BREAKPOINT = 0x0501;
    /// `panic()`.
    DTRACEACT_PANIC = 0x0502;
    /// `chill()`.
    DTRACEACT_CHILL = 0x0503;
    /// Class of speculative actions.
    DTRACEACT_SPECULATIVE = 0x0600;
    /// `speculate()`.
    DTRACEACT_SPECULATE = 0x0601;
    /// `commit()`.
    DTRACEACT_COMMIT = 0x0602;
    /// `discard()`.
    DTRACEACT_DISCARD = 0x0603;
    /// Class of aggregating functions. The numbers of the functions differ: see `DTRACEAGG_` in the
    /// platform's module.
    DTRACEACT_AGGREGATION = 0x0700;
}

/// Returns the class of an action: one of the constants with zeros in the low byte.
#[must_use]
pub const fn DTRACEACT_CLASS(action: dtrace_actkind_t) -> dtrace_actkind_t {
    action & 0xff00
}

/// Returns whether the action is an aggregating function.
#[must_use]
pub const fn DTRACEACT_ISAGG(action: dtrace_actkind_t) -> bool {
    DTRACEACT_CLASS(action) == DTRACEACT_AGGREGATION
}

/// Returns whether the action is formatted like `printf`, with one record for each argument.
#[must_use]
pub const fn DTRACEACT_ISPRINTFLIKE(action: dtrace_actkind_t) -> bool {
    matches!(action, DTRACEACT_PRINTF | DTRACEACT_PRINTA | DTRACEACT_SYSTEM | DTRACEACT_FREOPEN)
}

/// Buckets of `quantize()`, each a signed 64-bit count.
pub const DTRACE_QUANTIZE_NBUCKETS: usize = 127;
/// The bucket of `quantize()` that counts zeros.
pub const DTRACE_QUANTIZE_ZEROBUCKET: usize = 63;

/// Returns the smallest value in a bucket of `quantize()`, towards zero for negative ones: -(2^(62 - b))
/// below the zero bucket, 2^(b - 64) above. Returns 0 for a bucket that does not exist.
#[must_use]
pub const fn DTRACE_QUANTIZE_BUCKETVAL(bucket: usize) -> i64 {
    if bucket < DTRACE_QUANTIZE_ZEROBUCKET {
        -(1 << (DTRACE_QUANTIZE_ZEROBUCKET - 1 - bucket))
    } else if bucket == DTRACE_QUANTIZE_ZEROBUCKET || bucket >= DTRACE_QUANTIZE_NBUCKETS {
        0
    } else {
        1 << (bucket - DTRACE_QUANTIZE_ZEROBUCKET - 1)
    }
}

/// Returns the width of the buckets from the parameter word of `lquantize()`.
#[must_use]
pub const fn DTRACE_LQUANTIZE_STEP(word: u64) -> u16 {
    (word >> 48) as u16
}

/// Returns the number of steps from the parameter word of `lquantize()`. There are two more buckets.
#[must_use]
pub const fn DTRACE_LQUANTIZE_LEVELS(word: u64) -> u16 {
    (word >> 32) as u16
}

/// Returns the lower bound from the parameter word of `lquantize()`.
#[must_use]
pub const fn DTRACE_LQUANTIZE_BASE(word: u64) -> i32 {
    word as u32 as i32
}

macro_rules! stabilities {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $number:literal;)*) => {$(
        $(#[$doc])*
        pub const $name: $type = $number;
    )*};
}

stabilities! {
    /// Private to DTrace itself.
    DTRACE_STABILITY_INTERNAL: dtrace_stability_t = 0;
    /// Private to the vendor of the operating system.
    DTRACE_STABILITY_PRIVATE: dtrace_stability_t = 1;
    /// To be removed.
    DTRACE_STABILITY_OBSOLETE: dtrace_stability_t = 2;
    /// Defined by a third party.
    DTRACE_STABILITY_EXTERNAL: dtrace_stability_t = 3;
    /// New or changing fast.
    DTRACE_STABILITY_UNSTABLE: dtrace_stability_t = 4;
    /// Changing slowly.
    DTRACE_STABILITY_EVOLVING: dtrace_stability_t = 5;
    /// Mature.
    DTRACE_STABILITY_STABLE: dtrace_stability_t = 6;
    /// An industry standard.
    DTRACE_STABILITY_STANDARD: dtrace_stability_t = 7;
    /// The largest stability.
    DTRACE_STABILITY_MAX: dtrace_stability_t = 7;
    /// Unknown dependencies.
    DTRACE_CLASS_UNKNOWN: dtrace_class_t = 0;
    /// Depends on the CPU's model.
    DTRACE_CLASS_CPU: dtrace_class_t = 1;
    /// Depends on the platform.
    DTRACE_CLASS_PLATFORM: dtrace_class_t = 2;
    /// Depends on the group of hardware.
    DTRACE_CLASS_GROUP: dtrace_class_t = 3;
    /// Depends on the instruction set.
    DTRACE_CLASS_ISA: dtrace_class_t = 4;
    /// The same everywhere.
    DTRACE_CLASS_COMMON: dtrace_class_t = 5;
    /// The largest class.
    DTRACE_CLASS_MAX: dtrace_class_t = 5;
}

const _: () = {
    assert!(DTRACE_QUANTIZE_BUCKETVAL(0) == -(1 << 62));
    assert!(DTRACE_QUANTIZE_BUCKETVAL(62) == -1);
    assert!(DTRACE_QUANTIZE_BUCKETVAL(63) == 0);
    assert!(DTRACE_QUANTIZE_BUCKETVAL(64) == 1);
    assert!(DTRACE_QUANTIZE_BUCKETVAL(126) == 1 << 62);
};

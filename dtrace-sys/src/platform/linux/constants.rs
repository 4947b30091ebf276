//! Constants of libdtrace 2.0.7 on Linux that differ from other platforms, or exist only here.

use super::{dtrace_aggid_t, dtrace_optval_t};
use crate::platform::common::*;
use core::ffi::{c_char, c_int, c_uint};

/// Open: compile for 64-bit programs. Sun's number for it means 32 bits here.
pub const DTRACE_O_LP64: c_int = 0x02;
/// Open: compile for 32-bit programs.
pub const DTRACE_O_ILP32: c_int = 0x04;
/// Open: all valid flags.
pub const DTRACE_O_MASK: c_int = 0x07;

/// Compile: a D library (internal to the library).
pub const DTRACE_C_DLIB: c_uint = 0x4000;
/// Compile: the default ERROR clause (internal to the library).
pub const DTRACE_C_EPROBE: c_uint = 0x8000;
/// Compile: all valid flags.
pub const DTRACE_C_MASK: c_uint = 0xfbff;
/// `dtrace_dof_create`: all valid flags.
pub const DTRACE_D_MASK: c_uint = 0x03;

/// From a probe callback: continue with the next buffer. The same records come again: do not use it.
pub const DTRACE_CONSUME_DONE: c_int = 2;
/// End consuming. **2 on the other platforms.**
pub const DTRACE_CONSUME_ABORT: c_int = 3;

/// Normalize this entry. Defined, but the library refuses it.
pub const DTRACE_AGGWALK_NORMALIZE: c_int = 2;
/// Remove this entry, from the kernel's maps too. **5 on the other platforms.**
pub const DTRACE_AGGWALK_REMOVE: c_int = 3;
/// The snapshot is valid: `dtrace_aggregate_snap` does nothing. (8 means something else elsewhere.)
pub const DTRACE_A_VALID: u32 = 0x0008;

/// `dtrace_status` failed.
pub const DTRACE_STATUS_ERROR: c_int = -1;

/// Let the process run at once.
pub const DTRACE_PROC_WAITING: c_int = 0x01;
/// The process is unimportant: it need not be stopped or traced.
pub const DTRACE_PROC_SHORTLIVED: c_int = 0x02;

/// Lookup scope: C declarations (a pseudo pointer, never followed).
pub const DTRACE_OBJ_CDEFS: *const c_char = core::ptr::without_provenance(1);
/// Lookup scope: D declarations.
pub const DTRACE_OBJ_DDEFS: *const c_char = core::ptr::without_provenance(2);
/// Object flag: it is a kernel module.
pub const DTRACE_OBJ_F_KERNEL: c_uint = 0x1;

/// No probe has this number.
pub const DTRACE_IDNONE: dtrace_id_t = 0;
/// No aggregation has this number.
pub const DTRACE_AGGIDNONE: dtrace_aggid_t = 0;
/// All CPUs.
pub const DTRACE_CPUALL: c_int = -1;
/// An argument that does not exist.
pub const DTRACE_ARGNONE: c_int = -1;
/// Bytes of a function's name with its NUL.
pub const DTRACE_FUNCNAMELEN: usize = 128;
/// Bytes of a whole probe name with its colons and NUL.
pub const DTRACE_FULLNAMELEN: usize = 324;

/// Fault: bad size.
pub const DTRACEFLT_BADSIZE: c_int = 10;
/// Fault: index out of bounds.
pub const DTRACEFLT_BADINDEX: c_int = 11;

/// `pcap()`.
pub const DTRACEACT_PCAP: dtrace_actkind_t = 7;
/// `print()`: an address, then the bytes there.
pub const DTRACEACT_PRINT: dtrace_actkind_t = 8;
/// Class of actions that control processes.
pub const DTRACEACT_PROC_CONTROL: dtrace_actkind_t = 0x0300;
/// `return()`.
pub const DTRACEACT_RETURN: dtrace_actkind_t = 0x0205;

// No installed header has these; they are `DT_AGG_` in the library's debugging information.
/// `avg()`: count and sum.
pub const DTRACEAGG_AVG: dtrace_actkind_t = 0x700;
/// `count()`.
pub const DTRACEAGG_COUNT: dtrace_actkind_t = 0x701;
/// `llquantize()`.
pub const DTRACEAGG_LLQUANTIZE: dtrace_actkind_t = 0x702;
/// `lquantize()`.
pub const DTRACEAGG_LQUANTIZE: dtrace_actkind_t = 0x703;
/// `max()`.
pub const DTRACEAGG_MAX: dtrace_actkind_t = 0x704;
/// `min()`.
pub const DTRACEAGG_MIN: dtrace_actkind_t = 0x705;
/// `quantize()`: 127 buckets.
pub const DTRACEAGG_QUANTIZE: dtrace_actkind_t = 0x706;
/// `stddev()`: count, sum, and the sum of squares as low and high word.
pub const DTRACEAGG_STDDEV: dtrace_actkind_t = 0x707;
/// `sum()`.
pub const DTRACEAGG_SUM: dtrace_actkind_t = 0x708;

/// Returns the number of steps from the parameter word of `llquantize()`. The layout is specific to Linux.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_STEPS(word: u64) -> u16 {
    (word >> 48) as u16
}
/// Returns the high magnitude from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_HMAG(word: u64) -> u16 {
    (word >> 32) as u16
}
/// Returns the low magnitude from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_LMAG(word: u64) -> u16 {
    (word >> 16) as u16
}
/// Returns the factor from the parameter word of `llquantize()`.
#[must_use]
pub const fn DTRACE_LLQUANTIZE_FACTOR(word: u64) -> u16 {
    word as u16
}

/// `dtrd_arg` of `tracemem`: a buffer of fixed size.
pub const DTRACE_TRACEMEM_STATIC: u64 = 1;
/// `dtrd_arg` of `tracemem`: a buffer whose size follows as a record.
pub const DTRACE_TRACEMEM_DYNAMIC: u64 = 2;
/// `dtrd_arg` of `tracemem`: the size, unsigned.
pub const DTRACE_TRACEMEM_SIZE: u64 = 3;
/// `dtrd_arg` of `tracemem`: the size, signed.
pub const DTRACE_TRACEMEM_SSIZE: u64 = 4;

/// Clause flag: it records data.
pub const DT_CLSFLAG_DATAREC: c_int = 0x0001;
/// Clause flag: it speculates.
pub const DT_CLSFLAG_SPECULATE: c_int = 0x0002;
/// Clause flag: it commits.
pub const DT_CLSFLAG_COMMIT: c_int = 0x0004;
/// Clause flag: it commits or discards.
pub const DT_CLSFLAG_COMMIT_DISCARD: c_int = 0x0008;
/// Clause flag: it calls `exit()`.
pub const DT_CLSFLAG_EXIT: c_int = 0x0010;
/// Clause flag: it is destructive.
pub const DT_CLSFLAG_DESTRUCT: c_int = 0x0020;
/// Clause flag: it calls `return()`.
pub const DT_CLSFLAG_RETURN: c_int = 0x0040;
/// Clause flag: it aggregates.
pub const DT_CLSFLAG_AGGREGATION: c_int = 0x0080;

options! {
    27 DTRACEOPT_QUIETRESIZE "quietresize";
    28 DTRACEOPT_NORESOLVE "noresolve";
    29 DTRACEOPT_PCAPSIZE "pcapsize";
    30 DTRACEOPT_BPFLOGSIZE "bpflogsize";
    31 DTRACEOPT_MAXFRAMES "maxframes";
    32 DTRACEOPT_BPFLOG "bpflog";
    33 DTRACEOPT_SCRATCHSIZE "scratchsize";
    34 DTRACEOPT_LOCKMEM "lockmem";
    35 DTRACEOPT_PRINTSIZE "printsize";
    36 DTRACEOPT_NUSDTPROBES "nusdtprobes";
}
/// Number of options.
pub const DTRACEOPT_MAX: u32 = 37;
/// The option has no value.
pub const DTRACEOPT_UNSET: dtrace_optval_t = -2_i64 as dtrace_optval_t;

/// Error: wrong interface version.
pub const EDT_VERSION: c_int = 1000;
/// Error: from the compiler; see the message.
pub const EDT_COMPILER: c_int = 1005;
/// Error: BPF. `dtrace_go` returns it if privilege is missing, and for a second session in the same process.
pub const EDT_BPF: c_int = 1032;
/// Error: unknown option.
pub const EDT_BADOPTNAME: c_int = 1042;
/// Error: invalid value of an option.
pub const EDT_BADOPTVAL: c_int = 1043;
/// Error: tracing is on already.
pub const EDT_ACTIVE: c_int = 1050;
/// Error: the program is destructive and option `destructive` is not set.
pub const EDT_DESTRUCTIVE: c_int = 1051;
/// Error: no handler accepted an error.
pub const EDT_ERRABORT: c_int = 1058;
/// Error: no handler accepted a drop.
pub const EDT_DROPABORT: c_int = 1059;
/// Error: a callback ended consuming.
pub const EDT_DIRABORT: c_int = 1060;
/// Error: a callback returned an undefined result.
pub const EDT_BADRVAL: c_int = 1061;
/// Error: a buffer is too small for the program.
pub const EDT_BUFTOOSMALL: c_int = 1063;
/// Error: neither a `FILE` nor a buffered handler to print to.
pub const EDT_NOBUFFERED: c_int = 1071;
/// Error: an interface version older than the library's.
pub const EDT_OVERSION: c_int = 1076;
/// Error: enabling a probe failed; also if debugfs is not mounted.
pub const EDT_ENABLING_ERR: c_int = 1077;

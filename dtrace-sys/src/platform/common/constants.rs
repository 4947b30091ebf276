//! Constants with the same number everywhere: flags, results of callbacks, kinds, limits, errors.

use super::{dtrace_dropkind_t, dtrace_flowkind_t, dtrace_probespec_t, dtrace_workstatus_t};
use core::ffi::{c_char, c_int, c_uint};

/// The interface version for `dtrace_open`. All libraries use 3, whatever their layouts: it does not identify
/// the ABI.
pub const DTRACE_VERSION: c_int = 3;

/// Compile: print the intermediate code of each clause.
pub const DTRACE_C_DIFV: c_uint = 0x0001;
/// Compile: accept an empty program.
pub const DTRACE_C_EMPTY: c_uint = 0x0002;
/// Compile: accept a clause whose description matches no probe.
pub const DTRACE_C_ZDEFS: c_uint = 0x0004;
/// Compile: refuse a program less stable than the option `amin`.
pub const DTRACE_C_EATTR: c_uint = 0x0008;
/// Compile: run the C preprocessor first (in a separate process).
pub const DTRACE_C_CPP: c_uint = 0x0010;
/// Compile: accept unknown kernel symbols.
pub const DTRACE_C_KNODEF: c_uint = 0x0020;
/// Compile: accept unknown user symbols.
pub const DTRACE_C_UNODEF: c_uint = 0x0040;
/// Compile: read an ambiguous specifier as a probe's name.
pub const DTRACE_C_PSPEC: c_uint = 0x0080;
/// Compile: put the error's tag in front of messages, such as `[D_SYNTAX]`.
pub const DTRACE_C_ETAGS: c_uint = 0x0100;
/// Compile: accept macro arguments that the program does not use.
pub const DTRACE_C_ARGREF: c_uint = 0x0200;
/// Compile: replace a missing macro argument by 0 or an empty string.
pub const DTRACE_C_DEFARG: c_uint = 0x0800;
/// Compile: omit the D libraries. **On Linux the process aborts** on an assertion.
pub const DTRACE_C_NOLIBS: c_uint = 0x1000;
/// Compile: process control directives (`#pragma`) only.
pub const DTRACE_C_CTL: c_uint = 0x2000;

/// `dtrace_dof_create`: omit what need not be loaded.
pub const DTRACE_D_STRIP: c_uint = 0x01;
/// `dtrace_dof_create`: include definitions of providers and probes.
pub const DTRACE_D_PROBES: c_uint = 0x02;

/// The string describes no probe.
pub const DTRACE_PROBESPEC_NONE: dtrace_probespec_t = -1;
/// A single word is a provider.
pub const DTRACE_PROBESPEC_PROVIDER: dtrace_probespec_t = 0;
/// A single word is a module.
pub const DTRACE_PROBESPEC_MOD: dtrace_probespec_t = 1;
/// A single word is a function.
pub const DTRACE_PROBESPEC_FUNC: dtrace_probespec_t = 2;
/// A single word is a probe's name, as in a D program.
pub const DTRACE_PROBESPEC_NAME: dtrace_probespec_t = 3;

/// A consume callback failed. The number of `DTRACE_CONSUME_ABORT` depends on the platform.
pub const DTRACE_CONSUME_ERROR: c_int = -1;
/// From a probe callback: deliver the records. From a record callback: the library prints this one.
pub const DTRACE_CONSUME_THIS: c_int = 0;
/// From a probe callback: skip the records. From a record callback: print nothing for this one.
pub const DTRACE_CONSUME_NEXT: c_int = 1;

/// An aggregation callback failed.
pub const DTRACE_AGGWALK_ERROR: c_int = -1;
/// Continue with the next entry.
pub const DTRACE_AGGWALK_NEXT: c_int = 0;
/// End the walk. The numbers of the other results depend on the platform.
pub const DTRACE_AGGWALK_ABORT: c_int = 1;

/// `dtrace_work` failed; `dtrace_errno` returns the reason. On Linux EINTR is harmless to the session.
pub const DTRACE_WORKSTATUS_ERROR: dtrace_workstatus_t = -1;
/// `dtrace_work` succeeded; tracing continues.
pub const DTRACE_WORKSTATUS_OKAY: dtrace_workstatus_t = 0;
/// Tracing has ended and all data have been delivered.
pub const DTRACE_WORKSTATUS_DONE: dtrace_workstatus_t = 1;

/// It is not time for a status yet (option `statusrate`).
pub const DTRACE_STATUS_NONE: c_int = 0;
/// Tracing continues.
pub const DTRACE_STATUS_OKAY: c_int = 1;
/// The program called `exit()`.
pub const DTRACE_STATUS_EXITED: c_int = 2;
/// A buffer with the policy `fill` is full.
pub const DTRACE_STATUS_FILLED: c_int = 3;
/// Tracing has been stopped.
pub const DTRACE_STATUS_STOPPED: c_int = 4;

/// A handler ends the current operation. Never return it from a buffered handler on Linux: a lock stays held,
/// and the next print waits forever.
pub const DTRACE_HANDLE_ABORT: c_int = -1;
/// Continue.
pub const DTRACE_HANDLE_OK: c_int = 0;

/// The firing enters a function.
pub const DTRACEFLOW_ENTRY: dtrace_flowkind_t = 0;
/// The firing returns from a function.
pub const DTRACEFLOW_RETURN: dtrace_flowkind_t = 1;
/// Neither. The flow is only filled in if the option `flowindent` is set.
pub const DTRACEFLOW_NONE: dtrace_flowkind_t = 2;

/// Lost: a record of the principal buffer.
pub const DTRACEDROP_PRINCIPAL: dtrace_dropkind_t = 0;
/// Lost: an aggregation's data.
pub const DTRACEDROP_AGGREGATION: dtrace_dropkind_t = 1;
/// Lost: a dynamic variable.
pub const DTRACEDROP_DYNAMIC: dtrace_dropkind_t = 2;
/// Lost: a dynamic variable while others were being cleaned (rinsing).
pub const DTRACEDROP_DYNRINSE: dtrace_dropkind_t = 3;
/// Lost: a dynamic variable while others waited for cleaning (dirty).
pub const DTRACEDROP_DYNDIRTY: dtrace_dropkind_t = 4;
/// Lost: a speculation.
pub const DTRACEDROP_SPEC: dtrace_dropkind_t = 5;
/// Lost: a speculation, because one was being committed or discarded.
pub const DTRACEDROP_SPECBUSY: dtrace_dropkind_t = 6;
/// Lost: a speculation, because there was no buffer.
pub const DTRACEDROP_SPECUNAVAIL: dtrace_dropkind_t = 7;
/// Lost: strings of a stack.
pub const DTRACEDROP_STKSTROVERFLOW: dtrace_dropkind_t = 8;
/// An error inside an ERROR clause.
pub const DTRACEDROP_DBLERROR: dtrace_dropkind_t = 9;

/// Buffered text belongs to an aggregation's key.
pub const DTRACE_BUFDATA_AGGKEY: u32 = 0x0001;
/// Buffered text belongs to an aggregation's value.
pub const DTRACE_BUFDATA_AGGVAL: u32 = 0x0002;
/// Buffered text comes from a format (`printa`).
pub const DTRACE_BUFDATA_AGGFORMAT: u32 = 0x0004;
/// Buffered text is the last one of this key and value.
pub const DTRACE_BUFDATA_AGGLAST: u32 = 0x0008;

/// The aggregation has values per CPU. Flag 8 differs between platforms.
pub const DTRACE_A_PERCPU: u32 = 0x0001;
/// Keep the delta since the previous snapshot.
pub const DTRACE_A_KEEPDELTA: u32 = 0x0002;
/// The aggregation has no name.
pub const DTRACE_A_ANONYMOUS: u32 = 0x0004;
/// The program prints this aggregation itself (flag of an aggregation's description).
pub const DTRACE_AGD_PRINTED: c_int = 0x1;

/// The handle's lookup scope: the traced program's executable (a pseudo pointer, never followed).
pub const DTRACE_OBJ_EXEC: *const c_char = core::ptr::without_provenance(0);
/// The handle's lookup scope: all objects.
pub const DTRACE_OBJ_EVERY: *const c_char = core::ptr::without_provenance(usize::MAX);
/// The handle's lookup scope: the kernel and its modules.
pub const DTRACE_OBJ_KMODS: *const c_char = core::ptr::without_provenance(usize::MAX - 1);
/// The handle's lookup scope: objects of user processes.
pub const DTRACE_OBJ_UMODS: *const c_char = core::ptr::without_provenance(usize::MAX - 2);

/// Smallest buffer for `dtrace_desc2str`, bytes.
pub const DTRACE_DESC2STR_MAX: usize = 1024;
/// Smallest buffer for `dtrace_attr2str`, bytes.
pub const DTRACE_ATTR2STR_MAX: usize = 64;
/// Bytes of a provider's name with its NUL.
pub const DTRACE_PROVNAMELEN: usize = 64;
/// Bytes of a module's name with its NUL.
pub const DTRACE_MODNAMELEN: usize = 64;
/// Bytes of a probe's name with its NUL. The length of a function's name depends on the platform.
pub const DTRACE_NAMELEN: usize = 64;
/// Bytes of an argument's type with its NUL.
pub const DTRACE_ARGTYPELEN: usize = 128;

/// Fault: unknown.
pub const DTRACEFLT_UNKNOWN: c_int = 0;
/// Fault: bad address.
pub const DTRACEFLT_BADADDR: c_int = 1;
/// Fault: bad alignment.
pub const DTRACEFLT_BADALIGN: c_int = 2;
/// Fault: illegal operation.
pub const DTRACEFLT_ILLOP: c_int = 3;
/// Fault: division by zero.
pub const DTRACEFLT_DIVZERO: c_int = 4;
/// Fault: out of scratch space.
pub const DTRACEFLT_NOSCRATCH: c_int = 5;
/// Fault: kernel access without the privilege.
pub const DTRACEFLT_KPRIV: c_int = 6;
/// Fault: access to a user process without the privilege.
pub const DTRACEFLT_UPRIV: c_int = 7;
/// Fault: a tuple is too large.
pub const DTRACEFLT_TUPOFLOW: c_int = 8;
/// Fault: bad stack.
pub const DTRACEFLT_BADSTACK: c_int = 9;
/// Fault: raised by libdtrace itself and not by a probe.
pub const DTRACEFLT_LIBRARY: c_int = 1000;

/// The first of libdtrace's own error numbers. Lower ones are `errno` values. The numbers from here on differ
/// between platforms: treat them as opaque and get the text with `dtrace_errmsg`.
pub const EDT_BASE: c_int = 1000;

//! Types of the functions whose declaration is specific to Linux. The others are in [`crate::Api`].

use super::*;

/// Type of `dtrace_go`: with compile flags. The other platforms have none.
pub type dtrace_go_fn = unsafe extern "C" fn(dtp: *mut dtrace_hdl_t, cflags: c_uint) -> c_int;
/// Type of `dtrace_update`: -1 on failure.
pub type dtrace_update_fn = unsafe extern "C" fn(dtp: *mut dtrace_hdl_t) -> c_int;
/// Called for an event of a process that libdtrace controls. The pid is negative if it has ended. A lock is
/// held, so this must not call any process function.
pub type dtrace_handle_proc_f =
    unsafe extern "C" fn(pid: pid_t, err: *const c_char, arg: *mut c_void);
/// Type of `dtrace_lookup_by_addr`.
pub type dtrace_lookup_by_addr_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    addr: GElf_Addr,
    symp: *mut GElf_Sym,
    sip: *mut dtrace_syminfo_t,
) -> c_int;
/// Type of `dtrace_proc_create`: NULL on failure. Flags are `DTRACE_PROC_`.
pub type dtrace_proc_create_fn = unsafe extern "C" fn(
    dtp: *mut dtrace_hdl_t,
    file: *const c_char,
    argv: *const *mut c_char,
    flags: c_int,
) -> *mut dtrace_proc;

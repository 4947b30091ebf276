//! What a compiled program consists of: statements, the clauses that they belong to, actions, and code.

use super::*;

/// The type of a value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_diftype_t {
    /// [`DIF_TYPE_CTF`] or [`DIF_TYPE_STRING`].
    pub dtdt_kind: u8,
    /// The kind of a CTF type.
    pub dtdt_ckind: u8,
    /// [`DIF_TF_BYREF`] or 0.
    pub dtdt_flags: u8,
    /// Unused.
    pub dtdt_pad: u8,
    /// Bytes, unless it is a string.
    pub dtdt_size: u32,
}
layout!(dtrace_diftype_t, size 8, align 4, {
    dtdt_kind @ 0, dtdt_ckind @ 1, dtdt_flags @ 2, dtdt_pad @ 3, dtdt_size @ 4,
});

/// A value has a type of C.
pub const DIF_TYPE_CTF: u8 = 0;
/// A value is a D string.
pub const DIF_TYPE_STRING: u8 = 1;
/// A value is what an address refers to.
pub const DIF_TF_BYREF: u8 = 1;

/// The start of a piece of compiled code; the library alone has more.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_difo_t {
    /// The instructions.
    pub dtdo_buf: *mut u32,
    /// Integers.
    pub dtdo_inttab: *mut u64,
    /// Strings.
    pub dtdo_strtab: *mut c_char,
    /// Variables.
    pub dtdo_vartab: *mut c_void,
    /// The number of instructions.
    pub dtdo_len: c_uint,
    /// The number of integers.
    pub dtdo_intlen: c_uint,
    /// The bytes of strings.
    pub dtdo_strlen: c_uint,
    /// The number of variables.
    pub dtdo_varlen: c_uint,
    /// The type of what the code returns.
    pub dtdo_rtype: dtrace_diftype_t,
}
layout!(dtrace_difo_t, size 56, align 8, {
    dtdo_buf @ 0, dtdo_inttab @ 8, dtdo_strtab @ 16, dtdo_vartab @ 24, dtdo_len @ 32,
    dtdo_intlen @ 36, dtdo_strlen @ 40, dtdo_varlen @ 44, dtdo_rtype @ 48,
});

/// An action of a program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_actdesc_t {
    /// What computes its value, or null.
    pub dtad_difo: *mut dtrace_difo_t,
    /// The next action of the clause, or null.
    pub dtad_next: *mut dtrace_actdesc_t,
    /// What it does.
    pub dtad_kind: dtrace_actkind_t,
    /// The number of keys, in the first action of an aggregation.
    pub dtad_ntuple: u32,
    /// Depends on the action.
    pub dtad_arg: u64,
    /// The address of its statement.
    pub dtad_uarg: u64,
    /// Internal to the library.
    pub dtad_refcnt: c_int,
}
layout!(dtrace_actdesc_t, size 48, align 8, {
    dtad_difo @ 0, dtad_next @ 8, dtad_kind @ 16, dtad_ntuple @ 20, dtad_arg @ 24, dtad_uarg @ 32,
    dtad_refcnt @ 40,
});

/// A predicate in a program.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_preddesc_t {
    /// Its code.
    pub dtpdd_difo: *mut dtrace_difo_t,
    /// The kernel's predicate.
    pub dtpdd_predicate: *mut c_void,
}
layout!(dtrace_preddesc_t, size 16, align 8, { dtpdd_difo @ 0, dtpdd_predicate @ 8 });

/// The start of a clause's description; what follows the probe differs. `P` is the platform's
/// `dtrace_probedesc_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_ecbdesc<P> {
    /// The actions.
    pub dted_action: *mut dtrace_actdesc_t,
    /// The predicate.
    pub dted_pred: dtrace_preddesc_t,
    /// The probe description that the clause was written for.
    pub dted_probe: P,
}
const _: () = assert!(core::mem::offset_of!(dtrace_ecbdesc<u32>, dted_probe) == 24);

/// A statement of a program. Only the probe description behind `dtsd_ecbdesc` is useful. `P` is the
/// platform's `dtrace_probedesc_t`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct dtrace_stmtdesc<P> {
    /// The clause.
    pub dtsd_ecbdesc: *mut dtrace_ecbdesc<P>,
    /// Its first action.
    pub dtsd_action: *mut dtrace_actdesc_t,
    /// Its last action.
    pub dtsd_action_last: *mut dtrace_actdesc_t,
    /// Internal to the library.
    pub dtsd_aggdata: *mut c_void,
    /// Its compiled format, or null.
    pub dtsd_fmtdata: *mut c_void,
    /// Internal to the library.
    pub dtsd_strdata: *mut c_void,
    /// Internal to the library.
    pub dtsd_callback: Option<unsafe extern "C" fn()>,
    /// Internal to the library.
    pub dtsd_data: *mut c_void,
    /// Stability of the probe description.
    pub dtsd_descattr: dtrace_attribute_t,
    /// Stability of the statement.
    pub dtsd_stmtattr: dtrace_attribute_t,
}
layout!(dtrace_stmtdesc<u8>, size 72, align 8, {
    dtsd_ecbdesc @ 0, dtsd_action @ 8, dtsd_action_last @ 16, dtsd_aggdata @ 24,
    dtsd_fmtdata @ 32, dtsd_strdata @ 40, dtsd_callback @ 48, dtsd_data @ 56, dtsd_descattr @ 64,
    dtsd_stmtattr @ 67,
});

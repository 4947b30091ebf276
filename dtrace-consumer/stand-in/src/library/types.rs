//! What does libctf answer about the plan's types?
//!
//! A name that a callback gets is freed when the callback has returned, so AddressSanitizer sees later uses.

use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr;

use dtrace_sys::abi::*;

use super::{enter, state};
use crate::plan::Type;

/// The type of a plan that has none: a signed `int`.
fn usual() -> Type {
    let encoding = Some([CTF_INT_SIGNED, 0, 32]);
    Type { kind: CTF_K_INTEGER, size: 4, encoding, ..Type::default() }
}

/// Returns a type; `None` if there is none with this number.
fn numbered(id: ctf_id_t) -> Option<Type> {
    let types = state::plan().types;
    if types.is_empty() {
        return Some(usual());
    }
    types.get(usize::try_from(id).ok()?).cloned()
}

/// Calls a function with a name that lasts as long as the call, or with none.
fn with_name(name: Option<&str>, call: impl FnOnce(*const c_char) -> c_int) -> c_int {
    let name = name.map(|name| CString::new(name).expect("a plan's texts have no NUL"));
    call(name.as_ref().map_or(ptr::null(), |name| name.as_ptr()))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_type_name(
    _: *mut ctf_file_t,
    id: ctf_id_t,
    buffer: *mut c_char,
    length: usize,
) -> *mut c_char {
    enter!("ctf_type_name");
    let Some(named) = numbered(id) else { return ptr::null_mut() };
    let own = named.name.map(|name| CString::new(name).expect("a plan's texts have no NUL"));
    let name = own.unwrap_or_else(|| state::name(c"int"));
    // SAFETY: the caller says how long the buffer is.
    unsafe { state::print_into(buffer, length, &name) };
    buffer
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_type_kind(_: *mut ctf_file_t, id: ctf_id_t) -> c_int {
    enter!("ctf_type_kind", -1);
    numbered(id).map_or(-1, |it| it.kind)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_type_resolve(_: *mut ctf_file_t, id: ctf_id_t) -> ctf_id_t {
    enter!("ctf_type_resolve", -1);
    numbered(id).map_or(-1, |it| it.stands_for.unwrap_or(id))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_type_size(_: *mut ctf_file_t, id: ctf_id_t) -> isize {
    enter!("ctf_type_size", -1);
    numbered(id).map_or(-1, |it| it.size as isize)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_type_encoding(
    _: *mut ctf_file_t,
    id: ctf_id_t,
    encoding: *mut ctf_encoding_t,
) -> c_int {
    enter!("ctf_type_encoding", -1);
    let Some([cte_format, cte_offset, cte_bits]) = numbered(id).and_then(|it| it.encoding) else {
        return -1;
    };
    // SAFETY: the caller lets this function write to it.
    unsafe { *encoding = ctf_encoding_t { cte_format, cte_offset, cte_bits } };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_member_iter(
    _: *mut ctf_file_t,
    id: ctf_id_t,
    function: Option<ctf_member_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("ctf_member_iter", -1);
    let function = function.expect("a callback");
    for member in numbered(id).map(|it| it.members).unwrap_or_default() {
        let answer = with_name(member.name.as_deref(), |name| {
            // SAFETY: the callback accepts this, and gets the argument that was passed with it.
            unsafe { function(name, member.of as ctf_id_t, member.offset as _, arg) }
        });
        if answer != 0 {
            return answer;
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn ctf_enum_iter(
    _: *mut ctf_file_t,
    id: ctf_id_t,
    function: Option<ctf_enum_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("ctf_enum_iter", -1);
    let function = function.expect("a callback");
    for (name, value) in numbered(id).map(|it| it.constants).unwrap_or_default() {
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        let answer = with_name(name.as_deref(), |name| unsafe { function(name, value, arg) });
        if answer != 0 {
            return answer;
        }
    }
    0
}

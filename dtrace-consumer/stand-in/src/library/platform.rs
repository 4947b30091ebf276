//! Functions whose declarations differ between the platforms.

use std::ffi::{c_char, c_int};
use std::ptr;

use dtrace_sys::abi::*;

use super::state::begin;
use super::{enter, something, state};

#[cfg(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")))]
mod of_the_platform {
    use std::ffi::c_uint;

    use super::*;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_go(_: *mut dtrace_hdl_t, _: c_uint) -> c_int {
        enter!("dtrace_go", -1);
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_grab_pid(
        _: *mut dtrace_hdl_t,
        _: pid_t,
        _: c_int,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_grab_pid");
        something()
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_create(
        _: *mut dtrace_hdl_t,
        _: *const c_char,
        _: *const *mut c_char,
        _: c_int,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_create");
        something()
    }
}

#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
mod of_the_platform {
    use super::*;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_go(_: *mut dtrace_hdl_t) -> c_int {
        enter!("dtrace_go", -1);
        0
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_sleep(_: *mut dtrace_hdl_t) {
        begin("dtrace_sleep");
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_grab(
        _: *mut dtrace_hdl_t,
        _: pid_t,
        _: c_int,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_grab");
        something()
    }

    #[cfg(not(dtrace_abi = "freebsd"))]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_create(
        _: *mut dtrace_hdl_t,
        _: *const c_char,
        _: *const *mut c_char,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_create");
        something()
    }

    #[cfg(dtrace_abi = "freebsd")]
    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_create(
        _: *mut dtrace_hdl_t,
        _: *const c_char,
        _: *const *mut c_char,
        _: Option<proc_child_func>,
        _: *mut std::ffi::c_void,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_create");
        something()
    }
}

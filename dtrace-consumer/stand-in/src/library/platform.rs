//! Functions whose declarations differ between the platforms.

use std::ffi::{c_char, c_int};
use std::ptr;

use dtrace_sys::abi::*;

use super::{attached, enter, something, state};

#[cfg(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")))]
mod of_the_platform {
    use std::ffi::c_uint;

    use super::*;

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_go(_: *mut dtrace_hdl_t, _: c_uint) -> c_int {
        enter!("dtrace_go", -1);
        let plan = state::plan();
        if let Some(cpus) = plan.cpus.filter(|_| !plan.lists_are_of_unknown_length) {
            create_aggregations(cpus);
        }
        0
    }

    /// Creates a map with a map of aggregations for each CPU, as the real library does.
    fn create_aggregations(cpus: u32) {
        const HASH: u32 = 1;
        const ARRAY_OF_MAPS: u32 = 12;
        /// The argument of `BPF_MAP_CREATE`, up to what is used.
        #[repr(C)]
        struct Attributes {
            kind: u32,
            key_size: u32,
            value_size: u32,
            entries: u32,
            flags: u32,
            inner: c_int,
        }
        let create = |kind, value_size, entries, inner| {
            let attributes = Attributes { kind, key_size: 4, value_size, entries, flags: 0, inner };
            // SAFETY: the kernel reads a structure of this size, which has only integers.
            let map = unsafe {
                libc::syscall(libc::SYS_bpf, 0, &raw const attributes, size_of::<Attributes>())
            };
            assert!(map >= 0, "BPF_MAP_CREATE: {}", std::io::Error::last_os_error());
            map as c_int
        };
        create(ARRAY_OF_MAPS, 4, cpus, create(HASH, 8, 1, 0));
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_grab_pid(
        _: *mut dtrace_hdl_t,
        pid: pid_t,
        _: c_int,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_grab_pid");
        if attached::attach(pid) { something() } else { ptr::null_mut() }
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
        state::begin("dtrace_sleep");
        let rates =
            (state::plan().keeps_rates).then(|| state::STATE.lock().expect("nobody panics").rates);
        // Nothing ends the wait earlier.
        std::thread::sleep(rates.map_or(std::time::Duration::ZERO, |rates| rates.idle()));
    }

    #[unsafe(no_mangle)]
    unsafe extern "C" fn dtrace_proc_grab(
        _: *mut dtrace_hdl_t,
        pid: pid_t,
        _: c_int,
    ) -> *mut dtrace_proc_handle_t {
        enter!("dtrace_proc_grab");
        if attached::attach(pid) { something() } else { ptr::null_mut() }
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

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
        begin();
        let plan = state::plan();
        if let Some(cpus) = plan.cpus.filter(|_| !plan.lists_are_of_unknown_length) {
            create_aggregations(cpus);
        }
        0
    }

    /// Creates the map with the state of tracing, which tells that `BEGIN` has fired.
    fn begin() {
        const ARRAY: u32 = 2;
        let (activity, active) = (0u32, 1u32);
        /// The argument of `BPF_MAP_UPDATE_ELEM`.
        #[repr(C)]
        struct Update {
            map: u64,
            key: *const u32,
            value: *const u32,
            flags: u64,
        }
        let map = create(&Map {
            kind: ARRAY,
            key_size: 4,
            value_size: 4,
            entries: 4,
            name: *b"state\0\0\0\0\0\0\0\0\0\0\0",
            ..Map::default()
        });
        let update = Update {
            map: map as u64,
            key: &raw const activity,
            value: &raw const active,
            flags: 0,
        };
        // SAFETY: the kernel reads a structure of this size, and a key and a value of the map's sizes.
        let result =
            unsafe { libc::syscall(libc::SYS_bpf, 2, &raw const update, size_of::<Update>()) };
        assert_eq!(result, 0, "BPF_MAP_UPDATE_ELEM: {}", std::io::Error::last_os_error());
    }

    /// Creates a map with a map of aggregations for each CPU, as the real library does.
    fn create_aggregations(cpus: u32) {
        const HASH: u32 = 1;
        const ARRAY_OF_MAPS: u32 = 12;
        let inner = Map { kind: HASH, key_size: 4, value_size: 8, entries: 1, ..Map::default() };
        let inner = create(&inner);
        create(&Map {
            kind: ARRAY_OF_MAPS,
            key_size: 4,
            value_size: 4,
            entries: cpus,
            inner,
            ..Map::default()
        });
    }

    /// The argument of `BPF_MAP_CREATE`, up to what is used.
    #[repr(C)]
    #[derive(Default)]
    struct Map {
        kind: u32,
        key_size: u32,
        value_size: u32,
        entries: u32,
        flags: u32,
        inner: c_int,
        node: u32,
        name: [u8; 16],
    }

    /// Creates a map. It is never closed.
    fn create(map: &Map) -> c_int {
        // SAFETY: the kernel reads a structure of this size, which has only integers.
        let fd = unsafe { libc::syscall(libc::SYS_bpf, 0, &raw const *map, size_of::<Map>()) };
        assert!(fd >= 0, "BPF_MAP_CREATE: {}", std::io::Error::last_os_error());
        fd as c_int
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

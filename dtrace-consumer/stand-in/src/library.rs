//! Which functions does the stand-in export, and what does each do when its plan has no fault for it?

mod attached;
mod platform;
mod rates;
mod state;
mod system_call;
mod types;
mod unused;
mod usdt;
mod work;

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

use dtrace_sys::abi::*;

use crate::memory;
use crate::plan::ListingOddity;
use state::{Handlers, STATE, begin};

/// What opaque pointers (handles, programs, processes) point to. Nobody may read it.
static NOTHING: u8 = 0;

fn something<T>() -> *mut T {
    (&raw const NOTHING).cast_mut().cast()
}

/// `D 2.0.7` as a separate string among the constants, where the version is searched for before loading.
static VERSION: [u8; 16] = *b"\0\0\0\0D 2.0.7\0\0\0\0\0";

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals)]
static _dtrace_version: &[u8; 12] = match VERSION.split_last_chunk() {
    Some((_, text)) => text,
    None => panic!("VERSION is longer than 12 bytes"),
};

/// Begins a call: carries out the plan's fault, and returns from the function if it is complete.
macro_rules! enter {
    ($name:literal, $failed:expr) => {
        enter!($name, $failed, "")
    };
    ($name:literal, $failed:expr, $arguments:expr) => {
        match state::begin_with($name, $arguments) {
            None => {}
            Some(state::Answer::Failed) => return $failed,
            // Truncates like C.
            Some(state::Answer::Number(n)) => return n as _,
        }
    };
    ($name:literal) => {
        if state::begin($name).is_some() {
            return ptr::null_mut();
        }
    };
}
use enter;

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_open(_: c_int, flags: c_int, error: *mut c_int) -> *mut dtrace_hdl_t {
    if state::begin_with("dtrace_open", &flags.to_string()).is_some() {
        // SAFETY: the caller lets this function write to it.
        unsafe { *error = STATE.lock().expect("nobody panics").error };
        return ptr::null_mut();
    }
    // The real library of Linux has this too: it wakes a waiting dtrace_work. On other systems nothing does.
    if cfg!(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))) {
        // SAFETY: always sound.
        unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) };
    }
    something()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_close(_: *mut dtrace_hdl_t) {
    begin("dtrace_close");
    attached::release();
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_errno(_: *mut dtrace_hdl_t) -> c_int {
    enter!("dtrace_errno", -1);
    STATE.lock().expect("nobody panics").error
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_errmsg(_: *mut dtrace_hdl_t, error: c_int) -> *const c_char {
    enter!("dtrace_errmsg");
    let results = &STATE.lock().expect("nobody panics").results;
    let results: String = results.iter().map(|result| format!(" {result}")).collect();
    memory::text(&format!("stand-in error {error}{results}\n"))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_faultstr(_: *mut dtrace_hdl_t, _: c_int) -> *const c_char {
    enter!("dtrace_faultstr");
    memory::text("invalid address")
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_setopt(
    _: *mut dtrace_hdl_t,
    option: *const c_char,
    value: *const c_char,
) -> c_int {
    // SAFETY: C strings, or no value.
    let [option, value] = [option, value].map(|text| unsafe {
        if text.is_null() {
            String::new()
        } else {
            CStr::from_ptr(text).to_string_lossy().into_owned()
        }
    });
    enter!("dtrace_setopt", -1, &format!("{option}={value}"));
    STATE.lock().expect("nobody panics").rates.set(&option, &value);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_getopt(
    _: *mut dtrace_hdl_t,
    option: *const c_char,
    value: *mut dtrace_optval_t,
) -> c_int {
    enter!("dtrace_getopt", -1);
    // SAFETY: a C string.
    let option = unsafe { CStr::from_ptr(option) }.to_string_lossy();
    let rate = STATE.lock().expect("nobody panics").rates.of(&option);
    // SAFETY: the caller lets this function write to it.
    unsafe { *value = rate.unwrap_or(7) as dtrace_optval_t };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_init(_: *mut dtrace_hdl_t) -> c_int {
    enter!("dtrace_init", -1);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_strcompile(
    _: *mut dtrace_hdl_t,
    _: *const c_char,
    _: dtrace_probespec_t,
    _: c_uint,
    _: c_int,
    _: *const *mut c_char,
) -> *mut dtrace_prog_t {
    enter!("dtrace_program_strcompile");
    something()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_fcompile(
    _: *mut dtrace_hdl_t,
    _: *mut FILE,
    _: c_uint,
    _: c_int,
    _: *const *mut c_char,
) -> *mut dtrace_prog_t {
    enter!("dtrace_program_fcompile");
    match state::plan().named {
        Some(pid) if !attached::seize(pid) => ptr::null_mut(),
        _ => something(),
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_exec(
    _: *mut dtrace_hdl_t,
    _: *mut dtrace_prog_t,
    info: *mut dtrace_proginfo_t,
) -> c_int {
    enter!("dtrace_program_exec", -1);
    // SAFETY: the caller lets this function write to it.
    unsafe { *info = dtrace_proginfo_t { dpi_matches: 1, ..dtrace_proginfo_t::default() } };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_program_info(
    _: *mut dtrace_hdl_t,
    _: *mut dtrace_prog_t,
    info: *mut dtrace_proginfo_t,
) {
    if begin("dtrace_program_info").is_none() {
        // SAFETY: the caller lets this function write to it.
        unsafe { *info = dtrace_proginfo_t { dpi_matches: 1, ..dtrace_proginfo_t::default() } };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_stmt_iter(
    handle: *mut dtrace_hdl_t,
    program: *mut dtrace_prog_t,
    function: Option<dtrace_stmt_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_stmt_iter", -1);
    let statements = match state::listing() {
        Some(ListingOddity::NoStatement) => vec![ptr::null_mut()],
        Some(ListingOddity::NoClause) => vec![memory::statement(ptr::null_mut())],
        Some(ListingOddity::CrookedClause) => {
            vec![memory::statement(memory::crooked(memory::new_clause()))]
        }
        Some(ListingOddity::CrookedStatement) => {
            vec![memory::crooked(memory::statement(memory::new_clause()))]
        }
        _ => memory::statements(&state::plan()),
    };
    let function = function.expect("a callback");
    for statement in statements {
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        let answer = unsafe { function(handle, program, statement, arg) };
        if answer != 0 {
            return answer;
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_stop(_: *mut dtrace_hdl_t) -> c_int {
    enter!("dtrace_stop", -1);
    state::STOPPED.store(true, Ordering::Relaxed);
    0
}

fn handle(set: impl FnOnce(&mut Handlers)) -> c_int {
    set(&mut STATE.lock().expect("nobody panics").handlers);
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_handle_err(
    _: *mut dtrace_hdl_t,
    function: Option<dtrace_handle_err_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_handle_err", -1);
    handle(|handlers| handlers.fault = function.map(|f| (f, state::Arg(arg))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_handle_drop(
    _: *mut dtrace_hdl_t,
    function: Option<dtrace_handle_drop_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_handle_drop", -1);
    handle(|handlers| handlers.drop = function.map(|f| (f, state::Arg(arg))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_handle_setopt(
    _: *mut dtrace_hdl_t,
    function: Option<dtrace_handle_setopt_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_handle_setopt", -1);
    handle(|handlers| handlers.option = function.map(|f| (f, state::Arg(arg))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_handle_proc(
    _: *mut dtrace_hdl_t,
    function: Option<dtrace_handle_proc_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_handle_proc", -1);
    handle(|handlers| handlers.process = function.map(|f| (f, state::Arg(arg))))
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_probe_iter(
    handle: *mut dtrace_hdl_t,
    _: *const dtrace_probedesc_t,
    function: Option<dtrace_probe_f>,
    arg: *mut c_void,
) -> c_int {
    enter!("dtrace_probe_iter", -1);
    let function = function.expect("a callback");
    for id in 1..=3 {
        let probe = match state::listing() {
            Some(ListingOddity::NoProbe) if id == 2 => ptr::null_mut(),
            Some(ListingOddity::CrookedProbe) if id == 2 => {
                memory::crooked(memory::probe(id, true))
            }
            _ => memory::probe(id, true),
        };
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        let answer = unsafe { function(handle, probe, arg) };
        if answer != 0 {
            return answer;
        }
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_probe_info(
    _: *mut dtrace_hdl_t,
    _: *const dtrace_probedesc_t,
    info: *mut dtrace_probeinfo_t,
) -> c_int {
    enter!("dtrace_probe_info", -1);
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut argument: dtrace_typeinfo_t = unsafe { std::mem::zeroed() };
    argument.dtt_ctfp = something();
    let (number, list) = match state::listing() {
        Some(ListingOddity::Arguments(number)) => (number, memory::keep(argument)),
        Some(ListingOddity::NoArguments) => (3, ptr::null_mut()),
        _ => {
            let number = state::plan().arguments.unwrap_or(1);
            (number.cast_signed(), memory::list(vec![argument; number as usize]))
        }
    };
    // SAFETY: the caller lets this function write to it.
    unsafe { ((*info).dtp_argv, (*info).dtp_argc) = (list, number) };
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_str2desc(
    _: *mut dtrace_hdl_t,
    _: dtrace_probespec_t,
    _: *const c_char,
    description: *mut dtrace_probedesc_t,
) -> c_int {
    enter!("dtrace_str2desc", -1);
    let parts = state::listing() != Some(ListingOddity::NoParts);
    // SAFETY: the caller lets this function write to it.
    unsafe { memory::fill_description(description, parts) };
    0
}

fn symbol(symbol: &mut GElf_Sym, info: &mut dtrace_syminfo_t) -> c_int {
    (symbol.st_value, symbol.st_size) = (4096, 16);
    *info = memory::symbol(state::listing() != Some(ListingOddity::NoSymbol));
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_lookup_by_name(
    _: *mut dtrace_hdl_t,
    _: *const c_char,
    _: *const c_char,
    found: *mut GElf_Sym,
    info: *mut dtrace_syminfo_t,
) -> c_int {
    enter!("dtrace_lookup_by_name", -1);
    // SAFETY: the caller lets this function write to it.
    unsafe { symbol(&mut *found, &mut *info) }
}

#[cfg(not(dtrace_abi = "macos"))]
#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_lookup_by_addr(
    _: *mut dtrace_hdl_t,
    _: GElf_Addr,
    found: *mut GElf_Sym,
    info: *mut dtrace_syminfo_t,
) -> c_int {
    enter!("dtrace_lookup_by_addr", -1);
    // SAFETY: the caller lets this function write to it.
    unsafe { symbol(&mut *found, &mut *info) }
}

#[cfg(dtrace_abi = "macos")]
#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_lookup_by_addr(
    _: *mut dtrace_hdl_t,
    _: GElf_Addr,
    _: *mut c_char,
    _: usize,
    found: *mut GElf_Sym,
    info: *mut dtrace_syminfo_t,
) -> c_int {
    enter!("dtrace_lookup_by_addr", -1);
    // SAFETY: the caller lets this function write to it.
    unsafe { symbol(&mut *found, &mut *info) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_lookup_by_type(
    _: *mut dtrace_hdl_t,
    _: *const c_char,
    _: *const c_char,
    info: *mut dtrace_typeinfo_t,
) -> c_int {
    enter!("dtrace_lookup_by_type", -1);
    // SAFETY: the caller lets this function write to it; zeros are valid for integers and pointers.
    unsafe {
        info.write_bytes(0, 1);
        ((*info).dtt_object, (*info).dtt_ctfp) = (memory::text("vmlinux"), something());
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_addr2str(
    _: *mut dtrace_hdl_t,
    _: u64,
    buffer: *mut c_char,
    length: c_int,
) -> c_int {
    enter!("dtrace_addr2str", -1);
    // SAFETY: the caller says how long the buffer is.
    unsafe { state::print_into(buffer, length as usize, &state::name(c"vmlinux`stand_in+0x1")) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_uaddr2str(
    _: *mut dtrace_hdl_t,
    _: pid_t,
    _: u64,
    buffer: *mut c_char,
    length: c_int,
) -> c_int {
    enter!("dtrace_uaddr2str", -1);
    // SAFETY: the caller says how long the buffer is.
    unsafe { state::print_into(buffer, length as usize, &state::name(c"a.out`stand_in+0x1")) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_printf_format(
    _: *mut dtrace_hdl_t,
    format: *mut c_void,
    buffer: *mut c_char,
    length: usize,
) -> usize {
    enter!("dtrace_printf_format", usize::MAX);
    // SAFETY: a format is a C string here, and the caller says how long the buffer is.
    unsafe { state::print_into(buffer, length, CStr::from_ptr(format.cast())) as usize }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_fprintf(
    _: *mut dtrace_hdl_t,
    file: *mut FILE,
    format: *mut c_void,
    _: *const dtrace_probedata_t,
    _: *const dtrace_recdesc_t,
    records: c_uint,
    _: *const c_void,
    _: usize,
) -> c_int {
    enter!("dtrace_fprintf", -1);
    // SAFETY: a format is a C string here, and the file is the caller's.
    unsafe { libc::fputs(format.cast_const().cast(), file) };
    records as c_int
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_proc_continue(_: *mut dtrace_hdl_t, _: *mut dtrace_proc_handle_t) {
    begin("dtrace_proc_continue");
}

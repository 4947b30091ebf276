//! Where is the process in its plan?

use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::fs::File;
use std::io::Write;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{LazyLock, Mutex};

use dtrace_sys::abi::*;

use super::rates::Rates;
use super::system_call;
use crate::plan::{CALLS, HAPPENED, ListingOddity, Misdeed, PLAN, Plan};

/// An argument of a handler.
#[derive(Clone, Copy)]
pub(super) struct Arg(pub(super) *mut c_void);
// SAFETY: the pointer is only handed back, on the thread that passed it.
unsafe impl Send for Arg {}

/// The handlers that the worker has set.
#[derive(Clone, Copy, Default)]
pub(super) struct Handlers {
    pub(super) fault: Option<(dtrace_handle_err_f, Arg)>,
    pub(super) drop: Option<(dtrace_handle_drop_f, Arg)>,
    pub(super) option: Option<(dtrace_handle_setopt_f, Arg)>,
    pub(super) process: Option<(dtrace_handle_proc_f, Arg)>,
}

pub(super) struct State {
    pub(super) plan: Plan,
    /// How often each function was called.
    calls: HashMap<&'static str, u32>,
    log: Option<File>,
    happened: Option<File>,
    /// What `dtrace_errno` returns.
    pub(super) error: c_int,
    /// The results of the system calls of the plan.
    pub(super) results: Vec<i64>,
    pub(super) handlers: Handlers,
    /// The intervals at which the library does something.
    pub(super) rates: Rates,
    /// How many rounds `dtrace_work` has done.
    pub(super) round: usize,
    /// How many of them delivered everything.
    pub(super) complete: usize,
}

/// Whether tracing was stopped. There is nothing more to wait for then.
pub(super) static STOPPED: AtomicBool = AtomicBool::new(false);

pub(super) static STATE: LazyLock<Mutex<State>> = LazyLock::new(|| {
    let prefix = prefix();
    let plan = std::fs::read(prefix.join(PLAN)).expect("there is a plan");
    Mutex::new(State {
        plan: serde_json::from_slice(&plan).expect("the plan can be read"),
        calls: HashMap::new(),
        // Opened now, because a confined worker cannot create files later.
        log: File::options().append(true).open(prefix.join(CALLS)).ok(),
        happened: File::options().append(true).open(prefix.join(HAPPENED)).ok(),
        error: 0,
        results: Vec::new(),
        handlers: Handlers::default(),
        rates: Rates::default(),
        round: 0,
        complete: 0,
    })
});

/// The prefix in which this library is: `PREFIX/lib/libdtrace.so.2`.
fn prefix() -> PathBuf {
    let mut info: MaybeUninit<libc::Dl_info> = MaybeUninit::zeroed();
    // SAFETY: the call fills the structure, for which zeros are valid.
    let info = unsafe {
        libc::dladdr((&raw const STATE).cast(), info.as_mut_ptr());
        info.assume_init()
    };
    // SAFETY: the dynamic loader's string, which ends in NUL and stays.
    let file = unsafe { CStr::from_ptr(info.dli_fname) };
    let file = Path::new(OsStr::from_bytes(file.to_bytes()));
    file.ancestors().nth(2).expect("a prefix").to_owned()
}

/// What a function returns without doing anything.
pub(super) enum Answer {
    Failed,
    Number(i64),
}

/// Logs the call and carries out the plan's fault, if there is one for it.
pub(super) fn begin(name: &'static str) -> Option<Answer> {
    begin_with(name, "")
}

/// Does the same for a call whose arguments are logged.
pub(super) fn begin_with(name: &'static str, arguments: &str) -> Option<Answer> {
    let mut state = STATE.lock().expect("nobody panics");
    let nth = state.calls.entry(name).or_default();
    *nth += 1;
    let nth = *nth;
    if let Some(log) = &mut state.log {
        writeln!(log, "{}", [name, arguments].join(" ").trim_end()).expect("they can be noted");
    }
    if nth == 1 {
        make_system_calls(&mut state, name);
    }
    let fault = state.plan.faults.iter().find(|fault| fault.call == name && fault.nth == nth);
    let misdeed = fault?.misdeed;
    let complete = state.complete;
    if let Some(happened) = &mut state.happened {
        writeln!(happened, "{complete}").expect("it can be noted");
    }
    match misdeed {
        Misdeed::Fail(error) => {
            state.error = error;
            Some(Answer::Failed)
        }
        Misdeed::Answer(number) => Some(Answer::Number(number)),
        Misdeed::Abort => {
            eprintln!("libdtrace: assertion failed in {name}");
            std::process::abort()
        }
        Misdeed::Exit(status) => {
            eprintln!("libdtrace: fatal error in {name}");
            std::process::exit(status)
        }
        Misdeed::Signal(number) => {
            // SAFETY: always sound.
            unsafe {
                libc::signal(number, libc::SIG_DFL);
                libc::raise(number);
            }
            None
        }
    }
}

/// Notes a line among the calls.
pub(super) fn note(line: &str) {
    if let Some(log) = &mut STATE.lock().expect("nobody panics").log {
        writeln!(log, "{line}").expect("it can be noted");
    }
}

fn make_system_calls(state: &mut State, within: &str) {
    let State { plan, results, .. } = state;
    for call in plan.system_calls.iter().filter(|call| call.within == within) {
        let result = system_call::make(call, results);
        results.push(result);
    }
}

/// Returns the plan's oddity of probes and programs.
pub(super) fn listing() -> Option<ListingOddity> {
    STATE.lock().expect("nobody panics").plan.listing
}

/// Returns the plan.
pub(super) fn plan() -> Plan {
    STATE.lock().expect("nobody panics").plan.clone()
}

/// Returns the plan's name of symbols and types, or the usual one.
pub(super) fn name(usual: &CStr) -> CString {
    let name = plan().name.map(|name| CString::new(name).expect("a plan's texts have no NUL"));
    name.unwrap_or_else(|| usual.to_owned())
}

/// Writes a text like snprintf, and returns its length.
///
/// # Safety
/// There are `length` bytes at `buffer`.
pub(super) unsafe fn print_into(buffer: *mut c_char, length: usize, text: &CStr) -> c_int {
    // SAFETY: as the caller promises.
    unsafe { libc::snprintf(buffer, length, c"%s".as_ptr(), text.as_ptr()) }
}

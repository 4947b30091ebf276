//! One libdtrace session, with its phases as types: [`Compiling`] until the last script is compiled,
//! [`Tracing`] from the first enabling on.
//!
//! The order is the library's: options, target, `dtrace_init`, all compiles, handlers, all enablings,
//! `dtrace_go`. Any other order writes past libdtrace's own tables, which is why a `Tracing` cannot
//! compile. Handles are not closed: closing takes the library seconds, and the worker's end does the
//! same at once.
//!
//! Both types stay on one thread, as libdtrace demands (its compiler is a process-wide global); raw
//! pointers inside keep them from being sent.

use std::ffi::{CString, c_char, c_void};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use dtrace_sys::abi::*;
use dtrace_sys::{Api, Library};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::callbacks::{self, Context};
use super::created_process::CreatedProcess;
use super::delivered::{Misdelivered, owned};
use super::inquiry;
use super::platform;
use crate::description::ProgramInfo;
use crate::stream::job::{Process, Source, Target};
use crate::worker::encoder::Encoder;
use crate::worker::held_process;

/// A call into libdtrace that failed.
#[derive(Debug)]
pub(crate) struct CallFailure {
    /// The function's name.
    pub(crate) call: &'static str,
    /// libdtrace's number, errno where below 1000.
    pub(crate) number: i32,
    /// libdtrace's words.
    pub(crate) message: String,
}

impl CallFailure {
    /// A call that has delivered what cannot be.
    pub(super) fn misdelivered(call: &'static str, what: &Misdelivered) -> CallFailure {
        CallFailure { call, number: 0, message: what.to_string() }
    }
}

/// What `dtrace_work` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There may be more.
    Okay,
    /// Tracing has ended, by `exit()` or by [`Tracing::stop`], and everything is consumed.
    Done,
}

#[derive(Clone, Copy)]
pub(super) struct Handle {
    pub(super) api: &'static Api,
    pub(super) raw: *mut dtrace_hdl_t,
}

impl Handle {
    fn failure(self, call: &'static str) -> CallFailure {
        // SAFETY: the handle is open; errmsg's text is valid until the next call and copied at once.
        unsafe {
            let number = (self.api.dtrace_errno)(self.raw);
            let message = owned((self.api.dtrace_errmsg)(self.raw, number));
            let message = match message.trim_end() {
                "" => format!("error {number}, of which libdtrace says nothing"),
                words => words.to_owned(),
            };
            CallFailure { call, number, message }
        }
    }

    pub(super) fn check(self, call: &'static str, result: i32) -> Result<(), CallFailure> {
        if result == 0 { Ok(()) } else { Err(self.failure(call)) }
    }

    fn set_option(self, name: &str, value: Option<&str>) -> Result<(), CallFailure> {
        let (Ok(c_name), Ok(c_value)) = (CString::new(name), value.map(CString::new).transpose())
        else {
            let message = "an option cannot contain a NUL byte".to_owned();
            return Err(CallFailure { call: "dtrace_setopt", number: libc::EINVAL, message });
        };
        let value = c_value.as_ref().map_or(ptr::null(), |v| v.as_ptr());
        // SAFETY: the handle is open, both strings end in NUL and outlive the call; the library
        // copies what it keeps.
        let result = unsafe { (self.api.dtrace_setopt)(self.raw, c_name.as_ptr(), value) };
        self.check("dtrace_setopt", result)
    }
}

/// An open handle on which scripts can still be compiled.
pub(crate) struct Compiling {
    pub(super) handle: Handle,
    pub(super) programs: Vec<*mut dtrace_prog_t>,
    /// libdtrace's handles of the processes that it controls. They are not released: that would
    /// happen at close.
    processes: Vec<*mut dtrace_proc_handle_t>,
    /// Those of them that end with this.
    created: Vec<CreatedProcess>,
    version: String,
}

impl Compiling {
    /// Loads the library and opens a handle.
    pub(crate) fn open(library: &Path) -> Result<Compiling, CallFailure> {
        let name = library.as_os_str().as_bytes();
        // SAFETY: the file is the libdtrace that the consumer has located or was told of; running its
        // initialisers is what the user asks for.
        let library = unsafe { Library::load(Some(library)) }.map_err(|e| CallFailure {
            call: "dlopen",
            number: 0,
            message: format!("{}: {e}", String::from_utf8_lossy(name)),
        })?;
        // The library stays until the process ends: libdtrace has threads and handlers of its own.
        let library: &'static Library = Box::leak(Box::new(library));
        let api = library.api();
        let mut error = 0;
        // SAFETY: DTRACE_VERSION is the one that the loaded ABI was verified with, and `error` is
        // valid for the call.
        let raw = unsafe { (api.dtrace_open)(DTRACE_VERSION, 0, &raw mut error) };
        if raw.is_null() {
            // SAFETY: errmsg accepts a null handle for errors of dtrace_open.
            let message = unsafe { owned((api.dtrace_errmsg)(ptr::null_mut(), error)) };
            return Err(CallFailure { call: "dtrace_open", number: error, message });
        }
        let version = library.version().map_or_else(String::new, |v| v.to_string());
        Ok(Compiling {
            handle: Handle { api, raw },
            programs: Vec::new(),
            processes: Vec::new(),
            created: Vec::new(),
            version,
        })
    }

    /// The library's version, as `2.0.7`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn set_option(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), CallFailure> {
        self.handle.set_option(name, value)
    }

    /// Makes a held command `$target`.
    ///
    /// If it is behind a gate, libdtrace attaches to it, and holds it until
    /// [`Tracing::release_processes`]; otherwise it goes on as it is.
    pub(crate) fn set_target(&mut self, target: &Target) -> Result<(), CallFailure> {
        if target.gate.is_some() {
            held_process::let_circle(target.pid);
        }
        // SAFETY: the handle is open and not used by another thread.
        let process = unsafe { platform::grab(self.handle, target.pid, target.gate.is_some()) };
        let Some(process) = process else { return Err(self.missing(platform::GRAB)) };
        if process.is_null() {
            return Err(self.handle.failure(platform::GRAB));
        }
        if target.gate.is_some() || platform::GRAB_STOPS {
            self.processes.push(process);
        }
        Ok(())
    }

    /// Lets go of processes that libdtrace has attached to, and takes its breakpoints out of them.
    pub(crate) fn abandon(self) {
        // SAFETY: the handle is open, nothing was enabled, and it is not used any more.
        unsafe { (self.handle.api.dtrace_close)(self.handle.raw) };
    }

    /// Starts a process, or stops a running one, for libdtrace to control: it is held until
    /// [`Tracing::release_processes`], and its end is told.
    pub(crate) fn control(&mut self, process: &Process) -> Result<(), CallFailure> {
        let (call, controlled) = match process {
            Process::Grab(pid) => {
                // SAFETY: the handle is open.
                let grabbed = unsafe { platform::grab(self.handle, *pid, true) };
                (platform::GRAB, grabbed.ok_or_else(|| self.missing(platform::GRAB))?)
            }
            Process::Create(words) => {
                let call = "dtrace_proc_create";
                let words: Result<Vec<CString>, _> =
                    words.iter().map(|w| CString::new(w.as_str())).collect();
                let words = words.ok().filter(|words| !words.is_empty()).ok_or(CallFailure {
                    call,
                    number: libc::EINVAL,
                    message: "these are not words of a command".to_owned(),
                })?;
                let mut argv: Vec<*mut c_char> =
                    words.iter().map(|w| w.as_ptr().cast_mut()).collect();
                argv.push(ptr::null_mut());
                // SAFETY: the handle is open; the words are C strings that outlive the call, there is
                // one, and their list ends with null.
                (call, unsafe { platform::create(self.handle, &argv) })
            }
        };
        if controlled.is_null() {
            return Err(self.handle.failure(call));
        }
        self.processes.push(controlled);
        if matches!(process, Process::Create(_)) {
            let failed = |error: io::Error| CallFailure {
                call: "pidfd_open",
                number: error.raw_os_error().unwrap_or(0),
                message: error.to_string(),
            };
            let pid = self.handle.api.dtrace_proc_getpid;
            // SAFETY: handle and process are valid.
            let pid = pid.map(|pid| unsafe { pid(self.handle.raw, controlled) });
            if let Some(pid) = pid {
                self.created.push(CreatedProcess::new(pid).map_err(failed)?);
            }
        }
        Ok(())
    }

    fn missing(&self, call: &'static str) -> CallFailure {
        CallFailure { call, number: 0, message: format!("this libdtrace has no {call}") }
    }

    /// Ends the phase of options. Linux needs this before the first compile.
    pub(crate) fn init(&mut self) -> Result<(), CallFailure> {
        let Some(init) = self.handle.api.dtrace_init else { return Ok(()) };
        // SAFETY: the handle is open.
        let result = unsafe { init(self.handle.raw) };
        self.handle.check("dtrace_init", result)
    }

    /// Reads the kernel's types, if no compile had need of them; it takes a moment.
    pub(crate) fn read_kernel_types(&mut self) {
        let mut found = std::mem::MaybeUninit::uninit();
        // SAFETY: the handle is open, both names end in NUL, and `found` is only written to. That
        // the lookup fails does not matter: a script that needs the types fails with a reason.
        unsafe {
            (self.handle.api.dtrace_lookup_by_type)(
                self.handle.raw,
                c"vmlinux".as_ptr(),
                c"struct task_struct".as_ptr(),
                found.as_mut_ptr(),
            );
        }
    }

    /// Compiles a script. It is read as a file, because only then do messages carry line numbers.
    pub(crate) fn compile(&mut self, source: &Source, flags: u32) -> Result<(), CallFailure> {
        let refused = |message: &str| CallFailure {
            call: "dtrace_program_fcompile",
            number: libc::EINVAL,
            message: message.to_owned(),
        };
        let text = &source.text[..];
        let mut arguments = Vec::with_capacity(source.arguments.len() + 1);
        for argument in std::iter::once(&source.argument_zero).chain(&source.arguments) {
            let argument = CString::new(argument.as_str())
                .map_err(|_| refused("a script's argument cannot contain a NUL byte"))?;
            arguments.push(argument.into_raw());
        }
        let count = i32::try_from(arguments.len()).map_err(|_| refused("too many arguments"))?;
        // The library keeps the pointers for the macro variables, so they are never freed.
        let arguments = arguments.leak().as_ptr();
        let Handle { api, raw } = self.handle;
        let (program, failure) = match source.specifier {
            Some(specifier) => {
                let text = CString::new(text).map_err(|_| refused("it contains a NUL byte"))?;
                // SAFETY: the handle is open, and text and arguments are C strings.
                let program = unsafe {
                    (api.dtrace_program_strcompile)(
                        raw,
                        text.as_ptr(),
                        specifier.number(),
                        flags | DTRACE_C_PSPEC,
                        count,
                        arguments,
                    )
                };
                let call = "dtrace_program_strcompile";
                (program, program.is_null().then(|| self.handle.failure(call)))
            }
            None => {
                let file = script_file(text).map_err(|e| refused(&e.to_string()))?;
                // SAFETY: handle and file are open, and the arguments are C strings.
                let program = unsafe {
                    (api.dtrace_program_fcompile)(raw, file.cast(), flags, count, arguments)
                };
                // The failure is fetched before fclose could change errno.
                let call = "dtrace_program_fcompile";
                let failure = program.is_null().then(|| self.handle.failure(call));
                // SAFETY: the stream is open, and the library has read it to its end.
                unsafe { libc::fclose(file) };
                (program, failure)
            }
        };
        match failure {
            Some(failure) => Err(failure),
            None => {
                self.programs.push(program);
                Ok(())
            }
        }
    }

    /// Installs the handlers and enables every program, in this order; tracing is not on yet.
    pub(crate) fn enable(
        self,
        encoder: Encoder,
        text: bool,
        printed: bool,
    ) -> Result<(Tracing, Vec<ProgramInfo>), CallFailure> {
        let Handle { api, raw } = self.handle;
        let context =
            Context::new(self.handle, encoder, text, printed).ok_or_else(|| CallFailure {
                call: "open_memstream",
                number: libc::ENOMEM,
                message: "no memory for libdtrace's output".to_owned(),
            })?;
        // Leaked: libdtrace keeps the pointer, and this process ends with the session.
        let context: *mut Context = Box::into_raw(Box::new(context));
        let arg = context.cast::<c_void>();
        let handle = self.handle;
        // SAFETY: the handle is open, the callbacks have the types that the functions take, and `arg`
        // stays valid for ever. dtrace_handle_err compiles a clause of its own, so all compiles are
        // before it: `self.programs` is complete, since this function takes `self`.
        unsafe {
            let result = (api.dtrace_handle_err)(raw, Some(callbacks::fault), arg);
            handle.check("dtrace_handle_err", result)?;
            let result = (api.dtrace_handle_drop)(raw, Some(callbacks::drop), arg);
            handle.check("dtrace_handle_drop", result)?;
            let result = (api.dtrace_handle_setopt)(raw, Some(callbacks::option), arg);
            handle.check("dtrace_handle_setopt", result)?;
            let result = (api.dtrace_handle_proc)(raw, Some(platform::process), arg);
            handle.check("dtrace_handle_proc", result)?;
        }
        let mut infos = self.programs(false)?;
        for (program, described) in self.programs.iter().zip(&mut infos) {
            let mut info = dtrace_proginfo_t::default();
            // SAFETY: the program belongs to this handle; `info` is valid for the call.
            let result = unsafe { (api.dtrace_program_exec)(raw, *program, &raw mut info) };
            handle.check("dtrace_program_exec", result)?;
            *described = inquiry::filled(&info, std::mem::take(&mut described.clauses));
        }
        Ok((Tracing { handle, context, processes: self.processes, created: self.created }, infos))
    }
}

/// A handle whose scripts are enabled.
pub(crate) struct Tracing {
    handle: Handle,
    context: *mut Context,
    /// Processes that are still held.
    processes: Vec<*mut dtrace_proc_handle_t>,
    /// They end with the session.
    #[expect(dead_code, reason = "dropping them is what they are for")]
    created: Vec<CreatedProcess>,
}

impl Tracing {
    /// Turns tracing on.
    pub(crate) fn go(&mut self) -> Result<(), CallFailure> {
        // SAFETY: the handle is open, and handlers are installed.
        let result = unsafe { platform::go(self.handle) };
        self.handle.check("dtrace_go", result)
    }

    /// Lets the processes run that libdtrace controls.
    pub(crate) fn release_processes(&mut self) {
        // Each at most once: the library would wait for ever the second time.
        for process in self.processes.drain(..) {
            // SAFETY: handle and process are valid; the process is held.
            unsafe { (self.handle.api.dtrace_proc_continue)(self.handle.raw, process) };
        }
    }

    /// Waits for data (a second at most, see [`set_option`](Tracing::set_option) `switchrate`) and
    /// hands everything to the encoder.
    pub(crate) fn work(&mut self) -> Result<Work, CallFailure> {
        // SAFETY: the handle is open and tracing, and the context is only shared meanwhile.
        unsafe { platform::wait(self.handle) };
        // SAFETY: the handle is open, the callbacks fit, and the context stays valid and is only
        // shared while the library runs.
        let status = unsafe {
            (self.handle.api.dtrace_work)(
                self.handle.raw,
                self.context().output().file().cast(),
                Some(callbacks::chew),
                Some(callbacks::chewrec),
                self.context.cast::<c_void>(),
            )
        };
        let unfinished = self.context().forget_unfinished();
        let done = match status {
            DTRACE_WORKSTATUS_OKAY => Work::Okay,
            DTRACE_WORKSTATUS_DONE => Work::Done,
            _ => {
                let failure = self.handle.failure("dtrace_work");
                // A signal ended the wait; the library says so as an error. A firing that had begun
                // then comes again.
                return if failure.number == libc::EINTR { Ok(Work::Okay) } else { Err(failure) };
            }
        };
        if unfinished || self.context().has_failed() {
            let what = Misdelivered::new("a firing without its end");
            return Err(CallFailure::misdelivered("dtrace_work", &what));
        }
        Ok(done)
    }

    /// Turns tracing off; END probes fire, and what is in the buffers can still be consumed.
    pub(crate) fn stop(&mut self) -> Result<(), CallFailure> {
        // SAFETY: the handle is open.
        let result = unsafe { (self.handle.api.dtrace_stop)(self.handle.raw) };
        self.handle.check("dtrace_stop", result)
    }

    pub(crate) fn set_option(
        &mut self,
        name: &str,
        value: Option<&str>,
    ) -> Result<(), CallFailure> {
        self.handle.set_option(name, value)
    }

    /// The value of an option; `None` if it is not set or not one.
    pub(crate) fn option(&self, name: &str) -> Option<u64> {
        let name = CString::new(name).ok()?;
        let mut value = DTRACEOPT_UNSET;
        // SAFETY: the handle is open, the name ends in NUL, and `value` is for the call to fill.
        let result = unsafe {
            (self.handle.api.dtrace_getopt)(self.handle.raw, name.as_ptr(), &raw mut value)
        };
        if result == 0 { callbacks::option_value(value) } else { None }
    }

    /// What dtrace(1) would print at the end: the aggregations that are not printed yet.
    pub(crate) fn report(&mut self) -> Result<Vec<u8>, CallFailure> {
        let output = self.context().output();
        output.rewind();
        // SAFETY: the handle is open and tracing, and so is the stream.
        let result = unsafe {
            (self.handle.api.dtrace_aggregate_print)(self.handle.raw, output.file().cast(), None)
        };
        self.handle.check("dtrace_aggregate_print", result)?;
        Ok(output.text(output.position()).to_vec())
    }

    /// What the callbacks work with.
    pub(super) fn context(&self) -> &Context {
        // SAFETY: it lives for ever, and is only shared, by the callbacks too; but for its encoder,
        // between two calls into the library, as of `encoder`.
        unsafe { &*self.context }
    }

    /// The encoder, between two calls into the library.
    pub(crate) fn encoder(&mut self) -> &mut Encoder {
        // SAFETY: the context is valid; `context` borrows from `&self`, and the callbacks, which are the
        // only others to use the encoder, run only within calls that borrow `self` too, so not during
        // this borrow.
        unsafe { std::cell::RefCell::get_mut(&mut (*self.context).encoder) }
    }
}

/// A C stream that reads `text`. It has a descriptor, which the preprocessor needs.
fn script_file(text: &[u8]) -> std::io::Result<*mut libc::FILE> {
    let memory = memfd_create(c"script", MFdFlags::MFD_CLOEXEC)?;
    let mut memory = File::from(memory);
    memory.write_all(text)?;
    memory.rewind()?;
    let fd = memory.into_raw_fd();
    // SAFETY: the descriptor is open, and from here on it is the stream's.
    let file = unsafe { libc::fdopen(fd, c"r".as_ptr()) };
    if file.is_null() {
        let error = std::io::Error::last_os_error();
        close_foreign(fd);
        return Err(error);
    }
    Ok(file)
}

/// A descriptor of this process under a name of its own.
pub(crate) fn duplicate(fd: i32) -> std::io::Result<OwnedFd> {
    // SAFETY: the descriptor is only duplicated, which fails cleanly if it is not open.
    unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned()
}

/// Closes a descriptor that libdtrace owns; only for a process that is about to end.
pub(crate) fn close_foreign(fd: i32) {
    // SAFETY: closing is memory-safe. libdtrace, which owns the descriptor, is not called any more.
    unsafe { libc::close(fd) };
}

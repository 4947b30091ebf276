//! What can be done with libdtrace before tracing?
//!
//! A session has phases, which are types: [`Compiling`] until the last script is compiled, [`Tracing`]
//! from the first enabling on. The order is the library's: options, target, `dtrace_init`, all compiles,
//! handlers, all enablings, `dtrace_go`. Any other order writes past libdtrace's own tables, which is
//! why a `Tracing` cannot compile. Handles are not closed: closing takes the library seconds, and the
//! worker's end does the same at once.
//!
//! Both types stay on one thread, as libdtrace demands (its compiler is a process-wide global); raw
//! pointers inside keep them from being sent.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use dtrace_sys::Library;
use dtrace_sys::abi::*;

use super::context::Wanted;
use super::delivered::owned;
use super::handle::{CallFailure, Handle};
use super::sink::Sink;
use super::tracing::Tracing;
use super::{platform, probes, processes, programs, scripts, symbols, types, usdt};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::KernelType;
use crate::data::listing::ListedProbe;
use crate::data::script::Script;
use crate::data::session_info::ProgramInfo;

/// An open handle on which scripts can still be compiled.
pub(crate) struct Compiling {
    handle: Handle,
    programs: Vec<*mut dtrace_prog_t>,
    /// libdtrace's handles of the processes that it controls. They are not released: that would
    /// happen at close.
    processes: Vec<*mut dtrace_proc_handle_t>,
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

    /// Makes a running process `$target`. If libdtrace shall `attach` to it, it is held until
    /// [`Tracing::release_processes`]; otherwise it goes on.
    pub(crate) fn set_target(&mut self, pid: i32, attach: bool) -> Result<(), CallFailure> {
        let process = processes::grab(self.handle, pid, attach)?;
        if attach || platform::GRAB_STOPS {
            self.processes.push(process);
        }
        Ok(())
    }

    /// Lets go of processes that libdtrace has attached to, and takes its breakpoints out of them.
    pub(crate) fn abandon(self) {
        // SAFETY: the handle is open, nothing was enabled, and it is not used any more.
        unsafe { (self.handle.api.dtrace_close)(self.handle.raw) };
    }

    /// Stops a running process for libdtrace to control: it is held until
    /// [`Tracing::release_processes`], and its end is delivered.
    pub(crate) fn grab(&mut self, pid: i32) -> Result<(), CallFailure> {
        self.processes.push(processes::grab(self.handle, pid, true)?);
        Ok(())
    }

    /// Starts a process for libdtrace to control, as of [`grab`](Compiling::grab); returns its number,
    /// if the library tells it.
    pub(crate) fn create(&mut self, words: &[String]) -> Result<Option<i32>, CallFailure> {
        let (process, pid) = processes::create(self.handle, words)?;
        self.processes.push(process);
        Ok(pid)
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

    /// Compiles a script.
    pub(crate) fn compile(&mut self, script: &Script, flags: u32) -> Result<(), CallFailure> {
        let program = scripts::compile(self.handle, script, flags)?;
        self.programs.push(program);
        Ok(())
    }

    /// What the library says of each program, in the order in which they were compiled.
    ///
    /// # Errors
    /// [`CallFailure`] if it says something invalid.
    pub(crate) fn programs(&self, describe: bool) -> Result<Vec<ProgramInfo>, CallFailure> {
        let programs = self.programs.iter();
        programs.map(|program| programs::program_info(self.handle, *program, describe)).collect()
    }

    /// Hands every probe that matches `pattern` to `visit`; all of them without a pattern.
    pub(crate) fn list(
        &self,
        pattern: Option<&str>,
        describe: bool,
        visit: &mut dyn FnMut(ListedProbe),
    ) -> Result<(), CallFailure> {
        probes::list(self.handle, pattern, describe, visit)
    }

    /// The kernel's symbol of a name.
    pub(crate) fn symbol_named(&self, name: &str) -> Option<KernelSymbol> {
        symbols::named(self.handle, name)
    }

    /// The kernel's symbol that contains an address.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<KernelSymbol> {
        symbols::at(self.handle, address)
    }

    /// The type of a name, as a D program would write it.
    pub(crate) fn type_named(&self, name: &str) -> Option<KernelType> {
        types::named(self.handle, name)
    }

    /// The C header of the providers that the programs define, for a file of that name.
    pub(crate) fn header(&self, name: &str) -> Result<Vec<u8>, CallFailure> {
        usdt::header(self.handle, name)
    }

    /// Writes the object file that belongs to the first program, and prepares the objects to be linked
    /// with it.
    pub(crate) fn link(&self, output: &Path, objects: &[PathBuf]) -> Result<(), CallFailure> {
        usdt::link(self.handle, self.programs.first().copied(), output, objects)
    }

    /// Installs the handlers and enables every program, in this order; tracing is not on yet.
    pub(crate) fn enable<S: Sink>(
        self,
        sink: S,
        wanted: Wanted,
    ) -> Result<(Tracing<S>, Vec<ProgramInfo>), CallFailure> {
        let handle = self.handle;
        // All compiles are before this, since it takes `self`.
        let tracing = Tracing::new(handle, sink, wanted, self.processes)?;
        let programs = self.programs.iter();
        let described: Vec<ProgramInfo> = programs
            .map(|program| programs::program_info(handle, *program, false))
            .collect::<Result<_, _>>()?;
        let enabled = self.programs.iter().zip(described);
        let infos = enabled.map(|(program, info)| programs::enable(handle, *program, info.clauses));
        Ok((tracing, infos.collect::<Result<_, _>>()?))
    }
}

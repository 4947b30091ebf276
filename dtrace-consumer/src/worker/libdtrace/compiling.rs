//! libdtrace before tracing.
//!
//! A session's phases are types: [`Loaded`] before anything is called, [`Compiling`] until the last script is
//! compiled, [`Tracing`] from the first enabling on. The library dictates the order: options, target, `dtrace_init`, all compiles, handlers, all
//! enablings, `dtrace_go`. Any other order writes beyond libdtrace's own tables, so a `Tracing` cannot
//! compile. Handles are closed only to release processes: closing takes the library seconds, and the worker's
//! end has the same effect at once.
//!
//! Both types stay on one thread, as libdtrace requires: its compiler is a process-wide global. Their raw
//! pointers make them `!Send`.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::ptr;

use dtrace_sys::Library;
use dtrace_sys::abi::*;

use super::context::Wanted;
use super::delivered::owned;
use super::handle::{CallFailure, Closing, Handle, Use};
use super::platform::{Clears, Statements};
use super::sink::Sink;
use super::tracing::Tracing;
use super::{platform, probes, processes, programs, scripts, symbols, types, usdt};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::KernelType;
use crate::data::listing::ListedProbe;
use crate::data::script::Script;
use crate::data::session_info::ProgramInfo;
use crate::stream::job::Unknown;

/// A library that is loaded. No handle is open.
pub(crate) struct Loaded {
    library: &'static Library,
}

impl Loaded {
    /// Loads the library. Its version must be known, or be `unknown`, which was verified or is being checked. Where
    /// versions do not tell structures, any is.
    pub(crate) fn load(library: &Path, unknown: Option<&Unknown>) -> Result<Loaded, CallFailure> {
        let name = library.as_os_str().as_bytes();
        // SAFETY: the file is the libdtrace that the consumer located or that the user named. The user wants
        // its initialisers to run. Its structures are known, or were verified by a self-check. If this session is
        // a part of one, this process exists to find out: nobody relies on it, and it may crash.
        let loaded = unsafe {
            match unknown.and_then(|unknown| unknown.version) {
                None => Library::load(Some(library)),
                Some(version) => Library::load_verified(library, version),
            }
        };
        let library = loaded.map_err(|e| CallFailure {
            call: "dlopen",
            number: 0,
            message: format!("{}: {e}", String::from_utf8_lossy(name)),
        })?;
        // The library stays loaded until the process ends, because libdtrace has its own threads and
        // handlers.
        Ok(Loaded { library: Box::leak(Box::new(library)) })
    }

    /// Returns an address in the library's code.
    pub(crate) fn code_address(&self) -> usize {
        self.library.api().dtrace_go as *const () as usize
    }

    /// Opens a handle, for tracing or only to compile scripts.
    pub(crate) fn open(self, traces: bool) -> Result<Compiling, CallFailure> {
        let library = self.library;
        let api = library.api();
        let mut error = 0;
        let flags = if traces { 0 } else { platform::OPEN_TO_COMPILE };
        // SAFETY: DTRACE_VERSION is the version that the loaded ABI was verified with, and `error` is valid
        // for the call.
        let raw = unsafe { (api.dtrace_open)(DTRACE_VERSION, flags, &raw mut error) };
        if raw.is_null() {
            // SAFETY: errmsg accepts a null handle for errors of dtrace_open.
            let message = unsafe { owned((api.dtrace_errmsg)(ptr::null_mut(), error)) };
            return Err(CallFailure { call: "dtrace_open", number: error, message });
        }
        let version = library.version().map_or_else(String::new, |v| v.to_string());
        Ok(Compiling {
            handle: Handle { api, raw },
            used: Use::default(),
            programs: Vec::new(),
            processes: Vec::new(),
            version,
        })
    }
}

/// An open handle that can still compile scripts.
pub(crate) struct Compiling {
    handle: Handle,
    used: Use,
    programs: Vec<*mut dtrace_prog_t>,
    /// libdtrace's handles of the processes that it controls. Only closing would release them.
    processes: Vec<*mut dtrace_proc_handle_t>,
    version: String,
}

impl Compiling {
    /// Returns the library's version, such as `2.0.7`.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn set_option(
        &mut self,
        name: &str,
        value: Option<&[u8]>,
    ) -> Result<(), CallFailure> {
        self.handle.set_option(name, value)
    }

    /// Returns whether an option or a script has set libdtrace to write a document, such as JSON, in place of text.
    pub(crate) fn writes_a_document(&self) -> bool {
        // SAFETY: the handle is open.
        self.handle.api.dtrace_oformat.is_some_and(|it| unsafe { it(self.handle.raw) != 0 })
    }

    /// Makes a running process `$target`. If libdtrace is to `attach` to it, the process is held until
    /// [`Tracing::release_processes`]; otherwise it continues.
    pub(crate) fn set_target(&mut self, pid: i32, attach: bool) -> Result<(), CallFailure> {
        let process = processes::grab(self.handle, pid, attach)?;
        if attach {
            self.processes.push(process);
        }
        Ok(())
    }

    /// Returns what closes the handle.
    pub(crate) fn closing(&self) -> Closing {
        Closing { handle: self.handle, used: Use::clone(&self.used) }
    }

    /// Grabs a running process for libdtrace to control. It is held until [`Tracing::release_processes`], and
    /// its end is delivered.
    pub(crate) fn grab(&mut self, pid: i32) -> Result<(), CallFailure> {
        self.processes.push(processes::grab(self.handle, pid, true)?);
        Ok(())
    }

    /// Ends the phase of options. Linux requires this before the first compile.
    pub(crate) fn init(&mut self) -> Result<(), CallFailure> {
        let Some(init) = self.handle.api.dtrace_init else { return Ok(()) };
        // SAFETY: the handle is open.
        let result = unsafe { init(self.handle.raw) };
        self.handle.check("dtrace_init", result)
    }

    /// Reads the kernel's types, if no compile needed them. This takes a moment.
    pub(crate) fn read_kernel_types(&mut self) {
        let mut found = std::mem::MaybeUninit::uninit();
        // SAFETY: the handle is open, both names end in NUL, and the call only writes to `found`. A failed
        // look-up does not matter: a script that needs the types fails with a reason.
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

    /// Returns the library's information about each program, in the order in which they were compiled.
    ///
    /// # Errors
    /// [`CallFailure`] if the information is invalid.
    pub(crate) fn programs(&self, describe: bool) -> Result<Vec<ProgramInfo>, CallFailure> {
        let programs = self.programs.iter();
        programs.map(|program| programs::program_info(self.handle, *program, describe)).collect()
    }

    /// Calls `visit` with every probe that matches `pattern`, or with all probes if there is none.
    pub(crate) fn list(
        &self,
        pattern: Option<&str>,
        describe: bool,
        visit: &mut dyn FnMut(ListedProbe),
    ) -> Result<(), CallFailure> {
        probes::list(self.handle, pattern, describe, visit)
    }

    /// Returns the kernel's symbol with this name.
    pub(crate) fn symbol_named(&self, name: &str) -> Option<KernelSymbol> {
        symbols::named(self.handle, name)
    }

    /// Returns the kernel's symbol that contains an address.
    pub(crate) fn symbol_at(&self, address: u64) -> Option<KernelSymbol> {
        symbols::at(self.handle, address)
    }

    /// Returns the type with this name, written as in D.
    pub(crate) fn type_named(&self, name: &str) -> Option<KernelType> {
        types::named(self.handle, name)
    }

    /// Returns the C header of the providers that the programs define. Its file name is `name`.
    pub(crate) fn header(&self, name: &str) -> Result<Vec<u8>, CallFailure> {
        usdt::header(self.handle, name)
    }

    /// Writes the object file for the first program, and prepares the objects for linking with it.
    pub(crate) fn link(&self, output: &Path, objects: &[PathBuf]) -> Result<(), CallFailure> {
        usdt::link(self.handle, self.programs.first().copied(), output, objects)
    }

    /// Installs the handlers and enables every program, in this order. Tracing is not on yet.
    pub(crate) fn enable<S: Sink>(
        self,
        sink: S,
        wanted: Wanted,
    ) -> Result<(Tracing<S>, Vec<ProgramInfo>), CallFailure> {
        let handle = self.handle;
        // This takes `self`, so no compile can follow.
        let statements = Statements::of(handle, &self.programs)?;
        let clears = Clears::of(handle, &statements)?;
        let used = (handle, self.used);
        let tracing = Tracing::new(used, sink, wanted, self.processes, (statements, clears))?;
        let programs = self.programs.iter();
        let described: Vec<ProgramInfo> = programs
            .map(|program| programs::program_info(handle, *program, false))
            .collect::<Result<_, _>>()?;
        let enabled = self.programs.iter().zip(described);
        let infos = enabled.map(|(program, info)| programs::enable(handle, *program, info.clauses));
        Ok((tracing, infos.collect::<Result<_, _>>()?))
    }
}

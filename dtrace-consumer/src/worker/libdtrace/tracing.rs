//! libdtrace from the first enabled probe on.

use std::cell::RefCell;
use std::ffi::{CString, c_void};

use dtrace_sys::abi::*;

use super::context::{Context, Wanted};
use super::delivered::Misdelivered;
use super::handle::{CallFailure, Handle, Use};
use super::kernel_maps::KernelMaps;
use super::platform::{Clears, Statements};
use super::printed::Printed;
use super::sink::Sink;
use super::{aggregations, handlers, platform};
use crate::data::aggregation::Order;

/// The result of `dtrace_work`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There may be more.
    Okay,
    /// Tracing has ended, by `exit()` or by [`Tracing::stop`], and everything has been consumed.
    Done,
}

/// A handle with enabled scripts.
pub(crate) struct Tracing<S> {
    handle: Handle,
    _used: Use,
    context: *mut Context<S>,
    /// Processes that are still held.
    processes: Vec<*mut dtrace_proc_handle_t>,
}

impl<S: Sink> Tracing<S> {
    /// Installs the handlers. `processes` are held.
    pub(super) fn new(
        (handle, used): (Handle, Use),
        sink: S,
        wanted: Wanted,
        processes: Vec<*mut dtrace_proc_handle_t>,
        known: (Statements, Clears),
    ) -> Result<Tracing<S>, CallFailure> {
        let Handle { api, raw } = handle;
        let context = Context::new(handle, sink, wanted, known).ok_or_else(|| CallFailure {
            call: "open_memstream",
            number: libc::ENOMEM,
            message: "out of memory".to_owned(),
        })?;
        if let Some(set) = api.dtrace_set_outfp {
            // SAFETY: the stream stays open, because the context that has it is leaked below. The library passes it to
            // libxo, which only writes to it.
            unsafe { set(context.output.file().cast()) };
        }
        // Leaked: libdtrace keeps the pointer, and this process ends with the session.
        let context: *mut Context<S> = Box::into_raw(Box::new(context));
        let arg = context.cast::<c_void>();
        // SAFETY: the handle is open, and the callbacks have the types that the functions take. `arg` stays
        // valid forever and has the type that the callbacks expect. dtrace_handle_err compiles its own
        // clause, so all compiles must be done, and are.
        unsafe {
            let result = (api.dtrace_handle_err)(raw, Some(handlers::fault::<S>), arg);
            handle.check("dtrace_handle_err", result)?;
            let result = (api.dtrace_handle_drop)(raw, Some(handlers::drop::<S>), arg);
            handle.check("dtrace_handle_drop", result)?;
            let result = (api.dtrace_handle_setopt)(raw, Some(handlers::option::<S>), arg);
            handle.check("dtrace_handle_setopt", result)?;
            let result = (api.dtrace_handle_proc)(raw, Some(handlers::process::<S>), arg);
            handle.check("dtrace_handle_proc", result)?;
        }
        Ok(Tracing { handle, _used: used, context, processes })
    }

    /// Starts tracing.
    pub(crate) fn go(&mut self) -> Result<(), CallFailure> {
        // SAFETY: the handle is open, and the handlers are installed.
        let result = unsafe { platform::go(self.handle) };
        self.handle.check("dtrace_go", result)?;
        self.context().cpus.set(platform::places_by_cpu());
        // libdtrace keeps to this rate, and changes it when the script does; see the handler of options.
        self.context().reads_maps.set(matches!(self.option("aggrate"), Ok(Some(0))));
        // A string whose size is not known travels whole.
        let string_size = self.option("strsize").ok().flatten();
        self.context().told.borrow_mut().string_size =
            string_size.and_then(|size| u32::try_from(size).ok());
        Ok(())
    }

    /// Releases the processes that libdtrace controls.
    pub(crate) fn release_processes(&mut self) {
        // Each at most once: the library would wait forever the second time.
        for process in self.processes.drain(..) {
            // SAFETY: handle and process are valid, and the process is held.
            unsafe { (self.handle.api.dtrace_proc_continue)(self.handle.raw, process) };
        }
    }

    /// Waits for data and sends everything to the sink. Waits for a second at most; see `switchrate` of
    /// [`set_option`](Tracing::set_option).
    pub(crate) fn work(&mut self) -> Result<Work, CallFailure> {
        // SAFETY: the handle is open and tracing, and the context is only shared during the call.
        unsafe { platform::wait(self.handle) };
        // SAFETY: the handle is open, and the callbacks have the right types. The context stays valid and is
        // only shared while the library runs.
        let status = unsafe {
            (self.handle.api.dtrace_work)(
                self.handle.raw,
                self.context().output.file().cast(),
                Some(handlers::chew::<S>),
                Some(handlers::chewrec::<S>),
                self.context.cast::<c_void>(),
            )
        };
        let unfinished = self.context().forget_unfinished();
        let done = match status {
            DTRACE_WORKSTATUS_OKAY => Work::Okay,
            DTRACE_WORKSTATUS_DONE => Work::Done,
            _ => {
                let failure = self.handle.failure("dtrace_work");
                // A signal ended the wait, which the library reports as an error. A firing that had begun
                // is then delivered again.
                return if failure.number == libc::EINTR { Ok(Work::Okay) } else { Err(failure) };
            }
        };
        if unfinished || self.context().failed.get() {
            let what = Misdelivered::new("a firing without an end");
            return Err(CallFailure::misdelivered("dtrace_work", &what));
        }
        Ok(done)
    }

    /// Does the same, and waits for nothing if the wait has been ended already.
    pub(crate) fn work_at_once(&mut self) -> Result<Work, CallFailure> {
        platform::read_at_once(self.handle, || self.work())
    }

    /// Stops tracing. END probes fire, and the buffers can still be consumed.
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
        self.handle.set_option(name, value.map(str::as_bytes))
    }

    /// Returns the value of an option; `None` if it is not set. Fails if it does not exist.
    pub(crate) fn option(&self, name: &str) -> Result<Option<u64>, CallFailure> {
        // No option has an empty name, or one with a NUL byte.
        let name = CString::new(name).unwrap_or_default();
        let mut value = DTRACEOPT_UNSET;
        // SAFETY: the handle is open, the name ends in NUL, and the call only writes to `value`.
        let result = unsafe {
            (self.handle.api.dtrace_getopt)(self.handle.raw, name.as_ptr(), &raw mut value)
        };
        self.handle.check("dtrace_getopt", result)?;
        Ok(handlers::option_value(value))
    }

    /// Returns what dtrace(1) would print at the end: the aggregations that have not been printed.
    pub(crate) fn report(&mut self) -> Result<Vec<u8>, CallFailure> {
        let output = &self.context().output;
        output.rewind();
        // SAFETY: the handle is open and tracing, and the stream is open.
        let result = unsafe {
            (self.handle.api.dtrace_aggregate_print)(self.handle.raw, output.file().cast(), None)
        };
        self.handle.check("dtrace_aggregate_print", result)?;
        let text = output.text(output.length());
        let named = aggregations::named(self.context(), text, Printed::default());
        Ok(named.unwrap_or_else(|| text.to_vec()))
    }

    /// Reads the aggregations and sends every entry to the sink, in `order`. `drain` removes the entries. Without
    /// `maps`, libdtrace reads them.
    pub(crate) fn snapshot(
        &mut self,
        maps: Option<&dyn KernelMaps>,
        order: Order,
        drain: bool,
    ) -> Result<(), CallFailure> {
        aggregations::snapshot(self.context(), maps, order, drain)
    }

    /// Reads the aggregations and sends the symbols of the addresses among their keys to the sink.
    pub(crate) fn resolve_keys(
        &mut self,
        maps: Option<&dyn KernelMaps>,
    ) -> Result<(), CallFailure> {
        aggregations::resolve_keys(self.context(), maps)
    }

    /// Returns the state of the callbacks.
    fn context(&self) -> &Context<S> {
        // SAFETY: the context is never freed. Everybody, callbacks included, only shares it, except for its
        // sink; see `sink`.
        unsafe { &*self.context }
    }

    /// Returns the sink, between two calls into the library.
    pub(crate) fn sink(&mut self) -> &mut S {
        // SAFETY: the context is valid. `context` borrows from `&self`. The callbacks, the only other users
        // of the sink, run only within calls that borrow `self` too, so not during this borrow.
        unsafe { RefCell::get_mut(&mut (*self.context).sink) }
    }
}

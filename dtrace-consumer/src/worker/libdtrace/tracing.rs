//! What can be done with libdtrace from the first enabled probe on?

use std::cell::RefCell;
use std::ffi::{CString, c_void};

use dtrace_sys::abi::*;

use super::context::{Context, Wanted};
use super::delivered::Misdelivered;
use super::handle::{CallFailure, Handle};
use super::sink::Sink;
use super::{aggregations, handlers, platform};
use crate::data::aggregation::Order;

/// What `dtrace_work` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// There may be more.
    Okay,
    /// Tracing has ended, by `exit()` or by [`Tracing::stop`], and everything is consumed.
    Done,
}

/// A handle whose scripts are enabled.
pub(crate) struct Tracing<S> {
    handle: Handle,
    context: *mut Context<S>,
    /// Processes that are still held.
    processes: Vec<*mut dtrace_proc_handle_t>,
}

impl<S: Sink> Tracing<S> {
    /// Installs the handlers. `processes` are held.
    pub(super) fn new(
        handle: Handle,
        sink: S,
        wanted: Wanted,
        processes: Vec<*mut dtrace_proc_handle_t>,
    ) -> Result<Tracing<S>, CallFailure> {
        let Handle { api, raw } = handle;
        let context = Context::new(handle, sink, wanted).ok_or_else(|| CallFailure {
            call: "open_memstream",
            number: libc::ENOMEM,
            message: "no memory for libdtrace's output".to_owned(),
        })?;
        // Leaked: libdtrace keeps the pointer, and this process ends with the session.
        let context: *mut Context<S> = Box::into_raw(Box::new(context));
        let arg = context.cast::<c_void>();
        // SAFETY: the handle is open, the callbacks have the types that the functions take, and `arg`
        // stays valid for ever and is what they expect. dtrace_handle_err compiles a clause of its own,
        // so all compiles are before it.
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
        Ok(Tracing { handle, context, processes })
    }

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
    /// hands everything to the sink.
    pub(crate) fn work(&mut self) -> Result<Work, CallFailure> {
        // SAFETY: the handle is open and tracing, and the context is only shared meanwhile.
        unsafe { platform::wait(self.handle) };
        // SAFETY: the handle is open, the callbacks fit, and the context stays valid and is only
        // shared while the library runs.
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
                // A signal ended the wait; the library says so as an error. A firing that had begun
                // then comes again.
                return if failure.number == libc::EINTR { Ok(Work::Okay) } else { Err(failure) };
            }
        };
        if unfinished || self.context().failed.get() {
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
        if result == 0 { handlers::option_value(value) } else { None }
    }

    /// What dtrace(1) would print at the end: the aggregations that are not printed yet.
    pub(crate) fn report(&mut self) -> Result<Vec<u8>, CallFailure> {
        let output = &self.context().output;
        output.rewind();
        // SAFETY: the handle is open and tracing, and so is the stream.
        let result = unsafe {
            (self.handle.api.dtrace_aggregate_print)(self.handle.raw, output.file().cast(), None)
        };
        self.handle.check("dtrace_aggregate_print", result)?;
        Ok(output.text(output.position()).to_vec())
    }

    /// Reads the aggregations and hands every entry to the sink, in `order`; `drain` removes them.
    pub(crate) fn snapshot(&mut self, order: Order, drain: bool) -> Result<(), CallFailure> {
        aggregations::snapshot(self.context(), order, drain)
    }

    /// Reads the aggregations and hands the symbols of the addresses among their keys to the sink.
    pub(crate) fn resolve_keys(&mut self) -> Result<(), CallFailure> {
        aggregations::resolve_keys(self.context())
    }

    /// What the callbacks work with.
    fn context(&self) -> &Context<S> {
        // SAFETY: it lives for ever, and is only shared, by the callbacks too; but for its sink,
        // between two calls into the library, as of `sink`.
        unsafe { &*self.context }
    }

    /// The sink, between two calls into the library.
    pub(crate) fn sink(&mut self) -> &mut S {
        // SAFETY: the context is valid; `context` borrows from `&self`, and the callbacks, which are the
        // only others to use the sink, run only within calls that borrow `self` too, so not during
        // this borrow.
        unsafe { RefCell::get_mut(&mut (*self.context).sink) }
    }
}

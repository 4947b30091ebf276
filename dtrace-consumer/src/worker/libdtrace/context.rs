//! The state that libdtrace's callbacks share.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use dtrace_sys::abi::dtrace_recdesc_t;

use super::clause::Clause;
use super::delivered::Misdelivered;
use super::describe::resolve;
use super::handle::Handle;
use super::memstream::Memstream;
use super::platform::{Clears, Statements};
use super::printed::Printed;
use super::sink::{self, Sink};
use super::told::Told;
use crate::stream::frame::Frame;
use crate::stream::payload::{FiringFrame, FlowFrame};

/// What a session wants besides aggregations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Firings.
    pub(crate) firings: bool,
    /// The text of each record.
    pub(crate) text: bool,
    /// The entries that each `printa()` prints.
    pub(crate) printed: bool,
}

/// The state of the callbacks.
///
/// It is shared, because libdtrace calls back while another callback is running: it calls the handler of
/// drops from within a snapshot for `printa()`.
pub(super) struct Context<S> {
    pub(super) handle: Handle,
    pub(super) sink: RefCell<S>,
    /// The stream that libdtrace prints to. It always needs one.
    pub(super) output: Memstream,
    pub(super) wanted: Wanted,
    pub(super) statements: Statements,
    pub(super) clears: Clears,
    /// The length of libdtrace's lists by CPU, if it is known. Set when tracing is on.
    pub(super) cpus: Cell<Option<usize>>,
    /// Whether walks may read the kernel's maps of aggregations. Set when tracing is on.
    pub(super) reads_maps: Cell<bool>,
    /// Whether libdtrace may have a snapshot that it regards as valid, but that has only some keys.
    pub(super) in_part: Cell<bool>,
    pub(super) told: RefCell<Told>,
    pub(super) pending: RefCell<Option<Pending>>,
    /// The text of a firing, if a `Printer` made it. Otherwise it is in `output`.
    pub(super) text: RefCell<Vec<u8>>,
    pub(super) text_ends: RefCell<Vec<u8>>,
    /// The packed records of the firing or entry that is being sent.
    pub(super) packed: RefCell<Vec<u8>>,
    /// Whether a callback has failed. All callbacks then return at once.
    pub(super) failed: Cell<bool>,
}

/// A firing whose records libdtrace is formatting.
pub(super) struct Pending {
    /// Whether to send it.
    pub(super) wanted: bool,
    pub(super) probe: u32,
    pub(super) clause: Rc<Clause>,
    pub(super) cpu: u32,
    pub(super) flow: Option<(u8, i32, String)>,
    /// The address of its list of records.
    pub(super) records: *const dtrace_recdesc_t,
    pub(super) data: *const u8,
    pub(super) length: usize,
    /// The record being formatted.
    pub(super) record: Option<u32>,
    /// The index of the last record that arrived.
    pub(super) reached: Option<usize>,
    /// Where the text of the record starts and what it shows, if it is a `printa()`.
    pub(super) printa: Option<(usize, Printed)>,
    /// The aggregations whose entries have been sent.
    pub(super) printed: Vec<u64>,
}

impl Pending {
    /// Returns the firing's data.
    ///
    /// # Safety
    /// The data must still be at the address that `chew` saw. They are until the record callback for the
    /// firing's end has returned.
    pub(super) unsafe fn data<'a>(&self) -> &'a [u8] {
        // SAFETY: `chew` derived pointer and length from a slice, which is still valid; see `# Safety`.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }

    /// Returns the frame of the firing with the text that it printed, without its data.
    pub(super) fn frame<'a>(&'a self, text: &'a [u8], text_ends: &'a [u8]) -> FiringFrame<'a> {
        let flow = self.flow.as_ref().map(flow_frame);
        let Pending { probe, cpu, .. } = *self;
        FiringFrame { probe, clause: self.clause.key, cpu, flow, data: &[], text, text_ends }
    }
}

/// Returns the frame's form of a firing's position in the flow of functions.
pub(super) fn flow_frame((kind, indent, prefix): &(u8, i32, String)) -> FlowFrame<'_> {
    FlowFrame { kind: *kind, indent: *indent, prefix: prefix.as_bytes() }
}

impl<S: Sink> Context<S> {
    pub(super) fn new(
        handle: Handle,
        sink: S,
        wanted: Wanted,
        (statements, clears): (Statements, Clears),
    ) -> Option<Context<S>> {
        Some(Context {
            handle,
            sink: RefCell::new(sink),
            output: Memstream::open()?,
            wanted,
            statements,
            clears,
            cpus: Cell::new(None),
            reads_maps: Cell::new(false),
            in_part: Cell::new(false),
            told: RefCell::default(),
            pending: RefCell::new(None),
            text: RefCell::default(),
            text_ends: RefCell::new(Vec::new()),
            packed: RefCell::new(Vec::new()),
            failed: Cell::new(false),
        })
    }

    /// Sends a frame.
    pub(super) fn send(&self, frame: &Frame<'_>) {
        self.sink.borrow_mut().take(frame);
    }

    /// Sends the symbol at an address, unless it was sent before.
    pub(super) fn send_symbol(&self, pid: u32, address: u64) {
        let resolve = || resolve(self.handle, pid, address);
        let described = self.told.borrow_mut().symbol((pid, address), resolve);
        described.iter().for_each(|frame| self.send(frame));
    }

    /// Drops a firing whose end has not arrived. Returns whether there was one.
    pub(super) fn forget_unfinished(&self) -> bool {
        let is_there = self.pending.borrow().is_some();
        if is_there {
            self.pending.replace(None);
        }
        is_there
    }

    /// Ends the session: `call` delivered invalid data.
    pub(super) fn refuse(&self, call: &str, what: &Misdelivered) {
        self.fail(&sink::misdelivered(call, what));
    }

    /// Ends the session: a callback panicked.
    pub(super) fn panicked(&self) {
        self.fail(&sink::panicked());
    }

    fn fail(&self, failure: &Frame<'_>) {
        self.failed.set(true);
        // The sink is borrowed if this callback runs inside one that is writing. The session ends anyway.
        if let Ok(mut sink) = self.sink.try_borrow_mut() {
            sink.take(failure);
        }
    }
}

/// Runs the body of a callback that libdtrace made from within `call`. Invalid data and panics end the
/// session.
pub(super) fn guarded<S: Sink, T>(
    arg: *mut c_void,
    call: &str,
    otherwise: T,
    body: impl FnOnce(&Context<S>) -> Result<T, Misdelivered>,
) -> T {
    // SAFETY: every callback is registered with a pointer to a context of this type, which is never freed. It
    // is only shared while libdtrace runs, and libdtrace calls back on the thread that called it.
    let Some(context) = (unsafe { arg.cast::<Context<S>>().as_ref() }) else { return otherwise };
    if context.failed.get() {
        return otherwise;
    }
    match catch_unwind(AssertUnwindSafe(|| body(context))) {
        Ok(Ok(answer)) => answer,
        Ok(Err(what)) => {
            context.refuse(call, &what);
            otherwise
        }
        Err(_) => {
            context.panicked();
            otherwise
        }
    }
}

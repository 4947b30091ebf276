//! libdtrace's callbacks: from C structures to the encoder.
//!
//! Each `extern "C"` function finds its [`Context`] and goes on in safe hands. What cannot be is
//! refused, a panic is caught there, and the session ends with either.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dtrace_sys::abi::*;

use super::aggregations;
use super::delivered::{Misdelivered, bytes, owned, position, reference, within};
use super::libdtrace::Handle;
use super::memstream::Memstream;
use super::platform::{self, Firing};
use crate::description::{OptionChange, ProcessEvent};
use crate::loss::{DropKind, DropReport, Fault};
use crate::record::{Action, RecordDescription};
use crate::stream::frame::{FiringFrame, FlowFrame};
use crate::worker::encoder::{Encoder, is_performed};

/// What the callbacks work with.
///
/// They have it shared, since libdtrace calls back while one that called it is still at work: the
/// handler of drops from within a snapshot that `printa()` needs.
pub(super) struct Context {
    pub(super) handle: Handle,
    pub(super) encoder: RefCell<Encoder>,
    /// libdtrace must always have a stream to print to.
    output: Memstream,
    /// Whether its formatting is wanted.
    text: bool,
    /// Whether the entries that each `printa()` prints are wanted.
    printed: bool,
    pub(super) cpus: usize,
    pending: RefCell<Option<Pending>>,
    text_ends: RefCell<Vec<u8>>,
    /// Whether a callback has failed; then none does anything any more.
    failed: Cell<bool>,
}

/// A firing whose records libdtrace is formatting.
struct Pending {
    /// Whether it is to be sent.
    wanted: bool,
    probe: u32,
    clause: u32,
    cpu: u32,
    flow: Option<(u8, i32, String)>,
    /// Where its list of records is.
    records: *const dtrace_recdesc_t,
    data: *const u8,
    length: usize,
    /// The record being formatted.
    record: Option<u32>,
    /// How far its records have come, as an index.
    reached: Option<usize>,
    /// Aggregations whose entries have been sent.
    printed: Vec<u64>,
}

impl Pending {
    /// The firing's data.
    ///
    /// # Safety
    /// They must still be where they were in `chew`: true until the record callback for the firing's
    /// end has returned.
    unsafe fn data<'a>(&self) -> &'a [u8] {
        // SAFETY: `chew` has made them of a slice of this length, and as the caller promises.
        unsafe { std::slice::from_raw_parts(self.data, self.length) }
    }
}

impl Context {
    pub(super) fn new(
        handle: Handle,
        encoder: Encoder,
        text: bool,
        printed: bool,
    ) -> Option<Context> {
        Some(Context {
            handle,
            encoder: RefCell::new(encoder),
            output: Memstream::open()?,
            text,
            printed,
            cpus: possible_cpus(),
            pending: RefCell::new(None),
            text_ends: RefCell::new(Vec::new()),
            failed: Cell::new(false),
        })
    }

    pub(super) fn output(&self) -> &Memstream {
        &self.output
    }

    /// Forgets a firing whose end has not come, and says whether there was one.
    pub(super) fn forget_unfinished(&self) -> bool {
        self.pending.take().is_some()
    }

    /// Whether a callback has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.failed.get()
    }

    /// Ends the session: `call` has delivered what cannot be.
    pub(super) fn refuse(&self, call: &str, what: &Misdelivered) {
        self.failed.set(true);
        // A callback within one that is writing: the session ends all the same.
        if let Ok(mut encoder) = self.encoder.try_borrow_mut() {
            encoder.give_up(call, what.to_string());
        }
    }

    /// A firing has been reached: its records follow, unless the answer is NEXT.
    ///
    /// # Safety
    /// `d` is what libdtrace passed to the probe callback that is running.
    unsafe fn chew(&self, d: &Firing) -> Result<c_int, Misdelivered> {
        if self.forget_unfinished() {
            return Err(Misdelivered::new("a firing within another one"));
        }
        // SAFETY: as of this function.
        let ((statement, records), probe, size) = unsafe {
            let records = platform::records(d)?;
            let probe = reference(d.dtpda_pdesc.cast_const(), "a description of a probe")?;
            (records, probe, platform::extent(d)?)
        };
        within(records, size)?;
        let handle = self.handle;
        let mut encoder = self.encoder.borrow_mut();
        let clause = encoder.clause(statement, records.as_ptr().addr(), || {
            records.iter().map(|r| describe(handle, r)).collect()
        });
        if clause.length > size {
            return Err(Misdelivered::new("a clause whose records have changed"));
        }
        // SAFETY: the library says that there are at least as many bytes.
        let data = unsafe { bytes(d.dtpda_data, clause.length, "a firing")? };
        if let Some(status) = clause.exit_status(data) {
            encoder.exit(status);
        }
        let number = platform::number_of(probe);
        let wanted = clause.asks || encoder.wants_firings();
        if wanted {
            // SAFETY: the names of a probe description are C strings or null.
            encoder.probe(number, || unsafe { platform::name_of(probe) });
            clause.addresses(data, |pid, address| {
                encoder.symbol(pid, address, || resolve(handle, pid, address));
            });
        }
        let formatted = self.text && clause.prints;
        // The prefix is there if flow indentation is on.
        let flow = (!d.dtpda_prefix.is_null()).then(|| {
            // SAFETY: the prefix is a C string that lives as long as the library.
            let prefix = unsafe { owned(d.dtpda_prefix) };
            (u8::try_from(d.dtpda_flow).unwrap_or(2), d.dtpda_indent, prefix)
        });
        let cpu = cpu_number(d.dtpda_cpu);
        if clause.pure && !formatted {
            if wanted {
                encoder.firing(&FiringFrame {
                    probe: number,
                    clause: clause.key,
                    cpu,
                    flow: flow_frame(&flow),
                    data,
                    text: &[],
                    text_ends: &[],
                });
            }
            return Ok(DTRACE_CONSUME_NEXT);
        }
        self.output.rewind();
        self.text_ends.borrow_mut().clear();
        self.pending.replace(Some(Pending {
            wanted,
            probe: number,
            clause: clause.key,
            cpu,
            flow,
            records: records.as_ptr(),
            data: data.as_ptr(),
            length: data.len(),
            record: None,
            reached: None,
            printed: Vec::new(),
        }));
        Ok(DTRACE_CONSUME_THIS)
    }

    /// Record `r` of the firing is to be formatted, or the firing is complete.
    ///
    /// # Safety
    /// `d` and `r` are what libdtrace passed to the record callback that is running.
    unsafe fn chewrec(
        &self,
        d: &Firing,
        r: *const dtrace_recdesc_t,
    ) -> Result<c_int, Misdelivered> {
        self.mark_text();
        if r.is_null() {
            // SAFETY: as of `finish`: this is the call that ends the firing.
            unsafe { self.finish()? };
            return Ok(DTRACE_CONSUME_NEXT);
        }
        // SAFETY: as of this function.
        let (_, records) = unsafe { platform::records(d)? };
        let index = position(records, r)?;
        match &mut *self.pending.borrow_mut() {
            Some(pending) if pending.records == records.as_ptr() => {
                // libdtrace 2.0.7 goes round in a circle over a pcap() of nothing.
                if pending.reached.is_some_and(|reached| index <= reached) {
                    return Err(Misdelivered::new("a record that has been there before"));
                }
                pending.reached = Some(index);
            }
            _ => return Err(Misdelivered::new("a record without its firing")),
        }
        let rest = &records[index..];
        let action = Action::from_number(records[index].dtrd_action);
        let prints = action != Action::Exit && (self.text || is_performed(action));
        if action == Action::Printa && self.printed {
            // SAFETY: as of this function.
            unsafe { self.send_printed(rest) };
        }
        let answer = match action {
            // libdtrace would print the status as if it were data.
            Action::Exit => DTRACE_CONSUME_NEXT,
            // These are the consumer's to carry out: it has the output that they are about.
            Action::System | Action::Freopen if platform::FORMATS => {
                // SAFETY: as of this function.
                unsafe { self.format(d, rest) };
                DTRACE_CONSUME_NEXT
            }
            // What this does, libdtrace does while it formats it.
            Action::Pcap | Action::System | Action::Freopen => DTRACE_CONSUME_THIS,
            _ if self.text => DTRACE_CONSUME_THIS,
            _ => DTRACE_CONSUME_NEXT,
        };
        if let (true, Some(pending)) = (prints, &mut *self.pending.borrow_mut()) {
            pending.record = u32::try_from(index).ok();
        }
        Ok(answer)
    }

    /// Prints what the printf-like record says with which `rest`, the rest of its firing's, begins.
    ///
    /// # Safety
    /// `d` is what libdtrace passed to the record callback that is running, and the records are its.
    unsafe fn format(&self, d: &Firing, rest: &[dtrace_recdesc_t]) {
        let Some(format) = rest.first().and_then(platform::format_data) else { return };
        let pending = self.pending.borrow();
        let Some(pending) = &*pending else { return };
        let end = rest.last().map_or(0, |r| r.dtrd_offset as usize + r.dtrd_size as usize);
        // SAFETY: the format is that of the record, and the data begin where they did in `chew`, which
        // has seen that they do not end before the last record.
        unsafe {
            (self.handle.api.dtrace_fprintf)(
                self.handle.raw,
                self.output.file().cast(),
                format,
                ptr::from_ref(d).cast(),
                rest.as_ptr(),
                std::ffi::c_uint::try_from(rest.len()).unwrap_or(0),
                pending.data.cast::<c_void>(),
                end,
            );
        }
    }

    /// Sends the entries of the aggregations that a `printa()` is about to print, with whose first
    /// record `rest` begins; each aggregation's once in a firing.
    ///
    /// # Safety
    /// The records are those of the firing whose record callback is running.
    unsafe fn send_printed(&self, rest: &[dtrace_recdesc_t]) {
        let Some(first) = rest.first() else { return };
        let of_this_call = rest.iter().take_while(|r| {
            Action::from_number(r.dtrd_action) == Action::Printa && r.dtrd_arg == first.dtrd_arg
        });
        for record in of_this_call {
            {
                let mut pending = self.pending.borrow_mut();
                let Some(pending) = &mut *pending else { return };
                // SAFETY: as of this function, the firing has not ended.
                let data = unsafe { pending.data() };
                let place = data.get(record.dtrd_offset as usize..);
                let Some(variable) = place.and_then(platform::variable_of) else { return };
                if pending.printed.contains(&variable) {
                    continue;
                }
                pending.printed.push(variable);
            }
            let variable = self.pending.borrow().as_ref().and_then(|p| p.printed.last().copied());
            aggregations::send_printed(self, variable);
        }
    }

    /// Notes where the text of the record that was formatted last ends.
    fn mark_text(&self) {
        let mut pending = self.pending.borrow_mut();
        let Some(record) = pending.as_mut().and_then(|p| p.record.take()) else { return };
        let end = u32::try_from(self.output.position()).unwrap_or(u32::MAX);
        let mut ends = self.text_ends.borrow_mut();
        ends.extend_from_slice(&record.to_le_bytes());
        ends.extend_from_slice(&end.to_le_bytes());
    }

    /// Sends the firing whose records have been formatted.
    ///
    /// # Safety
    /// The firing's data must still be where they were in `chew`: true until the record callback for
    /// its end has returned.
    unsafe fn finish(&self) -> Result<(), Misdelivered> {
        let Some(pending) = self.pending.take() else {
            return Err(Misdelivered::new("the end of a firing that has not begun"));
        };
        if pending.wanted {
            self.encoder.borrow_mut().firing(&FiringFrame {
                probe: pending.probe,
                clause: pending.clause,
                cpu: pending.cpu,
                flow: flow_frame(&pending.flow),
                // SAFETY: as the caller promises.
                data: unsafe { pending.data() },
                text: self.output.text(self.output.position()),
                text_ends: &self.text_ends.borrow(),
            });
        }
        Ok(())
    }
}

fn flow_frame(flow: &Option<(u8, i32, String)>) -> Option<FlowFrame<'_>> {
    flow.as_ref().map(|(kind, indent, prefix)| FlowFrame {
        kind: *kind,
        indent: *indent,
        prefix: prefix.as_bytes(),
    })
}

/// A CPU's number without its sign, which only some platforms give it.
fn cpu_number(cpu: processorid_t) -> u32 {
    u32::from_ne_bytes(cpu.to_ne_bytes())
}

/// How many CPUs the system may have; libdtrace's lists by CPU are as long.
pub(super) fn possible_cpus() -> usize {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(0, |last| last + 1)
}

/// A record as the stream describes it.
pub(super) fn describe(handle: Handle, r: &dtrace_recdesc_t) -> RecordDescription {
    let action = Action::from_number(r.dtrd_action);
    let has_format =
        matches!(action, Action::Printf | Action::Printa | Action::System | Action::Freopen);
    RecordDescription {
        action,
        offset: r.dtrd_offset,
        size: r.dtrd_size,
        alignment: r.dtrd_alignment,
        // Of printa() this is an address in this process, which is nobody's business.
        argument: if action == Action::Printa { 0 } else { r.dtrd_arg },
        // SAFETY: the record is the handle's, and its action has a format.
        format: has_format.then(|| unsafe { platform::format_of(handle, r) }).flatten(),
    }
}

/// The symbol at an address, in libdtrace's words: `module`function+0x1f`.
pub(super) fn resolve(handle: Handle, pid: u32, address: u64) -> String {
    let mut buffer = [0u8; 1024];
    let length = buffer.len() as c_int;
    // SAFETY: the handle is open, and the buffer is as long as said.
    unsafe {
        let start = buffer.as_mut_ptr().cast();
        if pid == 0 {
            (handle.api.dtrace_addr2str)(handle.raw, address, start, length);
        } else {
            let pid = libc::pid_t::try_from(pid).unwrap_or(-1);
            (handle.api.dtrace_uaddr2str)(handle.raw, pid, address, start, length);
        }
    }
    let end = buffer.iter().position(|b| *b == 0).unwrap_or(buffer.len());
    String::from_utf8_lossy(&buffer[..end]).into_owned()
}

/// Runs a callback's body, which `call` has led to; what cannot be and a panic become an end of the
/// session.
pub(super) fn guarded<T>(
    arg: *mut c_void,
    call: &str,
    otherwise: T,
    body: impl FnOnce(&Context) -> Result<T, Misdelivered>,
) -> T {
    // SAFETY: every callback is registered with a pointer to a context that lives for ever and is only
    // shared while libdtrace runs, which calls back on the thread that called it.
    let Some(context) = (unsafe { arg.cast::<Context>().as_ref() }) else { return otherwise };
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
            context.failed.set(true);
            if let Ok(mut encoder) = context.encoder.try_borrow_mut() {
                encoder.panicked();
            }
            otherwise
        }
    }
}

pub(super) unsafe extern "C" fn chew(d: *const dtrace_probedata_t, arg: *mut c_void) -> c_int {
    // SAFETY: libdtrace passes valid data for the duration of the call.
    guarded(arg, "dtrace_work", DTRACE_CONSUME_ABORT, |context| unsafe {
        context.chew(reference(d.cast::<Firing>(), "a firing")?)
    })
}

pub(super) unsafe extern "C" fn chewrec(
    d: *const dtrace_probedata_t,
    r: *const dtrace_recdesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: libdtrace passes valid data for the duration of the call.
    guarded(arg, "dtrace_work", DTRACE_CONSUME_ABORT, |context| unsafe {
        context.chewrec(reference(d.cast::<Firing>(), "a firing")?, r)
    })
}

pub(super) unsafe extern "C" fn fault(e: *const dtrace_errdata_t, arg: *mut c_void) -> c_int {
    guarded(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and what they point to are valid for the duration of the call. The
        // description is null for errors of the library itself.
        let fault = unsafe {
            let e = reference(e, "a fault")?;
            let probe = if e.dteda_pdesc.is_null() {
                None
            } else {
                let description = reference(e.dteda_pdesc.cast_const(), "a probe")?;
                Some(platform::name_of(description))
            };
            Fault {
                probe,
                cpu: cpu_number(e.dteda_cpu),
                kind: owned((context.handle.api.dtrace_faultstr)(
                    context.handle.raw,
                    e.dteda_fault,
                )),
                code: e.dteda_fault,
                address: e.dteda_addr,
                action: e.dteda_action,
                offset: e.dteda_offset,
                message: owned(e.dteda_msg).trim_end().to_owned(),
            }
        };
        context.encoder.borrow_mut().fault(fault);
        Ok(DTRACE_HANDLE_OK)
    })
}

pub(super) unsafe extern "C" fn drop(d: *const dtrace_dropdata_t, arg: *mut c_void) -> c_int {
    /// Stands for no particular CPU.
    const NO_CPU: u32 = u32::MAX;
    guarded(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and their message are valid for the duration of the call.
        let report = unsafe {
            let d = reference(d, "a report of drops")?;
            DropReport {
                kind: DropKind::from_number(d.dtdda_kind),
                cpu: Some(cpu_number(d.dtdda_cpu)).filter(|cpu| *cpu != NO_CPU),
                drops: d.dtdda_drops,
                total: d.dtdda_total,
                message: owned(d.dtdda_msg).trim_end().to_owned(),
            }
        };
        context.encoder.borrow_mut().dropped(report);
        Ok(DTRACE_HANDLE_OK)
    })
}

pub(super) unsafe extern "C" fn option(o: *const dtrace_setoptdata_t, arg: *mut c_void) -> c_int {
    guarded(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and the option's name are valid for the duration of the call.
        let change = unsafe {
            let o = reference(o, "a change of an option")?;
            OptionChange {
                name: owned(o.dtsda_option),
                old: option_value(o.dtsda_oldval),
                new: option_value(o.dtsda_newval),
            }
        };
        context.encoder.borrow_mut().option(change);
        Ok(DTRACE_HANDLE_OK)
    })
}

/// An option's value, if it has one, without its sign, which only some platforms give it.
pub(super) fn option_value(value: dtrace_optval_t) -> Option<u64> {
    (value != DTRACEOPT_UNSET).then(|| u64::from_ne_bytes(value.to_ne_bytes()))
}

/// News about a process that libdtrace controls.
pub(super) fn process_event(context: &Context, pid: i32, gone: bool, message: Option<String>) {
    context.encoder.borrow_mut().process(ProcessEvent { pid, gone, message });
}

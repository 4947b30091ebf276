//! libdtrace's callbacks: from C structures to the encoder.
//!
//! Each `extern "C"` function finds its [`Context`] and goes on in safe hands; a panic is caught
//! there, and the session ends with it.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use dtrace_sys::abi::*;

use super::libdtrace::{Handle, owned};
use super::memstream::Memstream;
use crate::description::{OptionChange, ProcessEvent};
use crate::loss::{DropKind, DropReport, Fault};
use crate::probe::Probe;
use crate::record::{Action, RecordDescription};
use crate::stream::frame::{AggregationFrame, EntryFrame, FiringFrame, FlowFrame, Frame};
use crate::worker::encoder::{Encoder, is_performed};

/// What the callbacks work with.
pub(super) struct Context {
    handle: Handle,
    pub(super) encoder: Encoder,
    /// libdtrace must always have a stream to print to.
    output: Memstream,
    /// Whether its formatting is wanted.
    text: bool,
    /// Whether the entries that each `printa()` prints are wanted.
    printed: bool,
    pub(super) cpus: usize,
    pending: Option<Pending>,
    text_ends: Vec<u8>,
}

/// A firing whose records libdtrace is formatting.
struct Pending {
    /// Whether it is to be sent.
    wanted: bool,
    probe: u32,
    clause: u32,
    cpu: u32,
    flow: Option<(u8, i32, String)>,
    data: *const u8,
    length: usize,
    /// The record being formatted.
    record: Option<u32>,
    /// Aggregations whose entries have been sent.
    printed: Vec<dtrace_aggid_t>,
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
            encoder,
            output: Memstream::open()?,
            text,
            printed,
            cpus: possible_cpus(),
            pending: None,
            text_ends: Vec::new(),
        })
    }

    pub(super) fn output(&self) -> &Memstream {
        &self.output
    }

    /// A firing has been reached: its records follow, unless the answer is NEXT.
    ///
    /// # Safety
    /// `d` is what libdtrace passed to the probe callback that is running.
    unsafe fn chew(&mut self, d: &dtrace_probedata_t) -> c_int {
        // SAFETY: during the callback both descriptions are valid, and the records are an array of
        // `dtdd_nrecs`.
        let (records, probe) = unsafe {
            let datadesc = &*d.dtpda_ddesc;
            (slice(datadesc.dtdd_recs, datadesc.dtdd_nrecs), &*d.dtpda_pdesc)
        };
        let handle = self.handle;
        let clause = self.encoder.clause(d.dtpda_stid, d.dtpda_ddesc.addr(), || {
            records.iter().map(|r| describe(handle, r)).collect()
        });
        // SAFETY: libdtrace's data of a firing extend to the end of the last of its records.
        let data: &[u8] = unsafe { slice(d.dtpda_data.cast::<u8>().cast_const(), clause.length) };
        if let Some(status) = clause.exit_status(data) {
            self.encoder.exit(status);
        }
        let wanted = clause.asks || self.encoder.wants_firings();
        if wanted {
            // SAFETY: the names of a probe description are C strings or null.
            self.encoder.probe(probe.id, || unsafe { name_of(probe) });
            clause.addresses(data, |pid, address| {
                self.encoder.symbol(pid, address, || resolve(handle, pid, address));
            });
        }
        let formatted = self.text && clause.prints;
        // The prefix is there if flow indentation is on.
        let flow = (!d.dtpda_prefix.is_null()).then(|| {
            // SAFETY: the prefix is a C string that lives as long as the library.
            let prefix = unsafe { owned(d.dtpda_prefix) };
            (u8::try_from(d.dtpda_flow).unwrap_or(2), d.dtpda_indent, prefix)
        });
        if clause.pure && !formatted {
            if wanted {
                self.encoder.firing(&FiringFrame {
                    probe: probe.id,
                    clause: clause.key,
                    cpu: d.dtpda_cpu,
                    flow: flow_frame(&flow),
                    data,
                    text: &[],
                    text_ends: &[],
                });
            }
            return DTRACE_CONSUME_NEXT;
        }
        self.output.rewind();
        self.text_ends.clear();
        self.pending = Some(Pending {
            wanted,
            probe: probe.id,
            clause: clause.key,
            cpu: d.dtpda_cpu,
            flow,
            data: data.as_ptr(),
            length: data.len(),
            record: None,
            printed: Vec::new(),
        });
        DTRACE_CONSUME_THIS
    }

    /// Record `r` of the firing is to be formatted, or the firing is complete.
    ///
    /// # Safety
    /// `d` and `r` are what libdtrace passed to the record callback that is running.
    unsafe fn chewrec(&mut self, d: &dtrace_probedata_t, r: *const dtrace_recdesc_t) -> c_int {
        self.mark_text();
        if r.is_null() {
            // SAFETY: as of `finish`: this is the call that ends the firing.
            unsafe { self.finish() };
            return DTRACE_CONSUME_NEXT;
        }
        // SAFETY: `r` is one of the records of the firing's description.
        let (action, index) = unsafe {
            let first = (*d.dtpda_ddesc).dtdd_recs.cast_const();
            (action_of((*r).dtrd_action), r.offset_from(first))
        };
        let prints = action != Action::Exit && (self.text || is_performed(action));
        if action == Action::Printa && self.printed {
            // SAFETY: as of this function.
            unsafe { self.send_printed(d, r) };
        }
        let answer = match action {
            // libdtrace would print the status as if it were data.
            Action::Exit => DTRACE_CONSUME_NEXT,
            // These are the consumer's to carry out: it has the output that they are about.
            Action::System | Action::Freopen => {
                // SAFETY: as of this function.
                unsafe { self.format(d, r) };
                DTRACE_CONSUME_NEXT
            }
            // What this does, libdtrace does while it formats it.
            Action::Pcap => DTRACE_CONSUME_THIS,
            _ if self.text => DTRACE_CONSUME_THIS,
            _ => DTRACE_CONSUME_NEXT,
        };
        if let (true, Some(pending)) = (prints, &mut self.pending) {
            pending.record = u32::try_from(index).ok();
        }
        answer
    }

    /// Prints what a printf-like record says, whose first record is `r`.
    ///
    /// # Safety
    /// `d` and `r` are what libdtrace passed to the record callback that is running.
    unsafe fn format(&mut self, d: &dtrace_probedata_t, r: *const dtrace_recdesc_t) {
        // SAFETY: `r` is one of the records of the firing's description, and the data begin at
        // `dtpda_data` less the record's own offset and end with the last record.
        unsafe {
            if (*r).dtrd_format.is_null() {
                return;
            }
            let records = slice((*d.dtpda_ddesc).dtdd_recs, (*d.dtpda_ddesc).dtdd_nrecs);
            let index = usize::try_from(r.offset_from(records.as_ptr())).unwrap_or(records.len());
            let rest = records.get(index..).unwrap_or_default();
            let Some(pending) = &self.pending else { return };
            let end = rest.last().map_or(0, |r| r.dtrd_offset as usize + r.dtrd_size as usize);
            (self.handle.api.dtrace_fprintf)(
                self.handle.raw,
                self.output.file().cast(),
                (*r).dtrd_format,
                d,
                r,
                std::ffi::c_uint::try_from(rest.len()).unwrap_or(0),
                pending.data.cast::<c_void>(),
                end,
            );
        }
    }

    /// Sends the entries of the aggregations that a `printa()` is about to print, whose first record
    /// is `r`; each aggregation's once in a firing.
    ///
    /// # Safety
    /// `d` and `r` are what libdtrace passed to the record callback that is running.
    unsafe fn send_printed(&mut self, d: &dtrace_probedata_t, r: *const dtrace_recdesc_t) {
        let Some(pending) = &mut self.pending else { return };
        // SAFETY: `r` is one of the records of the firing's description, and the firing's data are
        // where and as long as they were in `chew`.
        let (records, data, call) = unsafe {
            let all = slice((*d.dtpda_ddesc).dtdd_recs, (*d.dtpda_ddesc).dtdd_nrecs);
            let index = usize::try_from(r.offset_from(all.as_ptr())).unwrap_or(all.len());
            let data: &[u8] = slice(pending.data, pending.length);
            (all.get(index..).unwrap_or_default(), data, (*r).dtrd_arg)
        };
        let of_this_call = records
            .iter()
            .take_while(|r| action_of(r.dtrd_action) == Action::Printa && r.dtrd_arg == call);
        for record in of_this_call {
            let variable = data.get(record.dtrd_offset as usize..).and_then(|b| b.first_chunk());
            let Some(variable) = variable.map(|b| dtrace_aggid_t::from_ne_bytes(*b)) else {
                return;
            };
            if pending.printed.contains(&variable) {
                continue;
            }
            pending.printed.push(variable);
            self.encoder.send(&Frame::PrintaBegin);
            let mut walk = Walk {
                handle: self.handle,
                encoder: &mut self.encoder,
                cpus: self.cpus,
                only: Some(variable),
                remove: false,
            };
            // SAFETY: libdtrace reads and walks aggregations for printa() at this point, too; the
            // callback gets the walk, which outlives the call. That one fails shows in the entries'
            // absence.
            unsafe {
                (self.handle.api.dtrace_aggregate_snap)(self.handle.raw);
                (self.handle.api.dtrace_aggregate_walk_valsorted)(
                    self.handle.raw,
                    Some(entry),
                    (&raw mut walk).cast::<c_void>(),
                );
            }
            self.encoder.send(&Frame::SnapshotEnd);
        }
    }

    /// Notes where the text of the record that was formatted last ends.
    fn mark_text(&mut self) {
        let Some(record) = self.pending.as_mut().and_then(|p| p.record.take()) else { return };
        let end = u32::try_from(self.output.position()).unwrap_or(u32::MAX);
        self.text_ends.extend_from_slice(&record.to_le_bytes());
        self.text_ends.extend_from_slice(&end.to_le_bytes());
    }

    /// Sends the firing whose records have been formatted.
    ///
    /// # Safety
    /// The firing's data must still be where they were in `chew`: true until the record callback for
    /// its end has returned.
    unsafe fn finish(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        if !pending.wanted {
            return;
        }
        // SAFETY: the caller vouches for the data; the length is that of `chew`.
        let data = unsafe { slice(pending.data, pending.length) };
        let text = self.output.text(self.output.position());
        self.encoder.firing(&FiringFrame {
            probe: pending.probe,
            clause: pending.clause,
            cpu: pending.cpu,
            flow: flow_frame(&pending.flow),
            data,
            text,
            text_ends: &self.text_ends,
        });
    }
}

/// What a walk over aggregations works with.
pub(super) struct Walk<'e> {
    pub(super) handle: Handle,
    pub(super) encoder: &'e mut Encoder,
    /// How many CPUs there may be.
    pub(super) cpus: usize,
    /// Only this variable's entries are wanted.
    pub(super) only: Option<dtrace_aggid_t>,
    /// Whether entries are removed when they have been sent.
    pub(super) remove: bool,
}

impl Walk<'_> {
    /// # Safety
    /// `a` is what libdtrace passed to the walk's callback that is running.
    unsafe fn entry(&mut self, a: &dtrace_aggdata_t) {
        // SAFETY: the description and its record lists are valid during the callback. The data have
        // two records: the clear generation and the value.
        let (desc, keys, values) = unsafe {
            let desc = &*a.dtada_desc;
            let count = i32::try_from(desc.dtagd_nkrecs).unwrap_or(0);
            (desc, slice(desc.dtagd_krecs, count), slice(desc.dtagd_drecs, 2))
        };
        // SAFETY: keys and data are as long as the description says.
        let (key_bytes, data) = unsafe {
            (
                slice(a.dtada_key.cast::<u8>().cast_const(), desc.dtagd_ksize),
                slice(a.dtada_data.cast::<u8>().cast_const(), desc.dtagd_dsize),
            )
        };
        let [_, value] = values else { return };
        let start = value.dtrd_offset as usize;
        let (Some(value_bytes), Some(generation)) =
            (data.get(start..start + value.dtrd_size as usize), data.first_chunk())
        else {
            return;
        };
        if self.only.is_some_and(|only| only != desc.dtagd_varid) {
            return;
        }
        let handle = self.handle;
        let mut per_cpu = Vec::new();
        if !a.dtada_percpu.is_null() {
            for cpu in 0..self.cpus {
                // SAFETY: the list has a place for each possible CPU; what is there is null or as long
                // as the data.
                let data = unsafe {
                    slice((*a.dtada_percpu.add(cpu)).cast::<u8>().cast_const(), desc.dtagd_dsize)
                };
                match data.get(start..start + value_bytes.len()) {
                    Some(bytes) => per_cpu.extend_from_slice(bytes),
                    None => per_cpu.resize(per_cpu.len() + value_bytes.len(), 0),
                }
            }
        }
        let key = self.encoder.aggregation(desc.dtagd_varid, desc.dtagd_normal, |key| {
            AggregationFrame {
                key,
                variable: u64::from(desc.dtagd_varid),
                // SAFETY: the name is a C string of the description.
                name: unsafe { owned(desc.dtagd_name) },
                function: function_number(value.dtrd_action),
                signature: desc.dtagd_sig,
                normal: desc.dtagd_normal,
                // The first key is the variable's own number.
                keys: keys.iter().skip(1).map(|r| describe(handle, r)).collect(),
            }
        });
        self.encoder.key_addresses(key, key_bytes, |pid, address| resolve(handle, pid, address));
        self.encoder.entry(&EntryFrame {
            aggregation: key,
            generation: u64::from_ne_bytes(*generation),
            keys: key_bytes,
            value: value_bytes,
            per_cpu: &per_cpu,
        });
    }
}

fn flow_frame(flow: &Option<(u8, i32, String)>) -> Option<FlowFrame<'_>> {
    flow.as_ref().map(|(kind, indent, prefix)| FlowFrame {
        kind: *kind,
        indent: *indent,
        prefix: prefix.as_bytes(),
    })
}

/// A C array as a slice; empty where C says null or a length that is none.
///
/// # Safety
/// `start` is null, or points to `length` initialised values that stay and are not written to for `'a`.
pub(super) unsafe fn slice<'a, T>(start: *const T, length: impl TryInto<usize>) -> &'a [T] {
    let length = length.try_into().unwrap_or(0);
    if start.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: as the caller promises.
    unsafe { std::slice::from_raw_parts(start, length) }
}

/// # Safety
/// The names are C strings or null.
pub(super) unsafe fn name_of(probe: &dtrace_probedesc_t) -> Probe {
    // SAFETY: as the caller promises.
    unsafe {
        Probe {
            id: probe.id,
            provider: owned(probe.prv),
            module: owned(probe.r#mod),
            function: owned(probe.fun),
            name: owned(probe.prb),
        }
    }
}

fn action_of(number: u16) -> Action {
    Action::from_number(number)
}

/// How many CPUs the system may have; libdtrace's lists by CPU are as long.
fn possible_cpus() -> usize {
    let possible = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<usize>().ok());
    last.map_or(0, |last| last + 1)
}

/// The stream's number of an aggregating function.
fn function_number(action: u16) -> u16 {
    match action {
        DTRACEAGG_COUNT => 1,
        DTRACEAGG_SUM => 2,
        DTRACEAGG_MIN => 3,
        DTRACEAGG_MAX => 4,
        DTRACEAGG_AVG => 5,
        DTRACEAGG_STDDEV => 6,
        DTRACEAGG_QUANTIZE => 7,
        DTRACEAGG_LQUANTIZE => 8,
        DTRACEAGG_LLQUANTIZE => 9,
        other => other,
    }
}

fn describe(handle: Handle, r: &dtrace_recdesc_t) -> RecordDescription {
    let action = action_of(r.dtrd_action);
    let has_format =
        matches!(action, Action::Printf | Action::Printa | Action::System | Action::Freopen);
    RecordDescription {
        action,
        offset: r.dtrd_offset,
        size: r.dtrd_size,
        alignment: r.dtrd_alignment,
        // Of printa() this is an address in this process, which is nobody's business.
        argument: if action == Action::Printa { 0 } else { r.dtrd_arg },
        format: (has_format && !r.dtrd_format.is_null()).then(|| format_of(handle, r)),
    }
}

/// The text of a compiled format.
fn format_of(handle: Handle, r: &dtrace_recdesc_t) -> String {
    let mut buffer = vec![0u8; 256];
    loop {
        // SAFETY: the handle is open, the format is that of a record with a printf-like action, and
        // the buffer is as long as said; like snprintf, the function returns the whole length.
        let whole = unsafe {
            (handle.api.dtrace_printf_format)(
                handle.raw,
                r.dtrd_format,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        } as usize;
        if whole < buffer.len() {
            buffer.truncate(buffer.iter().position(|b| *b == 0).unwrap_or(0));
            return String::from_utf8_lossy(&buffer).into_owned();
        }
        if whole > 1 << 20 {
            return String::new();
        }
        buffer = vec![0; whole + 1];
    }
}

/// The symbol at an address, in libdtrace's words: `module`function+0x1f`.
fn resolve(handle: Handle, pid: u32, address: u64) -> String {
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

/// Runs a callback's body, with a panic turned into an end of the session.
fn guarded<T>(arg: *mut c_void, otherwise: T, body: impl FnOnce(&mut Context) -> T) -> T {
    // SAFETY: every callback is registered with a pointer to a context that lives for ever, and
    // libdtrace calls back on the thread that called it, one callback at a time.
    let context = unsafe { &mut *arg.cast::<Context>() };
    let caught = catch_unwind(AssertUnwindSafe(|| body(context)));
    caught.unwrap_or_else(|_| {
        context.encoder.panicked();
        otherwise
    })
}

pub(super) unsafe extern "C" fn chew(d: *const dtrace_probedata_t, arg: *mut c_void) -> c_int {
    // SAFETY: libdtrace passes valid data for the duration of the call.
    guarded(arg, DTRACE_CONSUME_ABORT, |context| unsafe { context.chew(&*d) })
}

pub(super) unsafe extern "C" fn chewrec(
    d: *const dtrace_probedata_t,
    r: *const dtrace_recdesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: libdtrace passes valid data for the duration of the call.
    guarded(arg, DTRACE_CONSUME_ABORT, |context| unsafe { context.chewrec(&*d, r) })
}

pub(super) unsafe extern "C" fn entry(a: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int {
    // SAFETY: the walk is started with a pointer to one, which nobody else uses until it ends.
    let walk = unsafe { &mut *arg.cast::<Walk<'_>>() };
    // SAFETY: libdtrace passes valid data for the duration of the call.
    match catch_unwind(AssertUnwindSafe(|| unsafe { walk.entry(&*a) })) {
        Ok(()) if walk.remove => DTRACE_AGGWALK_REMOVE,
        Ok(()) => DTRACE_AGGWALK_NEXT,
        Err(_) => {
            walk.encoder.panicked();
            DTRACE_AGGWALK_ABORT
        }
    }
}

pub(super) unsafe extern "C" fn fault(e: *const dtrace_errdata_t, arg: *mut c_void) -> c_int {
    guarded(arg, DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and what they point to are valid for the duration of the call. The
        // description is null for errors of the library itself.
        let fault = unsafe {
            let e = &*e;
            Fault {
                probe: e.dteda_pdesc.as_ref().map(|probe| name_of(probe)),
                cpu: e.dteda_cpu,
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
        context.encoder.fault(fault);
        DTRACE_HANDLE_OK
    })
}

pub(super) unsafe extern "C" fn drop(d: *const dtrace_dropdata_t, arg: *mut c_void) -> c_int {
    guarded(arg, DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and their message are valid for the duration of the call.
        let report = unsafe {
            let d = &*d;
            DropReport {
                kind: DropKind::from_number(d.dtdda_kind),
                cpu: (d.dtdda_cpu != DTRACE_CPUALL.cast_unsigned()).then_some(d.dtdda_cpu),
                drops: d.dtdda_drops,
                total: d.dtdda_total,
                message: owned(d.dtdda_msg).trim_end().to_owned(),
            }
        };
        context.encoder.dropped(report);
        DTRACE_HANDLE_OK
    })
}

pub(super) unsafe extern "C" fn option(o: *const dtrace_setoptdata_t, arg: *mut c_void) -> c_int {
    guarded(arg, DTRACE_HANDLE_ABORT, |context| {
        let set = |value: dtrace_optval_t| (value != DTRACEOPT_UNSET).then_some(value);
        // SAFETY: the data and the option's name are valid for the duration of the call.
        let change = unsafe {
            let o = &*o;
            OptionChange {
                name: owned(o.dtsda_option),
                old: set(o.dtsda_oldval),
                new: set(o.dtsda_newval),
            }
        };
        context.encoder.option(change);
        DTRACE_HANDLE_OK
    })
}

pub(super) unsafe extern "C" fn process(
    pid: pid_t,
    err: *const std::ffi::c_char,
    arg: *mut c_void,
) {
    guarded(arg, (), |context| {
        // SAFETY: the message is null or a C string for the duration of the call.
        let message = unsafe { (!err.is_null()).then(|| owned(err)) };
        context.encoder.process(ProcessEvent { pid: pid.wrapping_abs(), gone: pid < 0, message });
    });
}

//! How does a firing get from libdtrace's callbacks to the sink?

use std::ffi::{c_int, c_void};
use std::ptr;
use std::rc::Rc;

use dtrace_sys::abi::*;

use super::aggregations;
use super::clause::{Clause, is_performed};
use super::context::{self, Context, Pending};
use super::delivered::{Misdelivered, bytes, owned, position, reference, within};
use super::describe::{describe, format_of};
use super::platform::{self, Firing};
use super::printed::Printed;
use super::sink::Sink;
use crate::data::record::Action;
use crate::stream::frame::Frame;
use crate::stream::payload::FiringFrame;

impl<S: Sink> Context<S> {
    /// Handles the start of a firing. Its records follow, unless this returns NEXT.
    ///
    /// # Safety
    /// `d` is the argument of the probe callback that is running.
    pub(super) unsafe fn chew(&self, d: &Firing) -> Result<c_int, Misdelivered> {
        if self.forget_unfinished() {
            return Err(Misdelivered::new("nested firing"));
        }
        // SAFETY: `d` is valid during the callback; see `# Safety`.
        let ((statement, records), probe, size) = unsafe {
            let records = platform::records(d)?;
            let probe = reference(d.dtpda_pdesc.cast_const(), "a description of a probe")?;
            (records, probe, platform::extent(d)?)
        };
        within(records, size)?;
        let clause = self.clause(statement, records);
        if clause.length > size {
            return Err(Misdelivered::new("the records of a clause have changed"));
        }
        // SAFETY: the library gives `size`, which is not less, as the length of the data.
        let data = unsafe { bytes(d.dtpda_data, clause.length, "a firing")? };
        self.clears.note(self.handle, self.cpus.get(), (records, data));
        if let Some(status) = clause.exit_status(data) {
            self.send(&Frame::Exit(status));
        }
        let wanted = clause.asks || self.wanted.firings;
        if wanted {
            // SAFETY: the names of a probe that libdtrace passes are C strings or null.
            unsafe { self.describe_probe(probe) };
            clause.addresses(data, |pid, address| self.send_symbol(pid, address));
        }
        // SAFETY: the caller guarantees it; see `# Safety`.
        let flow = unsafe { flow_of(d) };
        let (probe, cpu) = (platform::number_of(probe), platform::cpu_number(d.dtpda_cpu));
        let prints = self.wanted.text && clause.prints;
        if clause.pure && (!prints || clause.printer.is_some()) {
            if wanted {
                let (mut text, mut text_ends) =
                    (self.text.borrow_mut(), self.text_ends.borrow_mut());
                text.clear();
                text_ends.clear();
                if let Some(printer) = clause.printer.as_ref().filter(|_| prints) {
                    printer.print(data, &mut text, &mut text_ends);
                }
                let frame = FiringFrame {
                    probe,
                    clause: clause.key,
                    cpu,
                    flow: flow.as_ref().map(context::flow_frame),
                    data: &[],
                    text: &text,
                    text_ends: &text_ends,
                };
                self.send_firing(&frame, &clause, data);
            }
            return Ok(DTRACE_CONSUME_NEXT);
        }
        if clause.pure {
            self.output.begin();
        } else {
            self.output.rewind();
        }
        self.text_ends.borrow_mut().clear();
        self.pending.replace(Some(Pending {
            wanted,
            probe,
            clause,
            cpu,
            flow,
            records: records.as_ptr(),
            data: data.as_ptr(),
            length: data.len(),
            record: None,
            reached: None,
            printa: None,
            printed: Vec::new(),
        }));
        Ok(DTRACE_CONSUME_THIS)
    }

    /// Returns the clause of a statement. Describes it if it is new.
    fn clause(&self, statement: u32, records: &[dtrace_recdesc_t]) -> Rc<Clause> {
        let records_at = records.as_ptr().addr();
        if let Some(known) = self.told.borrow_mut().known_clause(statement, records_at) {
            return Rc::clone(known);
        }
        let describe = |index| describe(self.handle, &self.statements, records, index);
        let are_records = (0..records.len()).filter(|index| platform::is_record(&records[*index]));
        let described = are_records.map(describe).collect();
        let (clause, frame) = self.told.borrow_mut().new_clause(statement, records_at, described);
        self.send(&frame);
        clause
    }

    /// Describes a probe if it is new.
    ///
    /// # Safety
    /// The names of the description are C strings or null.
    unsafe fn describe_probe(&self, probe: &dtrace_probedesc_t) {
        if self.told.borrow_mut().is_new_probe(platform::number_of(probe)) {
            // SAFETY: the caller guarantees it; see `# Safety`.
            self.send(&Frame::Probe(unsafe { platform::name_of(probe) }));
        }
    }

    /// Handles record `r` of a firing before libdtrace formats it, or the end of the firing.
    ///
    /// # Safety
    /// `d` and `r` are the arguments of the record callback that is running.
    pub(super) unsafe fn chewrec(
        &self,
        d: &Firing,
        r: *const dtrace_recdesc_t,
    ) -> Result<c_int, Misdelivered> {
        self.mark_text();
        if r.is_null() {
            // SAFETY: this is the call for the firing's end, so its data are still valid.
            unsafe { self.finish()? };
            return Ok(DTRACE_CONSUME_NEXT);
        }
        // SAFETY: `d` is valid during the callback; see `# Safety`.
        let (_, records) = unsafe { platform::records(d)? };
        let index = position(records, r)?;
        match &mut *self.pending.borrow_mut() {
            Some(pending) if pending.records == records.as_ptr() => {
                // libdtrace 2.0.7 loops forever over an empty pcap().
                if pending.reached.is_some_and(|reached| index <= reached) {
                    return Err(Misdelivered::new("a record was delivered twice"));
                }
                pending.reached = Some(index);
            }
            _ => return Err(Misdelivered::new("a record without a firing")),
        }
        if !platform::is_record(&records[index]) {
            return Ok(DTRACE_CONSUME_NEXT);
        }
        let rest = &records[index..];
        let action = platform::action_of(&records[index]);
        let prints = action != Action::Exit && (self.wanted.text || is_performed(action));
        if action == Action::Printa && self.wanted.printed {
            // SAFETY: the records are those of the running callback's firing.
            unsafe { self.send_printed(rest) };
        }
        let answer = match action {
            // libdtrace would print the status like data.
            Action::Exit => DTRACE_CONSUME_NEXT,
            // The consumer performs these, with its own privileges and where its output goes. libdtrace would perform
            // them in this process.
            Action::System | Action::Freopen => {
                // SAFETY: `d` and its records are those of the running callback.
                unsafe { self.format(d, records, index) };
                DTRACE_CONSUME_NEXT
            }
            // libdtrace performs this one while it formats it.
            Action::Pcap => DTRACE_CONSUME_THIS,
            _ if self.wanted.text => DTRACE_CONSUME_THIS,
            _ => DTRACE_CONSUME_NEXT,
        };
        if let (true, Some(pending)) = (prints, &mut *self.pending.borrow_mut()) {
            let before = records[..index].iter().filter(|it| platform::is_record(it)).count();
            pending.record = u32::try_from(before).ok();
            pending.printa = (action == Action::Printa).then(|| {
                // SAFETY: the firing has not ended, because its record callback is running.
                let data = unsafe { pending.data() };
                (self.output.length(), self.shown(rest, data))
            });
        }
        Ok(answer)
    }

    /// Formats the printf-like record at an index among those of its firing, unless it is an argument of the one before.
    ///
    /// # Safety
    /// `d` is the argument of the record callback that is running, and the records are those of its firing.
    unsafe fn format(&self, d: &Firing, records: &[dtrace_recdesc_t], index: usize) {
        let Some(format) = platform::format_data(&self.statements, records, index) else { return };
        let rest = &records[index..];
        let pending = self.pending.borrow();
        let Some(pending) = &*pending else { return };
        let end = rest.last().map_or(0, |r| r.dtrd_offset as usize + r.dtrd_size as usize);
        // SAFETY: the format is the record's, and the data start at the address that `chew` saw. `chew`
        // checked that they extend to the end of the last record.
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

    /// Sends the entries of the aggregations that a `printa()` is about to print. `rest` starts with its
    /// first record. Sends each aggregation once in a firing.
    ///
    /// # Safety
    /// The records are those of the firing whose record callback is running.
    unsafe fn send_printed(&self, rest: &[dtrace_recdesc_t]) {
        for record in of_printa(rest) {
            {
                let mut pending = self.pending.borrow_mut();
                let Some(pending) = &mut *pending else { return };
                // SAFETY: the firing has not ended, because its record callback is running.
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

    /// Returns what the `printa()` shows that `rest` starts with, in a firing with these data.
    fn shown(&self, rest: &[dtrace_recdesc_t], data: &[u8]) -> Printed {
        let variable = |record: &dtrace_recdesc_t| {
            data.get(record.dtrd_offset as usize..).and_then(platform::variable_of)
        };
        let format = format_of(self.handle, &self.statements, rest, 0);
        Printed::by_printa(of_printa(rest).filter_map(variable).collect(), format.as_deref())
    }

    /// Notes where the text of the last formatted record ends. In that of `printa()`, replaces addresses by the
    /// names that are known.
    fn mark_text(&self) {
        let marked = self.pending.borrow_mut().as_mut().and_then(|pending| {
            let printa = pending.printa.take();
            Some((pending.record.take()?, printa))
        });
        let Some((record, printa)) = marked else { return };
        if let Some((start, printed)) = printa
            && let Some(text) = self.output.text(self.output.length()).get(start..)
            && let Some(named) = aggregations::named(self, text, printed)
        {
            self.output.replace_from(start, &named);
        }
        FiringFrame::end_text(&mut self.text_ends.borrow_mut(), record, self.output.length());
    }

    /// Sends the firing whose records have been formatted.
    ///
    /// # Safety
    /// The firing's data must still be at the address that `chew` saw. They are until the record callback for
    /// the firing's end has returned.
    unsafe fn finish(&self) -> Result<(), Misdelivered> {
        let Some(firing) = self.pending.take() else {
            return Err(Misdelivered::new("the end of a firing that did not begin"));
        };
        if firing.wanted {
            // SAFETY: the caller guarantees it; see `# Safety`.
            let data = unsafe { firing.data() };
            let text_ends = self.text_ends.borrow();
            // Nothing is printed after the last record.
            let end = text_ends.last_chunk().map_or(0, |end| u32::from_le_bytes(*end));
            let text = self.output.text(end as usize);
            self.send_firing(&firing.frame(text, &text_ends), &firing.clause, data);
        }
        Ok(())
    }

    /// Sends a firing with its `data`, packed.
    fn send_firing(&self, frame: &FiringFrame<'_>, clause: &Clause, data: &[u8]) {
        if let Some(data) = clause.packing.whole().and_then(|place| data.get(place)) {
            return self.sink.borrow_mut().firing(&FiringFrame { data, ..*frame });
        }
        let mut packed = self.packed.borrow_mut();
        packed.clear();
        clause.packing.pack(data, &mut packed);
        self.sink.borrow_mut().firing(&FiringFrame { data: &packed, ..*frame });
    }
}

/// Returns the records of the `printa()` that `rest` starts with, one for each aggregation.
fn of_printa(rest: &[dtrace_recdesc_t]) -> impl Iterator<Item = &dtrace_recdesc_t> {
    rest.iter().take_while(|r| {
        platform::action_of(r) == Action::Printa && platform::is_one_printa(&rest[0], r)
    })
}

/// Returns the firing's position in the flow of functions, if flow indentation is on.
///
/// # Safety
/// `d` is the argument of the probe callback that is running.
unsafe fn flow_of(d: &Firing) -> Option<(u8, i32, String)> {
    // The prefix is null unless flow indentation is on.
    (!d.dtpda_prefix.is_null()).then(|| {
        // SAFETY: the prefix is a C string that lives as long as the library.
        let prefix = unsafe { owned(d.dtpda_prefix) };
        (u8::try_from(d.dtpda_flow).unwrap_or(2), d.dtpda_indent, prefix)
    })
}

//! What do `dtrace_work`, snapshots and walks of aggregations deliver?

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dtrace_sys::abi::*;

use super::state::{Arg, Handlers, STATE};
use super::{enter, state};
use crate::memory;
use crate::plan::{CARRIED_OUT, Entry, EntryOddity, Event, Firing, Oddity};

/// libdtrace's error number for a callback that ends the session.
const ABORTED: c_int = 1020;

/// The callbacks that receive a firing.
#[derive(Clone, Copy)]
struct Consumer {
    file: *mut FILE,
    chew: dtrace_consume_probe_f,
    chewrec: dtrace_consume_rec_f,
    arg: *mut c_void,
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_work(
    _: *mut dtrace_hdl_t,
    file: *mut FILE,
    chew: Option<dtrace_consume_probe_f>,
    chewrec: Option<dtrace_consume_rec_f>,
    arg: *mut c_void,
) -> dtrace_workstatus_t {
    enter!("dtrace_work", DTRACE_WORKSTATUS_ERROR);
    let (Some(chew), Some(chewrec)) = (chew, chewrec) else { std::process::abort() };
    let consumer = Consumer { file, chew, chewrec, arg };
    let is_stopped = state::STOPPED.load(Ordering::Relaxed);
    let (keeps_rates, is_time) = {
        let mut state = STATE.lock().expect("nobody panics");
        (state.plan.keeps_rates, state.rates.are_over())
    };
    if !keeps_rates {
        return consumer.next_round();
    }
    if !is_stopped {
        return if is_time { consumer.next_round() } else { DTRACE_WORKSTATUS_OKAY };
    }
    // Everything is in the buffers.
    loop {
        match consumer.next_round() {
            DTRACE_WORKSTATUS_OKAY => {}
            done_or_failed => return done_or_failed,
        }
    }
}

impl Consumer {
    /// Delivers the next round of the plan.
    fn next_round(self) -> dtrace_workstatus_t {
        let (round, handlers) = {
            let mut state = STATE.lock().expect("nobody panics");
            state.round += 1;
            (state.plan.rounds.get(state.round - 1).cloned(), state.handlers)
        };
        let Some(round) = round else { return DTRACE_WORKSTATUS_DONE };
        self.round(&round, handlers)
    }

    fn round(self, round: &[Event], handlers: Handlers) -> dtrace_workstatus_t {
        for event in round {
            let aborted = match event {
                Event::Interrupted => Err(libc::EINTR),
                Event::Pause(_) if state::STOPPED.load(Ordering::Relaxed) => {
                    return DTRACE_WORKSTATUS_DONE;
                }
                Event::Pause(milliseconds) => {
                    std::thread::sleep(Duration::from_millis(*milliseconds));
                    Ok(())
                }
                Event::Firing(firing) => self.firing(firing),
                other => self.other(other, handlers),
            };
            if let Err(error) = aborted {
                STATE.lock().expect("nobody panics").error = error;
                return DTRACE_WORKSTATUS_ERROR;
            }
        }
        STATE.lock().expect("nobody panics").complete += 1;
        DTRACE_WORKSTATUS_OKAY
    }

    fn probe(self, d: *const dtrace_probedata_t) -> c_int {
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        unsafe { (self.chew)(d, self.arg) }
    }

    fn record(self, d: *const dtrace_probedata_t, r: *const dtrace_recdesc_t) -> c_int {
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        unsafe { (self.chewrec)(d, r, self.arg) }
    }

    fn firing(self, firing: &Firing) -> Result<(), c_int> {
        let (d, records) = memory::firing(firing);
        let d = memory::shortened(&d, memory::FIRING);
        let odd = |oddity| firing.oddity == Some(oddity);
        match self.probe(d) {
            DTRACE_CONSUME_NEXT => return Ok(()),
            DTRACE_CONSUME_THIS => {}
            _ => return Err(ABORTED),
        }
        if odd(Oddity::Nested) {
            self.probe(d);
        }
        // SAFETY: a firing of every length has this pointer.
        let (data, start) = unsafe { (&raw mut (*d).dtpda_data, (*d).dtpda_data) };
        let mut index = 0;
        while index < firing.records.len() {
            let r = records.wrapping_add(index);
            // SAFETY: the consumer accepted the firing, so the list exists and has all of its records.
            let description = unsafe { &*r };
            if memory::is_for_library(description) {
                index += 1;
                continue;
            }
            // Like the real library: for a record, the data pointer points to that record.
            // SAFETY: only this function uses the firing.
            unsafe { *data = start.wrapping_add(description.dtrd_offset as usize) };
            let given: *const dtrace_recdesc_t = match firing.oddity {
                Some(Oddity::ForeignRecord) => memory::keep(*description),
                Some(Oddity::CrookedRecord) => memory::crooked(r),
                _ => r,
            };
            let d = if odd(Oddity::RecordOfNothing) { ptr::null() } else { d };
            match self.record(d, given) {
                DTRACE_CONSUME_THIS => {
                    let format = memory::format(description);
                    let text = if format.is_null() { c".".as_ptr() } else { format };
                    // SAFETY: a C string, and the caller's file.
                    unsafe { libc::fputs(text, self.file) };
                    if matches!(description.dtrd_action, DTRACEACT_SYSTEM | DTRACEACT_FREOPEN) {
                        state::note(CARRIED_OUT);
                    }
                    // One call prints all arguments of a printf.
                    let call = (description.dtrd_action, firing.records[index].format.is_some());
                    index += 1;
                    while call.1
                        && firing
                            .records
                            .get(index)
                            .is_some_and(|r| r.action == call.0 && r.format.is_none())
                    {
                        index += 1;
                    }
                }
                DTRACE_CONSUME_NEXT => index += 1,
                _ => return Err(ABORTED),
            }
            if odd(Oddity::Redelivered) {
                STATE
                    .lock()
                    .expect("nobody panics")
                    .plan
                    .rounds
                    .push(vec![Event::Firing(Firing { oddity: None, ..firing.clone() })]);
                return Err(libc::EINTR);
            }
        }
        let ends = match firing.oddity {
            Some(Oddity::NoEnd) => 0,
            Some(Oddity::TwoEnds) => 2,
            _ => 1,
        };
        for _ in 0..ends {
            self.record(d, ptr::null());
        }
        Ok(())
    }

    fn other(self, event: &Event, handlers: Handlers) -> Result<(), c_int> {
        let plain = Firing::default();
        let answer = match event {
            Event::NoFiring => match self.probe(ptr::null()) {
                DTRACE_CONSUME_THIS | DTRACE_CONSUME_NEXT => DTRACE_HANDLE_OK,
                _ => DTRACE_HANDLE_ABORT,
            },
            Event::LoneRecord => {
                let firing = Firing { records: vec![crate::plan::Record::default()], ..plain };
                let (d, records) = memory::firing(&firing);
                match self.record(memory::shortened(&d, memory::FIRING), records) {
                    DTRACE_CONSUME_THIS | DTRACE_CONSUME_NEXT => DTRACE_HANDLE_OK,
                    _ => DTRACE_HANDLE_ABORT,
                }
            }
            Event::LoneEnd => {
                let (d, _) = memory::firing(&plain);
                self.record(memory::shortened(&d, memory::FIRING), ptr::null());
                DTRACE_HANDLE_OK
            }
            Event::Drop { kind, drops, missing } => report_drops(handlers, *kind, *drops, *missing),
            Event::Fault { probe, missing } => {
                let (handler, Arg(arg)) = handlers.fault.expect("a handler");
                let fault = memory::keep(memory::fault(*probe));
                let fault = if *missing { ptr::null() } else { fault };
                // SAFETY: the callback accepts this, and gets the argument that was passed with it.
                unsafe { handler(fault, arg) }
            }
            Event::Option { missing } => {
                let (handler, Arg(arg)) = handlers.option.expect("a handler");
                let change = dtrace_setoptdata_t {
                    dtsda_handle: ptr::null_mut(),
                    dtsda_probe: ptr::null(),
                    dtsda_option: memory::text("quiet"),
                    dtsda_oldval: DTRACEOPT_UNSET,
                    dtsda_newval: 1,
                };
                let change = if *missing { ptr::null() } else { memory::keep(change) };
                // SAFETY: the callback accepts this, and gets the argument that was passed with it.
                unsafe { handler(change, arg) }
            }
            Event::Process { pid, message } => {
                let (handler, Arg(arg)) = handlers.process.expect("a handler");
                let message = message.as_deref().map_or(ptr::null(), |m| memory::text(m));
                tell_of_process(handler, *pid, message, arg);
                DTRACE_HANDLE_OK
            }
            Event::Firing(_) | Event::Interrupted | Event::Pause(_) => DTRACE_HANDLE_OK,
        };
        if answer == DTRACE_HANDLE_OK { Ok(()) } else { Err(ABORTED) }
    }
}

#[cfg(not(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos")))]
fn tell_of_process(handler: dtrace_handle_proc_f, pid: i32, text: *const c_char, arg: *mut c_void) {
    // SAFETY: the callback accepts this, and gets the argument that was passed with it.
    unsafe { handler(-pid, text, arg) }
}

#[cfg(any(dtrace_abi = "freebsd", dtrace_abi = "illumos", dtrace_abi = "macos"))]
fn tell_of_process(handler: dtrace_handle_proc_f, _: i32, text: *const c_char, arg: *mut c_void) {
    // SAFETY: the callback accepts this, and gets the argument that was passed with it.
    unsafe { handler(super::something(), text, arg) }
}

fn report_drops(handlers: Handlers, kind: i32, drops: u64, missing: bool) -> c_int {
    let (handler, Arg(arg)) = handlers.drop.expect("a handler");
    let report = dtrace_dropdata_t {
        dtdda_handle: ptr::null_mut(),
        dtdda_cpu: 0,
        dtdda_kind: kind,
        dtdda_drops: drops,
        dtdda_total: drops,
        dtdda_msg: memory::text("so many drops\n"),
    };
    let report = if missing { ptr::null() } else { memory::keep(report) };
    // SAFETY: the callback accepts this, and gets the argument that was passed with it.
    unsafe { handler(report, arg) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_aggregate_snap(_: *mut dtrace_hdl_t) -> c_int {
    enter!("dtrace_aggregate_snap", -1);
    let (drops, handlers) = {
        let state = STATE.lock().expect("nobody panics");
        (state.plan.drops_in_snapshot, state.handlers)
    };
    if drops > 0 {
        return report_drops(handlers, DTRACEDROP_AGGREGATION, drops, false);
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn dtrace_aggregate_print(
    _: *mut dtrace_hdl_t,
    file: *mut FILE,
    _: Option<dtrace_aggregate_walk_f>,
) -> c_int {
    enter!("dtrace_aggregate_print", -1);
    // SAFETY: a C string, and the caller's file.
    unsafe { libc::fputs(c"a report\n".as_ptr(), file) };
    0
}

fn walk(function: Option<dtrace_aggregate_f>, arg: *mut c_void) -> c_int {
    let (entries, cpus, missing): (Vec<Entry>, _, _) = {
        let state = STATE.lock().expect("nobody panics");
        (state.plan.entries.clone(), state.plan.cpus, u32::from(state.plan.lists_are_short))
    };
    let function = function.expect("a callback");
    for planned in &entries {
        let entry = match planned.oddity {
            Some(EntryOddity::NoEntry) => ptr::null(),
            _ => memory::shortened(&memory::entry(planned, cpus, missing), memory::ENTRY),
        };
        // SAFETY: the callback accepts this, and gets the argument that was passed with it.
        match unsafe { function(entry, arg) } {
            DTRACE_AGGWALK_NEXT | DTRACE_AGGWALK_REMOVE => {}
            _ => {
                STATE.lock().expect("nobody panics").error = ABORTED;
                return -1;
            }
        }
    }
    0
}

macro_rules! walks {
    ($($name:ident $text:literal)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(
            _: *mut dtrace_hdl_t,
            function: Option<dtrace_aggregate_f>,
            arg: *mut c_void,
        ) -> c_int {
            enter!($text, -1);
            walk(function, arg)
        }
    )*};
}

walks! {
    dtrace_aggregate_walk "dtrace_aggregate_walk"
    dtrace_aggregate_walk_keysorted "dtrace_aggregate_walk_keysorted"
    dtrace_aggregate_walk_valsorted "dtrace_aggregate_walk_valsorted"
    dtrace_aggregate_walk_keyvarsorted "dtrace_aggregate_walk_keyvarsorted"
    dtrace_aggregate_walk_valvarsorted "dtrace_aggregate_walk_valvarsorted"
    dtrace_aggregate_walk_keyrevsorted "dtrace_aggregate_walk_keyrevsorted"
    dtrace_aggregate_walk_valrevsorted "dtrace_aggregate_walk_valrevsorted"
    dtrace_aggregate_walk_keyvarrevsorted "dtrace_aggregate_walk_keyvarrevsorted"
    dtrace_aggregate_walk_valvarrevsorted "dtrace_aggregate_walk_valvarrevsorted"
}

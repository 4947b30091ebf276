//! The functions that libdtrace calls.
//!
//! Each finds its [`Context`](super::context::Context) and continues in safe code.

use std::ffi::{c_char, c_int, c_void};

use dtrace_sys::abi::*;

use super::context::guarded;
use super::delivered::{owned, reference};
use super::platform::{self, Firing};
use super::sink::Sink;
use crate::data::loss::{DropKind, DropReport, Fault};
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::stream::frame::Frame;

pub(super) unsafe extern "C" fn chew<S: Sink>(
    d: *const dtrace_probedata_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: libdtrace passes data that are valid for the duration of the call.
    guarded::<S, _>(arg, "dtrace_work", DTRACE_CONSUME_ABORT, |context| unsafe {
        context.chew(reference(d.cast::<Firing>(), "a firing")?)
    })
}

pub(super) unsafe extern "C" fn chewrec<S: Sink>(
    d: *const dtrace_probedata_t,
    r: *const dtrace_recdesc_t,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: libdtrace passes data that are valid for the duration of the call.
    guarded::<S, _>(arg, "dtrace_work", DTRACE_CONSUME_ABORT, |context| unsafe {
        context.chewrec(reference(d.cast::<Firing>(), "a firing")?, r)
    })
}

pub(super) unsafe extern "C" fn fault<S: Sink>(
    e: *const dtrace_errdata_t,
    arg: *mut c_void,
) -> c_int {
    guarded::<S, _>(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and what they point to are valid for the duration of the call. The description is
        // null for errors of the library itself.
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
                cpu: platform::cpu_number(e.dteda_cpu),
                kind: owned((context.handle.api.dtrace_faultstr)(
                    context.handle.raw,
                    e.dteda_fault,
                )),
                code: e.dteda_fault,
                address: if platform::has_address(e.dteda_fault) { e.dteda_addr } else { 0 },
                action: e.dteda_action,
                offset: e.dteda_offset,
                message: owned(e.dteda_msg).trim_end().to_owned(),
            }
        };
        context.send(&Frame::Fault(fault));
        Ok(DTRACE_HANDLE_OK)
    })
}

pub(super) unsafe extern "C" fn drop<S: Sink>(
    d: *const dtrace_dropdata_t,
    arg: *mut c_void,
) -> c_int {
    /// libdtrace's number for "no particular CPU".
    const NO_CPU: u32 = u32::MAX;
    guarded::<S, _>(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and their message are valid for the duration of the call.
        let report = unsafe {
            let d = reference(d, "a report of drops")?;
            DropReport {
                kind: DropKind::from_number(d.dtdda_kind),
                cpu: Some(platform::cpu_number(d.dtdda_cpu)).filter(|cpu| *cpu != NO_CPU),
                drops: d.dtdda_drops,
                total: d.dtdda_total,
                message: owned(d.dtdda_msg).trim_end().to_owned(),
            }
        };
        context.send(&Frame::Drop(report));
        Ok(DTRACE_HANDLE_OK)
    })
}

pub(super) unsafe extern "C" fn option<S: Sink>(
    o: *const dtrace_setoptdata_t,
    arg: *mut c_void,
) -> c_int {
    guarded::<S, _>(arg, "dtrace_work", DTRACE_HANDLE_ABORT, |context| {
        // SAFETY: the data and the option's name are valid for the duration of the call.
        let change = unsafe {
            let o = reference(o, "a change of an option")?;
            OptionChange {
                name: owned(o.dtsda_option),
                old: option_value(o.dtsda_oldval),
                new: option_value(o.dtsda_newval),
            }
        };
        if change.name == "aggrate" {
            context.reads_maps.set(false);
        }
        context.send(&Frame::OptionChange(change));
        Ok(DTRACE_HANDLE_OK)
    })
}

/// Returns an option's value, if it is set, as unsigned: only some platforms declare it as signed.
pub(super) fn option_value(value: dtrace_optval_t) -> Option<u64> {
    (value != DTRACEOPT_UNSET).then(|| u64::from_ne_bytes(value.to_ne_bytes()))
}

/// Reports an event of a process that libdtrace controls.
pub(super) unsafe extern "C" fn process<S: Sink>(
    process: platform::Process,
    error: *const c_char,
    arg: *mut c_void,
) {
    guarded::<S, _>(arg, platform::PROCESS_EVENTS_FROM, (), |context| {
        // SAFETY: the message is null or a C string for the duration of the call.
        let message = unsafe { (!error.is_null()).then(|| owned(error)) };
        if let Some((pid, gone)) = platform::process_event(process, message.is_some()) {
            context.send(&Frame::Process(ProcessEvent { pid, gone, message }));
        }
        Ok(())
    });
}

//! Delivers everything that is recorded while tracing is on.

use std::io;
use std::time::{Duration, Instant};

use super::between::{activity, aggregation_maps, dropped_by_kernel, have_data, let_wait};
use super::control::Control;
use super::encode::encoder::Encoder;
use super::failed::{Failed, surroundings_failed};
use super::libdtrace::{KernelMaps, Tracing, Work};
use super::pace::Pace;
use super::processes::Processes;
use super::tracer::Tracer;
use crate::stream::frame::Frame;
use crate::stream::job::Job;

/// How long to pause at most where libdtrace does not wake this thread before a buffer is full.
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// About how many bytes a record has in the kernel's buffer. The smallest have half as many.
const RECORD: u64 = 64;

/// In how many rounds to look for the rest at most when tracing has ended.
const LAST_ROUNDS: u32 = 100;

/// Delivers everything from the start of tracing to its end.
pub(super) fn deliver(
    tracing: &mut Tracing<Encoder>,
    control: &Control,
    processes: &mut Processes,
    job: &Job,
) -> Result<(), Failed> {
    let traced = trace(tracing, control, processes, job);
    // Whatever went wrong, deliver the recorded data, and send the first failure.
    let result = if tracing.sink().has_given_up() {
        Ok(())
    } else {
        let ended = traced.and(snapshot(tracing, job));
        let counters = dropped_by_kernel();
        let (counters, ended) = match counters {
            Ok(counters) => (counters, ended),
            Err(e) => (Vec::new(), ended.and(without_counters(job, &e))),
        };
        tracing.sink().settle_drops(&counters);
        if let Some(warning) = Tracer::warning_at_end(job) {
            tracing.sink().send(&Frame::Warning(warning));
        }
        if job.report { ended.and(report(tracing)) } else { ended }
    };
    tracing.sink().flush();
    result
}

/// Fails if the kernel's counters of drops are not found in a self-check. Other sessions can do without them.
fn without_counters(job: &Job, error: &io::Error) -> Result<(), Failed> {
    let is_checked = job.unknown.as_ref().is_some_and(|unknown| unknown.under_check);
    if !is_checked {
        return Ok(());
    }
    Err(surroundings_failed("finding libdtrace's counters of drops", error))
}

/// Delivers until the session ends: by the script, at the consumer's request, or because the consumer is
/// gone.
fn trace(
    tracing: &mut Tracing<Encoder>,
    control: &Control,
    processes: &mut Processes,
    job: &Job,
) -> Result<(), Failed> {
    let mut pace = Pace::new(job.max_delay);
    let mut began = Instant::now();
    let (mut firings, mut before) = (tracing.sink().firings(), activity());
    loop {
        let work = tracing.work()?;
        let encoder = tracing.sink();
        // First of all, because somebody may be waiting for the records.
        encoder.flush();
        // The consumer asks after the end of a process, so that the end is found below.
        let stops = control.take_stop();
        let is_last = stops || work == Work::Done;
        let all_ended = processes.report_ends(encoder, is_last, Instant::now());
        encoder.flush();
        encoder.break_silence();
        if encoder.is_broken() || encoder.has_given_up() || control.is_abandoned() {
            return Ok(());
        }
        if work == Work::Done {
            return drain(tracing, control);
        }
        if all_ended {
            break;
        }
        if stops {
            break;
        }
        if control.take_catch_up() && catch_up(tracing, control, job)? == Work::Done {
            processes.report_ends(tracing.sink(), true, Instant::now());
            return drain(tracing, control);
        }
        if control.take_snapshot() {
            snapshot(tracing, job)?;
            tracing.sink().flush();
        }
        let now = activity();
        let since = now.zip(before).map(|(now, before)| now.since(before));
        if since.is_some_and(|it| it.waits == 0) {
            // libdtrace does not look before the interval of the option switchrate is over.
            control.pause(LONGEST_PAUSE);
            continue;
        }
        // Of some records, such as those of speculations, nothing is sent yet. Others have come while these were read.
        let came = tracing.sink().firings() - firings;
        let written = since.map_or(0, |it| it.written);
        let came = came.max(written / RECORD).max(u64::from(written > 0));
        let may_wait = pace.note(came, began.elapsed());
        (began, firings, before) = (Instant::now(), tracing.sink().firings(), now);
        if !let_wait(may_wait) && may_wait {
            control.pause(job.max_delay.min(LONGEST_PAUSE));
        }
    }
    tracing.stop()?;
    drain(tracing, control)
}

/// Delivers everything recorded so far, with the symbols of all addresses.
fn catch_up(tracing: &mut Tracing<Encoder>, control: &Control, job: &Job) -> Result<Work, Failed> {
    // Everything recorded so far is in the buffers, so do not wait for more.
    control.wake();
    let work = tracing.work_at_once()?;
    // While it can, libdtrace replaces any address within a function by the function's own address in such
    // keys. Resolving them later would keep the two apart.
    if !job.scripts.iter().any(|it| it.mentions(&["usym", "umod", "ufunc"])) {
        tracing.resolve_keys(maps(job))?;
    }
    tracing.sink().send(&Frame::CaughtUp);
    tracing.sink().flush();
    Ok(work)
}

/// Delivers the rest of the buffers when tracing is off.
fn drain(tracing: &mut Tracing<Encoder>, control: &Control) -> Result<(), Failed> {
    // The rest is in the buffers, so do not wait up to a second for more.
    tracing.set_option("switchrate", Some("1us"))?;
    let mut rounds = 0;
    loop {
        let work = tracing.work()?;
        tracing.sink().flush();
        if tracing.sink().is_broken() || control.is_abandoned() {
            return Ok(());
        }
        // A wait may have had no place for a buffer.
        rounds += u32::from(work == Work::Done);
        if rounds > 0 && !have_data() {
            return Ok(());
        }
        if rounds == LAST_ROUNDS {
            let error = io::Error::other("it leaves records in the kernel's buffers");
            return Err(surroundings_failed("having libdtrace read what is left", &error));
        }
    }
}

fn snapshot(tracing: &mut Tracing<Encoder>, job: &Job) -> Result<(), Failed> {
    tracing.sink().send(&Frame::SnapshotBegin);
    tracing.snapshot(maps(job), job.order, job.drain)?;
    tracing.sink().send(&Frame::SnapshotEnd);
    Ok(())
}

/// Returns the access to the kernel's maps of aggregations, if their layout is known.
fn maps(job: &Job) -> Option<&'static dyn KernelMaps> {
    aggregation_maps().filter(|_| job.unknown.is_none())
}

fn report(tracing: &mut Tracing<Encoder>) -> Result<(), Failed> {
    let text = tracing.report()?;
    tracing.sink().send(&Frame::Report(&text));
    Ok(())
}

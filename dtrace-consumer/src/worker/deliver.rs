//! How is everything delivered that is recorded while tracing is on?

use std::time::{Duration, Instant};

use super::control::Control;
use super::encode::encoder::Encoder;
use super::failed::Failed;
use super::libdtrace::{Tracing, Work};
use super::system::dropped_by_kernel;
use crate::stream::frame::Frame;
use crate::stream::job::Job;

/// How long to let records gather when they come fast. Each wake-up costs far more than a record, and
/// at the kernel's highest rate a few megabytes of buffer hold much more than this.
const BATCH: Duration = Duration::from_millis(5);

/// After so many rounds in a row with data and without a pause, batches begin.
const BUSY_ROUNDS: u32 = 20;

/// Batches end when one holds fewer firings than this.
const BUSY_FIRINGS: u64 = 4;

/// Delivers everything from the start of tracing to its end.
pub(super) fn deliver(
    tracing: &mut Tracing<Encoder>,
    control: &Control,
    job: &Job,
) -> Result<(), Failed> {
    let traced = trace(tracing, control, job);
    // Whatever went wrong, what there is gets delivered, and the first failure is sent.
    let result = if tracing.sink().has_given_up() {
        Ok(())
    } else {
        let ended = traced.and(snapshot(tracing, job));
        tracing.sink().settle_drops(&dropped_by_kernel());
        if job.report { ended.and(report(tracing)) } else { ended }
    };
    tracing.sink().flush();
    result
}

/// Delivers until the script, the consumer or its disappearance ends the session.
fn trace(tracing: &mut Tracing<Encoder>, control: &Control, job: &Job) -> Result<(), Failed> {
    let mut busy = 0;
    loop {
        let began = Instant::now();
        let firings = tracing.sink().firings();
        let work = tracing.work()?;
        let encoder = tracing.sink();
        encoder.flush();
        if encoder.is_broken() || encoder.has_given_up() || control.is_abandoned() {
            return Ok(());
        }
        if work == Work::Done {
            return drain(tracing, control);
        }
        let processes = job.processes.len();
        let processes_ended = processes > 0 && encoder.processes_gone() >= processes;
        if control.take_stop() || processes_ended {
            break;
        }
        if control.take_catch_up() && catch_up(tracing, control, job)? == Work::Done {
            return Ok(());
        }
        if control.take_snapshot() {
            snapshot(tracing, job)?;
            tracing.sink().flush();
        }
        let came = tracing.sink().firings() - firings;
        let goes_on = if busy < BUSY_ROUNDS {
            // Data that had to be waited for do not come fast.
            came > 0 && began.elapsed() < BATCH / 2
        } else {
            came >= BUSY_FIRINGS
        };
        busy = if goes_on { busy + 1 } else { 0 };
        if busy >= BUSY_ROUNDS {
            control.pause(BATCH);
        }
    }
    tracing.stop()?;
    drain(tracing, control)
}

/// Delivers what was recorded up to now, with the symbols of all addresses.
fn catch_up(tracing: &mut Tracing<Encoder>, control: &Control, job: &Job) -> Result<Work, Failed> {
    // What is at hand was recorded before; there is no more to wait for.
    control.wake();
    let work = tracing.work()?;
    // While it can, libdtrace puts a function's own address for any address within it into such keys.
    // Later it would keep the two apart.
    if !job.scripts.iter().any(|it| it.mentions(&["usym", "umod", "ufunc"])) {
        tracing.resolve_keys()?;
    }
    tracing.sink().send(&Frame::CaughtUp);
    tracing.sink().flush();
    Ok(work)
}

/// Delivers what is left in the buffers when tracing is off.
fn drain(tracing: &mut Tracing<Encoder>, control: &Control) -> Result<(), Failed> {
    // Whatever is left is at hand: waiting for more, up to a second, has no purpose any more.
    tracing.set_option("switchrate", Some("1us"))?;
    loop {
        let work = tracing.work()?;
        tracing.sink().flush();
        if work == Work::Done || tracing.sink().is_broken() || control.is_abandoned() {
            return Ok(());
        }
    }
}

fn snapshot(tracing: &mut Tracing<Encoder>, job: &Job) -> Result<(), Failed> {
    tracing.sink().send(&Frame::SnapshotBegin);
    tracing.snapshot(job.order, job.drain)?;
    tracing.sink().send(&Frame::SnapshotEnd);
    Ok(())
}

fn report(tracing: &mut Tracing<Encoder>) -> Result<(), Failed> {
    let text = tracing.report()?;
    tracing.sink().send(&Frame::Report(&text));
    Ok(())
}

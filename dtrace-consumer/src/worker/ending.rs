//! What does a worker do after the last data, and in which order?

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::control::Control;
use super::encode::encoder::Encoder;
use super::libdtrace::Closing;
use super::{between, own_process, system};

/// How long libdtrace may take to release the processes that it is attached to.
const RELEASING: Duration = Duration::from_secs(3);

/// How long it may take in all. If this process ended earlier, it would leave breakpoints that nobody handles.
const LONGEST: Duration = Duration::from_secs(30);

/// How often to check whether it has.
const LOOK: Duration = Duration::from_millis(2);

/// Releases the processes that libdtrace is attached to, ends the stream and stops tracing. `gated` are the
/// processes that were released from their gates. May end the process.
pub(super) fn end(
    reporter: Encoder,
    control: Arc<Control>,
    gated: Vec<i32>,
    closing: Option<Closing>,
) {
    let is_attached = between::is_attached() || gated.iter().copied().any(system::is_traced);
    // Whichever thread comes first ends the stream.
    let reporter = Arc::new(Mutex::new(Some(reporter)));
    let finish = move || {
        if let Some(reporter) = reporter.lock().take() {
            finish(reporter, &control, &gated);
        }
    };
    let Some(closing) = closing.filter(|_| is_attached) else { return finish() };
    // As soon as the stream has ended, others may attach to the processes. Only closing libdtrace's
    // handle releases them, and that takes seconds. So another thread waits for the release, and
    // then ends the process.
    between::keep_descriptors();
    let finish_after_all = finish.clone();
    let release = thread::Builder::new().name("release".to_owned()).spawn(move || {
        let began = Instant::now();
        let wait = |longest| {
            while between::is_attached() && began.elapsed() < longest {
                thread::sleep(LOOK);
            }
        };
        wait(RELEASING);
        finish();
        wait(LONGEST);
        own_process::end(0)
    });
    closing.close();
    match release {
        Ok(release) => drop(release.join()),
        // Without the thread, everything takes longer.
        Err(_) => finish_after_all(),
    }
}

/// Ends the stream and stops tracing.
fn finish(mut reporter: Encoder, control: &Control, gated: &[i32]) {
    let _ = reporter.finish();
    control.close();
    system::end_tracing();
    gated.iter().copied().for_each(system::outlive);
}

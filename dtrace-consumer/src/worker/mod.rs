//! The worker process.
//!
//! It runs one session with libdtrace and never returns to `main`. Standard input is its channel to the
//! consumer.

mod answer;
mod between;
mod channel;
mod control;
mod deliver;
pub(crate) mod elevated;
mod encode;
mod ending;
mod failed;
#[expect(unsafe_code, reason = "calls C and is called by it")]
mod libdtrace;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only mounts can leave them out"))]
mod libraries;
mod never_fires;
mod opened;
#[expect(unsafe_code, reason = "it changes and ends this process")]
pub(crate) mod own_process;
mod pace;
mod processes;
mod served;
mod session;
pub(crate) mod system;
mod template;
mod tracer;
mod watch;

use self::channel::{first_message, require_own, take_channel};
use self::session::Start;

/// Serves one session. Returns the process's exit status.
pub(crate) fn main() -> i32 {
    let served = take_channel().and_then(|channel| {
        require_own(&channel)?;
        let (job, template) = first_message(&channel)?;
        session::serve(job, channel, None, Start::Fresh(template))
    });
    own_process::status_of(served)
}

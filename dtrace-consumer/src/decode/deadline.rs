//! Ends a session at its deadline.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::stop::{Ending, Reason};
use crate::error::Error;

/// How long a session has after its deadline to end in good order. [`Error::Deadline`] names it.
const GRACE: Duration = Duration::from_secs(5);

/// Watches over a session's deadline, until it is dropped.
pub(crate) struct Watch {
    _running: Sender<Infallible>,
}

impl Watch {
    pub(crate) fn start(limit: Duration, ending: &Arc<Ending>) -> Result<Watch, Error> {
        let (running, over) = crossbeam_channel::bounded(0);
        let ending = Arc::clone(ending);
        std::thread::Builder::new()
            .name("dtrace-deadline".to_owned())
            .spawn(move || watch(&over, limit, &ending))
            .map_err(|cause| Error::System { attempt: "start a thread", cause })?;
        Ok(Watch { _running: running })
    }
}

fn watch(over: &Receiver<Infallible>, limit: Duration, ending: &Ending) {
    for (wait, reason) in [(limit, Reason::Deadline), (GRACE, Reason::Overdue)] {
        match over.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => ending.ask(reason),
            Err(RecvTimeoutError::Disconnected) | Ok(_) => return,
        }
    }
}

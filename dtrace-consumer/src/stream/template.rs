//! What does a program ask of its template?
//!
//! A template is an idle worker with an open libdtrace. It forks a worker for each session that follows. The
//! worker that leaves it behind first sends a descriptor of it through the socket for requests.

use std::os::fd::OwnedFd;

/// A request. Its descriptors are passed with it.
#[derive(Debug)]
pub(crate) enum Request {
    /// A worker for a session.
    Copy {
        /// Whether the session seems to need the kernel's types.
        types: bool,
        descriptors: Descriptors,
    },
    /// The template should stay, however long nobody asks.
    Stay {
        /// Whether sessions that need the kernel's types are expected.
        types: bool,
    },
}

/// What a worker forked off a template gets.
#[derive(Debug)]
pub(crate) struct Descriptors {
    /// The channel of the session.
    pub(crate) channel: OwnedFd,
    /// On it the template sends a descriptor of the worker, and later its wait status, in native byte order.
    pub(crate) life: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// The longest message, in bytes.
pub(crate) const LONGEST: usize = 4;

const COPY: u8 = 1;
const COPY_WITH_TYPES: u8 = 2;
const STAY: u8 = 3;
const STAY_WITH_TYPES: u8 = 4;

/// Returns the message of a request for a worker.
pub(crate) fn copy(types: bool) -> [u8; 1] {
    [if types { COPY_WITH_TYPES } else { COPY }]
}

/// Returns the message of a request to stay.
pub(crate) fn stay(types: bool) -> [u8; 1] {
    [if types { STAY_WITH_TYPES } else { STAY }]
}

/// Returns the request of a message; `None` if it is none of this version.
pub(crate) fn request(message: &[u8], with: Vec<OwnedFd>) -> Option<Request> {
    match *message {
        [kind @ (COPY | COPY_WITH_TYPES)] => {
            let [channel, life, stdout, stderr] = with.try_into().ok()?;
            let descriptors = Descriptors { channel, life, stdout, stderr };
            Some(Request::Copy { types: kind == COPY_WITH_TYPES, descriptors })
        }
        [kind @ (STAY | STAY_WITH_TYPES)] => Some(Request::Stay { types: kind == STAY_WITH_TYPES }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn a_request_says_whether_types_are_needed() {
        let descriptor = || std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
        let four = || Vec::from_iter(std::iter::repeat_with(descriptor).take(4));
        for types in [false, true] {
            let kept = request(&stay(types), Vec::new());
            assert!(matches!(kept, Some(Request::Stay { types: it }) if it == types), "{kept:?}");
            let copied = request(&copy(types), four());
            assert!(
                matches!(copied, Some(Request::Copy { types: it, .. }) if it == types),
                "{copied:?}"
            );
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for message in [&[][..], &[0], &[5], &[1, 1]] {
            assert!(request(message, Vec::new()).is_none(), "{message:?}");
        }
        let descriptor = std::io::stdin().as_fd().try_clone_to_owned().expect("a descriptor");
        assert!(request(&copy(true), vec![descriptor]).is_none(), "three are missing");
    }
}

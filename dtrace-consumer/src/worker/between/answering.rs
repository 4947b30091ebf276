//! Whose values do `$pid`, `$uid` and the other macro variables have?
//!
//! In dtrace(1) they have those of the consuming process. When libdtrace is opened, it reads them
//! from the process that it runs in. Here this is the worker, which may have another user, group,
//! session and parent. So the functions that libdtrace calls for this are replaced by functions
//! that answer for the consumer.

use std::ffi::CStr;
use std::io;
use std::sync::OnceLock;

use libc::{gid_t, pid_t, uid_t};

use super::called_function;
use crate::worker::system::{Identity, Peer, identity_of};

/// The consumer that the replacements answer for.
static CONSUMER: OnceLock<Identity> = OnceLock::new();

/// Defines the functions that libdtrace calls instead, and lists them with the names of those that they replace.
macro_rules! replacements {
    ($($name:ident($($argument:ty)?) -> $number:ty = $field:ident;)+) => {
        $(
            extern "C" fn $name($(_: $argument)?) -> $number {
                // It is set before this function is called.
                CONSUMER.get().map_or(0, |consumer| consumer.$field)
            }
        )+

        fn replacements() -> [(&'static CStr, usize); 8] {
            let name = |name: &'static [u8]| CStr::from_bytes_with_nul(name).unwrap_or_default();
            [$((name(concat!(stringify!($name), "\0").as_bytes()), $name as *const () as usize)),+]
        }
    };
}

replacements! {
    getpid() -> pid_t = pid;
    getppid() -> pid_t = ppid;
    getpgid(pid_t) -> pid_t = pgid;
    getsid(pid_t) -> pid_t = sid;
    getuid() -> uid_t = uid;
    geteuid() -> uid_t = euid;
    getgid() -> gid_t = gid;
    getegid() -> gid_t = egid;
}

/// While this value exists, libdtrace takes the consumer's numbers for those of its own process.
#[must_use]
pub(in crate::worker) struct Answering {
    inside: usize,
    pid: pid_t,
    replaced: Vec<(&'static CStr, usize)>,
}

impl Answering {
    /// Has the libdtrace that contains `inside` read the numbers of the process at the other end of a channel.
    ///
    /// # Errors
    /// The consumer is in another PID namespace, or has ended, or libdtrace does not call these functions as expected.
    pub(in crate::worker) fn for_consumer(inside: usize, consumer: &Peer) -> io::Result<Answering> {
        // A second libdtrace in this process would be for the same consumer.
        let identity = identity_of(consumer)?;
        let pid = CONSUMER.get_or_init(|| identity).pid;
        let mut answering = Answering { inside, pid, replaced: Vec::new() };
        for (name, replacement) in replacements() {
            // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. The
            // replacement has the type of the function that it replaces.
            let original = unsafe { put(inside, name, replacement)? };
            answering.replaced.push((name, original));
        }
        Ok(answering)
    }

    /// Returns the consumer's process ID.
    pub(in crate::worker) fn pid(&self) -> i32 {
        self.pid
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        for (name, original) in self.replaced.drain(..) {
            // SAFETY: as before: opening libdtrace starts no thread that calls these functions. What is put
            // back was there. It cannot fail where it has succeeded.
            let _ = unsafe { put(self.inside, name, original) };
        }
    }
}

/// Makes libdtrace call `function` as `name`. Returns what it called so far.
///
/// # Safety
/// No other thread may be calling into the library, and the function has the type of the named one.
unsafe fn put(inside: usize, name: &CStr, function: usize) -> io::Result<usize> {
    let mut before = 0;
    let exchange = |place: *mut usize| {
        // SAFETY: the place is writable, and holds the address of a function.
        before = unsafe { place.replace(function) };
    };
    // SAFETY: the caller guarantees it.
    unsafe { called_function::replace(inside, name, exchange)? };
    Ok(before)
}

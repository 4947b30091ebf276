//! An open libdtrace, and failures of calls into it.

use std::ffi::CString;
use std::ptr;
use std::rc::Rc;

use dtrace_sys::Api;
use dtrace_sys::abi::*;

use super::delivered::{Misdelivered, owned};

/// A call into libdtrace that failed.
#[derive(Debug)]
pub(crate) struct CallFailure {
    /// The function's name.
    pub(crate) call: &'static str,
    /// libdtrace's error number; below 1000 it is errno.
    pub(crate) number: i32,
    /// libdtrace's message.
    pub(crate) message: String,
}

impl CallFailure {
    /// Returns the failure of a call that delivered invalid data.
    pub(super) fn misdelivered(call: &'static str, what: &Misdelivered) -> CallFailure {
        CallFailure { call, number: 0, message: what.to_string() }
    }
}

/// An open libdtrace. It stays open until the session is over, mostly until the process ends.
#[derive(Clone, Copy)]
pub(super) struct Handle {
    pub(super) api: &'static Api,
    pub(super) raw: *mut dtrace_hdl_t,
}

/// The owner of this value may call libdtrace with the handle.
pub(super) type Use = Rc<()>;

/// Closes a handle once its session is over.
pub(crate) struct Closing {
    pub(super) handle: Handle,
    pub(super) used: Use,
}

impl Closing {
    /// Releases the processes that libdtrace is attached to, and removes its breakpoints from them.
    /// Then frees the handle, which takes seconds. Does nothing while the session lasts.
    pub(crate) fn close(self) {
        if Rc::strong_count(&self.used) == 1 {
            // SAFETY: the handle is open, and nobody else uses it. What callbacks get is never freed.
            unsafe { (self.handle.api.dtrace_close)(self.handle.raw) };
        }
    }
}

impl Handle {
    pub(super) fn failure(self, call: &'static str) -> CallFailure {
        // SAFETY: the handle is open. The text of errmsg is valid until the next call, and copied before.
        unsafe {
            let number = (self.api.dtrace_errno)(self.raw);
            let message = owned((self.api.dtrace_errmsg)(self.raw, number));
            let message = match message.trim_end() {
                "" => format!("error {number} without a message"),
                words => words.to_owned(),
            };
            CallFailure { call, number, message }
        }
    }

    pub(super) fn check(self, call: &'static str, result: i32) -> Result<(), CallFailure> {
        if result == 0 { Ok(()) } else { Err(self.failure(call)) }
    }

    pub(super) fn set_option(self, name: &str, value: Option<&[u8]>) -> Result<(), CallFailure> {
        let (Ok(c_name), Ok(c_value)) = (CString::new(name), value.map(CString::new).transpose())
        else {
            let message = "an option contains a NUL byte".to_owned();
            return Err(CallFailure { call: "dtrace_setopt", number: libc::EINVAL, message });
        };
        let value = c_value.as_ref().map_or(ptr::null(), |v| v.as_ptr());
        // SAFETY: the handle is open. Both strings end in NUL and outlive the call; the library copies what
        // it keeps.
        let result = unsafe { (self.api.dtrace_setopt)(self.raw, c_name.as_ptr(), value) };
        self.check("dtrace_setopt", result)
    }
}

//! What does tracing require of the system, and does this process have the privilege?

use super::own;
use crate::error::unavailable::Check;

/// Checks whether this process may trace.
pub(in crate::client) fn privilege() -> Check {
    if own::may_trace() {
        return Check::met("privilege", own::PRIVILEGE);
    }
    Check::unmet("privilege", format!("this process lacks it: {}", own::PRIVILEGE), own::GET_IT)
}

/// Checks the requirements on the kernel.
pub(in crate::client) fn kernel() -> Vec<Check> {
    own::kernel()
}

/// Checks which means of confining a worker the system has: none. So no worker serves another user here.
pub(in crate::client) fn confinement(elevated: bool) -> Check {
    if elevated {
        let detail = "workers of other users are not confined on this system, so there are none";
        return Check::unmet("confinement", detail, "run the program itself with the privilege");
    }
    Check::met("confinement", "none: the worker can do what this program can do")
}

//! What does tracing require of the system, and does this process have the privilege?

use super::own;
use crate::error::unavailable::Check;

/// Checks whether this process may trace.
pub(in crate::client) fn privilege() -> Check {
    if own::may_trace() {
        return Check::met("privilege", format!("this process may trace: {}", own::PRIVILEGE));
    }
    Check::unmet(
        "privilege",
        format!("this process may not trace, which takes {}", own::PRIVILEGE),
        own::GET_IT,
    )
}

/// Checks the requirements on the kernel.
pub(in crate::client) fn kernel() -> Vec<Check> {
    own::kernel()
}

/// Checks which means of confining a worker the system has: none.
pub(in crate::client) fn confinement(elevated: bool) -> Check {
    let detail = match (elevated, own::LIMITS_CONTROL) {
        (false, _) => "none: the worker can do what this program can do",
        (true, true) => "none: only the worker's own rules limit what a user can make it do",
        (true, false) => {
            let detail = "no worker of another user can be limited to that user's processes here";
            let remedy = "run the program itself with the privilege";
            return Check::unmet("confinement", detail, remedy);
        }
    };
    Check::met("confinement", detail)
}

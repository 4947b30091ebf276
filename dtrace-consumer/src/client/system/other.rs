//! What does the user's process need of a system on which sessions are not implemented yet?

use std::fs::File;
use std::path::PathBuf;

use crate::error::Error;
use crate::error::unavailable::Check;

/// Why live tracing is not possible on this system at all.
pub(in crate::client) fn unsupported() -> Option<Check> {
    let detail = format!("live tracing on {} is not implemented yet", std::env::consts::OS);
    let remedy = "Trace on Linux; recordings can be replayed here.";
    Some(Check::unmet("system", detail, remedy))
}

/// Whether this process may trace.
pub(in crate::client) fn privilege() -> Check {
    Check::unmet("privilege", "not known on this system", "Trace on Linux.")
}

/// What the kernel must have.
pub(in crate::client) fn kernel() -> [Check; 0] {
    []
}

/// Whether this process may run on the CPU with the given number.
pub(in crate::client) fn is_usable_cpu(_: u64) -> bool {
    true
}

/// Returns a file without a name, for what a worker writes to its standard error.
pub(in crate::client) fn scratch_file() -> Option<File> {
    None
}

/// Returns this process's executable, if starting it again runs this crate's start-up hook.
pub(in crate::client) fn own_executable() -> Result<PathBuf, Error> {
    std::env::current_exe()
        .map_err(|cause| Error::System { attempt: "find this program's executable", cause })
}

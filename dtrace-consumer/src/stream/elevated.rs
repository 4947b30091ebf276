//! What both sides of an elevated session agree on before the first frame.

/// The first bytes that a serving worker sends. The length of its version and the version follow.
pub(crate) const GREETING: &[u8; 4] = b"DTrW";

/// The version, which must be the same on both sides.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The longest job that an elevated worker accepts, in bytes.
pub(crate) const REQUEST_LIMIT: usize = 4 << 20;

/// The argument that makes `dtrace-worker` serve a session.
pub(crate) const SERVE: &str = "serve";

/// The administrator's configuration of elevated workers.
pub const CONFIGURATION: &str = "/etc/dtrace-worker.conf";

/// Where an administrator installs `dtrace-worker` for elevated sessions. Sessions use the first one that
/// exists, unless they name another.
pub const INSTALLED_WORKERS: [&str; 2] =
    ["/usr/local/libexec/dtrace-worker", "/usr/libexec/dtrace-worker"];

/// Where an elevated worker looks for a private libdtrace, if the system has none.
pub const SYSTEM_PREFIX: &str = "/usr/local/lib/dtrace-worker/libdtrace";

/// The argument that tells a serving worker that the private libdtrace's loader started it.
pub const UNDER_LOADER: &str = "--under-loader";

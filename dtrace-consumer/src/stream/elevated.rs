//! What do both sides of an elevated session know before the first frame?

/// What a serving worker sends first, followed by the length of its version, and its version.
pub(crate) const GREETING: &[u8; 4] = b"DTrW";

/// The version that both sides must be of.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The argument that makes `dtrace-worker` serve a session.
pub(crate) const SERVE: &str = "serve";

/// The administrator's choices for elevated workers.
pub const CONFIGURATION: &str = "/etc/dtrace-worker.conf";

/// Where an administrator installs `dtrace-worker` for elevated sessions; the first that exists is
/// used, unless the session names another one.
pub const INSTALLED_WORKERS: [&str; 2] =
    ["/usr/local/libexec/dtrace-worker", "/usr/libexec/dtrace-worker"];

/// Where an elevated worker looks for a private libdtrace, if the system has none.
pub const SYSTEM_PREFIX: &str = "/usr/local/lib/dtrace-worker/libdtrace";

/// The argument by which a serving worker knows that the private libdtrace's loader has started it.
pub const UNDER_LOADER: &str = "--under-loader";

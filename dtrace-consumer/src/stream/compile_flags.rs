//! The compiler flags (`DTRACE_C_*`) that this crate sets itself.

/// `DTRACE_C_CPP`: preprocess scripts.
pub(crate) const PREPROCESS: u32 = 0x10;

/// `DTRACE_C_ZDEFS`: accept probe descriptions that match no probe.
pub(crate) const ZERO_MATCHES: u32 = 0x4;

/// Whether clauses that match no probe can fire later. On Linux libdtrace does not look for probes again once tracing is on.
/// Elsewhere the kernel keeps such clauses, and enables probes that appear.
pub(crate) const ENABLES_LATER: bool = cfg!(not(dtrace_abi = "linux"));

/// `DTRACE_C_ETAGS`: put tags into the compiler's messages.
pub(crate) const ERROR_TAGS: u32 = 0x100;

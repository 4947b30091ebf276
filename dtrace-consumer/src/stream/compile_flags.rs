//! The compiler flags (`DTRACE_C_*`) that this crate sets itself.

/// `DTRACE_C_CPP`: preprocess scripts.
pub(crate) const PREPROCESS: u32 = 0x10;

/// `DTRACE_C_ZDEFS`: accept probe descriptions that match no probe.
pub(crate) const ZERO_MATCHES: u32 = 0x4;

/// `DTRACE_C_ETAGS`: put tags into the compiler's messages.
pub(crate) const ERROR_TAGS: u32 = 0x100;

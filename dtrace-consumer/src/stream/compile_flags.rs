//! Which of the compiler's flags (`DTRACE_C_*`) does this crate set itself?

/// `DTRACE_C_CPP`: scripts are preprocessed.
pub(crate) const PREPROCESS: u32 = 0x10;

/// The compiler's flag for descriptions that match no probe (`DTRACE_C_ZDEFS`).
pub(crate) const ZERO_MATCHES: u32 = 0x4;

/// `DTRACE_C_ETAGS`: messages of the compiler carry their tag.
pub(crate) const ERROR_TAGS: u32 = 0x100;

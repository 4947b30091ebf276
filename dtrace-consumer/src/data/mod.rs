//! The values that a session delivers.
//!
//! Plain values, without I/O. The rest of the crate builds on them.

pub(crate) mod addresses;
pub(crate) mod aggregation;
pub(crate) mod debug;
pub(crate) mod folded;
pub(crate) mod from_value;
pub(crate) mod integer;
pub(crate) mod kernel_symbol;
pub(crate) mod kernel_type;
pub(crate) mod listing;
pub(crate) mod loss;
pub(crate) mod misfit;
pub(crate) mod nul;
pub(crate) mod outcome;
pub(crate) mod pattern;
pub(crate) mod plain_calls;
pub(crate) mod printable;
pub(crate) mod probe;
pub(crate) mod record;
pub(crate) mod recording;
pub(crate) mod script;
pub(crate) mod sentences;
pub(crate) mod session_info;
pub(crate) mod stack;
pub(crate) mod symbol;
pub(crate) mod value;
pub(crate) mod warning;

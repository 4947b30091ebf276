//! Decoding of the bytes of a record.

pub(crate) mod format;
pub(crate) mod layout;
pub(crate) mod row_error;
mod row_value;
pub(crate) mod rows;
pub(crate) mod sorting;

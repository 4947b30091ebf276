//! How are the bytes of a record read?

pub(crate) mod format;
pub(crate) mod layout;
pub(crate) mod rows;

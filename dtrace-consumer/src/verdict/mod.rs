//! Has a self-check shown that a libdtrace has the structures that this version expects?
//!
//! The answer, a [`Verdict`], is expensive, so it is kept in a [`Store`].

mod store;
mod subject;
mod text;

pub(crate) use self::store::{SYSTEM_DIRECTORY, Store};
pub(crate) use self::subject::{Subject, Verdict};

//! How do frames become calls of the user's handlers?
//!
//! Live sessions and recordings share this code.

pub(crate) mod aggregated;
pub(crate) mod aggregation;
pub(crate) mod consumer;
pub(crate) mod contents;
pub(crate) mod deadline;
pub(crate) mod delivery;
pub(crate) mod described;
pub(crate) mod dispatcher;
mod entry;
pub(crate) mod event;
pub(crate) mod firing;
pub(crate) mod guard;
pub(crate) mod joined;
pub(crate) mod json;
pub(crate) mod kept;
mod line;
pub(crate) mod notes;
pub(crate) mod ordered;
pub(crate) mod speak;
pub(crate) mod stop;
pub(crate) mod told;
pub(crate) mod walks;

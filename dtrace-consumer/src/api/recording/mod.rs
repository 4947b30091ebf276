//! How is a recording described, and how is it changed?

pub(crate) mod anonymise;
pub(crate) mod cut;
pub(crate) mod info;
mod renamed;
mod renamed_data;
mod target;

#[cfg(test)]
mod tests;

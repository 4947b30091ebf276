//! What happens to a row that does not fit its type?

/// What happens to a firing or an entry that does not fit the type of a closure for rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MisfitPolicy {
    /// End the session with [`Error::Row`](crate::Error::Row).
    #[default]
    Fail,
    /// Skip it. [`Outcome::misfits`](crate::Outcome::misfits) counts them, and the first one of each clause and
    /// each aggregation is a [`Warning`](crate::session::Warning).
    Skip,
}

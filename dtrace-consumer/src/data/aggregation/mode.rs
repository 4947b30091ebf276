//! How do the values of a walk relate to those of the previous walk?

/// What the values of a walk mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everything since tracing began, or since the script cleared the aggregation.
    #[default]
    Cumulative,
    /// What has been added since the previous walk. Entries to which nothing was added are omitted. Nothing
    /// is lost between two walks, because the kernel's data are not touched. `min` and `max` have no
    /// differences: they are delivered whole when they have changed.
    Delta,
    /// What has been added since the previous walk, with everything removed from the kernel's buffers. What
    /// is added between the reading of an entry and its removal is lost. Use it for scripts with so many keys
    /// that [`Delta`](Mode::Delta) would fill the aggregation buffer.
    Drain,
}

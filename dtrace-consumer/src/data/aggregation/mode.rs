//! How do the values of one walk relate to those of the walk before?

/// What the values of a walk stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Everything since tracing began, or since the script cleared the aggregation.
    #[default]
    Cumulative,
    /// What has been added since the walk before; entries to which nothing was added are left out.
    /// Nothing is lost between two walks, because the kernel's data are not touched. `min` and `max`
    /// cannot be told apart in this way: they are delivered, as they stand, when they have changed.
    Delta,
    /// What has been added since the walk before, with everything taken out of the kernel's buffers.
    /// What is added between the reading of an entry and its removal is lost; it is for scripts with so
    /// many keys that [`Delta`](Mode::Delta) would fill the aggregation buffer.
    Drain,
}

//! The options of tracing, with the types of their values.
//!
//! Each function returns an option for [`Session::set`](crate::Session::set). Set other options by name with
//! [`Session::option`](crate::Session::option). dtrace(8) documents the options. If the library does not know
//! one, it reports that before tracing starts.

use std::fmt;
use std::time::Duration;

/// An option with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    pub(crate) name: &'static str,
    pub(crate) value: Option<String>,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// Creates a size from bytes.
    #[must_use]
    pub const fn bytes(n: u64) -> Size {
        Size(n)
    }

    /// Creates a size from units of 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Size {
        Size(n.saturating_mul(1 << 10))
    }

    /// Creates a size from units of 1024 x 1024 bytes.
    #[must_use]
    pub const fn mib(n: u64) -> Size {
        Size(n.saturating_mul(1 << 20))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate(Duration);

impl Rate {
    /// Once in every `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Rate {
        Rate(interval)
    }

    /// The given number of times a second; 0 means never.
    #[must_use]
    pub fn hz(times: u32) -> Rate {
        Rate(Duration::from_secs(1).checked_div(times).unwrap_or(Duration::MAX))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// What happens when a principal buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferPolicy {
    /// New records replace the oldest. The buffer is read when tracing ends.
    Ring,
    /// Tracing ends on that CPU. The buffer is read when tracing ends.
    Fill,
    /// New records are dropped. The buffer is read continuously.
    Switch,
}

impl fmt::Display for BufferPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BufferPolicy::Ring => "ring",
            BufferPolicy::Fill => "fill",
            BufferPolicy::Switch => "switch",
        })
    }
}

/// What happens when a buffer of the requested size is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferResize {
    /// The buffer is made smaller.
    Auto,
    /// Tracing fails to start.
    Manual,
}

impl fmt::Display for BufferResize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BufferResize::Auto => "auto",
            BufferResize::Manual => "manual",
        })
    }
}

macro_rules! options {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name(value: $type) -> Setting {
            Setting { name: stringify!($name), value: Some(value.to_string()) }
        }
    )*};
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[must_use]
        pub fn $name() -> Setting {
            Setting { name: stringify!($name), value: None }
        }
    )*};
}

options! {
    /// Sets the size of the aggregation buffer.
    aggsize: Size;
    /// Sets the size of each CPU's principal buffer.
    bufsize: Size;
    /// Sets the space for dynamic variables.
    dynvarsize: Size;
    /// Sets the size of each speculation's buffer.
    specsize: Size;
    /// Sets the size of strings.
    strsize: Size;
    /// Sets the scratch space of a clause (Linux).
    scratchsize: Size;
    /// Sets how much of a packet `pcap()` records (Linux).
    pcapsize: Size;
    /// Sets how much of a value `print()` records (Linux).
    printsize: Size;
    /// Sets the space for the strings of `jstack()`.
    jstackstrsize: Size;
    /// Sets how often aggregations are read.
    aggrate: Rate;
    /// Sets how often dynamic variables are cleaned.
    cleanrate: Rate;
    /// Sets how often the state of tracing is checked.
    statusrate: Rate;
    /// Sets how often principal buffers are read. By default the library waits for data, and this crate reads
    /// in batches while data arrive fast.
    switchrate: Rate;
    /// Sets what happens when a principal buffer is full.
    bufpolicy: BufferPolicy;
    /// Sets what happens when a buffer of the requested size is unavailable.
    bufresize: BufferResize;
    /// Traces on this CPU only.
    cpu: u32;
    /// Sets the maximum number of simultaneous speculations.
    nspec: u32;
    /// Sets how many frames `stack()` records.
    stackframes: u32;
    /// Sets how many frames `ustack()` records.
    ustackframes: u32;
    /// Sets how many frames `jstack()` records.
    jstackframes: u32;
    /// Sets the maximum number of frames of any stack (Linux).
    maxframes: u32;
    /// Sets the indentation of printed stacks.
    stackindent: u32;
    /// Sets which of several aggregations to sort by, from 0.
    aggsortpos: u32;
    /// Sets which key to sort by, from 0.
    aggsortkeypos: u32;
}

flags! {
    /// Keeps the values of aggregations for each CPU, too; see
    /// [`Aggregated::per_cpu`](crate::Aggregated::per_cpu).
    aggpercpu;
    /// Sorts aggregations by key.
    aggsortkey;
    /// Sorts aggregations in descending order.
    aggsortrev;
    /// Permits actions that change the state of the system.
    destructive;
    /// Indents output by the flow of functions; see [`Firing::flow`](crate::Firing::flow).
    flowindent;
    /// Prints addresses without resolving them (Linux).
    noresolve;
    /// Prints only what the script prints.
    quiet;
    /// Prints memory in hexadecimal.
    rawbytes;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_the_library_reads_them() {
        assert_eq!(bufsize(Size::mib(4)).value.as_deref(), Some("4194304"));
        assert_eq!(switchrate(Rate::hz(10)).value.as_deref(), Some("100000000ns"));
        assert_eq!(bufpolicy(BufferPolicy::Ring).value.as_deref(), Some("ring"));
        assert_eq!(quiet(), Setting { name: "quiet", value: None });
    }
}

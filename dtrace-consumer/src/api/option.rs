//! Which options does tracing have, with which kinds of values?
//!
//! Each function makes one option for [`Builder::set`](crate::Session::set); an option that has none
//! here is set by name, with [`Builder::option`](crate::Session::option). What an option means is said
//! in dtrace(8); whether the library at hand knows it, it says itself before tracing begins.

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
    /// Bytes.
    #[must_use]
    pub const fn bytes(n: u64) -> Size {
        Size(n)
    }

    /// Units of 1024 bytes.
    #[must_use]
    pub const fn kib(n: u64) -> Size {
        Size(n.saturating_mul(1 << 10))
    }

    /// Units of 1024 x 1024 bytes.
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

/// How often something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate(Duration);

impl Rate {
    /// Once in every `interval`.
    #[must_use]
    pub const fn every(interval: Duration) -> Rate {
        Rate(interval)
    }

    /// So many times a second; 0 is never.
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
    /// The oldest records make room for new ones; the buffer is read when tracing ends.
    Ring,
    /// Tracing ends on that CPU; the buffer is read when tracing ends.
    Fill,
    /// New records are dropped, and the buffer is read all the time.
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
    /// It is made smaller.
    Auto,
    /// Tracing does not begin.
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
    /// The size of the aggregations' buffer.
    aggsize: Size;
    /// The size of each CPU's principal buffer.
    bufsize: Size;
    /// The space for dynamic variables.
    dynvarsize: Size;
    /// The size of each speculation's buffer.
    specsize: Size;
    /// The size of strings.
    strsize: Size;
    /// The scratch space of a clause (Linux).
    scratchsize: Size;
    /// How much of a packet `pcap()` keeps (Linux).
    pcapsize: Size;
    /// How much of a value `print()` keeps (Linux).
    printsize: Size;
    /// The space for the strings of `jstack()`.
    jstackstrsize: Size;
    /// How often aggregations are read.
    aggrate: Rate;
    /// How often dynamic variables are cleaned.
    cleanrate: Rate;
    /// How often the state of tracing is looked at.
    statusrate: Rate;
    /// How often principal buffers are read. Without it the library waits for data, and this crate
    /// reads in batches while they come fast.
    switchrate: Rate;
    /// What happens when a principal buffer is full.
    bufpolicy: BufferPolicy;
    /// What happens when a buffer of the requested size is unavailable.
    bufresize: BufferResize;
    /// Tracing only on this CPU.
    cpu: u32;
    /// How many speculations there may be at a time.
    nspec: u32;
    /// How many frames `stack()` keeps.
    stackframes: u32;
    /// How many frames `ustack()` keeps.
    ustackframes: u32;
    /// How many frames `jstack()` keeps.
    jstackframes: u32;
    /// How many frames any stack may have (Linux).
    maxframes: u32;
    /// How far stacks are indented when printed.
    stackindent: u32;
    /// Which aggregation of several is sorted by, from 0.
    aggsortpos: u32;
    /// Which key is sorted by, from 0.
    aggsortkeypos: u32;
}

flags! {
    /// Values of aggregations are kept for each CPU, too; see
    /// [`Aggregated::per_cpu`](crate::Aggregated::per_cpu).
    aggpercpu;
    /// Aggregations are sorted by key.
    aggsortkey;
    /// Aggregations are sorted downwards.
    aggsortrev;
    /// Actions that change the state of the system are allowed.
    destructive;
    /// Output is indented by the flow of functions; see [`Firing::flow`](crate::Firing::flow).
    flowindent;
    /// Addresses are not resolved when libdtrace prints (Linux).
    noresolve;
    /// Only what the script prints is printed.
    quiet;
    /// Memory is printed in hexadecimal.
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

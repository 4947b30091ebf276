//! Which options does tracing have, with which kinds of values?
//!
//! Each function makes one option for [`Builder::set`](crate::Builder::set); an option that has none
//! here is set by name, with [`Builder::option`](crate::Builder::option). What an option means is said
//! in dtrace(8); whether the library at hand knows it, it says itself before tracing begins.

use std::fmt;
use std::time::Duration;

use crate::error::Error;

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

/// What happens when a buffer of the size asked for cannot be had.
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
    /// What happens when a buffer of the size asked for cannot be had.
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
    /// [`Aggregated::per_cpu`](crate::aggregation::Aggregated::per_cpu).
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

/// `DTRACE_C_CPP`: scripts are preprocessed.
pub(crate) const PREPROCESS: u32 = 0x10;

/// The compiler's flag for descriptions that match no probe (`DTRACE_C_ZDEFS`).
pub(crate) const ZERO_MATCHES: u32 = 0x4;

/// `DTRACE_C_ETAGS`: messages of the compiler carry their tag.
pub(crate) const ERROR_TAGS: u32 = 0x100;

/// What dtrace(1) sets, too: without `aggsize`, tracing cannot begin on machines with many CPUs.
const DEFAULTS: [(&str, &str); 2] = [("bufsize", "4m"), ("aggsize", "4m")];

/// Options that make libdtrace end its process, each with what it does.
const DANGEROUS: [(&str, &str); 2] = [
    ("core", "makes libdtrace abort; it is for debugging libdtrace itself"),
    ("nolibs", "makes the compiler of DTrace for Linux abort"),
];

/// The options of a session: the defaults, and after them the user's, which win.
pub(crate) fn complete(
    user: &[(String, Option<String>)],
) -> Result<Vec<(String, Option<String>)>, Error> {
    for (name, value) in user {
        let refused = |reason: String| {
            Err(Error::Option { name: name.clone(), value: value.clone(), reason })
        };
        if let Some((_, what)) = DANGEROUS.iter().find(|(dangerous, _)| dangerous == name) {
            return refused(format!("refused: it {what}"));
        }
        // What is no number the library itself refuses.
        let cpu = value.as_deref().map(str::parse);
        let usable = match cpu {
            Some(Ok(cpu)) => is_usable_cpu(cpu),
            Some(Err(_)) => true,
            None => false,
        };
        if name == "cpu" && !usable {
            // libdtrace would end its process when it cannot move to that CPU.
            return refused("this process cannot run on that CPU".to_owned());
        }
    }
    let defaults =
        DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    Ok(defaults.chain(user.iter().cloned()).collect())
}

/// Whether this process may run on the CPU with the given number.
fn is_usable_cpu(number: u64) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.is_some_and(|list| {
        list.trim().split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last))
                if (first..=last).contains(&number))
        })
    })
}

/// What usually helps where libdtrace's own words mislead.
pub(crate) fn advice(call: &str, message: &str, number: i32) -> Option<&'static str> {
    match (call, number) {
        ("dtrace_go", _) if message.contains("estructive") => {
            Some("the script uses destructive actions; set the option `destructive`")
        }
        ("dtrace_go", _) if message.contains("Too big") => {
            Some("a buffer is too large for the kernel; lower bufsize or aggsize")
        }
        _ => None,
    }
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

    #[test]
    fn options_that_would_end_the_process_are_refused() {
        for (name, value) in [("core", None), ("nolibs", None), ("cpu", Some("4095"))] {
            let option = (name.to_owned(), value.map(str::to_owned));
            assert!(matches!(complete(&[option]), Err(Error::Option { .. })), "{name}");
        }
    }

    #[test]
    fn the_users_options_come_after_the_defaults() {
        let options = complete(&[("bufsize".to_owned(), Some("64k".to_owned()))]).unwrap();
        let last = options.iter().rfind(|(name, _)| name == "bufsize").unwrap();
        assert_eq!(last.1.as_deref(), Some("64k"));
    }
}

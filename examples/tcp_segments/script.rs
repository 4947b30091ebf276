//! Which D script traces the segments of a command here?

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

/// A D script of the lab. All of them print a [`Segment`](crate::segment::Segment) in each row and count system calls by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Script {
    /// The function tcp_do_segment, of FreeBSD
    Fbt,
    /// The tcp provider of Linux, where functions of the kernel can be traced
    Tcp,
    /// The trace points of Linux, which are always there
    Rawtp,
}

impl Script {
    /// Returns the best script for this machine, and why it is.
    pub(crate) fn choose() -> (Script, &'static str) {
        if cfg!(target_os = "freebsd") {
            (Script::Fbt, "FreeBSD handles received segments in one function")
        } else if Path::new("/sys/bus/event_source/devices/kprobe").exists() {
            // libdtrace makes the tcp provider's probes from kprobes.
            (Script::Tcp, "functions of this kernel can be traced, as the tcp provider needs")
        } else {
            (Script::Rawtp, "functions of this kernel cannot be traced, its trace points can")
        }
    }

    /// The D program.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Script::Fbt => include_str!("fbt.d"),
            Script::Tcp => include_str!("tcp.d"),
            Script::Rawtp => include_str!("rawtp.d"),
        }
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Script::Fbt => "fbt",
            Script::Tcp => "tcp",
            Script::Rawtp => "rawtp",
        })
    }
}

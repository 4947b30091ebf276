//! Which D script traces a command's segments on this machine?

use std::fmt;
use std::path::Path;

use clap::ValueEnum;

/// A D script of the lab. Each row of a script is a [`Segment`](crate::segment::Segment). All scripts also
/// count system calls, by name or number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Script {
    /// FreeBSD's function tcp_do_segment
    Fbt,
    /// The tcp provider, on Linux kernels that can trace functions
    Tcp,
    /// Tracepoints, which all Linux kernels have
    Rawtp,
}

impl Script {
    /// Returns the best script for this machine, and the reason.
    pub(crate) fn choose() -> (Script, &'static str) {
        if cfg!(target_os = "freebsd") {
            (Script::Fbt, "FreeBSD handles received segments in one function")
        } else if Path::new("/sys/bus/event_source/devices/kprobe").exists() {
            // libdtrace builds the tcp provider on kprobes.
            (Script::Tcp, "this kernel can trace functions, which the tcp provider needs")
        } else {
            (Script::Rawtp, "this kernel cannot trace functions, but it has tracepoints")
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

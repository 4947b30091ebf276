//! What was measured, and how is it printed?

use std::io::{self, Write};

use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::{Deserialize, Serialize};

use super::transfer::Transfer;
use super::{Config, Error, Mode};

/// The result of a benchmark. `-j` prints its serialised form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The configuration of the benchmark.
    #[serde(rename = "benchmark_configuration")]
    pub configuration: Config,
    /// The port of the receiving end of the TCP connections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// One result for each iteration.
    #[serde(rename = "benchmark_samples")]
    pub samples: Vec<Sample>,
}

/// One transfer of the total size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// KBytes (1024 bytes) received per second.
    pub bandwidth: f64,
    /// Seconds from just before the first write until the last byte was read.
    pub time: f64,
    /// Bytes written.
    pub sent: u64,
    /// Bytes read.
    pub received: u64,
    /// The port of the sending end of the TCP connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_port: Option<u16>,
    /// The socket buffers that the kernel granted, if the configuration asks for sizes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_buffers: Option<SocketBuffers>,
    /// The resources that the transfer used, if the configuration asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rusage: Option<ResourceUsage>,
}

/// Sizes of socket buffers in bytes, as the kernel reports them. Linux reports twice the size that was set
/// (`socket(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketBuffers {
    /// `SO_SNDBUF` of the sending end.
    pub send: usize,
    /// `SO_RCVBUF` of the receiving end.
    pub receive: usize,
}

/// Resources that an iteration used, including set-up and close of the channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceUsage {
    /// By all threads of this process.
    #[serde(rename = "self")]
    pub own: Rusage,
    /// By the sending process of mode 2proc, including its start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children: Option<Rusage>,
}

/// The fields of `getrusage(2)` that systems maintain.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rusage {
    /// Seconds of user CPU time.
    pub utime: f64,
    /// Seconds of system CPU time.
    pub stime: f64,
    /// Page faults served without I/O.
    pub minflt: i64,
    /// Page faults that needed I/O.
    pub majflt: i64,
    /// Voluntary context switches.
    pub nvcsw: i64,
    /// Involuntary context switches.
    pub nivcsw: i64,
}

impl Sample {
    pub(super) fn new(
        transfer: &Transfer,
        client_port: Option<u16>,
        socket_buffers: Option<SocketBuffers>,
        rusage: Option<ResourceUsage>,
    ) -> Self {
        // A coarse clock may measure 0 for a small buffer; the bandwidth must stay finite.
        let time = transfer.time.as_secs_f64().max(1e-9);
        Self {
            bandwidth: transfer.received as f64 / 1024.0 / time,
            time,
            sent: transfer.sent,
            received: transfer.received,
            client_port,
            socket_buffers,
            rusage,
        }
    }
}

impl Report {
    pub(super) fn write_configuration(&self, out: &mut impl Write) -> io::Result<()> {
        // Uses the names of the JSON object, so there is only one list of names.
        let fields = serde_json::to_value(&self.configuration)?;
        for (name, value) in fields.as_object().into_iter().flatten() {
            match (name.as_str(), self.port) {
                ("port", Some(port)) => writeln!(out, "port: {port}")?,
                ("port", None) => {}
                _ => match value.as_str() {
                    Some(text) => writeln!(out, "{name}: {text}")?,
                    None => writeln!(out, "{name}: {value}")?,
                },
            }
        }
        Ok(())
    }

    pub(super) fn write_samples(&self, out: &mut impl Write) -> io::Result<()> {
        for sample in &self.samples {
            writeln!(out, "{:.2} KBytes/sec in {:.9} s", sample.bandwidth, sample.time)?;
            if let Some(SocketBuffers { send, receive }) = sample.socket_buffers {
                writeln!(out, "  socket buffers: send {send} bytes, receive {receive} bytes")?;
            }
            if let Some(ResourceUsage { own, children }) = &sample.rusage {
                own.write(out, "self")?;
                if let Some(children) = children {
                    children.write(out, "children")?;
                }
            }
        }
        Ok(())
    }
}

impl ResourceUsage {
    /// Returns the resources used so far.
    pub(super) fn now(mode: Mode) -> Result<Self, Error> {
        let of = |who| getrusage(who).map_err(|e| Error::io("get the resource usage", e));
        let children = match mode {
            Mode::TwoProcesses => Some(of(UsageWho::RUSAGE_CHILDREN)?.into()),
            Mode::OneThread | Mode::TwoThreads => None,
        };
        Ok(Self { own: of(UsageWho::RUSAGE_SELF)?.into(), children })
    }

    /// Returns the resources used since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            own: self.own.since(&before.own),
            children: self.children.zip(before.children).map(|(now, then)| now.since(&then)),
        }
    }
}

impl Rusage {
    fn since(&self, before: &Self) -> Self {
        Self {
            utime: self.utime - before.utime,
            stime: self.stime - before.stime,
            minflt: self.minflt - before.minflt,
            majflt: self.majflt - before.majflt,
            nvcsw: self.nvcsw - before.nvcsw,
            nivcsw: self.nivcsw - before.nivcsw,
        }
    }

    fn write(&self, out: &mut impl Write, who: &str) -> io::Result<()> {
        let Self { utime, stime, minflt, majflt, nvcsw, nivcsw } = self;
        writeln!(
            out,
            "  {who}: utime {utime:.6} s, stime {stime:.6} s, minflt {minflt}, majflt {majflt}, \
             nvcsw {nvcsw}, nivcsw {nivcsw}"
        )
    }
}

impl From<Usage> for Rusage {
    fn from(usage: Usage) -> Self {
        let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self {
            utime: seconds(usage.user_time()),
            stime: seconds(usage.system_time()),
            minflt: usage.minor_page_faults(),
            majflt: usage.major_page_faults(),
            nvcsw: usage.voluntary_context_switches(),
            nivcsw: usage.involuntary_context_switches(),
        }
    }
}

//! What was measured, and how does it become a table, files and pictures?

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use dtrace_lab::latency::{self, Buffers, Measurement, Summary, Trace, Windows};
use dtrace_lab::picture::{Error, Picture};
use ipc_benchmark::SocketBuffers;
use serde::Serialize;

use crate::link::Kind;

/// All that a run of the program has measured.
pub(crate) struct Results {
    pub(crate) network: Kind,
    bytes: u64,
    buffer: u32,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) traces: Vec<Trace>,
}

/// One transfer.
#[derive(Serialize)]
pub(crate) struct Transfer {
    #[serde(flatten)]
    pub(crate) measured: Measurement,
    pub(crate) repetition: u32,
    pub(crate) seconds: f64,
    /// The sizes that the kernel granted, if they are fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) socket_buffers: Option<SocketBuffers>,
}

/// A line of `--ndjson`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line<'a> {
    /// The first line.
    Run {
        network: Kind,
        meaning: &'static str,
        bytes: u64,
        buffer: u32,
    },
    Transfer(&'a Transfer),
    Summary(Summary),
    Windows {
        delay_ms: u32,
        buffers: Buffers,
        #[serde(flatten)]
        windows: &'a Windows,
    },
}

impl Results {
    pub(crate) fn new(network: Kind, bytes: u64, buffer: u32) -> Results {
        Results { network, bytes, buffer, transfers: Vec::new(), traces: Vec::new() }
    }

    fn measurements(&self) -> Vec<Measurement> {
        self.transfers.iter().map(|it| it.measured).collect()
    }

    fn summaries(&self) -> Vec<Summary> {
        latency::summaries(&self.measurements())
    }

    pub(crate) fn write_table(&self, mut out: impl Write) -> io::Result<()> {
        writeln!(
            out,
            "{} bytes over TCP, in writes of {}. {}",
            self.bytes,
            self.buffer,
            self.network.meaning()
        )?;
        writeln!(out, "Delays are in one direction. MB/s are 10^6 bytes a second.\n")?;

        writeln!(
            out,
            "{:>8}  {:7} {:>9} {:>10} {:>10} {:>10}  MB/s",
            "delay/ms", "buffers", "transfers", "minimum", "median", "maximum"
        )?;
        for it in self.summaries() {
            let [minimum, median, maximum] = [it.minimum, it.median, it.maximum].map(|it| it / 1e6);
            writeln!(
                out,
                "{:>8}  {:7} {:>9} {minimum:>10.2} {median:>10.2} {maximum:>10.2}",
                it.delay_ms,
                it.buffers.name(),
                it.repetitions
            )?;
        }
        out.flush()
    }

    pub(crate) fn save_csv(&self, file: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(file)?);
        writeln!(out, "network,bytes,delay_ms,buffers,repetition,seconds,bytes_per_second")?;
        for Transfer { measured, repetition, seconds, .. } in &self.transfers {
            let Measurement { delay_ms, buffers, bandwidth } = measured;
            let (network, bytes, buffers) = (self.network, self.bytes, buffers.name());
            writeln!(
                out,
                "{network},{bytes},{delay_ms},{buffers},{repetition},{seconds},{bandwidth}"
            )?;
        }
        out.flush()
    }

    pub(crate) fn save_ndjson(&self, file: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(file)?);
        let (network, bytes, buffer) = (self.network, self.bytes, self.buffer);
        let run = Line::Run { network, meaning: network.meaning(), bytes, buffer };
        let windows = self.traces.iter().flat_map(|trace| {
            let (delay_ms, buffers) = (trace.delay_ms, trace.buffers);
            trace.windows.iter().map(move |windows| Line::Windows { delay_ms, buffers, windows })
        });
        let transfers = self.transfers.iter().map(Line::Transfer);
        let summaries = self.summaries().into_iter().map(Line::Summary);
        for line in [run].into_iter().chain(transfers).chain(summaries).chain(windows) {
            serde_json::to_writer(&mut out, &line)?;
            writeln!(out)?;
        }
        out.flush()
    }

    pub(crate) fn bandwidth(&self) -> Result<Picture, Error> {
        let mib = self.bytes as f64 / f64::from(1 << 20);
        let how = format!("Transfers of {mib} MiB. {}", self.network.meaning());
        latency::bandwidth(&self.measurements(), &how)
    }

    pub(crate) fn windows(&self) -> Result<Picture, Error> {
        let which = match self.network {
            Kind::Netem | Kind::Tun => "Windows of a TCP connection, at its sending end",
            Kind::Proxy => {
                "Windows of the TCP connection to a proxy, which TCP does not see delayed"
            }
        };
        latency::windows(&self.traces, &format!("{which} (delay by {})", self.network))
    }
}

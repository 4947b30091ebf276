//! What does a benchmark measure: type of IPC, mode, sizes, and the options that set them?

use std::net::{Ipv4Addr, SocketAddrV4};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

/// The largest buffer in bytes. Each of the two ends allocates one.
const MAX_BUFFER_SIZE: u32 = 1 << 30;

/// What connects the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcType {
    /// A TCP connection, over 127.0.0.1 by default
    Tcp,
    /// A pipe
    Pipe,
    /// A pair of connected local (UNIX domain) stream sockets
    Local,
}

/// Who holds the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum Mode {
    /// One thread writes and reads in turn, without blocking
    #[value(name = "1thread")]
    #[serde(rename = "1thread")]
    OneThread,
    /// A second thread writes, the first one reads
    #[value(name = "2thread")]
    #[serde(rename = "2thread")]
    TwoThreads,
    /// A child process writes, this process reads
    #[value(name = "2proc")]
    #[serde(rename = "2proc")]
    TwoProcesses,
}

// The comments on the fields are also the text of `--help`.
/// One benchmark. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Args, Serialize, Deserialize)]
pub struct Config {
    /// What connects the two ends
    #[arg(short = 'i', long = "ipc", value_name = "TYPE", default_value = "pipe")]
    #[serde(rename = "ipctype")]
    pub ipc: IpcType,
    /// Bytes per read(2) and write(2)
    #[arg(short = 'b', long, value_name = "BUFFERSIZE", default_value_t = Self::BUFFER_SIZE)]
    #[serde(rename = "buffersize")]
    pub buffer_size: u32,
    /// Total bytes to transfer; a multiple of BUFFERSIZE
    #[arg(short = 't', long, value_name = "TOTALSIZE", default_value_t = Self::TOTAL_SIZE)]
    #[serde(rename = "totalsize")]
    pub total_size: u64,
    /// Port of the receiving end of a TCP connection; 0 lets the kernel choose
    #[arg(short = 'p', long, value_name = "PORT", default_value_t = 0)]
    pub port: u16,
    /// Address of the receiving end of a TCP connection; the default is 127.0.0.1
    #[arg(short = 'l', long, value_name = "ADDRESS")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Ipv4Addr>,
    /// Connect to ADDRESS:PORT, where something must forward to the receiving end
    #[arg(short = 'c', long, value_name = "ADDRESS:PORT")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<SocketAddrV4>,
    /// How often to transfer TOTALSIZE, each time over a new connection
    #[arg(short = 'n', long, value_name = "ITERATIONS", default_value_t = 1)]
    pub iterations: u32,
    /// Report the resource usage of each transfer
    #[arg(short = 'g', long)]
    pub getrusage: bool,
    /// Do not prepare the buffers: the transfer touches their pages first
    #[arg(short = 'B', long)]
    pub bare: bool,
    /// Set the socket buffers to BUFFERSIZE; no effect on pipes
    #[arg(short = 's', long = "sockbuf")]
    #[serde(rename = "sockbuf")]
    pub set_socket_buffers: bool,
    /// Who holds the two ends
    #[arg(value_name = "MODE")]
    pub mode: Mode,
}

impl Config {
    /// The default of [`Config::buffer_size`].
    pub const BUFFER_SIZE: u32 = 128 * 1024;
    /// The default of [`Config::total_size`].
    pub const TOTAL_SIZE: u64 = 16 * 1024 * 1024;

    /// Returns the configuration of the command line `-i IPC MODE`.
    pub fn new(ipc: IpcType, mode: Mode) -> Self {
        Self {
            ipc,
            buffer_size: Self::BUFFER_SIZE,
            total_size: Self::TOTAL_SIZE,
            port: 0,
            listen: None,
            connect: None,
            iterations: 1,
            getrusage: false,
            bare: false,
            set_socket_buffers: false,
            mode,
        }
    }

    /// Checks the sizes and counts; an error says what is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { buffer_size, total_size, .. } = *self;
        if !(1..=MAX_BUFFER_SIZE).contains(&buffer_size) {
            return Err(format!(
                "the buffer size must be from 1 to {MAX_BUFFER_SIZE} bytes, not {buffer_size}"
            ));
        }
        if total_size == 0 {
            return Err("the total size must be at least one byte".to_owned());
        }
        if !total_size.is_multiple_of(buffer_size.into()) {
            return Err(format!(
                "the total size ({total_size}) must be a multiple of the buffer size \
                 ({buffer_size})"
            ));
        }
        if self.connect.is_some() && self.port == 0 {
            return Err("--connect needs --port, to which something forwards".to_owned());
        }
        if self.ipc != IpcType::Tcp && (self.listen.is_some() || self.connect.is_some()) {
            return Err("--listen and --connect are for TCP".to_owned());
        }
        if self.iterations == 0 {
            return Err("the number of iterations must be at least one".to_owned());
        }
        Ok(())
    }

    /// Allocates a buffer for one end. Its pages are present unless the benchmark is bare.
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffer = vec![0; self.buffer_size as usize];
        if !self.bare {
            // The system allocates pages of zeroed memory only when they are written to.
            buffer.fill(b'.');
        }
        buffer
    }
}

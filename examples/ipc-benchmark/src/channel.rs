//! How are two connected ends made: a TCP connection, a pipe or a pair of local sockets?
//!
//! A connected end is only a descriptor for `read(2)` or `write(2)`. The standard library's socket types
//! would call `recvfrom(2)` and `sendto(2)`, and then the types of IPC would differ outside the kernel
//! too.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{Shutdown, getsockopt, setsockopt, shutdown, sockopt};

use super::{Config, Error, IpcType, SocketBuffers};

/// Makes channels. For TCP it holds a listening socket for all iterations.
pub(super) struct Channels<'a> {
    config: &'a Config,
    listener: Option<TcpListener>,
}

/// Two connected ends.
pub(super) struct Channel {
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// The port of the sending end of a TCP connection.
    pub(super) client_port: Option<u16>,
    /// The buffer sizes that the kernel granted, if the configuration asks for sizes.
    pub(super) socket_buffers: Option<SocketBuffers>,
}

impl<'a> Channels<'a> {
    pub(super) fn new(config: &'a Config) -> Result<Self, Error> {
        let listener = match config.ipc {
            IpcType::Tcp => Some(listen(config)?),
            IpcType::Pipe | IpcType::Local => None,
        };
        Ok(Self { config, listener })
    }

    /// Returns the port of the receiving end of a TCP connection.
    pub(super) fn port(&self) -> Option<u16> {
        self.listener.as_ref()?.local_addr().ok().map(|address| address.port())
    }

    /// Makes the next channel.
    pub(super) fn open(&self) -> Result<Channel, Error> {
        let mut client_port = None;
        let (sender, receiver): (OwnedFd, OwnedFd) = match (self.config.ipc, &self.listener) {
            (IpcType::Tcp, Some(listener)) => {
                let (client, server) = self.connect(listener)?;
                client_port = client.local_addr().ok().map(|address| address.port());
                (client.into(), server.into())
            }
            (IpcType::Local, _) => {
                let (sender, receiver) =
                    UnixStream::pair().map_err(|e| Error::io("make a pair of local sockets", e))?;
                (sender.into(), receiver.into())
            }
            (IpcType::Pipe | IpcType::Tcp, _) => {
                let (receiver, sender) = io::pipe().map_err(|e| Error::io("make a pipe", e))?;
                (sender.into(), receiver.into())
            }
        };
        let is_socket = self.config.ipc != IpcType::Pipe;
        let socket_buffers = (is_socket && self.config.set_socket_buffers)
            .then(|| set_socket_buffers(&sender, &receiver, self.config.buffer_size as usize))
            .transpose()
            .map_err(|e| Error::io("set the sizes of the socket buffers", e))?;
        Ok(Channel {
            sender: Sender::new(sender, is_socket),
            receiver: Receiver(receiver.into()),
            client_port,
            socket_buffers,
        })
    }

    /// Makes a connection; returns the client's end, then the listener's.
    fn connect(&self, listener: &TcpListener) -> Result<(TcpStream, TcpStream), Error> {
        match self.config.connect {
            None => {
                let address = self.config.listen.unwrap_or(Ipv4Addr::LOCALHOST);
                connect(listener).map_err(|e| Error::io(format!("connect over {address}"), e))
            }
            Some(address) => connect_through(address.into(), listener)
                .map_err(|e| Error::io(format!("connect through {address}"), e)),
        }
    }
}

fn listen(config: &Config) -> Result<TcpListener, Error> {
    let address = config.listen.unwrap_or(Ipv4Addr::LOCALHOST);
    let listener = TcpListener::bind((address, config.port))
        .map_err(|e| Error::io(format!("listen on {address}, port {}", config.port), e))?;
    if config.set_socket_buffers {
        // The handshake settles a connection's window scale, based on the listener's buffer.
        setsockopt(&listener, sockopt::RcvBuf, &(config.buffer_size as usize))
            .map_err(|e| Error::io("set the size of the receive buffer", e))?;
    }
    Ok(listener)
}

/// Connects to the listener; returns the client's end, then the listener's.
fn connect(listener: &TcpListener) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    client.set_nodelay(true)?;
    let address = client.local_addr()?;
    loop {
        // Another process may have connected to the port first.
        let (server, peer) = listener.accept()?;
        if peer == address {
            return Ok((client, server));
        }
    }
}

/// Connects to something that forwards to the listener. It decides which address the listener sees, so
/// nobody else may connect to the listener.
fn connect_through(
    forwarder: SocketAddr,
    listener: &TcpListener,
) -> io::Result<(TcpStream, TcpStream)> {
    let client = TcpStream::connect(forwarder)?;
    client.set_nodelay(true)?;
    Ok((client, listener.accept()?.0))
}

/// Asks for buffers of `size` bytes; returns what the kernel granted. Linux doubles the size for its
/// bookkeeping and caps it at `net.core.{w,r}mem_max`, see `socket(7)`.
fn set_socket_buffers(
    sender: &OwnedFd,
    receiver: &OwnedFd,
    size: usize,
) -> nix::Result<SocketBuffers> {
    setsockopt(sender, sockopt::SndBuf, &size)?;
    setsockopt(receiver, sockopt::RcvBuf, &size)?;
    Ok(SocketBuffers {
        send: getsockopt(sender, sockopt::SndBuf)?,
        receive: getsockopt(receiver, sockopt::RcvBuf)?,
    })
}

/// The end that is written to.
pub(super) struct Sender {
    end: File,
    is_socket: bool,
}

impl Sender {
    pub(super) fn new(end: OwnedFd, is_socket: bool) -> Self {
        Self { end: end.into(), is_socket }
    }

    /// Signals the end of the data to the receiving end. Keeps a socket open, so that it can wait for an
    /// orderly close.
    pub(super) fn end_of_data(self) -> io::Result<Closing> {
        if !self.is_socket {
            return Ok(Closing(None));
        }
        shutdown(self.end.as_raw_fd(), Shutdown::Write)?;
        Ok(Closing(Some(self.end)))
    }
}

impl Write for Sender {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.end.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.end.as_fd()
    }
}

impl From<Sender> for OwnedFd {
    fn from(sender: Sender) -> Self {
        sender.end.into()
    }
}

/// A sending end after its last byte.
#[must_use]
pub(super) struct Closing(Option<File>);

impl Closing {
    /// Waits until the receiving end is closed too. For pipes it returns at once.
    pub(super) fn wait(self) -> io::Result<()> {
        match self.0 {
            Some(mut end) => io::copy(&mut end, &mut io::sink()).map(drop),
            None => Ok(()),
        }
    }
}

/// The end that is read from.
pub(super) struct Receiver(File);

impl Receiver {
    /// Reads to the end of the data and closes; returns the number of bytes, which is 0 if everything had
    /// been received.
    pub(super) fn close(mut self) -> io::Result<u64> {
        let (mut surplus, mut buffer) = (0, [0; 4096]);
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) => return Ok(surplus),
                Ok(n) => surplus += n as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Read for Receiver {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Sets whether calls on a descriptor that is not ready block or fail with `WouldBlock`.
pub(super) fn set_blocking(end: impl AsFd, blocking: bool) -> nix::Result<()> {
    let mut flags = OFlag::from_bits_retain(fcntl(&end, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, !blocking);
    fcntl(&end, FcntlArg::F_SETFL(flags)).map(drop)
}

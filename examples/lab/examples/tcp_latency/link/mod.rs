//! Over which network does a measurement run, and what delays the packets there?

#[cfg(target_os = "linux")]
#[path = "linux.rs"]
mod system;
#[cfg(not(target_os = "linux"))]
#[path = "other.rs"]
mod system;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::time::Duration;

use clap::ValueEnum;
use dtrace_lab::delay::proxy;
use ipc_benchmark::Config;
use serde::{Deserialize, Serialize};

/// What delays the packets. The first that this machine has is the best one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// The kernel, on the loopback interface of a private network
    Netem,
    /// This program, behind a TUN device in a private network
    Tun,
    /// A proxy in this program, where TCP itself sees no delay; needs no privilege
    Proxy,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Netem => "netem",
            Kind::Tun => "tun",
            Kind::Proxy => "proxy",
        }
    }

    /// Says what that means for the results, in sentences.
    pub(crate) fn meaning(self) -> &'static str {
        match self {
            Kind::Netem => {
                "The kernel (netem) delays each packet, so TCP has the round-trip time of a long path."
            }
            Kind::Tun => {
                "A program behind a TUN device delays each packet, so TCP has the round-trip time of a \
                 long path. Without a delay, that program limits the bandwidth."
            }
            Kind::Proxy => {
                "A proxy delays the bytes between two connections: TCP itself sees no delay, so its \
                 windows do not limit the bandwidth. The windows are those of the connection to the proxy."
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A link that cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A call failed.
    #[error("cannot {attempt}: {cause}{}", advice.map(|it| format!(" ({it})")).unwrap_or_default())]
    Io {
        attempt: String,
        #[source]
        cause: io::Error,
        advice: Option<&'static str>,
    },
    /// A program that sets something up failed.
    #[cfg(target_os = "linux")]
    #[error("{command} failed: {message}")]
    Command { command: String, message: String },
    /// The system lacks it.
    #[cfg(not(target_os = "linux"))]
    #[error("{0} needs Linux; use --network proxy")]
    System(Kind),
}

impl Error {
    fn io(attempt: impl Into<String>, cause: impl Into<io::Error>) -> Error {
        Error::Io { attempt: attempt.into(), cause: cause.into(), advice: None }
    }

    #[cfg(target_os = "linux")]
    fn advise(self, text: &'static str) -> Error {
        match self {
            Error::Io { attempt, cause, .. } => Error::Io { attempt, cause, advice: Some(text) },
            other => other,
        }
    }
}

/// Gives this process a link with a delay in each direction, and `config` the addresses to use there. Call it
/// before there are threads. The link exists as long as the process: the kernel removes it, however the
/// process ends.
pub(crate) fn make(kind: Kind, delay: Duration, config: &mut Config) -> Result<(), Error> {
    match kind {
        Kind::Netem => system::netem(delay),
        Kind::Tun => {
            let ends = system::tun(delay)?;
            config.listen = Some(ends.own);
            config.port = PORT;
            config.connect = Some(SocketAddrV4::new(ends.other, PORT));
            Ok(())
        }
        Kind::Proxy => through_proxy(delay, config),
    }
}

/// A port in a network that nobody else uses.
const PORT: u16 = 5001;

/// The addresses at the ends of a link. Whoever connects to the other one arrives at its own.
struct Ends {
    own: Ipv4Addr,
    other: Ipv4Addr,
}

fn through_proxy(delay: Duration, config: &mut Config) -> Result<(), Error> {
    // The proxy must know the port before the benchmark listens on it.
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_err(|e| Error::io("find a free port", e))?;
    config.port = free.port();
    let target = SocketAddrV4::new(Ipv4Addr::LOCALHOST, config.port);
    config.connect = Some(proxy(target, delay).map_err(|e| Error::io("start a proxy", e))?);
    Ok(())
}

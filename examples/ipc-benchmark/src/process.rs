//! How does mode 2proc put the sending end into a second process?
//!
//! The child is this executable again. Its standard output is the sending end, so no descriptor has to
//! be passed by number. Its standard input is a control socket: the child reports that it is ready,
//! waits for the start, and finally reports how much it has sent.

use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use super::channel::{Channel, Sender};
use super::transfer::{Transfer, both, receive, send};
use super::{Config, Error, IpcType};

/// The first argument of a sending process. The second one is its configuration as JSON.
pub(super) const SENDER_ARGUMENT: &str = "--sending-process";

/// Transfers from a child process to this one. For `reexec` see [`main`](super::main).
pub(super) fn in_two_processes(
    config: &Config,
    channel: Channel,
    reexec: &[OsString],
) -> Result<Transfer, Error> {
    let Channel { sender, receiver, .. } = channel;
    let (mut control, child_control) =
        UnixStream::pair().map_err(|e| Error::io("make a pair of local sockets", e))?;
    let config_json =
        serde_json::to_string(config).map_err(|e| Error::io("write the configuration", e))?;
    let program =
        env::current_exe().map_err(|e| Error::io("find the path of this executable", e))?;
    // The command owns this process's copies of the child's ends. They must be closed for each side to
    // see the other one close.
    let mut child = Command::new(&program)
        .args(reexec)
        .args([SENDER_ARGUMENT, &config_json])
        .stdin(OwnedFd::from(child_control))
        .stdout(Stdio::from(OwnedFd::from(sender)))
        .spawn()
        .map_err(|e| Error::io(format!("start {}", program.display()), e))?;

    let began = begin(&mut control);
    let received = match began {
        Ok(start) => receive(config, receiver).map(|(received, end)| (received, end - start)),
        // The child's exit status says more than the end of its control socket.
        Err(_) => {
            drop(receiver);
            Err(Error::Size { expected: config.total_size, sent: None, received: 0 })
        }
    };
    let mut sent = [0; 8];
    let told = control.read_exact(&mut sent);
    drop(control);
    // All channels to the child are closed, so it has nothing to wait for.
    let status = child.wait().map_err(|e| Error::io("wait for the sending process", e))?;
    let sent = match told {
        Ok(()) if status.success() => Ok(u64::from_le_bytes(sent)),
        _ => Err(Error::SendingProcess(status)),
    };
    let ((received, time), sent) = both(received, sent)?;
    Ok(Transfer { sent, received, time })
}

/// Waits until the child is ready, starts it, and returns the time of the start.
fn begin(control: &mut UnixStream) -> io::Result<Instant> {
    control.read_exact(&mut [0])?;
    let start = Instant::now();
    control.write_all(&[0])?;
    Ok(start)
}

/// Runs the child's side. `args` are the arguments after [`SENDER_ARGUMENT`].
pub(super) fn send_for_parent(args: &[OsString]) -> Result<(), Error> {
    let config: Config = args
        .first()
        .and_then(|json| json.to_str())
        .and_then(|json| serde_json::from_str(json).ok())
        .filter(|config: &Config| config.check().is_ok())
        .ok_or_else(|| Error::Configuration(format!("{SENDER_ARGUMENT} is for internal use")))?;
    let own = |stream: io::Result<OwnedFd>| {
        stream.map_err(|e| Error::io("duplicate a standard stream", e))
    };
    let mut control = UnixStream::from(own(io::stdin().as_fd().try_clone_to_owned())?);
    let sender = own(io::stdout().as_fd().try_clone_to_owned())?;
    let parent = |e| Error::io("talk to the receiving process", e);
    control.write_all(&[0]).map_err(parent)?;
    control.read_exact(&mut [0]).map_err(parent)?;
    let (sent, _) = send(&config, Sender::new(sender, config.ipc != IpcType::Pipe))?;
    control.write_all(&sent.to_le_bytes()).map_err(parent)
}

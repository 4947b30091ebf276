//! How does Linux delay the packets of a private network?
//!
//! The network belongs to a network namespace of this process. No name refers to it, so the kernel removes it
//! with its interfaces and queues when the process ends, even if it is killed.

use std::fs;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use dtrace_lab::delay::{DelayLine, turn_back};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};
use tun_rs::{DeviceBuilder, SyncDevice, VIRTIO_NET_HDR_LEN};

use super::{Ends, Error};

/// As on Ethernet. The loopback interface has 65536, with which TCP starts with a window of 640 KiB.
const MTU: &str = "1500";

/// How many packets may be on their way, so that none is dropped.
const PACKETS: &str = "100000";

/// Has the kernel delay the packets of the loopback interface.
pub(super) fn netem(delay: Duration) -> Result<(), Error> {
    enter_private_network()?;
    run("ip", &["link", "set", "lo", "mtu", MTU, "up"])?;
    let delay = format!("{}us", delay.as_micros());
    run("tc", &["qdisc", "add", "dev", "lo", "root", "netem", "delay", &delay, "limit", PACKETS])
}

/// Delays packets in two threads of this program. They send each packet of a TUN device back with its
/// addresses exchanged: the connection that this machine opens to the other end arrives at its own end.
pub(super) fn tun(delay: Duration) -> Result<Ends, Error> {
    let ends = Ends { own: Ipv4Addr::new(192, 0, 2, 1), other: Ipv4Addr::new(192, 0, 2, 2) };
    enter_private_network()?;
    let device = DeviceBuilder::new()
        .name(DEVICE)
        .enable(false)
        .with(|device| {
            device.offload(true);
        })
        .build_sync()
        .map_err(|e| {
            Error::io("open a TUN device", e)
                .advise("it needs /dev/net/tun and its permission to read and write")
        })?;
    let peer = format!("{}/32", ends.other);
    run("ip", &["address", "add", &ends.own.to_string(), "peer", &peer, "dev", DEVICE])?;
    run("ip", &["link", "set", DEVICE, "mtu", MTU, "txqueuelen", "10000", "up"])?;
    return_packets(device, delay)?;
    Ok(ends)
}

const DEVICE: &str = "delay0";

fn return_packets(device: SyncDevice, delay: Duration) -> Result<(), Error> {
    let (device, line) = (Arc::new(device), Arc::new(DelayLine::new(delay)));
    let (taker, full) = (Arc::clone(&device), Arc::clone(&line));
    // With a large packet comes a header that says how to cut it up. It stays as it is.
    let takes = move || {
        let mut buffer = vec![0; VIRTIO_NET_HDR_LEN + 65535];
        loop {
            let length = match taker.recv(&mut buffer) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    let _ = write!(io::stderr(), "cannot read packets of the TUN device: {e}");
                    // Otherwise the transfer would wait for ever.
                    std::process::exit(1);
                }
            };
            let mut packet = buffer[..length].to_vec();
            let is_ours = packet.get_mut(VIRTIO_NET_HDR_LEN..).is_some_and(turn_back);
            if is_ours && !full.push(packet) {
                break;
            }
        }
        full.close();
    };
    let gives = move || {
        while let Some(packet) = line.pop() {
            // As on any network, TCP sends a packet again that is lost.
            let _ = device.send(&packet);
        }
    };
    for (name, work) in [
        ("takes packets", Box::new(takes) as Box<dyn FnOnce() + Send>),
        ("returns packets", Box::new(gives)),
    ] {
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(work)
            .map_err(|e| Error::io("start a thread", e))?;
    }
    Ok(())
}

/// Moves this process into a new network namespace. An ordinary user needs a new user namespace, too, in
/// which the user is root.
fn enter_private_network() -> Result<(), Error> {
    let error = match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    let (uid, gid) = (getuid(), getgid());
    let as_root = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
        fs::write("/proc/self/setgroups", "deny")?;
        fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
    };
    as_root().map_err(|_| {
        Error::io("make a private network", error)
            .advise("it needs root or CAP_SYS_ADMIN, or user namespaces for ordinary users")
    })
}

/// Runs a program that sets something up.
fn run(program: &str, arguments: &[&str]) -> Result<(), Error> {
    let output =
        Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|e| {
            Error::io(format!("start {program}"), e)
                .advise("install the package iproute2, or add /usr/sbin to PATH")
        })?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(Error::Command { command: format!("{program} {}", arguments.join(" ")), message })
}

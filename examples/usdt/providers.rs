//! Which providers work on this kernel?
//!
//! Enables one probe of each provider while a command does what should fire it. Prints a line `provider
//! <tab> state <tab> remark` for each; they are a column of the table in docs/platforms.md. Arguments select providers
//! by how their names begin.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use dtrace_consumer::{Error, run_synchronous};

#[usdt::provider(provider = "providers")]
mod probes {
    /// The activity starts a round.
    fn round(number: u64) {}
}

/// The name of each provider in the table, and one of its probes.
const PROBES: &[(&str, &str)] = &[
    ("dtrace", "dtrace:::BEGIN"),
    ("syscall", "syscall::write:entry"),
    ("rawtp", "rawtp:sched::sched_process_exec"),
    ("sdt", "sdt:sched::sched_process_exec"),
    ("fbt", "fbt::vfs_write:entry"),
    ("rawfbt", "rawfbt::vfs_write:entry"),
    ("profile", "profile:::profile-99"),
    ("tick", "profile:::tick-10ms"),
    ("cpc", "cpc:::cpu_clock-all-1000000"),
    ("proc", "proc:::exec-success"),
    ("sched", "sched:::on-cpu"),
    ("lockstat", "lockstat:::adaptive-acquire"),
    ("io", "io:::start"),
    ("ip", "ip:::send"),
    ("tcp send", "tcp:::send"),
    ("tcp receive", "tcp:::receive"),
    ("tcp state-change", "tcp:::state-change"),
    ("udp", "udp:::send"),
    ("pid$target", "pid$target:a.out:providers_function:entry"),
    ("USDT, `usdt` crate", "providers$target:::round"),
];

#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn providers_function(round: u64) -> u64 {
    black_box(round + 1)
}

/// Does something for every provider.
fn activity() -> Result<(), Box<dyn std::error::Error>> {
    usdt::register_probes()?;
    let begin = Instant::now();
    for round in 0..3u64 {
        black_box(providers_function(round));
        probes::round!(|| round);
        fs::write("/dev/null", "something")?;
        Command::new("true").status()?;
        let here = UdpSocket::bind("127.0.0.1:0")?;
        here.send_to(b"datagram", here.local_addr()?)?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut client = TcpStream::connect(listener.local_addr()?)?;
        let (mut server, _) = listener.accept()?;
        client.write_all(b"segment")?;
        drop(client);
        server.read_to_end(&mut Vec::new())?;
        thread::sleep(Duration::from_millis(20));
    }
    if let Ok(disk) = env::var("DTRACE_SCRATCH_DISK") {
        let file = fs::File::options().write(true).open(disk)?;
        (&file).write_all(&[0; 4096])?;
        file.sync_all()?;
    }
    while begin.elapsed() < Duration::from_millis(500) {
        black_box(fs::metadata("/proc/self")?);
    }
    Ok(())
}

/// Traces with one probe; returns its state and a remark.
fn state(probe: &str) -> Result<(&'static str, String), Box<dyn std::error::Error>> {
    let program = env::current_exe()?;
    let mut fired = 0u64;
    let result = run_synchronous(
        format!("{probe} {{ @ = count(); }}"),
        [program.as_os_str(), "activity".as_ref()],
    )
    .walk(|entry| {
        fired += u64::try_from(entry.number()?)?;
        Ok(())
    })
    .run();
    Ok(match result {
        Ok(_) if fired > 0 => ("works", String::new()),
        Ok(_) => ("silent", "enabled, but did not fire".to_owned()),
        Err(failure) => {
            let message = match failure.error {
                Error::Compile(error) => error.message,
                other => other.to_string(),
            };
            let message = message.lines().next().unwrap_or_default().replace('\t', " ");
            ("refused", message)
        }
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::args_os().nth(1).is_some_and(|word| word == "activity") {
        return activity();
    }
    let selected: Vec<String> = env::args().skip(1).collect();
    let is_selected = |name: &str| {
        selected.is_empty() || selected.iter().any(|beginning| name.starts_with(beginning))
    };
    for (provider, probe) in PROBES.iter().filter(|(provider, _)| is_selected(provider)) {
        let (state, mut remark) = state(probe)?;
        if state == "silent" && *provider == "io" && env::var_os("DTRACE_SCRATCH_DISK").is_none() {
            "enabled, but there was no disk to write to".clone_into(&mut remark);
        }
        println!("{provider}\t{state}\t{remark}");
    }
    Ok(())
}

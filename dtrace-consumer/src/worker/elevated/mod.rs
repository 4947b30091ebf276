//! How does a privileged worker serve an unprivileged user?
//!
//! [`crate::serve`] documents the rules.

mod configuration;
mod limits;
mod policy;
mod trust;
mod verdict;

use std::convert::Infallible;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use dtrace_locate::locate::{Libdtrace, Search};
use nix::unistd::User;

use self::configuration::Configuration;
use self::policy::Policy;
use super::channel::{read_command, take_channel};
use super::encode::encoder::Encoder;
use super::own_process;
use super::served::Served;
use super::session::{self, Start};
use super::system::{self, Peer};
use crate::stream::elevated::{
    GREETING, REQUEST_LIMIT, SERVE, SYSTEM_PREFIX, UNDER_LOADER, VERSION,
};
use crate::stream::frame::Frame;
use crate::stream::job::{Command, Unknown};
use crate::stream::payload::{FailureFrame, FailureKind};

/// Serves one session over standard input and ends the process, as `dtrace-worker serve` does. `under_loader`
/// is whether the private libdtrace's loader started the process.
///
/// Call it at the start of `main`, while the process has a single thread.
///
/// # Errors
/// Returns why it cannot serve, before it has started.
pub fn serve(under_loader: bool) -> Result<Infallible, String> {
    if system::privileges_were_raised() {
        return Err("this program must not be set-uid or have file capabilities".to_owned());
    }
    let peer = system::peer_of(&io::stdin()).map_err(|e| {
        format!(
            "standard input is not a channel: {e} (programs that trace start this command, not people)"
        )
    })?;
    require_invoker(&peer)?;
    system::close_inherited_descriptors();
    own_process::forget_environment()?;
    own_process::handle_signals_as_usual();
    std::env::set_current_dir("/").map_err(|e| format!("cannot change to /: {e}"))?;
    let configuration = Configuration::read()?;
    let program = own_file(under_loader)?;
    let library = library(&configuration, &program)?;
    if !under_loader {
        let program = trust::of_root(&program)?;
        if let Some(loader) = library.as_ref().ok().and_then(|it| it.loader.as_ref()) {
            let failure = loader.command(&program).args([SERVE, UNDER_LOADER]).exec();
            return Err(format!("cannot start {}: {failure}", loader.ld_so.display()));
        }
    }
    let status = match session(&peer, &configuration, &library) {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("dtrace-worker: {e}");
            1
        }
    };
    own_process::end(status)
}

/// Returns this program's file.
fn own_file(under_loader: bool) -> Result<PathBuf, String> {
    if under_loader {
        // The executable is the loader, which was given the file.
        return Ok(std::env::args_os().next().unwrap_or_default().into());
    }
    std::env::current_exe().map_err(|e| format!("cannot find this program's executable: {e}"))
}

/// Fails unless the channel belongs to the user who invoked the program that granted privilege.
fn require_invoker(peer: &Peer) -> Result<(), String> {
    let number = std::env::var("SUDO_UID").ok().map(|id| id.parse::<u32>().ok());
    let named = std::env::var("DOAS_USER")
        .ok()
        .map(|name| User::from_name(&name).ok().flatten().map(|user| user.uid.as_raw()));
    let others = [number, named].into_iter().flatten().any(|id| id != Some(peer.uid));
    if others { Err("the channel belongs to another user".to_owned()) } else { Ok(()) }
}

/// Returns where elevated workers look for libdtrace; `None` if the configuration cannot be read.
pub(crate) fn search() -> Option<Search> {
    Configuration::read().ok().map(|configuration| places(&configuration))
}

fn places(configuration: &Configuration) -> Search {
    Search::of_elevated_worker(configuration.prefix.as_deref(), Path::new(SYSTEM_PREFIX))
}

/// Returns the libdtrace that the administrator chose, or the failure to report to the user if none of those that
/// there are was verified. Fails if anybody but root can change a part of it.
fn library(
    configuration: &Configuration,
    program: &Path,
) -> Result<Result<Libdtrace, FailureFrame>, String> {
    let mut unverified = None;
    let (_, found) = places(configuration).trace_admitting(|library| {
        verdict::standing(library, program).inspect_err(|why| {
            unverified.get_or_insert_with(|| verdict::not_verified(library, why));
        })
    });
    let found = match (found, unverified) {
        (Err(_), Some(failure)) => return Ok(Err(failure)),
        (found, _) => found,
    };
    let mut found = found.map_err(|e| {
        let places: Vec<String> = e
            .candidates
            .iter()
            .map(|place| format!("{}: {}", place.path.display(), place.refused))
            .collect();
        format!(
            "found no trusted libdtrace: {} (an administrator can unpack one with \
             dtrace-worker install --prefix {SYSTEM_PREFIX})",
            places.join("; ")
        )
    })?;
    found.library = trust::of_root(&found.library)?;
    if let Some(directory) = &mut found.syslibdir {
        *directory = trust::tree_of_root(directory)?;
    }
    if let Some(loader) = &mut found.loader {
        loader.ld_so = trust::of_root(&loader.ld_so)?;
        // The first directory is the prefix's. Skip others that are not root's.
        let (first, rest) =
            loader.library_path.split_first().ok_or("the loader has no library path")?;
        let first = trust::tree_of_root(first)?;
        let rest = rest.iter().filter_map(|directory| trust::of_root(directory).ok());
        loader.library_path = std::iter::once(first).chain(rest).collect();
    }
    Ok(Ok(found))
}

fn session(
    peer: &Peer,
    configuration: &Configuration,
    library: &Result<Libdtrace, FailureFrame>,
) -> io::Result<()> {
    let channel = take_channel()?;
    greet(&channel)?;
    let Some(Command::Job(mut job)) = read_command(&channel, REQUEST_LIMIT)? else {
        return Err(io::Error::other("the consumer sent no job"));
    };
    let policy = Policy { uid: peer.uid, configuration };
    let admitted = require_own_namespace(peer).and_then(|()| policy.check(&job));
    let admitted = admitted.and(library.as_ref().map_err(FailureFrame::clone));
    let permitted = admitted.and_then(|library| {
        let permission = Unknown::permission(library, false);
        let permission = permission.map_err(|e| verdict::not_verified(library, &e))?;
        Ok((library, permission))
    });
    let (library, permission) = match permitted {
        Ok(permitted) => permitted,
        Err(refused) => {
            let mut reporter = Encoder::new(channel);
            session::begin(&mut reporter, &job);
            reporter.send(&Frame::Failure(refused));
            return reporter.finish();
        }
    };
    job.unknown = permission;
    job.library.clone_from(&library.library);
    job.syslibdir.clone_from(&library.syslibdir);
    let served = Served { uid: peer.uid, grab: configuration.grab };
    session::serve(*job, channel, Some(served), Start::Fresh(None))
}

/// Refuses to serve a program in another PID namespace: the numbers of processes in its job and script would name
/// other processes here.
fn require_own_namespace(peer: &Peer) -> Result<(), FailureFrame> {
    peer.require_own_namespace().map_err(|e| FailureFrame {
        kind: FailureKind::Refused,
        attempt: "a program whose process IDs it cannot use".to_owned(),
        number: 0,
        message: format!("{e} (start the worker in the PID namespace of the program)"),
        script: None,
        needed: Vec::new(),
    })
}

fn greet(mut channel: &UnixStream) -> io::Result<()> {
    let length = u8::try_from(VERSION.len()).map_err(io::Error::other)?;
    channel.write_all(&[&GREETING[..], &[length], VERSION.as_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_libdtrace_is_for_an_administrator_to_install() {
        let prefix = Some("/no/such/prefix".into());
        let missing = Configuration { prefix, ..Configuration::default() };
        let error = library(&missing, Path::new("worker")).expect_err("nothing is there");
        assert!(error.contains("/no/such/prefix: no libdtrace.so.2"), "{error}");
        assert!(error.contains("dtrace-worker install --prefix"), "{error}");
        // It belongs to the user, and such a worker ignores it.
        assert!(!error.contains("DTRACE_CONSUMER_PREFIX"), "{error}");
    }
}

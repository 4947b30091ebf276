//! What does a worker that runs as root do for a user who is not?
//!
//! `dtrace-worker serve` is what sudo(8) or doas(1) start for an [elevated](crate::Elevation) session. It
//! serves one session over its standard input, for the user to whom the kernel says that this channel
//! belongs. It lets that user trace, which is to read whatever the kernel can read; it does not let the user
//! change anything, run anything, or have files read:
//!
//! - No environment variable and nothing in the user's request decides which libdtrace, D libraries or
//!   loader are used. They are the system's, those in [`SYSTEM_PREFIX`], or those of the prefix in the
//!   [`CONFIGURATION`] file; and all of them must belong to root, with every directory above them, and nobody
//!   else may write to them.
//! - The D preprocessor, which reads files, and options that name files or are not known here, are refused,
//!   whether the request or a pragma sets them; so is `setopt()`.
//! - Actions that change something need `destructive = yes` in the configuration besides the option.
//! - It starts no processes. The process to trace must belong to the user. To stop one and set breakpoints
//!   in it, as `pid$target` probes and [`grab`](crate::Builder::grab) do, needs `grab = yes`.
//! - Requests and buffers have upper limits.
//!
//! The configuration file is optional, must be root's, and has lines like these:
//!
//! ```text
//! # which libdtrace; without it the system's, or the one in /usr/local/lib/dtrace-worker
//! prefix = /opt/libdtrace
//! destructive = yes
//! grab = yes
//! ```

#[cfg(target_os = "linux")]
#[path = "serve/configuration.rs"]
mod configuration;
#[cfg(target_os = "linux")]
#[path = "serve/policy.rs"]
pub(crate) mod policy;
#[cfg(target_os = "linux")]
#[path = "serve/trust.rs"]
mod trust;

/// The administrator's choices for elevated workers.
pub const CONFIGURATION: &str = "/etc/dtrace-worker.conf";

/// Where an elevated worker looks for a private libdtrace, if the system has none.
pub const SYSTEM_PREFIX: &str = "/usr/local/lib/dtrace-worker/libdtrace";

/// The argument by which a serving worker tells itself that the private libdtrace's loader has started it.
pub const UNDER_LOADER: &str = "--under-loader";

/// Serves one session over standard input and ends the process. This is `dtrace-worker serve`;
/// `under_loader` says that the private libdtrace's loader has started it.
///
/// It must be called at the beginning of `main`, while the process has one thread.
///
/// # Errors
/// Why it cannot serve, before it has begun.
#[cfg(target_os = "linux")]
pub fn serve(under_loader: bool) -> Result<std::convert::Infallible, String> {
    linux::serve(under_loader)
}

/// See there.
///
/// # Errors
/// Always: live tracing on this system is not implemented yet.
#[cfg(not(target_os = "linux"))]
pub fn serve(_under_loader: bool) -> Result<std::convert::Infallible, String> {
    Err(format!("live tracing on {} is not implemented yet", std::env::consts::OS))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::convert::Infallible;
    use std::io::{self, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::os::unix::process::CommandExt;
    use std::path::Path;

    use nix::sys::socket::{UnixCredentials, getsockopt, sockopt::PeerCredentials};
    use nix::unistd::User;

    use super::configuration::Configuration;
    use super::policy::{self, Policy};
    use super::{SYSTEM_PREFIX, trust};
    use crate::boundary::{own_process, start_up};
    use crate::elevation::{GREETING, SERVE, VERSION};
    use crate::locate::{Libdtrace, Search};
    use crate::stream::frame::Frame;
    use crate::stream::job::Command;
    use crate::worker::{self, control, encoder::Encoder};

    pub(super) fn serve(under_loader: bool) -> Result<Infallible, String> {
        if start_up::privileges_were_raised() {
            return Err("it must not be set-uid or have file capabilities".to_owned());
        }
        let peer = getsockopt(&io::stdin().as_fd(), PeerCredentials).map_err(|e| {
            format!(
                "standard input is no channel ({e}): programs that trace start this, not people"
            )
        })?;
        require_invoker(&peer)?;
        own_process::close_inherited_descriptors();
        own_process::forget_environment();
        std::env::set_current_dir("/").map_err(|e| format!("cannot change to /: {e}"))?;
        let configuration = Configuration::read()?;
        let library = library(&configuration)?;
        if !under_loader {
            let program = std::env::current_exe().map_err(|e| format!("who am I? {e}"))?;
            let program = trust::of_root(&program)?;
            if let Some(loader) = &library.loader {
                let failure = loader.command(&program).args([SERVE, super::UNDER_LOADER]).exec();
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

    /// What gave the privilege says to whom. It must be the one whose the channel is.
    fn require_invoker(peer: &UnixCredentials) -> Result<(), String> {
        let number = std::env::var("SUDO_UID").ok().map(|id| id.parse::<u32>().ok());
        let named = std::env::var("DOAS_USER")
            .ok()
            .map(|name| User::from_name(&name).ok().flatten().map(|user| user.uid.as_raw()));
        let others = [number, named].into_iter().flatten().any(|id| id != Some(peer.uid()));
        if others { Err("the channel belongs to another user".to_owned()) } else { Ok(()) }
    }

    /// The libdtrace that the administrator chose, of which nobody but root can change a part.
    fn library(configuration: &Configuration) -> Result<Libdtrace, String> {
        let chosen = configuration.prefix.as_deref();
        let search = Search::of_elevated_worker(chosen, Path::new(SYSTEM_PREFIX));
        let mut found = search.run().map_err(|e| {
            let places: Vec<String> = e
                .candidates
                .iter()
                .map(|place| format!("{}: {}", place.path.display(), place.refused))
                .collect();
            format!(
                "no libdtrace that it may use ({}); an administrator can unpack one: \
                 dtrace-worker install --prefix {SYSTEM_PREFIX}",
                places.join("; ")
            )
        })?;
        found.library = trust::of_root(&found.library)?;
        if let Some(directory) = &mut found.syslibdir {
            *directory = trust::tree_of_root(directory)?;
        }
        if let Some(loader) = &mut found.loader {
            loader.ld_so = trust::of_root(&loader.ld_so)?;
            // The first is the prefix's; others that are not root's are done without.
            let (first, rest) =
                loader.library_path.split_first().ok_or("it has no library path")?;
            let first = trust::tree_of_root(first)?;
            let rest = rest.iter().filter_map(|directory| trust::of_root(directory).ok());
            loader.library_path = std::iter::once(first).chain(rest).collect();
        }
        Ok(found)
    }

    fn session(
        peer: &UnixCredentials,
        configuration: &Configuration,
        library: &Libdtrace,
    ) -> io::Result<()> {
        let channel = worker::channel()?;
        greet(&channel)?;
        let Some(Command::Job(mut job)) = control::read_command(&channel, policy::MESSAGE_LIMIT)?
        else {
            return Err(io::Error::other("no job was sent"));
        };
        let policy = Policy { uid: peer.uid(), configuration };
        if let Err(refused) = policy.check(&job) {
            let mut reporter = Encoder::new(channel, false);
            reporter.send(&Frame::Failure(refused));
            return reporter.finish();
        }
        job.library.clone_from(&library.library);
        job.syslibdir.clone_from(&library.syslibdir);
        worker::serve(*job, channel, Some(peer.uid()))
    }

    fn greet(mut channel: &UnixStream) -> io::Result<()> {
        let length = u8::try_from(VERSION.len()).map_err(io::Error::other)?;
        channel.write_all(&[&GREETING[..], &[length], VERSION.as_bytes()].concat())
    }
}

//! How does a worker get privilege that the user's program does not have?
//!
//! A program that grants privilege, such as sudo(8), starts an *installed* worker: `dtrace-worker serve`, a
//! file that only root can change. It does not start the user's own executable, because whoever may change
//! that would become root. [`crate::serve`] lists what the worker does and refuses to do for a user.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::client::system::{LET_CHILDREN_GO, own_tracer};
use crate::error::Error;
use crate::error::elevation::ElevationProblem;
use crate::stream::elevated::{INSTALLED_WORKERS, SERVE, VERSION};

/// How the worker gets its privilege. The session never asks for a password: if one is needed, it fails with
/// [`Error::Elevation`].
///
/// ```no_run
/// use dtrace_consumer::elevation::{Elevation, preflight_elevated};
/// use dtrace_consumer::run_synchronous;
///
/// let elevation = Elevation::Sudo; // or Elevation::custom(["ssh-agent-sudo", "-n"])
/// preflight_elevated(&elevation, None).require()?;
/// let outcome = run_synchronous("syscall:::entry /pid == $target/ { @ = count(); }", ["ls"])
///     .elevation(elevation) // this program and ls run as the user, the worker as root
///     .walk(|entry| Ok(println!("{} system calls", entry.number()?)))
///     .run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Elevation {
    /// No elevation: the worker has the privilege of the user's process.
    #[default]
    None,
    /// `sudo -n`.
    Sudo,
    /// `doas -n`.
    Doas,
    /// `mdo` (FreeBSD). The rules that permit it name users, not programs: whoever may use it can do anything as root.
    Mdo,
    /// `pfexec` (illumos).
    Pfexec,
    /// Another command, to which the worker's command line is appended. It must not redirect standard input.
    Custom(Vec<OsString>),
}

impl Elevation {
    /// Returns an elevation by another command.
    pub fn custom<S: Into<OsString>>(words: impl IntoIterator<Item = S>) -> Elevation {
        Elevation::Custom(words.into_iter().map(Into::into).collect())
    }

    /// Returns the words before the worker's command line, at least one; `None` without elevation.
    pub(crate) fn words(&self) -> Option<Vec<OsString>> {
        let words = |words: &[&str]| Some(words.iter().map(OsString::from).collect());
        match self {
            Elevation::None => None,
            Elevation::Sudo => words(&["sudo", "-n", "--"]),
            Elevation::Doas => words(&["doas", "-n", "--"]),
            Elevation::Mdo => words(&["mdo"]),
            Elevation::Pfexec => words(&["pfexec"]),
            Elevation::Custom(own) if own.is_empty() => words(&[""]),
            Elevation::Custom(own) => Some(own.clone()),
        }
    }

    /// Returns instructions for an administrator to permit this user to trace.
    pub(crate) fn permission(&self, worker: &Path) -> String {
        let worker = worker.display();
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid());
        let user = user.ok().flatten().map_or_else(|| "USER".to_owned(), |user| user.name);
        match self {
            Elevation::Sudo => format!(
                "an administrator can permit it with the line\n    \
                 {user} ALL=(root) NOPASSWD: {worker} {SERVE}\n\
                 in /etc/sudoers.d/dtrace-worker (visudo -f)"
            ),
            Elevation::Doas => format!(
                "an administrator can permit it with the line\n    \
                 permit nopass {user} as root cmd {worker} args {SERVE}\n\
                 in /etc/doas.conf"
            ),
            Elevation::Mdo => {
                let uid = nix::unistd::getuid();
                format!(
                    "an administrator can permit it with mac_do(4), for example on FreeBSD 15:\n    \
                     kldload mac_do\n    \
                     sysctl security.mac.do.rules='uid={uid}>uid=0,gid=0,+gid=*'\n\
                     with this rule, {user} can run every command as root, not only the worker"
                )
            }
            _ => format!("it must run \"{worker} {SERVE}\" as root without asking for a password"),
        }
    }
}

/// Returns the worker to start elevated.
pub(crate) fn installed_worker(named: Option<&Path>) -> Option<PathBuf> {
    let installed = || INSTALLED_WORKERS.iter().map(PathBuf::from).find(|path| path.exists());
    match named {
        Some(named) => Some(named.to_owned()).filter(|path| path.exists()),
        None => installed(),
    }
}

/// Returns which of the places of an installed worker this user may not look into, and why.
pub(crate) fn unreadable_worker(named: Option<&Path>) -> Option<String> {
    let named = named.map(Path::to_owned).into_iter();
    let places = named.chain(INSTALLED_WORKERS.iter().map(PathBuf::from));
    places.into_iter().find_map(|place| {
        let error = place.try_exists().err()?;
        Some(format!("cannot look for {}: {error}", place.display()))
    })
}

/// Returns whether the program exists, in the places where the shell would look.
pub(crate) fn is_installed(program: &OsStr) -> bool {
    if Path::new(program).components().count() > 1 {
        return Path::new(program).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !program.is_empty() && std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Returns the error for a failed elevation. `said` is what was written to standard error.
pub(crate) fn failed(
    elevation: &Elevation,
    worker: &Path,
    problem: Option<ElevationProblem>,
    said: &str,
) -> Error {
    let problem = problem.unwrap_or_else(|| diagnose(elevation, said));
    let by = elevation.words().and_then(|words| words.into_iter().next()).unwrap_or_default();
    let remedy = match problem {
        ElevationProblem::NotInstalled => "install it or choose another elevation".to_owned(),
        ElevationProblem::NoWorker => no_worker(),
        ElevationProblem::PasswordNeeded | ElevationProblem::NotPermitted => {
            elevation.permission(worker)
        }
        ElevationProblem::Version => format!(
            "install version {VERSION} of dtrace-worker as {}, or build the program with the \
             worker's version of the crate",
            worker.display()
        ),
        ElevationProblem::Failed | ElevationProblem::Silent | ElevationProblem::NotAWorker => {
            let worker = worker.display();
            let by_hand = format!(
                "run it by hand: it must start \"{worker} {SERVE}\", and \"{worker} --version\" must print \
                 \"dtrace-worker {VERSION}\""
            );
            match own_tracer() {
                // Unless the tracer is root's.
                Some(tracer) => format!(
                    "{tracer} traces this program; if it follows children, programs such as sudo get no \
                     privileges ({LET_CHILDREN_GO})\n{by_hand}"
                ),
                None => by_hand,
            }
        }
    };
    let program = by.to_string_lossy().into_owned();
    Error::Elevation { program, problem, said: said.to_owned(), remedy }
}

/// Returns instructions for installing a worker.
pub(crate) fn no_worker() -> String {
    let place = INSTALLED_WORKERS[0];
    // FreeBSD's install(1) does not make directories.
    let directory = Path::new(place).parent().unwrap_or(Path::new("/")).display();
    format!(
        "an administrator can install it with \
         \"mkdir -p {directory} && install -o 0 -g 0 -m 755 target/release/dtrace-worker {place}\""
    )
}

/// Classifies the program's message. sudo, doas and mdo run in the C locale, so their messages are English.
fn diagnose(elevation: &Elevation, said: &str) -> ElevationProblem {
    let any = |words: &[&str]| words.iter().any(|word| said.contains(word));
    match elevation {
        // The worker wrote this itself.
        _ if said.contains("dtrace-worker: ") => ElevationProblem::Failed,
        Elevation::Sudo if any(&["password is required", "authentication is required"]) => {
            ElevationProblem::PasswordNeeded
        }
        Elevation::Sudo if any(&["not in the sudoers", "not allowed", "may not run"]) => {
            ElevationProblem::NotPermitted
        }
        Elevation::Doas if any(&["Authentication required", "Authorization required"]) => {
            ElevationProblem::PasswordNeeded
        }
        Elevation::Doas if any(&["not permitted", "not enabled"]) => ElevationProblem::NotPermitted,
        Elevation::Mdo if any(&["setcred()"]) => ElevationProblem::NotPermitted,
        _ => ElevationProblem::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What mdo(1) of FreeBSD 15.1 says where no rule permits it.
    const REFUSED_BY_MDO: &str = "mdo: setcred(): Operation not permitted\n";

    #[test]
    fn where_mdo_is_not_permitted_the_error_has_the_rule_that_permits_it() {
        let worker = Path::new("/usr/local/libexec/dtrace-worker");
        let error = failed(&Elevation::Mdo, worker, None, REFUSED_BY_MDO);
        let Error::Elevation { problem, remedy, .. } = error else { panic!("{error:?}") };
        assert_eq!(problem, ElevationProblem::NotPermitted);
        let rule = format!("'uid={}>uid=0,gid=0,+gid=*'", nix::unistd::getuid());
        assert!(remedy.contains(&rule), "{remedy}");
    }
}

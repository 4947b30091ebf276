//! dtrace-worker: manages the private libdtrace for systems without one, and serves elevated sessions.

#![warn(clippy::disallowed_methods)]

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dtrace_consumer::install::{self, InstallError, Installer};
use dtrace_consumer::locate::Search;
use dtrace_consumer::{serve, verify};

const USAGE: &str = "\
usage: dtrace-worker serve
       dtrace-worker install [--prefix DIR] [--with-dtrace]
       dtrace-worker status [--prefix DIR]
       dtrace-worker verify [--prefix DIR] [--known]
       dtrace-worker uninstall [--prefix DIR]
       dtrace-worker --help | --version

serve      traces for another program, which starts it through sudo, doas or pfexec
install    unpacks a private libdtrace from the packages of Debian or Ubuntu, if there is none in DIR
             --with-dtrace  also unpacks the program dtrace(1)
status     shows what DIR contains, and which libdtrace sessions use
verify     runs the self-check on each libdtrace that sessions would find and whose version is not known, and
           keeps the verdicts; as root, also for elevated sessions
             --prefix DIR   checks only the libdtrace in DIR
             --known        also checks known versions
uninstall  removes the private libdtrace in DIR, and the directories that install created for it

DIR is $XDG_DATA_HOME/dtrace-consumer/libdtrace by default, or
~/.local/share/dtrace-consumer/libdtrace if that variable is not set. If libdtrace does not support that path,
or if it cannot be created, install takes the directory `libdtrace` in cargo's `target`, if this program is there.

Exit status: 0 on success, 1 on failure (uninstall: also if DIR has no private libdtrace; verify: also if
a libdtrace differs or cannot be checked, or if there is none), 64 for wrong usage.
";

const WRONG_USAGE: u8 = 64;

/// Why the program failed.
enum Failure {
    Usage(String),
    Failed(String),
}

/// Prints a line. Ignores a reader that has closed the pipe.
fn say(line: impl Display) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{line}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(e.to_string())),
        _ => Ok(()),
    }
}

impl From<InstallError> for Failure {
    fn from(error: InstallError) -> Failure {
        Failure::Failed(error.to_string())
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().unwrap_or_default();
    let done = match command.to_str() {
        Some("install") => options(arguments, &["--with-dtrace"]).and_then(install),
        Some("status") => options(arguments, &[]).and_then(status),
        Some("verify") => options(arguments, &["--known"]).and_then(verify),
        Some("serve") => serve(arguments),
        Some("uninstall") => options(arguments, &[]).and_then(uninstall),
        Some("--help" | "-h") => say(USAGE.trim_end()),
        Some("--version" | "-V") => {
            say(format_args!("dtrace-worker {}", env!("CARGO_PKG_VERSION")))
        }
        Some("") => Err(Failure::Usage("no command given".into())),
        _ => Err(Failure::Usage(format!("no such command: {}", command.display()))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(why)) => {
            eprintln!("dtrace-worker: {why}");
            ExitCode::FAILURE
        }
        Err(Failure::Usage(why)) => {
            eprint!("dtrace-worker: {why}\n{USAGE}");
            ExitCode::from(WRONG_USAGE)
        }
    }
}

/// What to do if no directory can be chosen.
const NAME_ONE: &str = "name one with --prefix DIR, and set DTRACE_CONSUMER_PREFIX to DIR";

struct Options {
    prefix: Option<PathBuf>,
    flags: Vec<String>,
}

impl Options {
    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|it| it == flag)
    }

    /// Returns the prefix that the user named, or the first suitable one where sessions search. `note` receives why
    /// others are not used.
    fn prefix(&self, mut note: impl FnMut(&str)) -> Result<PathBuf, Failure> {
        if let Some(prefix) = &self.prefix {
            return Ok(prefix.clone());
        }
        let chosen = install::choose_prefix(places()?)
            .map_err(|error| Failure::Failed(format!("{error}\n({NAME_ONE})")))?;
        for error in &chosen.passed {
            note(&format!("{error}; using {} instead", chosen.prefix.display()));
        }
        Ok(chosen.prefix)
    }
}

/// Returns the first of the places for a private libdtrace that holds one. If none does, it is the first one.
fn existing_prefix() -> Result<PathBuf, Failure> {
    let mut places = places()?;
    let first = places.iter().position(|it| holds_one(it)).unwrap_or(0);
    Ok(places.swap_remove(first))
}

/// Whether the prefix holds a private libdtrace, complete or not.
fn holds_one(prefix: &Path) -> bool {
    matches!(install::status(prefix), Ok(_) | Err(InstallError::Damaged { .. }))
}

/// Returns the places for a private libdtrace if the user names none, the best first. Sessions find it in each of them.
/// There is at least one.
fn places() -> Result<Vec<PathBuf>, Failure> {
    let program = std::env::current_exe().ok();
    let in_target = program.and_then(|it| install::prefix_in_target(&it));
    let places: Vec<PathBuf> = install::default_prefix().into_iter().chain(in_target).collect();
    if places.is_empty() {
        return Err(Failure::Failed(format!(
            "cannot choose a directory: neither XDG_DATA_HOME nor HOME is set ({NAME_ONE})"
        )));
    }
    Ok(places)
}

fn options(
    mut arguments: impl Iterator<Item = OsString>,
    permitted: &[&str],
) -> Result<Options, Failure> {
    let mut options = Options { prefix: None, flags: Vec::new() };
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--prefix") => {
                let prefix = arguments.next().filter(|it| !it.is_empty());
                let prefix =
                    prefix.ok_or_else(|| Failure::Usage("--prefix requires a directory".into()))?;
                options.prefix = Some(prefix.into());
            }
            Some(flag) if permitted.contains(&flag) => options.flags.push(flag.to_owned()),
            _ => {
                return Err(Failure::Usage(format!("no such option: {}", argument.display())));
            }
        }
    }
    Ok(options)
}

fn serve(mut arguments: impl Iterator<Item = OsString>) -> Result<(), Failure> {
    let under_loader = match (arguments.next(), arguments.next()) {
        (None, _) => false,
        (Some(word), None) if word == serve::UNDER_LOADER => true,
        _ => return Err(Failure::Usage("serve takes no arguments".into())),
    };
    serve::serve(under_loader).map(|never| match never {}).map_err(Failure::Failed)
}

fn install(options: Options) -> Result<(), Failure> {
    let with_dtrace_program = options.has("--with-dtrace");
    let mut log = |step: &str| eprintln!("{step}");
    let installer = Installer { prefix: options.prefix(&mut log)?, with_dtrace_program };
    installer.install(&mut log)?;
    Ok(())
}

fn status(options: Options) -> Result<(), Failure> {
    if let Some(prefix) = &options.prefix {
        return describe(prefix);
    }
    if let Ok(prefix) = existing_prefix()
        && let Err(Failure::Failed(why)) = describe(&prefix)
    {
        say(why)?;
    }
    let (passed, found) = Search::of_this_process().trace();
    let found = found.map_err(|error| Failure::Failed(error.to_string()))?;
    for candidate in passed {
        say(candidate)?;
    }
    say(format_args!("sessions use {} ({})", found.library.display(), found.origin))
}

fn verify(options: Options) -> Result<(), Failure> {
    let (mut good, mut bad) = (0, 0);
    let mut said = Ok(());
    let mut chosen = verify::Options::default();
    chosen.known = options.has("--known");
    chosen.prefix = options.prefix;
    let passed = verify::verify(&chosen, |verified| {
        let usable = verified.is_usable();
        (good, bad) = (good + u32::from(usable), bad + u32::from(!usable));
        if said.is_ok() {
            said = say(verified);
        }
    });
    let passed = passed.map_err(|error| Failure::Failed(error.to_string()))?;
    said?;
    for candidate in &passed {
        say(candidate)?;
    }
    match (good, bad) {
        (0, 0) => Err(Failure::Failed("found no libdtrace to verify".to_owned())),
        (_, 0) => Ok(()),
        (_, 1) => Err(Failure::Failed("a libdtrace cannot be used".to_owned())),
        (_, bad) => Err(Failure::Failed(format!("{bad} libdtraces cannot be used"))),
    }
}

fn describe(prefix: &Path) -> Result<(), Failure> {
    let manifest = install::status(prefix)?;
    say(format_args!("{}: {manifest}", prefix.display()))?;
    for package in &manifest.packages {
        say(format_args!("  {} {}", package.name, package.version))?;
    }
    Ok(())
}

/// Removes the user's own private libdtrace. That in another place may be there for other programs, so it is only named.
fn uninstall_own() -> Result<install::Removed, Failure> {
    let (own, places) = (install::default_prefix(), places()?);
    let removed = match &own {
        Some(own) => install::uninstall(own),
        None => Err(InstallError::NotInstalled { prefix: places[0].clone() }),
    };
    let is_other = |place: &&PathBuf| Some(*place) != own.as_ref() && holds_one(place);
    match (removed, places.iter().find(is_other)) {
        (Err(error @ InstallError::NotInstalled { .. }), Some(other)) => {
            let other = other.display();
            Err(Failure::Failed(format!(
                "{error}\n{other} has one (remove it with: dtrace-worker uninstall --prefix {other})"
            )))
        }
        (removed, _) => Ok(removed?),
    }
}

fn uninstall(options: Options) -> Result<(), Failure> {
    let removed = match &options.prefix {
        Some(prefix) => install::uninstall(prefix)?,
        None => uninstall_own()?,
    };
    say(format_args!("removed {}: {}", removed.prefix.display(), removed.manifest))?;
    for parent in &removed.parents {
        say(format_args!("removed the empty directory {}", parent.display()))?;
    }
    Ok(())
}

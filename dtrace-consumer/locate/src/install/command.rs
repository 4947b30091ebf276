//! How are the host's programs run within a time limit?

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::InstallError;

/// Runs programs with a common deadline.
pub(super) struct Programs {
    deadline: Instant,
    /// What takes the place of `PATH`.
    path: Option<OsString>,
}

impl Programs {
    pub(super) fn within(time: Duration) -> Programs {
        Programs { deadline: Instant::now() + time, path: None }
    }

    /// Runs the programs in a directory instead of those with the same names elsewhere.
    #[cfg(test)]
    pub(super) fn in_directory(self, directory: &Path) -> Programs {
        let mut path = directory.as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        Programs { path: Some(path), ..self }
    }

    /// Runs a program and returns its output. timeout(1) is in an essential package, so every Debian
    /// system has it.
    pub(super) fn run(&self, command: &mut Command) -> Result<String, InstallError> {
        const TIMED_OUT: i32 = 124;
        let program = Path::new(command.get_program()).file_name().unwrap_or_default();
        let arguments = command.get_args().map(|it| it.to_string_lossy()).take(3);
        let words: Vec<_> = std::iter::once(program.to_string_lossy()).chain(arguments).collect();
        let name = words.join(" ");
        let seconds = self.deadline.saturating_duration_since(Instant::now()).as_secs();
        if seconds == 0 {
            return Err(InstallError::TimedOut { command: name });
        }
        let mut timed = timed(command, seconds);
        if let Some(path) = &self.path {
            timed.env("PATH", path);
        }
        let output = timed.output().map_err(|error| InstallError::Tool {
            command: name.clone(),
            said: error.to_string(),
        })?;
        match output.status.code() {
            Some(0) => Ok(text(&output.stdout)),
            Some(TIMED_OUT) => Err(InstallError::TimedOut { command: name }),
            _ => {
                let said = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
                Err(InstallError::Tool { command: name, said: errors(&said) })
            }
        }
    }
}

/// Returns the same command under timeout(1).
fn timed(command: &Command, seconds: u64) -> Command {
    let mut timed = Command::new("timeout");
    // In the foreground, so that Ctrl-C reaches the program too.
    timed.args(["--foreground", "--kill-after=5", &seconds.to_string()]);
    timed.arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    timed.env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    timed
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Returns the lines about errors. apt prints errors of single files between its progress lines.
fn errors(said: &str) -> String {
    let lines = said.lines().filter(|it| {
        !["Ign:", "Get:", "Hit:", "Reading "].iter().any(|start| it.starts_with(start))
    });
    let lines = lines.map(str::trim_end).filter(|it| !it.is_empty());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_quoted_in_its_own_words() {
        let programs = Programs::within(Duration::from_secs(60));
        let shell = |script: &str| programs.run(Command::new("sh").args(["-c", script]));
        assert_eq!(shell("echo out; echo err >&2").expect("it succeeds"), "out");
        match shell("echo Get:1 index; echo '  404  Not Found'; echo E: no index >&2; exit 100") {
            Err(InstallError::Tool { said, .. }) => {
                assert_eq!(said, "  404  Not Found\nE: no index");
            }
            other => panic!("{other:?}"),
        }
        let late = Programs::within(Duration::ZERO).run(&mut Command::new("true"));
        assert!(matches!(late, Err(InstallError::TimedOut { .. })), "{late:?}");
    }
}

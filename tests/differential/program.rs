//! How is a dtrace run on a case, so that two of them have the same surroundings?

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use dtrace_consumer::locate::{Libdtrace, locate};

use crate::case::Case;
use crate::normalise::normalise;

/// A run that has not ended by then never will: a firing was lost or a session hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a run left behind, normalised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Result {
    pub(crate) out: String,
    pub(crate) err: String,
    /// The exit status, or `signal n`.
    pub(crate) status: String,
}

impl Result {
    /// The three parts by the extension of their files.
    pub(crate) fn parts(&self) -> [(&'static str, &str); 3] {
        [("out", &self.out), ("err", &self.err), ("status", &self.status)]
    }

    /// The parts that differ, or nothing.
    pub(crate) fn difference(&self, other: &Result) -> Option<String> {
        let mut text = String::new();
        for ((part, expected), (_, found)) in self.parts().into_iter().zip(other.parts()) {
            if expected != found {
                text.push_str(&format!("--- {part} of dtrace(1)\n{}\n", Quoted(expected)));
                text.push_str(&format!("+++ {part} of the example\n{}\n", Quoted(found)));
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// Text with its blanks at line ends visible.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.split_inclusive('\n').try_for_each(|line| writeln!(f, "  {line:?}"))
    }
}

/// A dtrace that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    command: Vec<OsString>,
    /// The directory of D libraries, for a program that does not choose them by itself.
    syslibdir: Option<PathBuf>,
}

impl Program {
    /// The example, or what `DTRACE_DIFFERENTIAL_PROGRAM` names.
    pub(crate) fn example() -> std::result::Result<Program, String> {
        let path = match std::env::var_os("DTRACE_DIFFERENTIAL_PROGRAM") {
            Some(path) => PathBuf::from(path),
            None => {
                let test = std::env::current_exe().map_err(|error| error.to_string())?;
                let profile = test.ancestors().nth(2).ok_or("a test runs from PROFILE/deps")?;
                profile.join("examples/dtrace")
            }
        };
        if !path.exists() {
            let path = path.display();
            return Err(format!("{path} is missing; build it: `cargo build --example dtrace`"));
        }
        Ok(Program { command: vec![path.into()], syslibdir: None })
    }

    /// dtrace(1) of the libdtrace that the crate itself would use; `scratch` is for its D
    /// libraries, without those that do not compile on this kernel.
    pub(crate) fn dtrace(scratch: &Path) -> std::result::Result<Program, String> {
        let found = locate(None).map_err(|error| error.to_string())?;
        let program = beside(&found.library).ok_or_else(|| {
            format!("no dtrace(1) belongs to {}; unpack one with it", found.library.display())
        })?;
        // Like the crate's worker: tracing needs debugfs, which nobody else shall see mounted.
        let mount = "test -d /sys/kernel/debug/tracing || mount -t debugfs debugfs \
                     /sys/kernel/debug; exec \"$@\"";
        let mut command: Vec<OsString> =
            ["unshare", "-m", "sh", "-c", mount, "sh"].map(OsString::from).into();
        if let Some(loader) = &found.loader {
            let path = loader.library_path_argument();
            command.push(loader.ld_so.clone().into());
            command.extend(["--inhibit-cache", "--argv0", "dtrace"].map(OsString::from));
            command.extend(["--library-path".into(), path]);
        }
        command.push(program.into());
        let mut dtrace = Program { command, syslibdir: None };
        dtrace.leave_out_libraries(&found, &scratch.join("dtrace-libraries"))?;
        Ok(dtrace)
    }

    fn leave_out_libraries(
        &mut self,
        found: &Libdtrace,
        copy: &Path,
    ) -> std::result::Result<(), String> {
        let default = || found.library.with_file_name("dtrace");
        let original = found.syslibdir.clone().unwrap_or_else(default);
        let failed = |error: io::Error| format!("{}: {error}", copy.display());
        copy_directory(&original, copy).map_err(failed)?;
        self.syslibdir = Some(copy.to_owned());
        loop {
            let output = self
                .command()
                .args(["-e", "-n", "BEGIN"])
                .output()
                .map_err(|error| format!("dtrace(1) does not start: {error}"))?;
            if output.status.success() {
                return Ok(());
            }
            let message = String::from_utf8_lossy(&output.stderr);
            let named = message.split('"').find(|it| it.ends_with(".d"));
            let named = named.map(Path::new).filter(|it| it.starts_with(copy) && it.exists());
            let Some(broken) = named else { return Err(format!("dtrace(1) fails: {message}")) };
            fs::remove_file(broken).map_err(failed)?;
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        if self.command.len() == 1 {
            // What `$0` is in a D program.
            command.arg0("dtrace");
        }
        command.env("LC_ALL", "C").env("TZ", "UTC");
        if let Some(syslibdir) = &self.syslibdir {
            command.env("DTRACE_OPT_SYSLIBDIR", syslibdir);
        }
        command
    }

    /// Runs it on a case in a directory of its own below `scratch`.
    pub(crate) fn run(&self, case: &Case, scratch: &Path) -> io::Result<Result> {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let streams = scratch.join(format!("{run:04}"));
        let directory = streams.join("work");
        lay_out(case, &directory)?;
        let mut companion = Companion::start(case, &directory)?;
        let pid = companion.0.as_ref().map(|it| it.id().to_string()).unwrap_or_default();
        let (out, err) = (streams.join("out"), streams.join("err"));
        let child = self
            .command()
            .args(case.args.iter().map(|it| it.replace("{pid}", &pid)))
            .envs(case.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(File::create(&out)?)
            .stderr(File::create(&err)?)
            .spawn()?;
        let status = wait(child)?;
        companion.stop();
        let text = |path: &Path| -> io::Result<String> {
            let text = normalise(&fs::read(path)?, &directory, &case.normalise);
            Ok(if pid.is_empty() { text } else { text.replace(&pid, "{pid}") })
        };
        let mut out = text(&out)?;
        for name in &case.show {
            out.push_str(&format!("--- {name}\n"));
            match fs::read(directory.join(name)) {
                Ok(content) => out.push_str(&normalise(&content, &directory, &case.normalise)),
                Err(error) => out.push_str(&format!("{error}\n")),
            }
        }
        let result = Result { out, err: text(&err)?, status };
        fs::remove_dir_all(&streams)?;
        Ok(result)
    }
}

/// The program of the prefix that a library is in: `usr/lib/TRIPLET/libdtrace.so.2` and
/// `usr/sbin/dtrace`.
fn beside(library: &Path) -> Option<PathBuf> {
    let places = ["sbin/dtrace", "bin/dtrace"];
    library
        .ancestors()
        .skip(2)
        .take(3)
        .flat_map(|directory| places.map(|it| directory.join(it)))
        .find(|it| it.is_file())
}

fn copy_directory(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => fs::create_dir_all(to)?,
    }
    for entry in fs::read_dir(from)? {
        let (from, to) = (entry?.path(), to.to_owned());
        let to = to.join(from.file_name().unwrap_or_default());
        if from.is_dir() {
            copy_directory(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

/// The files of a case, and the commands that all cases share.
fn lay_out(case: &Case, directory: &Path) -> io::Result<()> {
    copy_directory(&crate::corpus().join("commands"), &directory.join("commands"))?;
    for (path, content) in &case.files {
        let path = directory.join(path);
        fs::create_dir_all(path.parent().unwrap_or(directory))?;
        fs::write(path, content)?;
    }
    Ok(())
}

/// The process that runs as long as the program does.
struct Companion(Option<Child>);

impl Companion {
    fn start(case: &Case, directory: &Path) -> io::Result<Companion> {
        let start = |words: &Vec<String>| {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).current_dir(directory).stdin(Stdio::null()).spawn()
        };
        case.process.as_ref().map(start).transpose().map(Companion)
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wait(mut child: Child) -> io::Result<String> {
    use std::os::unix::process::ExitStatusExt;
    let say = |status: ExitStatus| match (status.code(), status.signal()) {
        (Some(code), _) => code.to_string(),
        (None, signal) => format!("signal {}", signal.unwrap_or_default()),
    };
    for signal in ["-INT", "-KILL"] {
        let begin = Instant::now();
        while begin.elapsed() < LIMIT {
            if let Some(status) = child.try_wait()? {
                let late = if signal == "-INT" { "" } else { "interrupted, " };
                return Ok(format!("{late}{}", say(status)));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // The group: a command that it started must not stay behind.
        let group = format!("-{}", child.id());
        Command::new("kill").args([signal, "--", &group]).status()?;
    }
    child.wait().map(|status| format!("killed, {}", say(status)))
}

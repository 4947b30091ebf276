//! How does a test watch a consumer from outside, also when it is killed in the middle of a session?
//!
//! The consumer is a process: the test binary as `traced-program consumer HOW`, or a binary that calls
//! [`consume`] itself.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio, exit};
use std::time::Duration;

use dtrace_consumer::{run_synchronous, trace};
use nix::unistd::Pid;

use crate::kernel::EXIT;
use crate::processes::{children, children_of, wait_until};
use crate::traced::{WORD, traced_program};

/// How far a consumer gets before the test does something to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The command is held: its worker never answers.
    Held,
    /// The command runs, and something was delivered.
    Running,
    /// The same, and the command will stop at its end for its symbols.
    Symbols,
    /// The same, and libdtrace traces the command's functions.
    Functions,
}

impl Stage {
    /// The word for it on a consumer's command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Stage::Held => "held",
            Stage::Running => "running",
            Stage::Symbols => "symbols",
            Stage::Functions => "functions",
        }
    }

    /// What a consumer says when it has come so far.
    fn sign(self) -> &'static str {
        match self {
            Stage::Held => "holding",
            Stage::Running | Stage::Symbols | Stage::Functions => "tracing",
        }
    }
}

/// What `traced-program consumer HOW` does.
pub(crate) fn run(how: &str) -> ! {
    match how {
        "broken" => broken_pipe(),
        "calls" => calls(None),
        "recorded" => calls(Some("recording")),
        "woken for each" => buffers(Duration::ZERO),
        "woken for many" => buffers(DELAY),
        "idle" => idle(),
        "symbols" => wait(
            &format!(
                "BEGIN {{ trace(1); }} syscall::{EXIT}:entry /pid == $target/ {{ ustack(); }}"
            ),
            how,
        ),
        "functions" => wait("BEGIN { trace(1); } pid$target:libc.so*:read:entry { }", how),
        _ => wait("BEGIN { trace(1); }", how),
    }
}

/// Traces, says so, and does nothing more.
fn idle() -> ! {
    let result = trace("BEGIN { exit(0); }").run();
    println!("{}", if result.is_ok() { "traced" } else { "failed" });
    loop {
        std::thread::park();
    }
}

fn wait(script: &str, how: &str) -> ! {
    consume(script, traced_program("wait", 0), how)
}

/// Traces a command that waits, for a test that kills this process at the stage `how`.
pub fn consume(script: &str, command: Vec<OsString>, how: &str) -> ! {
    let mut session = run_synchronous(script, command).chew(|_| {
        println!("{}", Stage::Running.sign());
        Ok(())
    });
    if how == Stage::Held.word() {
        // A worker that says nothing for as long as its standard input, the channel, lasts.
        session = session.worker("/bin/cat");
        println!("{}", Stage::Held.sign());
    }
    println!("{:#?}", session.run());
    exit(0)
}

/// A line of a shell script, after which a process can have at most so many descriptors. What this process has
/// inherited itself does not count.
#[must_use]
pub fn descriptor_limit(limit: u32) -> String {
    format!("exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- && ulimit -n {limit}")
}

/// Traces five calls, and says what came of it. Records it to the file, if there is one.
fn calls(recording: Option<&str>) -> ! {
    let script = "syscall::getppid:entry /pid == $target/ { trace(1); }";
    // Not by asking /proc, which may be missing.
    let exe = std::env::args().next().unwrap_or_default();
    let command = [&exe, WORD, "calls", "5"];
    let mut session = run_synchronous(script, command).chew(|_| Ok(()));
    if let Some(file) = recording {
        session = session.record(file);
    }
    match session.run() {
        Ok(outcome) => println!("{} firings, {}", outcome.firings, outcome.losses),
        Err(failure) => {
            let structure = format!("{:#?}", failure.error);
            let on_one_line: Vec<&str> = structure.split_whitespace().collect();
            println!("{}\n{failure}", on_one_line.join(" "));
        }
    }
    exit(0)
}

/// How long records may wait.
const DELAY: Duration = Duration::from_millis(5);

/// Traces thousands of calls, whose records may wait so long. Says what came of it, and how many events of the kernel
/// the worker has.
fn buffers(delay: Duration) -> ! {
    let mut events = 0;
    let script = "syscall::getppid:entry /pid == $target/ { trace(1); }";
    let result = run_synchronous(script, traced_program("calls", 3000))
        .max_delay(delay)
        .chew(|_| {
            if events == 0 {
                events = children().into_iter().map(kernel_events).sum();
            }
            Ok(())
        })
        .run();
    match result {
        Ok(outcome) => {
            let lost = outcome.losses.total_drops();
            println!("{} firings, {lost} lost, {events} events", outcome.firings);
            outcome.warnings.iter().for_each(|warning| println!("{warning}"));
        }
        Err(failure) => println!("{}", failure.error),
    }
    exit(0)
}

/// Returns how many descriptors of perf_event_open(2) a process has.
fn kernel_events(pid: i32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let files = descriptors.filter_map(|it| fs::read_link(it.path()).ok());
    files.filter(|file| file.as_os_str() == "anon_inode:[perf_event]").count()
}

/// Writes to workers that may be gone. The process is as it was started: SIGPIPE kills it, which Rust's
/// runtime would change before `main`.
fn broken_pipe() -> ! {
    for _ in 0..20 {
        let result = run_synchronous("BEGIN { }", ["true"]).worker("/bin/true").run();
        println!("{}", result.is_err());
    }
    exit(0)
}

/// A consumer in the middle of its session.
#[derive(Debug)]
pub struct Consumer {
    process: Child,
    worker: Pid,
    command: Pid,
}

impl Consumer {
    /// Starts one and waits for its stage. `words` are its command line without the stage; the traced
    /// command is the one of its children that has `command_word` on its own.
    ///
    /// # Panics
    /// If it cannot be started, or ends before.
    #[must_use]
    pub fn start(words: Vec<OsString>, stage: Stage, command_word: &str) -> Consumer {
        let mut process = Command::new(&words[0])
            .args(&words[1..])
            .arg(stage.word())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the consumer can be started");
        // Its output lasts as long as the last process that could write to it.
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        assert_eq!(lines.next().expect("a line").expect("text"), stage.sign());
        let family = || children_of(process.id()).collect::<Vec<_>>();
        wait_until("worker and command are there", || family().len() == 2);
        let is_command = |pid: &i32| {
            crate::system::command_line(*pid)
                .split(|byte| *byte == 0)
                .any(|word| word == command_word.as_bytes())
        };
        let [command, worker] = {
            let (commands, workers): (Vec<i32>, Vec<i32>) =
                family().into_iter().partition(is_command);
            assert_eq!((commands.len(), workers.len()), (1, 1), "{commands:?} {workers:?}");
            [commands[0], workers[0]].map(Pid::from_raw)
        };
        Consumer { process, worker, command }
    }

    /// Its worker.
    #[must_use]
    pub fn worker(&self) -> Pid {
        self.worker
    }

    /// Its worker and its command.
    #[must_use]
    pub fn family(&self) -> [i32; 2] {
        [self.worker.as_raw(), self.command.as_raw()]
    }

    /// Kills it. The command would end by itself with its input, which is the other end of the result.
    ///
    /// # Panics
    /// If it is not there any more.
    pub fn kill(mut self) -> Option<ChildStdin> {
        let input = self.process.stdin.take();
        self.process.kill().expect("it is there");
        self.process.wait().expect("it is a child");
        input
    }
}

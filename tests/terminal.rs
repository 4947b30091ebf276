//! Does a command at a terminal run under the example `dtrace` as it does alone?
//!
//! script(1) makes the terminal, and a shell with job control the foreground group, as in a user's session.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::{Killed, orphans_ended, wait_until};
use dtrace_test_support::programs::example;
use nix::poll::{PollFd, PollFlags, poll};

live_tests! {
    needs: [Tracing, Command("script"), Command("stty")],
    tests: [
        a_command_reads_its_terminal_and_the_settings_stay,
        an_interrupt_reaches_the_command_and_ends_the_session_in_order,
        a_stopped_session_goes_on_in_the_foreground,
    ],
}

/// How long a terminal may show nothing new: a minute.
const SILENCE: u16 = 60_000;

const ENTER: &[u8] = b"\n";
const INTERRUPT: &[u8] = b"\x03";
const STOP: &[u8] = b"\x1a";

/// A terminal at which a shell runs a command, by itself or traced.
struct Terminal {
    script: Killed,
    keyboard: ChildStdin,
    screen: ChildStdout,
    shown: String,
}

impl Terminal {
    /// Has a shell run `command`, the text of a script, in the foreground, and then `after`.
    fn start(directory: &Path, traced: bool, command: &str, after: &str) -> Terminal {
        let [program, session] = ["command.sh", "session.sh"].map(|name| directory.join(name));
        fs::write(&program, command).expect("a file");
        let words = format!("sh {}", program.display());
        let line = if traced {
            let example = example("dtrace").display().to_string();
            format!(
                "{example} -q -n 'BEGIN {{ }} END {{ printf(\"the session has ended\"); }}' -c '{words}'"
            )
        } else {
            words
        };
        let settings = "settings=$(stty -g)";
        let compare = "[ \"$settings\" = \"$(stty -g)\" ] && echo the same settings";
        let text = format!("{settings}\n{line}\necho status $?\n{after}\n{compare}\necho over\n");
        fs::write(&session, text).expect("a file");
        // What the test has inherited may ignore these signals, and a shell cannot change that.
        let mut script = Command::new("env");
        script.args(["--default-signal=INT,QUIT,TSTP", "script", "-q", "-e", "-c"]);
        script.args([&format!("sh -m {}", session.display()), "/dev/null"]);
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut script = Killed(script.spawn().expect("script(1) starts"));
        let keyboard = script.0.stdin.take().expect("a pipe");
        let screen = script.0.stdout.take().expect("a pipe");
        Terminal { script, keyboard, screen, shown: String::new() }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("the terminal is there");
    }

    /// Reads until the terminal shows this.
    fn await_text(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.shown.contains(text) {
            let mut screen = [PollFd::new(self.screen.as_fd(), PollFlags::POLLIN)];
            let shows = poll(&mut screen, SILENCE).expect("a pipe");
            assert!(shows > 0, "nothing for a minute, no {text:?}: {}", self.shown);
            let length = self.screen.read(&mut buffer).expect("the terminal is there");
            assert!(length > 0, "no {text:?}: {}", self.shown);
            self.shown.push_str(&String::from_utf8_lossy(&buffer[..length]));
        }
    }

    /// Waits until all processes have ended, and returns everything that was shown.
    fn end(mut self) -> String {
        self.await_text("over\r\n");
        drop(self.keyboard);
        wait_until("script(1) has ended", || self.script.0.try_wait().expect("a child").is_some());
        orphans_ended();
        self.shown
    }
}

/// Does the same at the terminal of a command that runs by itself, and at that of a traced one.
fn alone_and_traced(check: impl Fn(&Path, bool)) {
    for traced in [false, true] {
        let (_lock, guard) = alone();
        let directory = tempfile::tempdir().expect("a temporary directory");
        check(directory.path(), traced);
        drop(directory);
        guard.check();
    }
}

fn a_command_reads_its_terminal_and_the_settings_stay() {
    alone_and_traced(|directory, traced| {
        let command = "echo ready; read word; echo \"read $word\"; stty -echo; stty echo";
        let mut terminal = Terminal::start(directory, traced, command, "");
        terminal.await_text("ready");
        terminal.press(b"word");
        terminal.press(ENTER);
        let shown = terminal.end();
        for text in ["read word\r\n", "status 0\r\n", "the same settings\r\n"] {
            assert!(shown.contains(text), "traced: {traced}, no {text:?}: {shown}");
        }
        assert_eq!(shown.contains("the session has ended"), traced, "{shown}");
    });
}

fn an_interrupt_reaches_the_command_and_ends_the_session_in_order() {
    alone_and_traced(|directory, traced| {
        let command = "trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep .1; done";
        let mut terminal = Terminal::start(directory, traced, command, "");
        terminal.await_text("ready");
        terminal.press(INTERRUPT);
        let shown = terminal.end();
        // dtrace(1) ends in good order, too: its status is the session's, not the command's.
        let status = if traced { "status 0\r\n" } else { "status 3\r\n" };
        for text in ["interrupted\r\n", status, "the same settings\r\n"] {
            assert!(shown.contains(text), "traced: {traced}, no {text:?}: {shown}");
        }
        assert_eq!(shown.contains("the session has ended"), traced, "{shown}");
    });
}

fn a_stopped_session_goes_on_in_the_foreground() {
    alone_and_traced(|directory, traced| {
        let command = "echo ready; read word; echo \"read $word\"";
        let mut terminal = Terminal::start(directory, traced, command, "fg; echo again $?");
        terminal.await_text("ready");
        terminal.press(STOP);
        // 128 and the number of SIGTSTP.
        terminal.await_text("status 148");
        terminal.press(b"word");
        terminal.press(ENTER);
        let shown = terminal.end();
        for text in ["read word\r\n", "again 0\r\n", "the same settings\r\n"] {
            assert!(shown.contains(text), "traced: {traced}, no {text:?}: {shown}");
        }
        assert_eq!(shown.contains("the session has ended"), traced, "{shown}");
    });
}

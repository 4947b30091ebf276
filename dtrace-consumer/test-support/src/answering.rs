//! How does a test have a process call getppid(2) when it wants that?

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use dtrace_consumer::trace;

use crate::traced::traced_program;

/// When a session counts as hanging. None takes nearly as long.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// A process that calls getppid(2) for each byte that it is sent, and answers. It ends with this value at the
/// latest.
#[derive(Debug)]
pub struct Answering(Child);

impl Answering {
    /// Starts this test binary as `traced-program MODE 1`, and waits for its first answer.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(mode: &str) -> Answering {
        let words = traced_program(mode, 1);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Answering(command.spawn().expect("this program starts"));
        process.ask();
        process.answered();
        process
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.0.id().cast_signed()
    }

    /// Has it call.
    ///
    /// # Panics
    /// If it has ended.
    pub fn ask(&mut self) {
        self.0.stdin.as_mut().expect("a pipe").write_all(b".").expect("it reads");
    }

    /// Waits until it has called.
    ///
    /// # Panics
    /// If it ends instead.
    pub fn answered(&mut self) {
        self.0.stdout.as_mut().expect("a pipe").read_exact(&mut [0]).expect("it answers");
    }

    /// Has it call while a session has grabbed it, which sees the call and ends.
    ///
    /// # Panics
    /// If the session fails, or the process has ended.
    pub fn call_while_grabbed(&mut self) {
        let mut calls = 0;
        trace("syscall::getppid:entry /pid == $target/ { trace(1); exit(0); }")
            .grab(self.pid())
            .deadline(DEADLINE)
            .on_start(|_| {
                self.ask();
                Ok(())
            })
            .chew(|_| {
                calls += 1;
                Ok(())
            })
            .run()
            .expect("it runs");
        assert_eq!(calls, 1);
        self.answered();
    }

    /// Ends it after another call.
    ///
    /// # Panics
    /// If something else has ended it.
    pub fn call_and_end(mut self) {
        self.ask();
        self.answered();
        self.end();
    }

    /// Ends it.
    ///
    /// # Panics
    /// If something else has ended it.
    pub fn end(mut self) {
        drop(self.0.stdin.take());
        let status = self.0.wait().expect("a child");
        assert!(status.success(), "{status}");
    }
}

impl Drop for Answering {
    /// Where a test fails, it may be held by a tracer.
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

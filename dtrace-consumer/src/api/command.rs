//! What can be given as a command to trace?

use std::ffi::OsStr;
use std::process::Command;

/// A command to trace: a program and its arguments, or a [`Command`] with its environment, directory and
/// standard streams.
///
/// ```no_run
/// use std::process::Command;
///
/// use dtrace_consumer::run_synchronous;
///
/// let script = "syscall:::entry /pid == $target/ { @[probefunc] = count(); }";
/// run_synchronous(script, ["date", "-u"]).run()?;
///
/// let words: Vec<_> = std::env::args_os().skip(1).collect();
/// run_synchronous(script, words).run()?;
///
/// let mut date = Command::new("date");
/// date.env("TZ", "Asia/Tokyo");
/// run_synchronous(script, date).run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub trait IntoCommand: sealed::IntoCommand {}

impl<T: sealed::IntoCommand> IntoCommand for T {}

pub(super) mod sealed {
    use super::*;

    pub trait IntoCommand {
        fn into_command(self) -> Command;
    }

    impl IntoCommand for Command {
        fn into_command(self) -> Command {
            self
        }
    }

    impl<W: AsRef<OsStr>, const N: usize> IntoCommand for [W; N] {
        fn into_command(self) -> Command {
            of_words(self)
        }
    }

    impl<W: AsRef<OsStr>, const N: usize> IntoCommand for &[W; N] {
        fn into_command(self) -> Command {
            of_words(self)
        }
    }

    impl<W: AsRef<OsStr>> IntoCommand for &[W] {
        fn into_command(self) -> Command {
            of_words(self)
        }
    }

    impl<W: AsRef<OsStr>> IntoCommand for Vec<W> {
        fn into_command(self) -> Command {
            of_words(self)
        }
    }

    impl<W: AsRef<OsStr>> IntoCommand for &Vec<W> {
        fn into_command(self) -> Command {
            of_words(self)
        }
    }

    fn of_words<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Command {
        let mut words = words.into_iter();
        // An empty command is refused when the session starts.
        let mut command = match words.next() {
            Some(program) => Command::new(program),
            None => Command::new(""),
        };
        command.args(words);
        command
    }
}

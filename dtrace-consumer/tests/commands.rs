//! What does a user get whose command does not start, fails or is killed?

use std::os::unix::process::ExitStatusExt;

use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        a_command_that_does_not_exist_is_named,
        the_exit_status_of_the_command_is_told,
    ],
    long: [
        a_command_that_cannot_be_executed_is_named,
        a_command_that_is_killed_is_no_error_of_the_session,
    ],
    needs: [],
    tests: [
        a_session_without_a_command_is_refused,
    ],
}

fn a_command_that_does_not_exist_is_named() {
    const BAD_COMMAND: &str = "/no/such/command";
    let result = run_synchronous("BEGIN { }", [BAD_COMMAND]).run();
    let Err(Failure { error: Error::Command { program, cause }, .. }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(program, BAD_COMMAND);
    assert_eq!(cause.kind(), std::io::ErrorKind::NotFound);
}

fn a_command_that_cannot_be_executed_is_named() {
    const BAD_COMMANDS: [(&str, &str); 2] =
        [("/etc/passwd", "not executable"), ("/", "it is a directory")];
    for (program, why) in BAD_COMMANDS {
        for result in [
            trace("BEGIN { }").create([program]).run(),
            run_synchronous("BEGIN { }", [program]).run(),
        ] {
            let Err(Failure { error: Error::Command { program: named, cause }, .. }) = result
            else {
                panic!("{result:?}")
            };
            assert_eq!(named, program);
            assert_eq!(cause.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(cause.to_string().contains(why), "{cause}");
        }
    }
}

fn a_session_without_a_command_is_refused() {
    const BAD_COMMANDS: [&[&str]; 2] = [&[], &["", "argument"]];
    for command in BAD_COMMANDS {
        let result = run_synchronous("BEGIN { }", command).run();
        let Err(Failure { error: error @ Error::Command { .. }, .. }) = &result else {
            panic!("{result:?}")
        };
        assert!(
            error.to_string().starts_with("cannot start a command: no command given"),
            "{error}"
        );
    }
}

fn a_command_that_is_killed_is_no_error_of_the_session() {
    let mut values = Vec::new();
    let outcome = run_synchronous(
        "BEGIN { trace(1); } END { trace(2); }",
        traced_program("killed", nix::sys::signal::Signal::SIGKILL as i32),
    )
    .chewrec(|record| {
        values.push(record.get::<i32>()?);
        Ok(())
    })
    .run()
    .expect("the session comes to its end");
    let command = outcome.command.expect("the command has ended");
    assert_eq!(command.status.signal(), Some(nix::sys::signal::Signal::SIGKILL as i32));
    assert!(!command.finished());
    assert_eq!(values, [1, 2]);
}

fn the_exit_status_of_the_command_is_told() {
    for (status, refused) in [(0, false), (7, false), (64, true)] {
        let outcome = run_synchronous("BEGIN { }", traced_program("exit", status))
            .run()
            .expect("the session comes to its end");
        let command = outcome.command.expect("the command has ended");
        assert_eq!(command.status.code(), Some(status));
        assert_eq!(command.finished(), status == 0);
        assert_eq!(command.refused_its_arguments(), refused);
    }
}

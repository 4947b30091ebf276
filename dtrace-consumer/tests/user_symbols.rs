//! Do the functions of a command have names, however soon it ends?

use std::fs;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use dtrace_consumer::event::AggregatedEvent;
use dtrace_consumer::{ValueRef, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::processes::wait_until;
use dtrace_test_support::traced::traced_program;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

live_tests! {
    needs: [Tracing],
    tests: [
        functions_of_a_command_that_ends_at_once_have_names,
        a_command_whose_functions_are_asked_for_ends_as_it_would,
        a_command_whose_name_is_cut_within_a_character_is_let_go,
        a_command_whose_functions_are_asked_for_can_be_stopped_and_continued,
        stacks_of_a_firing_and_of_keys_fold_to_the_same_line,
    ],
}

/// The innermost function of the stack that a value holds.
fn innermost(value: &ValueRef<'_>) -> String {
    let ValueRef::Stack(stack) = value else { panic!("{value:?}") };
    let frame = stack.frames().next().expect("a frame");
    frame.symbol().unwrap_or_default().to_owned()
}

fn functions_of_a_command_that_ends_at_once_have_names() {
    let (mut firings, mut keys) = (Vec::new(), Vec::new());
    let script = r#"
        syscall::getppid:entry /pid == $target/ { ustack(); @["by stack", ustack(3)] = count(); }
        syscall::getppid:entry /pid == $target/ { printf("%d", 1); uaddr(uregs[R_PC]); }"#;
    let outcome = run_synchronous(script, traced_program("calls", 1))
        .chew(|firing| {
            firings.extend(firing.values().filter(|v| v.kind() == "stack").map(|v| innermost(&v)));
            Ok(())
        })
        .walk(|entry| {
            keys.push(innermost(&entry.keys().nth(1).expect("two keys")));
            Ok(())
        })
        .run()
        .expect("it runs");
    assert!(outcome.command.expect("it ran").status.success());
    assert_eq!(firings, ["getppid"]);
    assert_eq!(keys, ["getppid"]);
}

fn a_command_whose_functions_are_asked_for_ends_as_it_would() {
    let script = "syscall::getppid:entry /pid == $target/ { ustack(); }";
    for (mode, argument, code, signal) in
        [("exit", 7, Some(7), None), ("killed", libc::SIGTERM, None, Some(libc::SIGTERM))]
    {
        use std::os::unix::process::ExitStatusExt;
        let outcome = run_synchronous(script, traced_program(mode, argument)).run();
        let status = outcome.expect("it runs").command.expect("it ran").status;
        assert_eq!((status.code(), status.signal()), (code, signal));
    }
}

fn a_command_whose_name_is_cut_within_a_character_is_let_go() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // The system keeps 15 bytes of it.
    let file = directory.path().join("fourteen-bytesé");
    let mut words = traced_program("exit", 7);
    fs::copy(&words[0], &file).expect("a copy of this program");
    words[0] = file.into();
    let script = "syscall::getppid:entry /pid == $target/ { ustack(); }";
    let outcome = run_synchronous(script, words).deadline(Duration::from_secs(60)).run();
    let status = outcome.expect("it runs").command.expect("it ran").status;
    assert_eq!(status.code(), Some(7));
}

fn a_command_whose_functions_are_asked_for_can_be_stopped_and_continued() {
    let script = r#"syscall::getppid:entry /pid == $target/ { printf("%d", pid); /* ustack */ }"#;
    let (read, mut write) = std::io::pipe().expect("a pipe");
    let (tell, pid) = std::sync::mpsc::channel();
    let controller = std::thread::spawn(move || {
        write.write_all(b".").expect("it reads");
        let pid = Pid::from_raw(pid.recv().expect("a command"));
        let state = |wanted: &str| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| wanted.contains(&rest[..1]))
        };
        wait_until("it waits", || state("S"));
        kill(pid, Signal::SIGSTOP).expect("it runs");
        // Stopped under a tracer.
        wait_until("it has stopped", || state("tT"));
        kill(pid, Signal::SIGCONT).expect("it is stopped");
        wait_until("it goes on", || state("S"));
        drop(write);
    });
    let outcome = run_synchronous(script, traced_program("answer", 1))
        .configure_command(|command| {
            command.stdin(read).stdout(Stdio::null());
        })
        .rows(|pid: i32| Ok(tell.send(pid)?))
        .run()
        .expect("it runs");
    controller.join().expect("it was stopped and continued");
    assert!(outcome.command.expect("it ran").status.success());
}

fn stacks_of_a_firing_and_of_keys_fold_to_the_same_line() {
    let (mut of_firing, mut of_entry) = (Vec::new(), Vec::new());
    // Linux 6.1 has no kernel stack at the probes of `syscall`.
    let script = format!(
        "rawtp:::sys_enter /pid == $target && arg1 == {}/
         {{ trace(execname); ustack(); stack(); @[stack(), ustack(), execname] = count(); }}",
        libc::SYS_getppid
    );
    run_synchronous(script, traced_program("calls", 3))
        .chew(|firing| {
            of_firing.push(firing.folded().with_kernel_mark().to_string());
            Ok(())
        })
        .walk(|entry| {
            let event = AggregatedEvent::from(entry);
            of_entry.push((entry.folded().with_kernel_mark().to_string(), entry.number()?));
            assert_eq!(event.folded().to_string(), entry.folded().to_string());
            Ok(())
        })
        .run()
        .expect("it runs");
    let [(line, 3)] = &of_entry[..] else { panic!("{of_entry:?}") };
    assert_eq!(of_firing, [line.as_str(); 3]);
    let frames: Vec<&str> = line.split(';').collect();
    let kernel = frames.iter().position(|f| f.ends_with("_[k]")).expect("the kernel's stack");
    assert_eq!(frames[kernel - 1], "getppid", "{line}");
    assert!(frames[kernel..].iter().all(|frame| frame.ends_with("_[k]")), "{line}");
    // The system truncates names to 15 bytes.
    assert_eq!(frames[0].get(..12), Some("user_symbols"), "{line}");
    assert!(!line.contains("+0x"), "{line}");
}

//! What does a traced program do?
//!
//! Started as `BINARY traced-program MODE ARGUMENT`, a test binary does what the mode says and ends before
//! `main`. So the number of its system calls is known. Only "inherited" ends in `main`.

use std::io::{Read, Write};
use std::process::exit;

use crate::libraries::load;
#[cfg(target_os = "linux")]
use crate::libraries::with_changing_list;
use crate::traced::{WORD, call, call_on_each_cpu};

#[cfg(target_os = "linux")]
ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        become_the_traced_program();
    }
}

/// Becomes the traced program, if the command line says so. Elsewhere than on Linux it is called by `main`: initialisers
/// run before a program's entry point, at which a command is held for its functions.
pub(crate) fn become_the_traced_program() {
    if let Some([mode, argument]) = wanted() {
        // Rust's runtime, which starts with `main`, changes what signals do.
        #[cfg(target_os = "linux")]
        if mode == "inherited" {
            return crate::inherited::write(&argument);
        }
        run(&mode, &argument);
    }
}

/// Ends a traced program that has come as far as to `main`.
#[cfg(target_os = "linux")]
pub(crate) fn end_the_traced_program() {
    if wanted().is_some() {
        exit(0);
    }
}

/// The mode and the argument of the traced program, if this process is to be one.
fn wanted() -> Option<[String; 2]> {
    match <[String; 4]>::try_from(crate::system::own_words()) {
        Ok([_, word, mode, argument]) if word == WORD => Some([mode, argument]),
        _ => None,
    }
}

fn run(mode: &str, argument: &str) -> ! {
    let number = || argument.parse::<i32>().unwrap_or(0);
    match mode {
        // So many getppid(2).
        "calls" => call(number()),
        // The same in as many threads as there are CPUs, each.
        "parallel-calls" => std::thread::scope(|scope| {
            for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
                scope.spawn(|| call(number()));
            }
        }),
        // getpgid(2) of so many processes, on each CPU.
        "calls-on-each-cpu" => call_on_each_cpu(number()),
        "exit" => exit(number()),
        "killed" => {
            let signal = nix::sys::signal::Signal::try_from(number()).expect("a signal");
            let _ = nix::sys::signal::raise(signal);
        }
        // Until it is killed, or its standard input ends.
        "wait" => {
            is_asked();
        }
        // The same, and loads a library each time.
        "load" => {
            while is_asked() {
                load();
                call(number());
                let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
            }
        }
        // getppid(2) for each byte of its standard input, with an answer after each.
        "answer" => while answer(number()) {},
        // The same, on one CPU.
        "answer-on-one-cpu" => {
            crate::system::stay_on_one_cpu();
            while answer(number()) {}
        }
        // The same, and loads libraries all the time.
        "loads" => {
            while !input_ends_within(0) || answer(number()) {
                load();
            }
        }
        // The same, and another thread loads libraries all the time.
        "thread-loads" => {
            std::thread::spawn(|| {
                loop {
                    load();
                }
            });
            while answer(number()) {}
        }
        // The same, and another thread changes the list of libraries all the time.
        #[cfg(target_os = "linux")]
        "list-changes" => with_changing_list(|| while answer(number()) {}),
        // As "loads", in a new thread each time.
        "loads-in-threads" => {
            while !input_ends_within(0) || answer(number()) {
                let _ = std::thread::spawn(load).join();
            }
        }
        // As "load", in a new thread each time.
        "threads-load" => {
            while is_asked() {
                let _ = std::thread::spawn(load).join();
                call(number());
                let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
            }
        }
        // As "answer", with a trap that waits because it is blocked.
        "trap-blocked" => {
            use nix::sys::signal::{SigSet, Signal, raise};
            SigSet::from(Signal::SIGTRAP)
                .thread_block()
                .and_then(|()| raise(Signal::SIGTRAP))
                .expect("a trap");
            while answer(number()) {}
        }
        // Loads a library so many times in another thread, then calls getppid(2).
        "thread-loaded" => {
            let times = number();
            let loaded = std::thread::spawn(move || (0..times).for_each(|_| load())).join();
            assert!(loaded.is_ok());
            call(1);
        }
        // So many getppid(2) every millisecond, until its standard input ends.
        "bursts" => {
            while !input_ends_within(1) {
                call(number());
            }
        }
        // Sells something for each byte of its standard input (see `own_probes`), with an answer after each.
        #[cfg(target_os = "freebsd")]
        "sells" => {
            crate::own_probes::register("shop");
            let mut sold = 0;
            while is_asked() {
                sold += 1;
                crate::own_probes::sell(sold);
                let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
            }
        }
        // Sells so many things.
        #[cfg(target_os = "freebsd")]
        "sells-out" => {
            crate::own_probes::register("stall");
            (1..=number()).for_each(crate::own_probes::sell);
        }
        // Traces the process with this number as a debugger does, says so, and lets go of it at the end of its standard
        // input.
        "traces" => {
            use nix::sys::{ptrace, wait::waitpid};
            let traced = nix::unistd::Pid::from_raw(number());
            ptrace::attach(traced).and_then(|()| waitpid(traced, None)).expect("it can be traced");
            let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
            is_asked();
            ptrace::detach(traced, None).expect("it is traced");
        }
        // Copies its standard input to its standard output.
        "copy" => {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::stdout());
        }
        // So many MiB of lines to its standard output, and the same to its standard error.
        "flood" => flood(number()),
        "beginner" => crate::beginner::run(argument),
        "consumer" => crate::consumer::run(argument),
        #[cfg(target_os = "linux")]
        "surrounded" => crate::surroundings::run(argument),
        _ => exit(99),
    }
    exit(0)
}

/// Calls getppid(2) so many times for a byte of the standard input, and answers. Returns `false` at its end.
fn answer(times: i32) -> bool {
    let asked = is_asked();
    if asked {
        call(times);
        let _ = std::io::stdout().write_all(b".").and_then(|()| std::io::stdout().flush());
    }
    asked
}

/// Waits for a byte of the standard input. Returns `false` at its end. A tracer that attaches meanwhile may interrupt the
/// wait, as on FreeBSD 15 with several CPUs.
fn is_asked() -> bool {
    std::io::stdin().read_exact(&mut [0]).is_ok()
}

/// Writes lines of 1 KiB in turn to both streams.
fn flood(mebibytes: i32) {
    let (out, error) = ([b'o'; 1024], [b'e'; 1024]);
    let lines = [(out, true), (error, false)].map(|(mut line, is_out)| {
        line[1023] = b'\n';
        (line, is_out)
    });
    for _ in 0..mebibytes * 1024 {
        for (line, is_out) in &lines {
            let _ = match is_out {
                true => std::io::stdout().write_all(line),
                false => std::io::stderr().write_all(line),
            };
        }
    }
    let _ = std::io::stdout().flush();
}

fn input_ends_within(milliseconds: u8) -> bool {
    use nix::errno::Errno;
    use nix::poll::{PollFd, PollFlags, poll};
    use std::os::fd::AsFd;
    let input = std::io::stdin();
    let ends = poll(&mut [PollFd::new(input.as_fd(), PollFlags::POLLIN)], milliseconds);
    !matches!(ends, Ok(0) | Err(Errno::EINTR))
}

//! Do libdtrace, sudo, doas and apt still say the sentences that this crate reads?
//!
//! Each test makes one of them say a sentence on which something depends, and asserts what the crate makes of
//! it. Where another version says something else, the test fails that names the sentence.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::error::CompileError;
use dtrace_consumer::query::ProbeQuery;
use dtrace_consumer::session::OmittedLibrary;
use dtrace_consumer::{Error, Failure, run_synchronous, trace};
use dtrace_test_support::consumer::descriptor_limit;
use dtrace_test_support::harness::ignore;
use dtrace_test_support::leftovers::alone;
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix::Prefix;
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, System};

live_tests! {
    serial,
    needs: [Tracing],
    tests: [
        d_syntax_keeps_other_libraries_from_being_tried,
        the_library_in_a_message_is_left_out,
        does_not_match_any_probes_finds_similar_ones,
        too_big_becomes_an_advice,
    ],
    long: [
        line_n_becomes_the_line,
        failed_to_resolve_becomes_the_column,
        no_probe_matches_description_is_an_empty_list,
        destructive_becomes_an_advice,
        memory_allocation_failure_becomes_an_advice,
        exceeds_size_of_buffer_becomes_an_advice,
        failed_to_lookup_becomes_an_advice,
        too_many_open_files_becomes_an_advice,
        failed_to_enable_names_the_probe,
        bpf_program_load_names_the_probe,
    ],
    needs: [Tracing, Root, Command("sudo"), Command("unshare"), Command("setpriv")],
    tests: [
        sudo_says_that_it_needs_a_password,
    ],
    long: [
        sudo_says_that_the_user_is_not_in_sudoers,
        sudo_says_that_the_user_is_not_allowed,
        sudo_says_that_the_user_is_not_allowed_on_this_host,
    ],
    needs: [Tracing, Root, Command("doas"), Command("unshare"), Command("setpriv")],
    tests: [
        doas_says_that_it_needs_a_password,
    ],
    long: [
        doas_says_that_it_is_not_permitted,
        doas_says_that_it_is_not_enabled,
    ],
    needs: [Root, Command("apt-get"), Command("unshare")],
    tests: [apt_says_404_for_a_suite_that_is_not_there],
}

fn failure_of(script: &str) -> Failure {
    run_synchronous(script, ["true"]).run().expect_err("that cannot work")
}

fn compile_error(script: &str) -> CompileError {
    match failure_of(script).error {
        Error::Compile(error) => *error,
        other => panic!("{other:?}"),
    }
}

/// The D libraries that were found not to compile before a script was given up.
fn omitted_for(script: &str, name: &str) -> (CompileError, Vec<OmittedLibrary>) {
    let prefix = Prefix::new(name);
    prefix.add_library("odd.d", "inline int odd = vmlinux`no_such_variable;\n");
    let failure = run_synchronous(script, ["true"]).prefix(prefix.path()).run();
    let failure = failure.expect_err("that does not compile");
    let Error::Compile(error) = failure.error else { panic!("{:?}", failure.error) };
    (*error, failure.outcome.session.expect("a session").omitted_libraries)
}

/// A script that does not compile is tried again with all libraries, unless its syntax is wrong.
fn d_syntax_keeps_other_libraries_from_being_tried() {
    let (error, omitted) = omitted_for("BEGIN { trace(1; }", "syntax");
    assert_eq!((error.tag.as_deref(), &omitted[..]), (Some("D_SYNTAX"), &[][..]));
    let (error, omitted) = omitted_for("BEGIN { trace(nothing); }", "no-syntax");
    assert_eq!(error.tag.as_deref(), Some("D_IDENT_UNDEF"));
    assert!(omitted.iter().any(|library| library.file == "odd.d"), "{omitted:?}");
}

fn line_n_becomes_the_line() {
    let error = compile_error("BEGIN { }\n\nEND { trace(; }\n");
    assert_eq!((error.line, error.source_line.as_deref()), (Some(3), Some("END { trace(; }")));
    assert!(error.message.starts_with("syntax error"), "{}", error.message);
}

fn failed_to_resolve_becomes_the_column() {
    let error = compile_error("BEGIN { trace(no_such_variable); }");
    assert!(error.message.starts_with("failed to resolve no_such_variable: "), "{}", error.message);
    assert_eq!(error.column, Some(14));
}

fn the_library_in_a_message_is_left_out() {
    let prefix = Prefix::new("left-out");
    prefix.add_library("odd.d", "inline int odd = vmlinux`no_such_variable;\n");
    // What is translated may need any library.
    let session = run_synchronous("proc:::exit /pid == $target/ { trace(args[0]); }", ["true"]);
    let outcome = session.prefix(prefix.path()).run().expect("it compiles without the library");
    let omitted = outcome.session.expect("a session").omitted_libraries;
    let odd = omitted.iter().find(|it| it.file == "odd.d").expect("it is named");
    assert!(odd.reason.contains("no_such_variable"), "{}", odd.reason);
}

fn does_not_match_any_probes_finds_similar_ones() {
    let error = compile_error("syscall::getpipd:entry { }");
    assert!(error.similar.iter().any(|it| it == "syscall:vmlinux:getppid:entry"), "{error:?}");
}

fn no_probe_matches_description_is_an_empty_list() {
    let query = ProbeQuery::new().pattern("no_such_provider:::");
    assert_eq!(query.list().expect("that is no error"), []);
}

/// The advice of an error of libdtrace.
fn advice_of(failure: Failure) -> String {
    match failure.error {
        Error::Libdtrace { call, advice: Some(advice), .. } if call == "dtrace_go" => advice,
        other => panic!("{other:?}"),
    }
}

fn destructive_becomes_an_advice() {
    let advice = advice_of(failure_of("BEGIN { system(\"true\"); }"));
    assert!(advice.contains("option `destructive`"), "{advice}");
}

fn too_big_becomes_an_advice() {
    let script = "BEGIN { @ = count(); printf(\"%s\", strjoin(execname, execname)); }";
    for (option, value) in [("aggsize", "8g"), ("strsize", "2m"), ("scratchsize", "8g")] {
        let session = run_synchronous(script, ["true"]).option(option, value);
        let failure = session.run().expect_err("no map can be so large");
        assert!(failure.to_string().contains(": Too big"), "{failure}");
        let advice = advice_of(failure);
        assert!(advice.contains(&format!("`{option}`")), "{advice}");
    }
}

/// The advice for an option with a value that is too large or too small.
fn advice_for(option: &str, value: &str) -> String {
    let session = run_synchronous("BEGIN { @ = count(); trace(1); }", ["true"]);
    advice_of(session.option(option, value).run().expect_err("that cannot work"))
}

fn memory_allocation_failure_becomes_an_advice() {
    let advice = advice_for("bufsize", "100g");
    assert!(advice.contains("lower the option `bufsize`"), "{advice}");
}

fn exceeds_size_of_buffer_becomes_an_advice() {
    let advice = advice_for("bufsize", "1");
    assert!(advice.contains("raise the option `bufsize`"), "{advice}");
}

fn failed_to_lookup_becomes_an_advice() {
    let advice = compile_error("pid$target:libc:no_such_function:entry { }").advice;
    assert!(advice.is_some_and(|it| it.contains("may be inlined")));
}

fn too_many_open_files_becomes_an_advice() {
    let said = refused("BPF program load for '", 18..60);
    assert!(said.contains(": Too many open files"), "{said}");
    assert!(said.contains("ulimit -Hn") && !said.contains("exclude"), "{said}");
}

/// Lets a consumer run out of descriptors, which makes the kernel refuse what it otherwise does not, until
/// libdtrace begins its complaint with `sentence`. Returns what the consumer says.
fn refused(sentence: &str, limits: impl IntoIterator<Item = u32>) -> String {
    let mut all = String::new();
    for limit in limits {
        let script = format!("{} && exec \"$@\"", descriptor_limit(limit));
        let output = Command::new("sh")
            .args(["-c", &script, "sh"])
            .args(traced_program("consumer", "calls"))
            .stdin(Stdio::null())
            .output()
            .expect("a shell can be started");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains(&format!("message: \"{sentence}")) {
            return said;
        }
        all.push_str(&said);
    }
    panic!("no complaint of libdtrace begins with {sentence:?}:\n{all}")
}

fn failed_to_enable_names_the_probe() {
    let said = refused("Failed to enable ", 20..60);
    assert!(said.contains("cause: Enable { probe: \"dtrace:::"), "{said}");
}

fn bpf_program_load_names_the_probe() {
    let said = refused("BPF program load for '", 18..60);
    assert!(said.contains("cause: Enable { probe: \"dtrace:::"), "{said}");
}

ctor::declarative::ctor! {
    // SAFETY: it ends the process where it does anything at all, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        become_the_user();
    }
}

/// What the user does.
fn become_the_user() {
    if let Some(case) = user::case() {
        let elevation = if case == "sudo" { Elevation::Sudo } else { Elevation::Doas };
        match trace("BEGIN { exit(0); }").elevation(elevation).run() {
            Err(Failure { error: Error::Elevation { problem, said, .. }, .. }) => {
                println!("{problem:#?}: {said}");
            }
            other => println!("{other:?}"),
        }
        std::process::exit(0);
    }
}

/// What a user's session by sudo or doas comes to: the problem, and what the program said.
fn denied(system: &System<'_>, program: &str) -> String {
    let (_lock, guard) = alone();
    let said = user::as_user(system, Path::new(env!("CARGO_BIN_EXE_dtrace-worker")), program);
    guard.check();
    said
}

#[track_caller]
fn assert_sudo_says(sudoers: &str, problem: &str, sentence: &str) {
    let said = denied(&System { sudoers, ..System::default() }, "sudo");
    assert!(said.starts_with(problem) && said.contains(sentence), "{said}");
}

fn sudo_says_that_it_needs_a_password() {
    assert_sudo_says("nobody ALL=(root) ALL\n", "PasswordNeeded", " is required");
}

fn sudo_says_that_the_user_is_not_in_sudoers() {
    let sudoers = "Defaults !authenticate\nroot ALL=(root) ALL\n";
    assert_sudo_says(sudoers, "NotPermitted", "is not in the sudoers file");
}

fn sudo_says_that_the_user_is_not_allowed() {
    let sudoers = "Defaults !authenticate\nnobody ALL=(root) /bin/true\n";
    assert_sudo_says(sudoers, "NotPermitted", "is not allowed to execute ");
}

fn sudo_says_that_the_user_is_not_allowed_on_this_host() {
    let sudoers = "Defaults !authenticate\nnobody elsewhere=(root) ALL\n";
    assert_sudo_says(sudoers, "NotPermitted", "is not allowed to run sudo on ");
}

#[track_caller]
fn assert_doas_says(system: &System<'_>, problem: &str, sentence: &str) {
    let said = denied(system, "doas");
    assert!(said.starts_with(problem) && said.contains(sentence), "{said}");
}

fn doas_says_that_it_needs_a_password() {
    let system = System { doas: "permit nobody as root\n", ..System::default() };
    assert_doas_says(&system, "PasswordNeeded", " required");
}

fn doas_says_that_it_is_not_permitted() {
    let doas = "permit nopass nobody as root cmd /bin/true\n";
    let system = System { doas, ..System::default() };
    assert_doas_says(&system, "NotPermitted", "not permitted");
}

fn doas_says_that_it_is_not_enabled() {
    let system = System { commands: "rm /etc/doas.conf", ..System::default() };
    assert_doas_says(&system, "NotPermitted", "not enabled");
}

/// A mirror that has nothing.
fn mirror() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut lines = BufReader::new(&connection).lines().map_while(Result::ok);
                // One answer for each request, which ends with an empty line.
                while lines.by_ref().any(|line| line.is_empty()) {
                    let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                    if (&connection).write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// What `dtrace-worker install` says where apt has a mirror of this machine alone.
fn install_from(port: u16) -> Output {
    let script = "set -e
        mount -t tmpfs apt /mnt
        echo \"deb http://127.0.0.1:$PORT/debian sid main\" > /mnt/sources.list
        mount --bind /mnt /etc/apt
        exec \"$WORKER\" install --prefix /mnt/prefix";
    let mut command = Command::new("unshare");
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.args(["--mount", "sh", "-c", script]);
    command.env("PORT", port.to_string()).env("WORKER", env!("CARGO_BIN_EXE_dtrace-worker"));
    command.output().expect("unshare(1) can be run")
}

fn apt_says_404_for_a_suite_that_is_not_there() {
    let output = install_from(mirror());
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("on this host") || said.contains("cannot verify packages") {
        ignore(said.trim().to_owned());
    }
    // A mirror that does not answer would be told with apt's own words.
    assert!(!output.status.success() && said.contains("sid has no libdtrace2"), "{said}");
    assert!(!said.contains("no mirror is usable"), "{said}");
}

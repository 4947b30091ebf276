//! Does libdtrace work from any path, or is a path refused by name before a worker starts?

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dtrace_consumer::locate::PREFIX_NAME;
use dtrace_consumer::{Error, Failure, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;
use dtrace_test_support::traced::traced_program;
use tempfile::TempDir;

live_tests! {
    needs: [Tracing],
    tests: [
        a_path_that_is_not_text_works,
        a_program_below_a_path_that_libdtrace_does_not_support_finds_the_users_copy,
    ],
    long: [
        paths_with_unusual_characters_work,
        a_long_path_works_and_one_that_is_too_long_is_refused,
        a_path_that_would_break_libdtrace_is_refused_with_its_character,
        a_link_makes_an_unsupported_path_usable,
    ],
}

/// Makes a copy of libdtrace at `prefix`. Its own file is a real one, because the kernel resolves links.
fn copy(prefix: &Path) {
    let real = prefix::used();
    let from = real.library.parent().expect("a directory");
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    let to = prefix.join("usr/lib").join(triplet);
    fs::create_dir_all(&to).expect("directories can be made");
    for entry in fs::read_dir(from).expect("it can be read").flatten() {
        let name = entry.file_name();
        if name == "libdtrace.so.2" {
            fs::copy(entry.path(), to.join(name)).expect("a file can be copied");
        } else {
            symlink(entry.path(), to.join(name)).expect("a link can be made");
        }
    }
}

/// Runs a session that needs a D library.
fn run(prefix: &Path) -> Result<(), Error> {
    let mut text = String::new();
    run_synchronous(
        "BEGIN { printf(\"%s\", curpsinfo->pr_fname != NULL ? \"ok\" : \"\"); }",
        ["true"],
    )
    .prefix(prefix)
    .out(|output| {
        text.push_str(&output.text());
        Ok(())
    })
    .run()
    .map_err(|Failure { error, .. }| error)?;
    assert_eq!(text, "ok", "{}", prefix.display());
    Ok(())
}

/// Runs a session with a libdtrace in a directory of this name.
fn run_in(name: impl AsRef<OsStr>) -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let prefix = directory.path().join(name.as_ref()).join("prefix");
    copy(&prefix);
    run(&prefix)
}

fn a_path_that_is_not_text_works() {
    run_in(OsStr::from_bytes(b"latin1-\xe4\xff")).expect("libdtrace takes any bytes");
}

fn paths_with_unusual_characters_work() {
    for name in [
        "it's",
        "quo\"te",
        "per%s%n",
        "st*r?",
        "back\\slash",
        "[a]{b}(c)",
        "a=b,c@d",
        "-dash",
        "日本",
    ] {
        run_in(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// A prefix whose libdtrace has a path of about so many bytes.
fn run_at_length(length: usize) -> Result<(), Error> {
    let directory = tempfile::tempdir().expect("a directory");
    let mut prefix = directory.path().to_owned();
    while prefix.as_os_str().len() < length - 100 {
        prefix.push("d".repeat(60));
    }
    copy(&prefix);
    run(&prefix)
}

fn a_long_path_works_and_one_that_is_too_long_is_refused() {
    run_at_length(1800).expect("libdtrace supports this length");
    for length in [2100, 3500] {
        let Err(Error::Unavailable(what)) = run_at_length(length) else { panic!("{length}") };
        let text = what.to_string();
        assert!(text.contains("is longer than 1900 bytes"), "{text}");
    }
}

fn a_path_that_would_break_libdtrace_is_refused_with_its_character() {
    for (name, words) in [
        ("a b", "contains a space"),
        ("a\tb", "contains a tab"),
        ("a\nb", "contains a line break"),
        ("a#b", "contains the character `#`"),
        ("voilà", "contains the character `à`"),
    ] {
        match run_in(name) {
            Err(Error::Unavailable(what)) => {
                let text = what.to_string();
                assert!(text.contains(words) && text.contains("move it"), "{text}");
            }
            other => panic!("{name:?}: {other:?}"),
        }
    }
    // A library of the system needs no loader of its own, and only that splits paths there.
    if prefix::used().loader.is_some() {
        for name in ["a:b", "a;b", "$LIB"] {
            let result = run_in(name);
            assert!(matches!(result, Err(Error::Unavailable(_))), "{name}: {result:?}");
        }
    }
}

fn a_link_makes_an_unsupported_path_usable() {
    let directory = tempfile::tempdir().expect("a directory");
    let plain = directory.path().join("plain");
    copy(&plain);
    let link = directory.path().join("a link");
    symlink(&plain, &link).expect("a link can be made");
    run(&link).expect("the kernel sees where it leads");
}

/// A program of a checkout, with what a build puts beside it.
struct Checkout {
    directory: TempDir,
    program: PathBuf,
}

impl Checkout {
    fn new(name: &str) -> Checkout {
        let directory = tempfile::tempdir().expect("a directory");
        let debug = directory.path().join(name).join("target/debug");
        fs::create_dir_all(&debug).expect("directories can be made");
        let program = debug.join("program");
        fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
        Checkout { directory, program }
    }

    /// Runs the program as a consumer, which looks for libdtrace by itself.
    fn run(&self, data: &Path) -> String {
        let words: Vec<OsString> = traced_program("consumer", "calls");
        let output = Command::new(&self.program)
            .args(&words[1..])
            .env_remove("DTRACE_CONSUMER_PREFIX")
            .env("XDG_DATA_HOME", data)
            .stdin(Stdio::null())
            .output()
            .expect("the program can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

fn a_program_below_a_path_that_libdtrace_does_not_support_finds_the_users_copy() {
    for name in ["a checkout", "a:checkout"] {
        let checkout = Checkout::new(name);
        let data = checkout.directory.path().join("data");
        copy(&data.join("dtrace-consumer").join(PREFIX_NAME));
        // One that cannot be used does not hide it.
        copy(&checkout.program.ancestors().nth(2).expect("target").join(PREFIX_NAME));
        assert_eq!(checkout.run(&data), "5 firings, nothing lost\n", "{name}");
    }
}

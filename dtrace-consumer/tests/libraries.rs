//! What becomes of D libraries that the running kernel does not fit?

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dtrace_consumer::{Outcome, run_synchronous};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing],
    tests: [
        a_library_that_does_not_compile_is_left_out_by_name,
    ],
}

/// A prefix with the same libdtrace, whose D libraries can be added to.
struct Prefix(PathBuf);

impl Prefix {
    fn new(name: &str) -> Prefix {
        let real = dtrace_consumer::preflight(None).require().expect("a live test needs it");
        let libraries = real.syslibdir.expect("the directory of its D libraries");
        let directory = real.library.parent().expect("a directory");
        let prefix =
            Prefix(std::env::temp_dir().join(format!("dtrace-{name}-{}", std::process::id())));
        let own = prefix.directory();
        mirror(directory, own.parent().expect("a directory"), &["dtrace"]);
        mirror(&libraries, &own, &[]);
        prefix
    }

    /// Of its D libraries.
    fn directory(&self) -> PathBuf {
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        self.0.join("usr/lib").join(triplet).join("dtrace")
    }

    fn run(&self, script: &str) -> Outcome {
        run_synchronous(script, ["true"])
            .prefix(&self.0)
            .run()
            .expect("the session comes to its end")
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Files of `from` under their names in `to`.
fn mirror(from: &Path, to: &Path, except: &[&str]) {
    fs::create_dir_all(to).expect("directories can be made");
    for entry in fs::read_dir(from).expect("it can be read").flatten() {
        if !except.iter().any(|name| entry.file_name() == *name) {
            symlink(entry.path(), to.join(entry.file_name())).expect("a link can be made");
        }
    }
}

/// Needs every D library.
const TRANSLATED: &str = "proc:::exit /pid == $target/ { trace(args[0]); }";

fn a_library_that_does_not_compile_is_left_out_by_name() {
    let prefix = Prefix::new("broken-library");
    let broken = "inline int odd = vmlinux`no_such_variable;\n";
    fs::write(prefix.directory().join("odd.d"), broken).expect("a file can be written");
    let outcome = prefix.run(TRANSLATED);
    let omitted = outcome.session.expect("a session").omitted_libraries;
    let odd = omitted.iter().find(|it| it.file == "odd.d").expect("it is named");
    assert!(odd.reason.contains("no_such_variable"), "{}", odd.reason);
    // What needs no library does not even look at it.
    let outcome = prefix.run("BEGIN { trace(1); }");
    assert_eq!(outcome.timings.attempts, 1);
    assert!(outcome.session.expect("a session").omitted_libraries.is_empty());
}

//! Which libdtrace do tests use, and how does one add a D library to its own?

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dtrace_consumer::locate::Libdtrace;

/// Returns the libdtrace that is used here.
///
/// # Panics
/// If tracing is not possible here.
#[must_use]
pub fn used() -> Libdtrace {
    dtrace_consumer::preflight(None).require().expect("a live test needs it")
}

/// Returns the prefix of the libdtrace that is used here, if it is a private one. A program elsewhere does not
/// find it by itself.
///
/// # Panics
/// If tracing is not possible here.
#[must_use]
pub fn private() -> Option<PathBuf> {
    of(&used())
}

/// Returns the prefix of a libdtrace, if it is a private one.
#[must_use]
pub fn of(library: &Libdtrace) -> Option<PathBuf> {
    library.loader.as_ref().and_then(|_| library.library.ancestors().nth(4)).map(PathBuf::from)
}

/// A prefix with the libdtrace that is used here, whose D libraries can be added to.
#[derive(Debug)]
pub struct Prefix(PathBuf);

impl Prefix {
    /// Lays it out; `name` tells it from others of this process.
    ///
    /// # Panics
    /// If tracing is not possible here, or the directory for temporary files is not writable.
    #[must_use]
    pub fn new(name: &str) -> Prefix {
        let real = used();
        let libraries = real.syslibdir.expect("the directory of its D libraries");
        let directory = real.library.parent().expect("a directory");
        let prefix =
            Prefix(std::env::temp_dir().join(format!("dtrace-{name}-{}", std::process::id())));
        let own = prefix.directory();
        mirror(directory, own.parent().expect("a directory"), &["dtrace"]);
        mirror(&libraries, &own, &[]);
        prefix
    }

    /// The prefix.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Adds a D library.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn add_library(&self, file: &str, text: &str) {
        fs::write(self.directory().join(file), text).expect("a file can be written");
    }

    /// Makes one of libdtrace's own D libraries fail to compile, whatever the kernel is.
    ///
    /// # Panics
    /// If libdtrace has no library with this name, or it cannot be changed.
    pub fn break_library(&self, file: &str) {
        let entries = fs::read_dir(self.directory()).expect("it can be read").flatten();
        // For each kernel from a version on there is a directory of its own.
        let versions: Vec<PathBuf> =
            entries.map(|it| it.path()).filter(|it| it.join(file).exists()).collect();
        assert!(!versions.is_empty(), "no {file}");
        for version in versions {
            let real = fs::canonicalize(&version).expect("it is there");
            fs::remove_file(&version).expect("a link");
            mirror(&real, &version, &[file]);
            let mut text = fs::read_to_string(real.join(file)).expect("it can be read");
            text.push_str("\ninline int broken = vmlinux`no_such_variable;\n");
            fs::write(version.join(file), text).expect("a file can be written");
        }
    }

    /// Of its D libraries.
    fn directory(&self) -> PathBuf {
        let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
        self.0.join("usr/lib").join(triplet).join("dtrace")
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

/// Puts the stand-in for libdtrace into a prefix. Cargo leaves it beside the running test.
///
/// # Panics
/// If it cannot be put there.
pub fn put_stand_in(prefix: &Path) {
    std::fs::create_dir_all(prefix.join("lib")).expect("a directory");
    std::os::unix::fs::symlink(stand_in(), prefix.join("lib/libdtrace.so.2")).expect("a link");
}

/// Returns the file of the stand-in for libdtrace.
///
/// # Panics
/// If the path of this binary is not known.
#[must_use]
pub fn stand_in() -> PathBuf {
    let exe = std::env::current_exe().expect("the test knows its own file");
    exe.with_file_name("libdtrace_stand_in.so")
}

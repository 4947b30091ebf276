//! How does a test get a libdtrace whose version is not known, and leaves no verdict on it?

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use dtrace_consumer::locate::Standing;
use dtrace_consumer::verify::SYSTEM_VERDICTS;
use dtrace_consumer::{Error, Failure, Outcome, preflight, trace};
use tempfile::TempDir;

use crate::prefix::{stand_in, used};

/// Where the library is in its prefix.
const LIBRARY: &str = "lib/libdtrace.so.2";

/// A prefix with a library under another version, and with a build-id of its own. All verdicts on it vanish with it.
#[derive(Debug)]
pub struct Unverified {
    directory: TempDir,
    /// Its build-id, if it has one. There is no verdict on a library without one.
    build: Option<String>,
}

impl Unverified {
    /// The libdtrace that is used here, as this version.
    ///
    /// # Panics
    /// If tracing is not possible here, or the version is not as long as the library's own.
    #[must_use]
    pub fn of_real(version: &str) -> Unverified {
        let real = used().library;
        let directory = real.parent().expect("a directory");
        let prefix = Unverified::of(&real, version);
        for entry in fs::read_dir(directory).expect("it can be read").flatten() {
            let link = prefix.path().join("lib").join(entry.file_name());
            if !link.exists() {
                symlink(entry.path(), link).expect("a link");
            }
        }
        prefix
    }

    /// The stand-in, as this version. `put_plan` puts its plan into the prefix.
    ///
    /// # Panics
    /// If the stand-in is not there, or the version is not as long as its own.
    #[must_use]
    pub fn of_stand_in(version: &str, put_plan: impl FnOnce(&Path)) -> Unverified {
        let prefix = Unverified::of(&stand_in(), version);
        put_plan(prefix.path());
        prefix
    }

    /// Copies a library with another version, and another build-id if it has one.
    fn of(library: &Path, version: &str) -> Unverified {
        let directory = TempDir::new().expect("a directory");
        let mut image = fs::read(library).expect("a library");
        let find = |image: &[u8], text: &[u8]| {
            image.windows(text.len()).position(|it| it == text).map(|at| at + text.len())
        };
        let (old, new) = ("\0D 2.0.7\0", format!("\0D {version}\0"));
        assert_eq!(new.len(), old.len());
        let end = find(&image, old.as_bytes()).expect("a version");
        image[end - old.len()..end].copy_from_slice(new.as_bytes());
        let build = find(&image, b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0").map(|at| {
            // The end of the path is what differs.
            let own = directory.path().to_string_lossy().into_owned();
            let own: Vec<u8> = own.bytes().rev().chain([0; 20]).take(20).collect();
            image[at..at + own.len()].copy_from_slice(&own);
            own.iter().map(|byte| format!("{byte:02x}")).collect()
        });
        fs::create_dir(directory.path().join("lib")).expect("a directory");
        fs::write(directory.path().join(LIBRARY), image).expect("a file");
        Unverified { directory, build }
    }

    /// The prefix.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// What is known of the library; `None` if it is not used.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        preflight(Some(self.path())).library().map(|library| library.standing)
    }

    /// Runs a short session.
    ///
    /// # Errors
    /// Those of the session.
    pub fn run(&self) -> Result<Outcome, Failure> {
        trace("BEGIN { exit(0); }").prefix(self.path()).run()
    }

    /// Runs a session that is refused, and returns why.
    ///
    /// # Panics
    /// If it is not refused.
    #[must_use]
    pub fn refused(&self) -> String {
        match self.run() {
            Err(Failure { error: Error::Unavailable(error), .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }

    /// The files of the verdicts on it, whatever they say and whosever they are.
    #[must_use]
    pub fn verdicts(&self) -> Vec<PathBuf> {
        let Some(build) = &self.build else { return Vec::new() };
        let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home);
        let of_user = cache.map(|cache| cache.join("dtrace-consumer/verdicts"));
        let directories = of_user.into_iter().chain([SYSTEM_VERDICTS.into()]);
        let files = directories.filter_map(|directory| fs::read_dir(directory).ok()).flatten();
        let is_on_it =
            |file: &fs::DirEntry| file.file_name().to_string_lossy().starts_with(build.as_str());
        files.flatten().filter(is_on_it).map(|file| file.path()).collect()
    }
}

impl Drop for Unverified {
    fn drop(&mut self) {
        for verdict in self.verdicts() {
            let _ = fs::remove_file(verdict);
        }
    }
}

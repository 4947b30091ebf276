//! Which libdtrace shall a session use?
//!
//! libdtrace is loaded at run time, so it has to be found. The first of these places decides:
//!
//! 1. the prefix that the caller names;
//! 2. the environment variable `DTRACE_CONSUMER_PREFIX`: a prefix, or the word `system`;
//! 3. the system's own library: the standard directories and those of the loader's cache;
//! 4. a directory named `libdtrace` beside the running program or in one of the four directories
//!    above it. So `target/libdtrace` serves `target/debug/examples/tool`, and an application can
//!    ship its own;
//! 5. the user's data directory, where `dtrace-worker install` puts one.
//!
//! The first two are orders: when they cannot be obeyed the search ends. The others are offers: a
//! missing or unsuitable one is noted and passed over.
//!
//! What is loaded here runs with the worker's privilege. So 4 and 5 are used only when they belong
//! to root, to the effective user or (4) to the owner of the program, and others cannot write to
//! them. Under sudo the data directory of the user who invoked it is *not* searched: name it with
//! the variable when that is what you want.
//!
//! The version is read from the file, without loading it: loading libdtrace runs its constructors,
//! and a version that is not supported must not get that far.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "locate/cache.rs"]
mod cache;
#[path = "locate/image.rs"]
pub(crate) mod image;

/// The libdtrace releases whose structures this library knows. Linux's libdtrace changes its
/// structures between releases without changing its soname, so only what was tested is loaded.
pub const SUPPORTED_VERSIONS: &[&str] = &["2.0.7"];

/// The environment variable that names the prefix to use, or `system`.
pub const PREFIX_VARIABLE: &str = "DTRACE_CONSUMER_PREFIX";

/// The name of a private prefix's directory beside a program or under `target`.
pub const PREFIX_NAME: &str = "libdtrace";

/// libdtrace's soname on Linux.
pub(crate) const SONAME: &str = "libdtrace.so.2";

/// How many directories above the program's own are searched: enough for
/// `target/<triple>/<profile>/build/examples`.
const ANCESTORS: usize = 4;

/// A libdtrace that can be used, and what it takes to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Libdtrace {
    /// The shared library to load.
    pub library: PathBuf,
    /// The directory of its D libraries, for the option `syslibdir`. `None`: it is not known, and the
    /// library's own default must do; then no D library can be left out.
    pub syslibdir: Option<PathBuf>,
    /// The dynamic loader that the process has to be started with, when the library needs a newer
    /// C library than the system's. `None`: any process can load it.
    pub loader: Option<Loader>,
    /// Where it was found.
    pub origin: Origin,
    /// Its version, such as `2.0.7`: the text after `D ` in `_dtrace_version`. `None` where it
    /// cannot be told without loading it (systems other than Linux).
    pub version: Option<String>,
}

/// The dynamic loader of a private prefix: `ld_so --inhibit-cache --library-path … program`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loader {
    /// The loader, such as `ld-linux-x86-64.so.2`, from the same C library as the prefix's.
    pub ld_so: PathBuf,
    /// Where it shall look for libraries: the prefix first, then the system's directories, for
    /// what only the program needs. It replaces `LD_LIBRARY_PATH`.
    pub library_path: Vec<PathBuf>,
}

impl Loader {
    /// Starts a program through this loader.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.ld_so);
        command.arg("--inhibit-cache").arg("--library-path");
        command.arg(self.library_path_argument()).arg(program);
        command
    }

    /// `library_path` as the loader's argument `--library-path` takes it: joined with colons.
    pub fn library_path_argument(&self) -> OsString {
        let mut joined = OsString::new();
        for directory in &self.library_path {
            if !joined.is_empty() {
                joined.push(":");
            }
            joined.push(directory);
        }
        joined
    }
}

/// Where a libdtrace was found or looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The prefix that the caller named.
    Caller,
    /// The prefix that `DTRACE_CONSUMER_PREFIX` names.
    Environment,
    /// The operating system's own.
    System,
    /// A directory `libdtrace` beside the program or above it.
    Program,
    /// The user's data directory.
    UserData,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::Caller => "named by the caller",
            Origin::Environment => "named by DTRACE_CONSUMER_PREFIX",
            Origin::System => "the system's",
            Origin::Program => "beside the program",
            Origin::UserData => "the user's data directory",
        })
    }
}

/// A place that was looked at and passed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Why it was looked at.
    pub origin: Origin,
    /// The prefix or library.
    pub path: PathBuf,
    /// Why it was not taken.
    pub refused: Refusal,
}

/// Why a place was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no libdtrace.
    Missing,
    /// It could not be read; the operating system's words.
    Unreadable(String),
    /// It is built for another processor than this program.
    OtherArchitecture,
    /// No version could be read from it.
    NoVersion,
    /// Its version is not one of [`SUPPORTED_VERSIONS`].
    Version(String),
    /// It belongs to the user of this number, who is not trusted here, or others can write to it.
    Untrusted(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Missing => write!(f, "no {SONAME} there"),
            Refusal::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Refusal::OtherArchitecture => f.write_str("is built for another processor"),
            Refusal::NoVersion => f.write_str("carries no D version"),
            Refusal::Version(version) => {
                write!(f, "is version {version}; supported: {}", SUPPORTED_VERSIONS.join(", "))
            }
            Refusal::Untrusted(owner) => write!(
                f,
                "belongs to user {owner} or can be written by others, and would run with this \
                 process's privilege; name it with {PREFIX_VARIABLE} to use it all the same"
            ),
        }
    }
}

/// No libdtrace can be used. Its text says where it was looked for and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocateError {
    /// What was looked at, in order.
    pub candidates: Vec<Candidate>,
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no usable libdtrace (supported: {}):", SUPPORTED_VERSIONS.join(", "))?;
        for Candidate { origin, path, refused } in &self.candidates {
            writeln!(f, "  {} ({origin}): {refused}", path.display())?;
        }
        write!(
            f,
            "install the system's libdtrace2, or run `dtrace-worker install` to unpack a private \
             one, or set {PREFIX_VARIABLE} to a prefix that has one"
        )
    }
}

impl std::error::Error for LocateError {}

/// Finds the libdtrace to use for this process; `prefix` is the caller's own choice.
///
/// # Errors
/// [`LocateError`] with every place that was looked at.
pub fn locate(prefix: Option<&Path>) -> Result<Libdtrace, LocateError> {
    Search { caller: prefix.map(Path::to_owned), ..Search::of_this_process() }.run()
}

/// Where to look. [`Search::of_this_process`] fills it in; an empty one looks nowhere.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// The caller's prefix.
    pub caller: Option<PathBuf>,
    /// The value of `DTRACE_CONSUMER_PREFIX`; an empty one counts as unset.
    pub environment: Option<OsString>,
    /// The system's library directories.
    pub system: Vec<PathBuf>,
    /// The running program.
    pub program: Option<PathBuf>,
    /// The prefix in the user's data directory.
    pub user_data: Option<PathBuf>,
    /// The effective user, who is trusted besides root. `None`: only root.
    pub user: Option<u32>,
}

impl Search {
    /// The places of this process.
    pub fn of_this_process() -> Search {
        Search {
            caller: None,
            environment: std::env::var_os(PREFIX_VARIABLE),
            system: system_directories(),
            program: std::env::current_exe().ok(),
            user_data: super::install::default_prefix(),
            // The kernel gives a process's own directory to its effective user.
            user: std::fs::metadata("/proc/self").ok().map(|it| it.uid()),
        }
    }

    /// Goes through the places in order.
    ///
    /// # Errors
    /// [`LocateError`] when none will do, or when the one that was ordered will not.
    pub fn run(&self) -> Result<Libdtrace, LocateError> {
        self.trace().1
    }

    /// As [`run`](Self::run), and also tells which places were passed over before one was found.
    pub fn trace(&self) -> (Vec<Candidate>, Result<Libdtrace, LocateError>) {
        let mut passed = Vec::new();
        let found = self.first(&mut passed);
        (passed.clone(), found.ok_or(LocateError { candidates: passed }))
    }

    fn first(&self, passed: &mut Vec<Candidate>) -> Option<Libdtrace> {
        if let Some(prefix) = &self.caller {
            return self.offer(Origin::Caller, prefix, None, passed);
        }
        match self.environment.as_deref().filter(|it| !it.is_empty()) {
            Some(word) if word == "system" => return self.system(passed),
            Some(prefix) => {
                return self.offer(Origin::Environment, Path::new(prefix), None, passed);
            }
            None => {}
        }
        if let Some(found) = self.system(passed) {
            return Some(found);
        }
        let mut trusted = vec![0];
        trusted.extend(self.user);
        if let Some(program) = &self.program {
            let owner = std::fs::metadata(program).map(|it| it.uid());
            let trusted: Vec<u32> = trusted.iter().copied().chain(owner).collect();
            for directory in program.ancestors().skip(1).take(ANCESTORS + 1) {
                let prefix = directory.join(PREFIX_NAME);
                let found = self.offer(Origin::Program, &prefix, Some(&trusted), passed);
                if found.is_some() {
                    return found;
                }
            }
        }
        let prefix = self.user_data.as_deref()?;
        self.offer(Origin::UserData, prefix, Some(&trusted), passed)
    }

    fn system(&self, passed: &mut Vec<Candidate>) -> Option<Libdtrace> {
        if !cfg!(target_os = "linux") {
            // There libdtrace is a part of the operating system and of the same version.
            let library = if cfg!(target_os = "macos") {
                "/usr/lib/libdtrace.dylib"
            } else if cfg!(target_os = "illumos") {
                "/usr/lib/64/libdtrace.so.1"
            } else {
                SONAME
            };
            return Some(Libdtrace {
                library: library.into(),
                syslibdir: None,
                loader: None,
                origin: Origin::System,
                version: None,
            });
        }
        for directory in &self.system {
            let library = directory.join(SONAME);
            match examine(&library) {
                Ok(version) => {
                    return Some(Libdtrace {
                        library,
                        syslibdir: d_libraries_beside(directory),
                        loader: None,
                        origin: Origin::System,
                        version: Some(version),
                    });
                }
                // Most directories have none; only one line for all of them is worth reading.
                Err(Refusal::Missing) => {}
                Err(refused) => {
                    passed.push(Candidate { origin: Origin::System, path: library, refused });
                }
            }
        }
        if !passed.iter().any(|it| it.origin == Origin::System) {
            let path = self.system.first().cloned().unwrap_or_else(|| "/usr/lib".into());
            passed.push(Candidate { origin: Origin::System, path, refused: Refusal::Missing });
        }
        None
    }

    /// Takes the prefix or notes why not. `trusted`: the owners it may have; `None` for any.
    fn offer(
        &self,
        origin: Origin,
        prefix: &Path,
        trusted: Option<&[u32]>,
        passed: &mut Vec<Candidate>,
    ) -> Option<Libdtrace> {
        // The worker is started in another directory than the one that this is relative to.
        let prefix = std::path::absolute(prefix).unwrap_or_else(|_| prefix.to_owned());
        match self.examine_prefix(origin, &prefix, trusted) {
            Ok(found) => Some(found),
            Err(refused) => {
                passed.push(Candidate { origin, path: prefix, refused });
                None
            }
        }
    }

    fn examine_prefix(
        &self,
        origin: Origin,
        prefix: &Path,
        trusted: Option<&[u32]>,
    ) -> Result<Libdtrace, Refusal> {
        let directory = library_directory(prefix).ok_or(Refusal::Missing)?;
        let library = directory.join(SONAME);
        if let Some(trusted) = trusted {
            for path in [prefix, &directory, &library] {
                require_trust(path, trusted)?;
            }
        }
        let version = examine(&library)?;
        let syslibdir = d_libraries_beside(&directory);
        // A prefix without a C library of its own (/usr/local, /opt/dtrace) runs on the system's.
        let of_system = self.system.iter().any(|it| same_file(it, &directory));
        let loader = find_loader(&directory)
            .filter(|_| !of_system && directory.join("libc.so.6").exists())
            .map(|ld_so| Loader {
                ld_so,
                library_path: std::iter::once(directory)
                    .chain(self.system.iter().cloned())
                    .collect(),
            });
        if let (Some(trusted), Some(loader)) = (trusted, &loader) {
            require_trust(&loader.ld_so, trusted)?;
        }
        Ok(Libdtrace { library, syslibdir, loader, origin, version: Some(version) })
    }
}

/// The directory of the D libraries that come with the libdtrace in `directory`.
fn d_libraries_beside(directory: &Path) -> Option<PathBuf> {
    Some(directory.join("dtrace")).filter(|it| it.is_dir())
}

/// The directory of a prefix that holds libdtrace: Debian's triplet directories first.
pub(crate) fn library_directory(prefix: &Path) -> Option<PathBuf> {
    let triplets = std::fs::read_dir(prefix.join("usr/lib")).into_iter().flatten().flatten();
    let mut triplets: Vec<PathBuf> = triplets.map(|it| it.path()).collect();
    triplets.sort();
    let plain = ["usr/lib64", "usr/lib", "lib64", "lib"].map(|it| prefix.join(it));
    triplets.into_iter().chain(plain).find(|it| it.join(SONAME).exists())
}

/// The dynamic loader in a directory: `ld-linux-x86-64.so.2`, `ld-linux-aarch64.so.1`.
pub(crate) fn find_loader(directory: &Path) -> Option<PathBuf> {
    std::fs::read_dir(directory).ok()?.flatten().map(|it| it.path()).find(|it| {
        let name = it.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        name.starts_with("ld-linux") && name.contains(".so.")
    })
}

/// The version of a library that can be used by this process.
pub(crate) fn examine(library: &Path) -> Result<String, Refusal> {
    match image::Image::read(library) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::Missing),
        Err(error) => Err(Refusal::Unreadable(error.to_string())),
        Ok(image) if !image.native => Err(Refusal::OtherArchitecture),
        Ok(image::Image { version: None, .. }) => Err(Refusal::NoVersion),
        Ok(image::Image { version: Some(version), .. }) => {
            if SUPPORTED_VERSIONS.contains(&version.as_str()) {
                Ok(version)
            } else {
                Err(Refusal::Version(version))
            }
        }
    }
}

fn require_trust(path: &Path, trusted: &[u32]) -> Result<(), Refusal> {
    const OTHERS_WRITE: u32 = 0o002;
    // The link itself counts too: whoever owns it decides what is loaded.
    for metadata in [std::fs::symlink_metadata(path), std::fs::metadata(path)] {
        let metadata = metadata.map_err(|error| Refusal::Unreadable(error.to_string()))?;
        let writable = !metadata.is_symlink() && metadata.mode() & OTHERS_WRITE != 0;
        if writable || !trusted.contains(&metadata.uid()) {
            return Err(Refusal::Untrusted(metadata.uid()));
        }
    }
    Ok(())
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}

/// The directories in which the system's loader looks: the usual ones that exist, then those of
/// its cache, each once.
pub(crate) fn system_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = Vec::new();
    let usual = image::TRIPLET.map(|it| format!("/usr/lib/{it}")).into_iter();
    let usual = usual.chain(["/usr/lib64", "/usr/lib", "/lib64", "/lib"].map(String::from));
    let cached = std::fs::read("/etc/ld.so.cache").unwrap_or_default();
    for directory in usual.map(PathBuf::from).chain(cache::directories(&cached)) {
        if directory.is_dir() && !directories.iter().any(|it| same_file(it, &directory)) {
            directories.push(directory);
        }
    }
    directories
}

#[cfg(test)]
#[path = "locate/tests.rs"]
mod tests;

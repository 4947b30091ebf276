//! Makes sure that the examples, tests and benches find a libdtrace, and says what it did.
//!
//! Where the system has no supported one, it unpacks a private one into `target/libdtrace`, where
//! programs below `target` search; or into the user's data directory, if libdtrace does not support
//! the path of `target`. It never fails the build: without libdtrace the examples replay recordings.
//!
//! `DTRACE_CONSUMER_PROVISION=off` keeps it from unpacking anything; `DTRACE_CONSUMER_PREFIX` names
//! a libdtrace to use instead.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dtrace_locate::install::{InstallError, Installed, Installer, MANIFEST_NAME, default_prefix};
use dtrace_locate::locate::{PREFIX_NAME, PREFIX_VARIABLE, Search};

const SWITCH: &str = "DTRACE_CONSUMER_PROVISION";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in [SWITCH, PREFIX_VARIABLE, "DOCS_RS"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let linux = env::var("CARGO_CFG_TARGET_OS").is_ok_and(|it| it == "linux");
    let cross = env::var_os("HOST") != env::var_os("TARGET");
    if !linux || cross || env::var_os("DOCS_RS").is_some() {
        return;
    }
    // libdtrace 2.0.7 puts `pid` probes where a function's address says, taken for a place in the
    // file. With LLD, which Rust links with, that is another place, unless segments are kept apart.
    println!("cargo::rustc-link-arg-examples=-Wl,-z,separate-loadable-segments");
    // Also an ordered one: the build says what the programs will find.
    let order = Search { program: None, user_data: None, ..Search::of_this_process() };
    let ordered = env::var_os(PREFIX_VARIABLE).is_some_and(|it| !it.is_empty());
    match order.run() {
        Ok(found) => {
            println!("cargo::rerun-if-changed={}", found.library.display());
            if ordered {
                let version = found.version.unwrap_or_default();
                let library = found.library.display();
                println!("cargo::warning=libdtrace {version}: {library} ({PREFIX_VARIABLE})");
            }
        }
        Err(error) if ordered => warn(&error.to_string()),
        Err(_) if env::var_os(SWITCH).is_some_and(|it| it == "off") => {}
        Err(_) => provide(),
    }
}

fn provide() {
    let Some(target) = target_directory() else {
        return warn("OUT_DIR does not say where the directory `target` is");
    };
    let prefix = target.join(PREFIX_NAME);
    let done = install(&prefix);
    // Programs also search the user's data directory, whose path may do.
    match (&done, default_prefix()) {
        (Err(error @ InstallError::UnusablePath { .. }), Some(fallback)) => {
            println!("cargo::warning={error}; using {} instead", fallback.display());
            report(&fallback, install(&fallback));
        }
        _ => report(&prefix, done),
    }
}

fn install(prefix: &Path) -> Result<Installed, InstallError> {
    // Tests and benches compare with dtrace(1).
    let installer = Installer { prefix: prefix.to_owned(), with_dtrace_program: true };
    installer.install(&mut |step| println!("{step}"))
}

fn report(prefix: &Path, done: Result<Installed, InstallError>) {
    match done {
        Ok(installed) => {
            let manifest = prefix.join(MANIFEST_NAME);
            if installed.fresh {
                age(&manifest);
                println!(
                    "cargo::warning=this system has no supported libdtrace: unpacked {} into {} \
                     ({SWITCH}=off keeps the build from doing so)",
                    installed.manifest,
                    prefix.display()
                );
            }
            // It exists: cargo takes a missing file for a changed one, at each build.
            println!("cargo::rerun-if-changed={}", manifest.display());
        }
        Err(error) => {
            warn(&error.to_string());
            println!(
                "cargo::warning=to try again: cargo run -p dtrace-consumer --bin dtrace-worker -- \
                 install --with-dtrace --prefix {}",
                prefix.display()
            );
        }
    }
}

/// `target`, from OUT_DIR: `target/<profile>/build/<package>/out`, with `<triple>` before the
/// profile when the build names its target. Cargo tags both `target` and `target/<triple>`.
fn target_directory() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    let tagged = |it: &&Path| it.join("CACHEDIR.TAG").is_file();
    let outermost = out.ancestors().skip_while(|it| !tagged(it)).take_while(tagged).last();
    outermost.or_else(|| out.ancestors().nth(4)).map(Path::to_owned)
}

/// Cargo runs a build script again when a file that it names is newer than the script's start.
fn age(path: &Path) {
    let before = SystemTime::now() - Duration::from_secs(3600);
    if let Ok(file) = File::options().append(true).open(path) {
        // At worst the script runs once more and finds the prefix.
        let _ = file.set_modified(before);
    }
}

fn warn(why: &str) {
    println!(
        "cargo::warning=no libdtrace: live tracing will not be possible here, examples replay \
         recordings"
    );
    for line in why.lines() {
        println!("cargo::warning={line}");
    }
}

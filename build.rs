//! Ensures that examples, tests and benches find a libdtrace, and reports what it did.
//!
//! If the system has no supported libdtrace, the script unpacks a private one into `target/libdtrace`,
//! where programs below `target` search for it. If libdtrace does not support the path of `target`, the
//! script uses the user's data directory instead. It never fails the build: without libdtrace the
//! examples replay recordings.
//!
//! `DTRACE_CONSUMER_PROVISION=off` disables unpacking. `DTRACE_CONSUMER_PREFIX` names a libdtrace to
//! use instead.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dtrace_locate::install::{
    InstallError, Installed, Installer, MANIFEST_NAME, choose_prefix, default_prefix,
    prefix_in_target,
};
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
    // Includes the prefix that the environment orders: the build reports what the programs will find.
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
    let Some(prefix) = prefix_below_target() else {
        return warn("cannot find the directory `target` from OUT_DIR");
    };
    // Programs also search the user's data directory.
    match choose_prefix([prefix].into_iter().chain(default_prefix())) {
        Ok(chosen) => {
            for error in &chosen.passed {
                println!("cargo::warning={error}; using {} instead", chosen.prefix.display());
            }
            report(&chosen.prefix, install(&chosen.prefix));
        }
        Err(error) => {
            warn(&error.to_string());
            println!(
                "cargo::warning=unpack one elsewhere: dtrace-worker install --with-dtrace --prefix DIR, and \
                 set {PREFIX_VARIABLE} to DIR"
            );
        }
    }
}

fn install(prefix: &Path) -> Result<Installed, InstallError> {
    // Tests and benches compare this crate with dtrace(1).
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
            // This file exists. Cargo would take a missing one for changed, at every build.
            println!("cargo::rerun-if-changed={}", manifest.display());
        }
        Err(error) => {
            warn(&error.to_string());
            println!(
                "cargo::warning=try again with: cargo run -p dtrace-consumer --bin dtrace-worker -- \
                 install --with-dtrace --prefix {}",
                prefix.display()
            );
        }
    }
}

/// Returns the prefix in the directory `target`. OUT_DIR is `target/<profile>/build/<package>/out`, with
/// `<triple>` before the profile if the build names its target.
fn prefix_below_target() -> Option<PathBuf> {
    let out = PathBuf::from(env::var_os("OUT_DIR")?);
    // Somebody may have removed the tag.
    prefix_in_target(&out).or_else(|| Some(out.ancestors().nth(4)?.join(PREFIX_NAME)))
}

/// Makes a file look older, because cargo reruns a build script if a file that it names is newer than
/// the script's start.
fn age(path: &Path) {
    let before = SystemTime::now() - Duration::from_secs(3600);
    if let Ok(file) = File::options().append(true).open(path) {
        // If this fails, the script runs once more and finds the prefix.
        let _ = file.set_modified(before);
    }
}

fn warn(why: &str) {
    println!(
        "cargo::warning=no libdtrace: live tests cannot trace, and examples replay recordings"
    );
    for line in why.lines() {
        println!("cargo::warning={line}");
    }
}

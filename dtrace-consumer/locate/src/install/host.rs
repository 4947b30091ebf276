//! What does the host offer to install from: distribution, mirrors, keyring and settings?
//!
//! The `Acquire` settings of the host's apt are used (proxies, certificates, Check-Valid-Until). Its
//! hooks are not, because they are commands for the host's own state, and neither are settings that
//! accept unsigned packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::command::Programs;
use super::error::InstallError;

/// The time limit of a whole installation, which usually takes five seconds.
const TIME: Duration = Duration::from_secs(180);

/// `Acquire` settings that are not taken from the host: those that weaken the check of signatures,
/// and those that add indexes which nothing here reads.
const NOT_TAKEN: &[&str] = &["Acquire::Allow", "Acquire::IndexTargets", "Acquire::Languages"];

/// What the installation needs to know of the host.
pub(super) struct Host {
    /// `Debian` or `Ubuntu`.
    pub(super) vendor: &'static str,
    /// dpkg's name of the architecture.
    pub(super) architecture: String,
    /// The suites that may have libdtrace, in order of preference.
    pub(super) suites: Vec<String>,
    /// The components of each suite.
    pub(super) components: &'static str,
    /// The keyring that apt checks signatures with.
    pub(super) keyring: PathBuf,
    /// The addresses of the distribution's own packages.
    pub(super) mirrors: Vec<String>,
    /// Lines for apt's configuration.
    pub(super) settings: String,
    /// Runs the host's programs, until the installation's deadline.
    pub(super) programs: Programs,
}

impl Host {
    pub(super) fn examine() -> Result<Host, InstallError> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        Host::of(&release, Path::new("/usr/share/keyrings"), Programs::within(TIME))
    }

    /// Examines a host by its os-release(5), its directory of keyrings and its programs.
    pub(super) fn of(
        release: &str,
        keyrings: &Path,
        programs: Programs,
    ) -> Result<Host, InstallError> {
        let (vendor, codename) = vendor(release).ok_or_else(|| {
            let what = "it is not based on Debian or Ubuntu (use a libdtrace of its own distribution, or copy a \
                        prefix that `dtrace-worker install --prefix` has made on a Debian or Ubuntu host)";
            InstallError::UnsupportedHost(what.into())
        })?;
        let said = programs.run(Command::new("dpkg").arg("--print-architecture"))?;
        let architecture = said.trim().to_owned();
        if !["amd64", "arm64"].contains(&architecture.as_str()) {
            return Err(InstallError::UnsupportedHost(format!(
                "there is no libdtrace2 for the architecture {architecture}"
            )));
        }
        let (components, keyring, suites) = match vendor {
            "Debian" => ("main", "debian", vec!["forky".to_owned(), "sid".to_owned()]),
            // The release that is being developed, and the first long-term release that has libdtrace. A private
            // libdtrace brings its own C library, so it need not come from this host's release.
            _ => {
                let mut suites = vec![codename.clone()];
                let others = ["devel", "resolute"].map(str::to_owned);
                suites.extend(others.into_iter().filter(|it| *it != codename));
                ("main universe", "ubuntu", suites)
            }
        };
        let looked = ["gpg", "pgp"]
            .map(|suffix| keyrings.join(format!("{keyring}-archive-keyring.{suffix}")));
        let Some(keyring) = looked.iter().find(|it| it.is_file()).cloned() else {
            return Err(InstallError::NoKeyring { looked: looked.to_vec() });
        };
        // Includes sources whose index has not been fetched yet, as in a fresh container.
        let targets = programs.run(Command::new("apt-get").args([
            "indextargets",
            "--no-release-info",
            "--format",
            "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        let mirrors = mirrors(&targets, &codename);
        if mirrors.is_empty() {
            return Err(InstallError::NoMirror { vendor });
        }
        let settings = acquire_settings(&programs.run(Command::new("apt-config").arg("dump"))?);
        Ok(Host { vendor, architecture, suites, components, keyring, mirrors, settings, programs })
    }
}

/// Returns the distribution whose packages fit, and the codename of the release, from os-release(5).
fn vendor(release: &str) -> Option<(&'static str, String)> {
    let value = |key: &str| {
        let value = release.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
    };
    let family = format!("{} {}", value("ID"), value("ID_LIKE"));
    let vendor = family.split_whitespace().find_map(|word| match word {
        "debian" => Some("Debian"),
        "ubuntu" => Some("Ubuntu"),
        _ => None,
    })?;
    let codename = match value("UBUNTU_CODENAME") {
        name if vendor == "Ubuntu" && !name.is_empty() => name,
        _ => value("VERSION_CODENAME"),
    };
    Some((vendor, codename))
}

/// Returns the addresses that serve a release of the distribution itself, without duplicates. apt's
/// sources also list other projects, security updates and so on.
fn mirrors(targets: &str, codename: &str) -> Vec<String> {
    const SUITES: &[&str] =
        &["oldstable", "stable", "testing", "unstable", "sid", "trixie", "forky", "devel"];
    let mut mirrors: Vec<String> = Vec::new();
    for line in targets.lines() {
        let mut fields = line.split('\t');
        let (Some(address), Some(suite), Some("main")) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if (suite == codename || SUITES.contains(&suite)) && !mirrors.iter().any(|it| it == address)
        {
            mirrors.push(address.to_owned());
        }
    }
    mirrors
}

/// Returns the lines of `apt-config dump` that apply to this installation too.
fn acquire_settings(dump: &str) -> String {
    let kept = dump.lines().filter(|line| {
        let taken =
            line.starts_with("Acquire::") && !NOT_TAKEN.iter().any(|it| line.starts_with(it));
        // apt's configuration cannot express a value that contains a quotation mark or a line break.
        taken && line.ends_with("\";") && line.matches('"').count() == 2
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests;

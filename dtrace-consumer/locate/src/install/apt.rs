//! How are the distribution's packages fetched without touching the host's apt?
//!
//! apt-get reads a separate configuration (`APT_CONFIG`), which puts every directory that apt writes to
//! into the installation's temporary directory. This module writes every list that apt reads.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::InstallError;
use super::files::entries;
use super::host::Host;
use super::manifest::Package;

/// The packages that a suite offers.
pub(super) struct Offer {
    pub(super) suite: String,
    pub(super) packages: Vec<Package>,
}

/// What reading the index of a suite came to.
enum Index {
    /// The version of libdtrace there, if there is one.
    Offers(Option<String>),
    /// apt's messages.
    Unreachable(String),
}

/// Runs apt with a separate state.
pub(super) struct Apt<'a> {
    host: &'a Host,
    directory: PathBuf,
}

impl<'a> Apt<'a> {
    pub(super) fn new(work: &Path, host: &'a Host) -> Result<Apt<'a>, InstallError> {
        let directory = work.join("apt");
        let apt = Apt { host, directory };
        let text = apt.directory.to_str().filter(|it| !it.contains(['"', '\n', '\\']));
        let text = text.ok_or_else(|| {
            let path = apt.directory.display();
            InstallError::UnsupportedHost(format!(
                "apt's configuration cannot express the path {path}"
            ))
        })?;
        for name in
            ["lists/partial", "cache/archives/partial", "parts", "sources", "packages", "unpacked"]
        {
            let path = apt.directory.join(name);
            fs::create_dir_all(&path).map_err(|error| InstallError::io("create", &path, error))?;
        }
        let Host { architecture, settings, .. } = host;
        apt.write("status", "")?;
        // "none" is a file that does not exist, "parts" an empty directory. The last lines limit how
        // long an unreachable mirror delays a build.
        apt.write(
            "configuration",
            &format!(
                "{settings}\
                 Dir::Etc::main \"{text}/none\";\n\
                 Dir::Etc::parts \"{text}/parts\";\n\
                 Dir::Etc::sourcelist \"{text}/none\";\n\
                 Dir::Etc::sourceparts \"{text}/sources\";\n\
                 Dir::Etc::preferences \"{text}/none\";\n\
                 Dir::Etc::preferencesparts \"{text}/parts\";\n\
                 Dir::Etc::trusted \"{text}/none\";\n\
                 Dir::Etc::trustedparts \"{text}/parts\";\n\
                 Dir::State \"{text}\";\n\
                 Dir::State::lists \"{text}/lists\";\n\
                 Dir::State::status \"{text}/status\";\n\
                 Dir::Cache \"{text}/cache\";\n\
                 Dir::Log \"{text}\";\n\
                 APT::Architecture \"{architecture}\";\n\
                 APT::Architectures {{ \"{architecture}\"; }};\n\
                 APT::Sandbox::User \"root\";\n\
                 APT::Install-Recommends \"false\";\n\
                 APT::Update::Error-Mode \"any\";\n\
                 Acquire::Languages \"none\";\n\
                 Acquire::Retries \"1\";\n\
                 Acquire::http::Timeout \"20\";\n\
                 Acquire::https::Timeout \"20\";\n"
            ),
        )?;
        Ok(apt)
    }

    /// Returns the packages and their dependencies. They come from the first suite with a libdtrace of a version that
    /// the first of the `wanted` accepts; if there is none, from the first that the second accepts, and so on.
    pub(super) fn find(
        &mut self,
        packages: &[&str],
        wanted: &[fn(&str) -> bool],
        log: &mut dyn FnMut(&str),
    ) -> Result<Offer, InstallError> {
        let host = self.host;
        let mut suites = Vec::new();
        let mut unreachable = Vec::new();
        let mut best: Option<(usize, &str, &str)> = None;
        for mirror in &host.mirrors {
            for suite in &host.suites {
                match self.read(mirror, suite, packages[0], log)? {
                    Index::Unreachable(said) => {
                        unreachable.push(said);
                        break;
                    }
                    Index::Offers(version) => {
                        let rank = version.as_deref().and_then(|version| {
                            wanted.iter().position(|accepts| accepts(upstream(version)))
                        });
                        match rank {
                            Some(0) => return self.offer(suite, packages),
                            Some(rank) if best.is_none_or(|(other, ..)| rank < other) => {
                                best = Some((rank, mirror, suite));
                            }
                            _ => {}
                        }
                        suites.push((suite.clone(), version));
                    }
                }
            }
        }
        if let Some((_, mirror, suite)) = best {
            return match self.read(mirror, suite, packages[0], log)? {
                Index::Unreachable(said) => Err(InstallError::Unreachable { said }),
                Index::Offers(_) => self.offer(suite, packages),
            };
        }
        if suites.is_empty() {
            return Err(InstallError::Unreachable { said: unreachable.join("\n") });
        }
        Err(InstallError::NotOffered { vendor: host.vendor, suites })
    }

    /// Makes apt read the index of a suite, and of no other one.
    fn read(
        &self,
        mirror: &str,
        suite: &str,
        library: &str,
        log: &mut dyn FnMut(&str),
    ) -> Result<Index, InstallError> {
        let Host { vendor, components, architecture, keyring, .. } = self.host;
        log(&format!("reading the index of {vendor} {suite}"));
        self.write(
            "sources/packages.sources",
            &format!(
                "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: {components}\n\
                 Architectures: {architecture}\nSigned-By: {}\n",
                keyring.display(),
            ),
        )?;
        match self.run(self.command("apt-get").args(["-q", "update"])) {
            Ok(_) => {}
            // Only the HTTP status tells a suite that the mirror lacks from a mirror that does not respond.
            Err(InstallError::Tool { said, .. }) if said.contains("404 ") => {
                return Ok(Index::Offers(None));
            }
            Err(InstallError::Tool { said, .. }) => return Ok(Index::Unreachable(said)),
            Err(error) => return Err(error),
        }
        // apt-cache fails for a name that is not in the index.
        let candidate = match self.describe(&[library]) {
            Err(InstallError::Tool { .. }) => None,
            other => other?.pop(),
        };
        Ok(Index::Offers(candidate.map(|it| it.version)))
    }

    /// Returns the packages and their dependencies from the suite whose index was read last.
    fn offer(&self, suite: &str, packages: &[&str]) -> Result<Offer, InstallError> {
        let plan =
            self.run(self.command("apt-get").args(["-qq", "-s", "install"]).args(packages))?;
        let names = planned(&plan);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(Offer { suite: suite.to_owned(), packages: self.describe(&names)? })
    }

    /// Fetches and unpacks the packages; returns the directory with their files.
    pub(super) fn unpack(&self, packages: &[Package]) -> Result<PathBuf, InstallError> {
        let fetched = self.directory.join("packages");
        let exact = packages.iter().map(|it| format!("{}={}", it.name, it.version));
        self.run(
            self.command("apt-get").args(["-qq", "download"]).args(exact).current_dir(&fetched),
        )?;
        let unpacked = self.directory.join("unpacked");
        for (_, package) in entries(&fetched)? {
            self.run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked))?;
        }
        Ok(unpacked)
    }

    fn describe(&self, packages: &[&str]) -> Result<Vec<Package>, InstallError> {
        let mut command = self.command("apt-cache");
        let said = self.run(command.args(["show", "--no-all-versions"]).args(packages))?;
        Ok(described(&said))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.directory.join("configuration"));
        command
    }

    fn run(&self, command: &mut Command) -> Result<String, InstallError> {
        self.host.programs.run(command)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), InstallError> {
        let path = self.directory.join(name);
        fs::write(&path, text).map_err(|error| InstallError::io("write", &path, error))
    }
}

/// Returns the version without Debian's epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, it)| it);
    version.rsplit_once('-').map_or(version, |(it, _)| it)
}

/// Returns the names in the plan that `apt-get -s install` prints.
fn planned(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter_map(|it| it.strip_prefix("Inst "));
    lines.filter_map(|it| it.split_whitespace().next()).map(str::to_owned).collect()
}

/// Returns the packages in the output of `apt-cache show`.
fn described(text: &str) -> Vec<Package> {
    let stanzas = text.split("\n\n").filter_map(|stanza| {
        let value = |key: &str| {
            let line = stanza.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix(": "))?;
            Some(line.trim().to_owned())
        };
        // Which hashes an index has depends on the archive. apt refuses a file that it cannot verify.
        let hash = ["SHA512", "SHA256"]
            .into_iter()
            .find_map(|name| Some(format!("{}:{}", name.to_lowercase(), value(name)?)));
        Some(Package {
            name: value("Package")?,
            version: value("Version")?,
            hash: hash.unwrap_or_else(|| "unknown".to_owned()),
        })
    });
    stanzas.collect()
}

#[cfg(test)]
mod tests;

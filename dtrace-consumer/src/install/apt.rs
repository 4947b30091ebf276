//! How are the distribution's packages fetched without touching the host's apt?
//!
//! apt-get reads a configuration of its own (`APT_CONFIG`), in which every directory that it writes
//! lies in the installation's temporary directory and every list that it reads is made here. From
//! the host's configuration come the settings of `Acquire` (proxies, certificates, Check-Valid-Until),
//! but neither hooks, which are commands for the host's own state, nor what would let unsigned
//! packages pass.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::error::InstallError;
use super::manifest::Package;
use crate::locate;

/// For a whole installation; it usually takes five seconds.
const TIME: Duration = Duration::from_secs(180);

/// Settings of `Acquire` that are not taken from the host: what weakens the check of signatures,
/// and what adds indexes that nothing here reads.
const NOT_TAKEN: &[&str] = &["Acquire::Allow", "Acquire::IndexTargets", "Acquire::Languages"];

/// What the installation needs to know of the host.
pub(super) struct Host {
    /// `Debian` or `Ubuntu`.
    pub(super) vendor: &'static str,
    /// dpkg's name of the processor.
    pub(super) architecture: String,
    suites: Vec<String>,
    components: &'static str,
    keyring: PathBuf,
    mirrors: Vec<String>,
    settings: String,
    deadline: Instant,
}

/// What a suite has.
pub(super) struct Offer {
    pub(super) suite: String,
    pub(super) packages: Vec<Package>,
}

impl Host {
    pub(super) fn examine() -> Result<Host, InstallError> {
        let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
        let (vendor, codename) = vendor(&release).ok_or_else(|| {
            InstallError::UnsupportedHost(
                "it is neither Debian nor Ubuntu nor based on them".into(),
            )
        })?;
        let deadline = Instant::now() + TIME;
        let said = run(deadline, Command::new("dpkg").arg("--print-architecture"))?;
        let architecture = said.trim().to_owned();
        if !["amd64", "arm64"].contains(&architecture.as_str()) {
            return Err(InstallError::UnsupportedHost(format!(
                "there is no libdtrace2 for the architecture {architecture}"
            )));
        }
        let (components, keyring, suites) = match vendor {
            "Debian" => ("main", "debian", vec!["forky".to_owned(), "sid".to_owned()]),
            _ => ("main universe", "ubuntu", vec![codename.clone(), "devel".to_owned()]),
        };
        let looked = ["gpg", "pgp"].map(|suffix| {
            PathBuf::from(format!("/usr/share/keyrings/{keyring}-archive-keyring.{suffix}"))
        });
        let Some(keyring) = looked.iter().find(|it| it.is_file()).cloned() else {
            return Err(InstallError::NoKeyring { looked: looked.to_vec() });
        };
        // Also those of which there is no index yet, as in a fresh container.
        let targets = run(
            deadline,
            Command::new("apt-get").args([
                "indextargets",
                "--no-release-info",
                "--format",
                "$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)",
                "Created-By: Packages",
            ]),
        )?;
        let mirrors = mirrors(&targets, &codename);
        if mirrors.is_empty() {
            return Err(InstallError::NoMirror { vendor });
        }
        let settings = acquire_settings(&run(deadline, Command::new("apt-config").arg("dump"))?);
        Ok(Host { vendor, architecture, suites, components, keyring, mirrors, settings, deadline })
    }
}

/// The distribution whose packages fit, and the release's name, from os-release(5).
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

/// The addresses, each once, that serve a release of the distribution itself: apt's sources also
/// name those of other projects, of security updates and so on.
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

/// The lines of `apt-config dump` that hold for this installation too.
fn acquire_settings(dump: &str) -> String {
    let kept = dump.lines().filter(|line| {
        let taken =
            line.starts_with("Acquire::") && !NOT_TAKEN.iter().any(|it| line.starts_with(it));
        // A value with a quotation mark in it or of several lines cannot be written down again.
        taken && line.ends_with("\";") && line.matches('"').count() == 2
    });
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// apt with a state of its own.
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
            InstallError::UnsupportedHost("apt cannot write to a directory of such a name".into())
        })?;
        for name in
            ["lists/partial", "cache/archives/partial", "parts", "sources", "packages", "unpacked"]
        {
            let path = apt.directory.join(name);
            fs::create_dir_all(&path).map_err(|error| InstallError::io("create", &path, error))?;
        }
        let Host { architecture, settings, .. } = host;
        apt.write("status", "")?;
        // "none" is a file that does not exist, "parts" an empty directory. The last lines keep
        // an unreachable mirror from holding up a build.
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

    /// The packages and their dependencies, from the first suite that has a supported libdtrace.
    pub(super) fn find(
        &mut self,
        packages: &[&str],
        supported: &[&str],
        log: &mut dyn FnMut(&str),
    ) -> Result<Offer, InstallError> {
        let mut suites = Vec::new();
        let mut unreachable = Vec::new();
        for mirror in &self.host.mirrors {
            for suite in &self.host.suites {
                log(&format!("reading the index of {} {suite}", self.host.vendor));
                self.write(
                    "sources/packages.sources",
                    &format!(
                        "Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: {}\n\
                         Architectures: {}\nSigned-By: {}\n",
                        self.host.components,
                        self.host.architecture,
                        self.host.keyring.display(),
                    ),
                )?;
                match self.run(self.command("apt-get").args(["-q", "update"])) {
                    Ok(_) => {}
                    // The words for a suite that the mirror does not have, and for a mirror that
                    // does not answer at all, differ only in the answer.
                    Err(InstallError::Tool { said, .. }) if said.contains("404 ") => {
                        suites.push((suite.clone(), None));
                        continue;
                    }
                    Err(InstallError::Tool { said, .. }) => {
                        unreachable.push(said);
                        break;
                    }
                    Err(error) => return Err(error),
                }
                // apt-cache fails for a name that the index does not have.
                let candidate = match self.describe(&packages[..1]) {
                    Err(InstallError::Tool { .. }) => None,
                    other => other?.pop(),
                };
                let version = candidate.map(|it| it.version);
                if version.as_deref().is_some_and(|it| supported.contains(&upstream(it))) {
                    let plan = self.run(
                        self.command("apt-get").args(["-qq", "-s", "install"]).args(packages),
                    )?;
                    let names = planned(&plan);
                    let names: Vec<&str> = names.iter().map(String::as_str).collect();
                    return Ok(Offer { suite: suite.clone(), packages: self.describe(&names)? });
                }
                suites.push((suite.clone(), version));
            }
        }
        if suites.is_empty() {
            return Err(InstallError::Unreachable { said: unreachable.join("\n") });
        }
        Err(InstallError::NotOffered { vendor: self.host.vendor, suites })
    }

    /// Fetches and unpacks the packages; returns the directory.
    pub(super) fn unpack(&self, packages: &[Package]) -> Result<PathBuf, InstallError> {
        let fetched = self.directory.join("packages");
        let exact = packages.iter().map(|it| format!("{}={}", it.name, it.version));
        self.run(
            self.command("apt-get").args(["-qq", "download"]).args(exact).current_dir(&fetched),
        )?;
        let unpacked = self.directory.join("unpacked");
        for (_, package) in super::entries(&fetched)? {
            self.run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&unpacked))?;
        }
        Ok(unpacked)
    }

    /// Whether the prefix's own loader finds all that libdtrace needs in its directory; returns
    /// libdtrace's version. Nothing of libdtrace is run.
    pub(super) fn check(&self, directory: &Path) -> Result<String, InstallError> {
        let library = directory.join(locate::SONAME);
        let incomplete = |missing: Vec<String>| InstallError::Incomplete { missing };
        let loader = locate::find_loader(directory)
            .ok_or_else(|| incomplete(vec!["the dynamic loader".into()]))?;
        let said = self.run(
            Command::new(loader)
                .args(["--inhibit-cache", "--library-path"])
                .arg(directory)
                .arg("--list")
                .arg(&library),
        )?;
        let missing = unresolved(&said, directory);
        if !missing.is_empty() {
            return Err(incomplete(missing));
        }
        locate::examine(&library)
            .map_err(|refused| incomplete(vec![format!("a libdtrace: {refused}")]))
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
        run(self.host.deadline, command)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), InstallError> {
        let path = self.directory.join(name);
        fs::write(&path, text).map_err(|error| InstallError::io("write", &path, error))
    }
}

/// The version without Debian's epoch and revision.
fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, it)| it);
    version.rsplit_once('-').map_or(version, |(it, _)| it)
}

/// The names in the plan that `apt-get -s install` prints.
fn planned(plan: &str) -> Vec<String> {
    let lines = plan.lines().filter_map(|it| it.strip_prefix("Inst "));
    lines.filter_map(|it| it.split_whitespace().next()).map(str::to_owned).collect()
}

/// The packages in what `apt-cache show` prints.
fn described(text: &str) -> Vec<Package> {
    let stanzas = text.split("\n\n").filter_map(|stanza| {
        let value = |key: &str| {
            let line = stanza.lines().find_map(|it| it.strip_prefix(key)?.strip_prefix(": "))?;
            Some(line.trim().to_owned())
        };
        Some(Package {
            name: value("Package")?,
            version: value("Version")?,
            sha256: value("SHA256")?,
        })
    });
    stanzas.collect()
}

/// The libraries that `ld.so --list` does not find, or finds outside of the directory.
fn unresolved(list: &str, directory: &Path) -> Vec<String> {
    let needed = list.lines().filter_map(|line| line.split_once(" => "));
    let missing = needed.filter(|(_, found)| !Path::new(found.trim()).starts_with(directory));
    missing.map(|(name, _)| name.trim().to_owned()).collect()
}

/// Runs a program until the deadline and returns what it prints. timeout(1) belongs to the
/// packages that every Debian has.
fn run(deadline: Instant, command: &mut Command) -> Result<String, InstallError> {
    const TIMED_OUT: i32 = 124;
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let arguments = command.get_args().map(|it| it.to_string_lossy()).take(3);
    let words: Vec<_> = std::iter::once(program.to_string_lossy()).chain(arguments).collect();
    let name = words.join(" ");
    let seconds = deadline.saturating_duration_since(Instant::now()).as_secs();
    if seconds == 0 {
        return Err(InstallError::TimedOut { command: name });
    }
    let mut timed = Command::new("timeout");
    // In the foreground, so that an interrupt from the terminal reaches the program too.
    timed.args(["--foreground", "--kill-after=5", &seconds.to_string()]);
    timed.arg(command.get_program()).args(command.get_args());
    timed.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    timed.env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(directory) = command.get_current_dir() {
        timed.current_dir(directory);
    }
    let output = timed
        .output()
        .map_err(|error| InstallError::Tool { command: name.clone(), said: error.to_string() })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    match output.status.code() {
        Some(0) => Ok(text(&output.stdout)),
        Some(TIMED_OUT) => Err(InstallError::TimedOut { command: name }),
        _ => {
            // apt prints the errors of single files among its progress.
            let said = format!("{}\n{}", text(&output.stdout), text(&output.stderr));
            let errors = said.lines().filter(|it| {
                !["Ign:", "Get:", "Hit:", "Reading "].iter().any(|start| it.starts_with(start))
            });
            let said = errors.map(str::trim_end).filter(|it| !it.is_empty()).collect::<Vec<_>>();
            Err(InstallError::Tool { command: name, said: said.join("\n") })
        }
    }
}

#[cfg(test)]
#[path = "apt_tests.rs"]
mod tests;

//! What does each kind of host get? Its programs are scripts that behave like apt.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tempfile::TempDir;

use super::super::super::command::Programs;
use super::super::super::installer::ACCEPTED;
use super::*;

/// A host, with mirrors that have certain versions.
struct Faked {
    directory: TempDir,
    release: String,
}

/// The script takes the suite from the only list of sources that apt reads.
const APT_GET: &str = r#"
    case "$*" in
    indextargets*) printf 'http://mirror.example/\t%s\tmain\n' "$(cat "$HERE/codename")"; exit ;;
    esac
    sources="$(dirname "$APT_CONFIG")/sources/packages.sources"
    suite="$(sed -n 's/^Suites: //p' "$sources")"
    case "$*" in
    *update) echo "$suite" >> "$HERE/updates"; test -e "$HERE/suites/$suite" || { echo "E: 404  Not Found"; exit 100; } ;;
    *install*) echo "Inst libdtrace2 (from $suite)" ;;
    esac
"#;

const APT_CACHE: &str = r#"
    sources="$(dirname "$APT_CONFIG")/sources/packages.sources"
    suite="$(sed -n 's/^Suites: //p' "$sources")"
    test -s "$HERE/suites/$suite" || { echo "E: No packages found"; exit 100; }
    cat "$HERE/suites/$suite"
"#;

impl Faked {
    /// Fakes a host. The mirror has these suites, with this version of libdtrace2 or without.
    fn new(id: &str, codename: &str, suites: &[(&str, Option<&str>)]) -> Faked {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let here = directory.path();
        for path in ["scripts", "keyrings", "suites", "work"] {
            fs::create_dir(here.join(path)).expect("a directory");
        }
        let scripts = [
            ("apt-get", APT_GET),
            ("apt-cache", APT_CACHE),
            ("apt-config", ""),
            ("dpkg", "echo amd64"),
        ];
        for (name, script) in scripts {
            let path = here.join("scripts").join(name);
            let text = format!("#!/bin/sh\nHERE='{}'\n{script}\n", here.display());
            fs::write(&path, text).expect("a file");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("executable");
        }
        // A child of another test may still have a file open that this process has written to, and the kernel does not
        // execute such a file ("Text file busy"). It executes copies that a program has made.
        let mut copy = Command::new("cp");
        copy.arg("-Rp").args([here.join("scripts"), here.join("bin")]);
        assert!(copy.status().expect("cp starts").success());
        for vendor in ["debian", "ubuntu"] {
            let path = format!("keyrings/{vendor}-archive-keyring.gpg");
            fs::write(here.join(path), "").expect("a file");
        }
        fs::write(here.join("codename"), codename).expect("a file");
        for (suite, version) in suites {
            let text = version.map(|version| {
                format!("Package: libdtrace2\nVersion: {version}\nSHA512: {suite}\n")
            });
            fs::write(here.join("suites").join(suite), text.unwrap_or_default()).expect("a file");
        }
        let release = format!("ID={id}\nVERSION_CODENAME={codename}\n");
        Faked { directory, release }
    }

    /// Returns the version that is chosen and its suite, or the error.
    fn find(&self, wanted: &[fn(&str) -> bool]) -> Result<(String, String), String> {
        let here = self.directory.path();
        let programs = Programs::within(Duration::from_secs(60)).in_directory(&here.join("bin"));
        let found = Host::of(&self.release, &here.join("keyrings"), programs).and_then(|host| {
            Apt::new(&here.join("work"), &host)?.find(&["libdtrace2"], wanted, &mut |_| {})
        });
        let offer = found.map_err(|error| error.to_string())?;
        let [package] = &offer.packages[..] else { panic!("one package was expected") };
        // The description is that of the suite, and not of one that was read later.
        assert_eq!(package.hash, format!("sha512:{}", offer.suite));
        Ok((package.version.clone(), offer.suite))
    }
}

const KNOWN: fn(&str) -> bool = |version| version == "2.0.7";

fn chosen(version: &str, suite: &str) -> Result<(String, String), String> {
    Ok((version.to_owned(), suite.to_owned()))
}

#[test]
fn a_known_version_is_preferred_wherever_the_distribution_has_it() {
    let (old, new) = (Some("2.0.6-1"), Some("2.0.7-3"));
    for (id, codename, suites, suite) in [
        ("ubuntu", "resolute", &[("resolute", old), ("devel", new)][..], "devel"),
        ("ubuntu", "noble", &[("noble", None), ("devel", new), ("resolute", old)], "devel"),
        ("ubuntu", "tenacious", &[("tenacious", new)], "tenacious"),
        ("debian", "bookworm", &[("bookworm", None), ("forky", new)], "forky"),
        ("debian", "trixie", &[("forky", Some("2.0.8-1")), ("sid", new)], "sid"),
        ("debian", "sid", &[("forky", new), ("sid", new)], "forky"),
    ] {
        let found = Faked::new(id, codename, suites).find(ACCEPTED);
        assert_eq!(found, chosen("2.0.7-3", suite), "{id} {codename}");
    }
}

#[test]
fn without_a_known_version_the_first_usable_one_is_taken() {
    let old = Some("2.0.6-1");
    for (id, codename, suites, version, suite) in [
        (
            "ubuntu",
            "resolute",
            &[("resolute", old), ("devel", Some("2.1.0-1"))][..],
            "2.0.6-1",
            "resolute",
        ),
        ("ubuntu", "noble", &[("noble", None), ("resolute", old)], "2.0.6-1", "resolute"),
        (
            "debian",
            "trixie",
            &[("forky", Some("2.0.8-1")), ("sid", Some("2.0.8-2"))],
            "2.0.8-1",
            "forky",
        ),
    ] {
        let host = Faked::new(id, codename, suites);
        assert_eq!(host.find(ACCEPTED), chosen(version, suite), "{id} {codename}");
        let refused = host.find(&[KNOWN]).expect_err("no known version");
        assert!(refused.contains(&format!("{suite} has libdtrace2 {version}")), "{refused}");
    }
}

#[test]
fn hosts_that_have_nothing_are_told_what_to_do() {
    let host = Faked::new("ubuntu", "noble", &[("noble", None)]);
    let said = host.find(ACCEPTED).expect_err("nothing fits");
    for part in
        ["noble has no libdtrace2", "resolute has no libdtrace2", "dtrace-worker install --prefix"]
    {
        assert!(said.contains(part), "{said}");
    }
    let said = Faked::new("fedora", "", &[]).find(&[KNOWN]).expect_err("no apt");
    assert!(said.contains("not based on Debian or Ubuntu (use"), "{said}");
}

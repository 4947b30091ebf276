//! What is understood of the texts that the host's programs print.

use super::*;

#[test]
fn derivatives_use_the_packages_of_what_they_are_based_on() {
    let debian = "PRETTY_NAME=\"Debian\"\nVERSION_CODENAME=trixie\nID=debian\n";
    assert_eq!(vendor(debian), Some(("Debian", "trixie".into())));
    let mint =
        "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_CODENAME=zena\nUBUNTU_CODENAME=noble";
    assert_eq!(vendor(mint), Some(("Ubuntu", "noble".into())));
    assert_eq!(vendor("ID=fedora\n"), None);
    assert_eq!(vendor(""), None);
}

#[test]
fn only_mirrors_of_the_distribution_itself_are_asked() {
    let targets = "http://one.example/debian/\ttrixie\tmain\n\
                   http://one.example/debian/\ttrixie\tcontrib\n\
                   http://one.example/debian/\ttrixie-updates\tmain\n\
                   http://security.example/debian/\ttrixie-security\tmain\n\
                   https://tool.example/apt/\ttrixie\tstable\n\
                   mirror+file:/etc/apt/mirrors/main.list/\tsid\tmain\n\
                   garbage\n";
    let expected = ["http://one.example/debian/", "mirror+file:/etc/apt/mirrors/main.list/"];
    assert_eq!(mirrors(targets, "trixie"), expected);
}

#[test]
fn the_hosts_proxy_is_kept_and_its_hooks_and_exceptions_are_not() {
    let dump = "APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*\";\n\
                Acquire::http::Proxy \"http://proxy.example:3128\";\n\
                Acquire::Check-Valid-Until \"false\";\n\
                Acquire::AllowInsecureRepositories \"true\";\n\
                Acquire::IndexTargets::deb::Contents::DefaultEnabled \"true\";\n\
                Acquire::x \"one\ntwo\";\n\
                Acquire::y \"a\"b\";\n\
                DPkg::Post-Invoke:: \"true\";\n";
    let kept = "Acquire::http::Proxy \"http://proxy.example:3128\";\n\
                Acquire::Check-Valid-Until \"false\";\n";
    assert_eq!(acquire_settings(dump), kept);
}

#[test]
fn debian_versions_are_compared_by_their_upstream_part() {
    assert_eq!(
        ["2.0.7-3", "1:2.0.7-3~deb13u1", "2.0.7", "2.0.7-rc1-2"].map(upstream),
        ["2.0.7", "2.0.7", "2.0.7", "2.0.7-rc1"]
    );
}

#[test]
fn the_plan_and_the_descriptions_of_packages_are_read() {
    let plan = "NOTE: only a simulation\nInst libc6 (2.43-7 Debian:testing [amd64])\n\
                Inst libdtrace2 (2.0.7-3 Debian:testing [amd64]) []\nConf libc6 (2.43-7)\n";
    assert_eq!(planned(plan), ["libc6", "libdtrace2"]);
    let text = "Package: libc6\nVersion: 2.43-7\nDescription: C library\n with SHA256: text\n\
                SHA256: aa\n\nPackage: incomplete\n\nPackage: zlib1g\nVersion: 1:1.3\nSHA256: bb\n";
    let package = |name: &str, version: &str, sha256: &str| Package {
        name: name.into(),
        version: version.into(),
        sha256: sha256.into(),
    };
    assert_eq!(
        described(text),
        [package("libc6", "2.43-7", "aa"), package("zlib1g", "1:1.3", "bb")]
    );
}

#[test]
fn a_library_from_the_host_or_from_nowhere_counts_as_missing() {
    let list = "\tlinux-vdso.so.1 (0x00007f)\n\
                \tlibelf.so.1 => /p/lib/libelf.so.1 (0x00007f)\n\
                \tlibz.so.1 => /usr/lib/libz.so.1 (0x00007f)\n\
                \tlibfuse3.so.4 => not found\n\
                \t/p/lib/ld-linux.so.2 (0x00007f)\n";
    assert_eq!(unresolved(list, Path::new("/p/lib")), ["libz.so.1", "libfuse3.so.4"]);
}

#[test]
fn a_failed_program_is_quoted_in_its_own_words() {
    let soon = Instant::now() + Duration::from_secs(60);
    let shell = |script: &str| run(soon, Command::new("sh").args(["-c", script]));
    assert_eq!(shell("echo out; echo err >&2").expect("it succeeds"), "out");
    match shell("echo Get:1 index; echo '  404  Not Found'; echo E: no index >&2; exit 100") {
        Err(InstallError::Tool { said, .. }) => assert_eq!(said, "  404  Not Found\nE: no index"),
        other => panic!("{other:?}"),
    }
    let late = run(Instant::now(), &mut Command::new("true"));
    assert!(matches!(late, Err(InstallError::TimedOut { .. })), "{late:?}");
}

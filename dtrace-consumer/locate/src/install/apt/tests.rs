//! How is the output of the host's programs parsed, and which suite is chosen?

mod hosts;

use super::*;

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
                SHA256: aa\n\nPackage: incomplete\n\nPackage: zlib1g\nVersion: 1:1.3\nSHA512: bb\n\n\
                Package: libelf1\nVersion: 0.1\nSHA256: cc\nSHA512: dd\n\n\
                Package: libpfm4\nVersion: 4.1\nSHA3-512: ee\n";
    let package = |name: &str, version: &str, hash: &str| Package {
        name: name.into(),
        version: version.into(),
        hash: hash.into(),
    };
    assert_eq!(
        described(text),
        [
            package("libc6", "2.43-7", "sha256:aa"),
            package("zlib1g", "1:1.3", "sha512:bb"),
            package("libelf1", "0.1", "sha512:dd"),
            package("libpfm4", "4.1", "unknown"),
        ]
    );
}

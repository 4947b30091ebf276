//! Does a job arrive as it was sent, and with no permission that is none?

use dtrace_locate::locate::Origin;

use super::*;

#[test]
fn a_job_arrives_as_it_was_sent() {
    let sent = Command::Job(Box::new(job()));
    assert_eq!(Command::decode(&sent.encode()[4..]), Ok(sent));
}

fn job() -> Job {
    Job {
        purpose: Purpose::List { patterns: vec!["a:b:c:d".into()], describe: true },
        library: "/lib/libdtrace.so.2".into(),
        unknown: Some(Unknown { version: Some(Version::new(2, 0, 8)), under_check: true }),
        syslibdir: Some("/lib/dtrace".into()),
        omit: vec![OmittedLibrary { file: "io.d".into(), reason: "b_end_io".into() }],
        options: vec![("bufsize".into(), Some("4m".into())), ("quiet".into(), None)],
        all_libraries: true,
        compile_flags: 0x100,
        scripts: vec![Script {
            name: "script".into(),
            argument_zero: "zero".into(),
            text: b"BEGIN\0".to_vec(),
            arguments: vec!["a".into()],
            specifier: Some(Specifier::Module),
        }],
        target: Some(Target {
            pid: 42,
            gate: Some(Gate { address: 0x5555_0040, opening: vec![0x31, 0xed] }),
        }),
        processes: vec![Process::Created(Target { pid: 43, gate: None }), Process::Grab(7)],
        firings: true,
        text: false,
        printed: true,
        order: Order::KeyAcrossReversed,
        drain: true,
        report: true,
        read_options: vec!["quiet".into()],
        snapshot_interval: Some(Duration::from_millis(500)),
        max_delay: Duration::from_millis(5),
    }
}

#[test]
fn a_permission_for_no_version_is_malformed() {
    let unknown = Some(Unknown { version: Some(Version::new(2, 0, 8)), under_check: true });
    let sent = Command::Job(Box::new(Job { unknown, ..job() })).encode();
    let text = b"2.0.8";
    let at = sent.windows(text.len()).position(|it| it == text).expect("it is sent");
    for (other, is_one) in
        [(b"2.0.9", true), (b"2.0.x", false), (b"D 2.0", false), (b"2.0. ", false)]
    {
        let mut changed = sent.clone();
        changed[at..at + text.len()].copy_from_slice(other);
        assert_eq!(Command::decode(&changed[4..]).is_ok(), is_one, "{other:?}");
    }
}

#[test]
fn a_library_is_permitted_if_it_was_verified_or_is_being_checked() {
    let permitted = |version: Option<&str>, standing, under_check| {
        let library = Libdtrace {
            library: "/lib/libdtrace.so.2".into(),
            syslibdir: None,
            loader: None,
            origin: Origin::System,
            version: version.map(str::to_owned),
            standing,
        };
        Unknown::permission(&library, under_check)
    };
    // Where versions do not tell structures, any is permitted.
    let has_versions = !KNOWN_VERSIONS.is_empty();
    let version = has_versions.then_some(Version::new(2, 1, 0));
    for (standing, under_check) in
        [(Standing::Verified, false), (Standing::Unverified, true), (Standing::Known, true)]
    {
        let expected = Some(Unknown { version, under_check });
        assert_eq!(permitted(Some("2.1"), standing, under_check), Ok(expected));
        for unusable in [Some("Oracle D 2.0"), None] {
            assert_eq!(permitted(unusable, standing, under_check).is_err(), has_versions);
        }
    }
    assert_eq!(permitted(Some("2.1"), Standing::Known, false), Ok(None));
    let refused = permitted(Some("2.1"), Standing::Unverified, false);
    assert_eq!(refused, Err("no self-check has admitted it".to_owned()));
}

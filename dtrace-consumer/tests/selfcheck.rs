//! Does a self-check admit a libdtrace that answers as predicted, and no other?

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use dtrace_consumer::locate::Standing;
use dtrace_consumer::session::Admission;
use dtrace_consumer::verify::{self, SYSTEM_VERDICTS, Verification};
use dtrace_consumer::{Error, Failure, Outcome, preflight, trace};
use dtrace_stand_in::plan::{Fault, Misdeed, Plan};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing],
    tests: [
        a_library_of_an_unknown_version_is_used_after_a_self_check,
        a_library_without_the_maps_of_its_drops_is_refused,
        a_library_that_crashes_in_its_self_check_is_refused,
        a_library_that_is_too_old_is_refused_without_being_loaded,
    ],
    by_hand: [a_library_that_hangs_in_its_self_check_is_refused],
}

/// A prefix with a library whose version is another one. Its verdicts vanish with it.
struct Prefix(PathBuf);

impl Prefix {
    fn empty() -> Prefix {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("dtrace-selfcheck-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(path.join("lib")).expect("a directory");
        Prefix(path)
    }

    /// With the libdtrace that is used here.
    fn of_real(version: &str) -> Prefix {
        let prefix = Prefix::empty();
        let real = preflight(None).require().expect("a live test needs it").library;
        let directory = real.parent().expect("a directory");
        for entry in fs::read_dir(directory).expect("it can be read").flatten() {
            let link = prefix.0.join("lib").join(entry.file_name());
            symlink(entry.path(), link).expect("a link");
        }
        prefix.put(&real, version);
        prefix
    }

    /// With the stand-in, which follows a plan.
    fn of_stand_in(version: &str, plan: &Plan) -> Prefix {
        let prefix = Prefix::empty();
        let exe = std::env::current_exe().expect("the test knows its own file");
        prefix.put(&exe.with_file_name("libdtrace_stand_in.so"), version);
        plan.put(&prefix.0);
        prefix
    }

    /// Copies a library with another version, and another build-id if it has one.
    fn put(&self, library: &Path, version: &str) {
        let mut image = fs::read(library).expect("a library");
        let text = b"\0D 2.0.7\0";
        let at = image.windows(text.len()).position(|it| it == text).expect("a version");
        let new = format!("\0D {version}\0");
        assert_eq!(new.len(), text.len());
        image[at..at + text.len()].copy_from_slice(new.as_bytes());
        let note = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
        if let Some(at) = image.windows(note.len()).position(|it| it == note) {
            let id = format!("{:08x}", std::process::id()) + &self.0.to_string_lossy();
            let id = id.bytes().rev().take(20);
            image[at + note.len()..].iter_mut().zip(id).for_each(|(byte, new)| *byte = new);
        }
        let own = self.0.join("lib/libdtrace.so.2");
        let _ = fs::remove_file(&own);
        fs::write(own, image).expect("a file");
    }

    fn standing(&self) -> Option<Standing> {
        preflight(Some(&self.0)).library().map(|library| library.standing)
    }

    fn run(&self) -> Result<Outcome, Failure> {
        trace("BEGIN { exit(0); }").prefix(&self.0).run()
    }

    /// Runs a session that is refused, and returns why.
    fn refused(&self) -> String {
        match self.run() {
            Err(Failure { error: Error::Unavailable(error), .. }) => error.to_string(),
            other => panic!("{other:?}"),
        }
    }
}

impl Drop for Prefix {
    fn drop(&mut self) {
        let library = self.0.join("lib/libdtrace.so.2");
        let id = preflight(Some(&self.0)).library().and_then(|it| it.build_id());
        let id = id.or_else(|| library.exists().then(String::new));
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let user = caches.unwrap_or(home.join(".cache")).join("dtrace-consumer/verdicts");
        for directory in [user, SYSTEM_VERDICTS.into()] {
            for file in fs::read_dir(directory).into_iter().flatten().flatten() {
                let name = file.file_name().to_string_lossy().into_owned();
                if id.as_ref().is_some_and(|id| !id.is_empty() && name.starts_with(id.as_str())) {
                    let _ = fs::remove_file(file.path());
                }
            }
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn a_library_of_an_unknown_version_is_used_after_a_self_check() {
    for version in ["2.0.8", "2.0.6"] {
        let prefix = Prefix::of_real(version);
        assert_eq!(prefix.standing(), Some(Standing::Unverified), "{version}");
        let outcome = prefix.run().expect("the check admits it");
        let info = outcome.session.expect("it began");
        assert_eq!((info.library_version.as_str(), info.admission), (version, Admission::Verified));
        // The verdict is kept.
        assert_eq!(prefix.standing(), Some(Standing::Verified), "{version}");
    }
}

fn a_library_without_the_maps_of_its_drops_is_refused() {
    let prefix = Prefix::of_stand_in("2.0.8", &Plan::default());
    let text = prefix.refused();
    assert!(
        text.contains("version 2.0.8 could not be checked: finding libdtrace's counters of drops"),
        "{text}"
    );
}

fn a_library_that_crashes_in_its_self_check_is_refused() {
    for call in ["dtrace_open", "dtrace_go", "dtrace_work"] {
        let faults = vec![Fault { call: call.to_owned(), nth: 1, misdeed: Misdeed::Abort }];
        let prefix = Prefix::of_stand_in("2.0.8", &Plan { faults, ..Plan::default() });
        let text = prefix.refused();
        assert!(text.contains("version 2.0.8 differs: "), "{call}: {text}");
        assert!(text.contains("the worker process"), "{call}: {text}");
    }
}

fn a_library_that_hangs_in_its_self_check_is_refused() {
    let rounds = vec![vec![dtrace_stand_in::plan::Event::Pause(600_000)]];
    let prefix = Prefix::of_stand_in("2.0.8", &Plan { rounds, ..Plan::default() });
    let text = prefix.refused();
    assert!(text.contains("did not answer in time"), "{text}");
}

fn a_library_that_is_too_old_is_refused_without_being_loaded() {
    let prefix = Prefix::of_real("2.0.5");
    assert!(prefix.refused().contains("version 2.0.5 is not supported"));
    let mut options = verify::Options::default();
    options.prefix = Some(prefix.0.clone());
    let mut seen: Vec<Verification> = Vec::new();
    let passed = verify::verify(&options, |it| seen.push(it.result.clone())).expect("privileged");
    assert_eq!((seen.len(), passed.len()), (0, 1));
}

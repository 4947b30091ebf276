//! Does a traced command inherit what it would inherit alone?
//!
//! The test starts this binary again in peculiar surroundings, where it runs a program in several ways. The
//! program writes what it has inherited.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_consumer::elevation::Elevation;
use dtrace_consumer::{run_synchronous, trace};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::inherited::{self, Inherited};
use dtrace_test_support::traced::traced_program;
use dtrace_test_support::user::{self, SUDOERS, System};
use dtrace_test_support::{Missing, live_tests};
use nix::sched::{CloneFlags, unshare};

live_tests! {
    // A test that becomes another user waits for all children of this process.
    serial,
    needs: [Tracing],
    tests: [
        every_way_passes_on_input_and_output,
        words_need_not_be_text,
    ],
    needs: [Tracing, Root],
    tests: [a_set_uid_program_has_its_owners_rights],
    needs: [Tracing, Command("cc")],
    tests: [a_worker_finds_the_libraries_that_its_program_finds],
    // All but sudo belong to util-linux.
    needs: [
        Tracing, Root, Dtrace1, Command("sudo"), Command("setpriv"), Command("unshare"),
        Command("setsid"), Command("taskset"), Command("chrt"), Command("ionice"), Command("setarch"),
        Check(real_time_is_permitted),
    ],
    tests: [
        a_command_inherits_what_it_would_inherit_alone,
        a_command_inherits_nothing_of_an_elevated_worker,
    ],
}

/// The first word of this binary's command line when it is to run a program.
const RUN: &str = "run-a-program";

ctor::declarative::ctor! {
    // SAFETY: if it does anything at all, it ends the process, and all descriptors are open.
    #[ctor(unsafe)]
    fn before_main() {
        let words: Vec<OsString> = std::env::args_os().collect();
        if let [_, run, way, command @ ..] = &words[..]
            && run == RUN
        {
            run_program(&way.to_string_lossy(), Elevation::None, command);
            std::process::exit(0);
        }
        if let Some(directory) = user::case() {
            compare_as_user(Path::new(&directory));
            std::process::exit(0);
        }
    }
}

/// The ways to run a program.
const WAYS: [&str; 6] = [
    "std",
    "command",
    "command of its symbols",
    "functions of the command",
    "create at exec",
    "create",
];

/// Those that trace it.
const TRACED: &[&str] = WAYS.split_at(1).1;

fn run_program(way: &str, elevation: Elevation, words: &[OsString]) {
    let script = "BEGIN { @ = count(); }";
    let outcome = match way {
        "std" => {
            let status = Command::new(&words[0]).args(&words[1..]).status();
            assert!(status.expect("it starts").success());
            return;
        }
        "command" => run_synchronous(script, words).elevation(elevation).run(),
        // It is traced by this process, and by the worker.
        "command of its symbols" => {
            let script = "syscall::write:entry /pid == $target/ { @[ustack()] = count(); }";
            run_synchronous(script, words).elevation(elevation).run()
        }
        "functions of the command" => {
            let script = "pid$target:libc.so.6:exit:entry { @ = count(); }";
            run_synchronous(script, words).elevation(elevation).run()
        }
        "create at exec" => {
            trace(script).option("evaltime", "exec").create(words).elevation(elevation).run()
        }
        "create" => trace(script).create(words).elevation(elevation).run(),
        other => panic!("{other}?"),
    };
    let outcome = outcome.expect("it runs");
    assert!(outcome.command.is_some_and(|command| command.finished()), "{way}: {outcome:?}");
}

/// This binary as a program that runs `words` in a way.
fn runner(way: &str, words: &[OsString]) -> Vec<OsString> {
    let exe = std::env::current_exe().expect("the test knows its own file");
    let mut all: Vec<OsString> = vec![exe.into(), RUN.into(), way.into()];
    all.extend_from_slice(words);
    all
}

/// What differs from a program that `std::process::Command` starts in the same surroundings, and
/// why.
const UNLIKE_STD: &[(&str, &[&str])] = &[
    // It must not outlive the process that would release it, or handle its breakpoints.
    ("parent-death signal", TRACED),
    // It waits at its end for the look-up of its symbols, libdtrace is attached to it, or stops it at its `main`.
    ("is traced", &["command of its symbols", "functions of the command", "create"]),
];

/// What differs from a program that dtrace(1) starts in the same surroundings, and why.
const UNLIKE_DTRACE1: &[&str] = &[
    // As above; with dtrace(1) it lives on, perhaps with breakpoints that nobody handles.
    "parent-death signal",
    // `std::process::Command` restores SIGPIPE, which Rust's runtime ignores.
    "SigIgn",
    // libdtrace starts its commands from a thread that has most signals blocked, and they stay blocked.
    "SigBlk",
    // libdtrace leaves open the pipe with which it holds back its command.
    "descriptors",
    // dtrace(1) raises it for itself.
    "limit Max open files",
    // The test gives dtrace(1) a mount namespace with debugfs; here the worker has one of its own.
    "namespace mnt",
];

fn a_command_inherits_what_it_would_inherit_alone() {
    // Of this thread only, and of what it starts.
    unshare(NAMESPACES.into_iter().map(|(_, flag, _)| flag).collect()).expect("root may");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("inherited");
    let program = traced_program("inherited", file.display());
    let inherits = |words: &[OsString]| -> Inherited {
        let _ = fs::remove_file(&file);
        let starter = in_peculiar_surroundings(words, directory.path());
        let mut rows = inherited::read(&file).expect("the program has written it");
        for name in ["session", "process group"] {
            let number = rows.get_mut(name).expect("it is among the rows");
            if *number == starter.to_string() {
                "its starter's".clone_into(number);
            }
        }
        rows
    };
    let alone = inherits(&runner("std", &program));
    is_peculiar_for_root(&alone);
    let mut traced = BTreeMap::new();
    for way in TRACED {
        let inherited = inherits(&runner(way, &program));
        is_as_with_std(&alone, way, &inherited);
        traced.insert(*way, inherited);
    }
    let dtrace1 = Dtrace1::find(directory.path(), &["io.d".to_owned()]).expect("it is there");
    let words: Vec<&str> = program.iter().map(|word| word.to_str().expect("text")).collect();
    let command = dtrace1.command();
    // libdtrace stays attached to its commands; here only to have them run to their `main`.
    for (option, way, unlike) in [
        ("-xevaltime=exec", "create at exec", Some("is traced")),
        ("-xevaltime=main", "create", None),
    ] {
        let mut dtrace1 = vec![command.get_program().to_owned()];
        dtrace1.extend(command.get_args().map(OsStr::to_owned));
        dtrace1.extend([option, "-qn", "BEGIN { }", "-c", &words.join(" ")].map(OsString::from));
        let found = differences(&inherits(&dtrace1), &traced[way]);
        let names = found.iter().map(|(name, _)| match name.split_once(' ') {
            Some(("descriptor", _)) => "descriptors",
            _ => name.as_str(),
        });
        let names: BTreeSet<&str> = names.collect();
        let expected = UNLIKE_DTRACE1.iter().copied().chain(unlike).collect();
        assert_eq!(names, expected, "{way}: {found:#?}");
    }
}

/// Has an ordinary user's program run the same commands without and with a worker of root's.
fn a_command_inherits_nothing_of_an_elevated_worker() {
    let directory = "/mnt/user";
    let commands =
        format!("{PECULIAR}; mkdir -m 777 {directory}; cd {directory}; exec < /proc/self/status");
    let system = System {
        sudoers: SUDOERS,
        worker: "grab = yes\n",
        commands: &commands,
        namespaces: &NAMESPACES.map(|(_, _, option)| option),
        ..System::default()
    };
    let worker = Path::new(env!("CARGO_BIN_EXE_dtrace-worker"));
    assert_eq!(user::as_user(&system, worker, directory), TRACED.join("\n") + "\n");
}

/// Compares what the user's command inherits, and prints the ways in which it was run.
fn compare_as_user(directory: &Path) {
    let file = directory.join("inherited");
    let program = traced_program("inherited", file.display());
    let inherits = |way: &str| {
        let _ = fs::remove_file(&file);
        run_program(way, Elevation::Sudo, &program);
        inherited::read(&file).expect("the program has written it")
    };
    let alone = inherits("std");
    is_peculiar(&alone);
    for way in TRACED {
        is_as_with_std(&alone, way, &inherits(way));
        println!("{way}");
    }
}

/// Checks that what a command has inherited differs only where it should from what it inherits alone.
fn is_as_with_std(alone: &Inherited, way: &str, inherited: &Inherited) {
    let found = differences(alone, inherited);
    let expected = UNLIKE_STD.iter().filter(|(_, ways)| ways.contains(&way));
    let expected: BTreeSet<&str> = expected.map(|(name, _)| *name).collect();
    let names: BTreeSet<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, expected, "{way}: {found:#?}");
}

/// Namespaces that a thread can leave for new ones: their names, flags, and options of unshare(1).
const NAMESPACES: [(&str, CloneFlags, &str); 4] = [
    ("uts", CloneFlags::CLONE_NEWUTS, "--uts"),
    ("ipc", CloneFlags::CLONE_NEWIPC, "--ipc"),
    ("net", CloneFlags::CLONE_NEWNET, "--net"),
    ("cgroup", CloneFlags::CLONE_NEWCGROUP, "--cgroup"),
];

/// Kernels with scheduling by groups may not permit it.
fn real_time_is_permitted() -> Result<(), Missing> {
    let tried = Command::new("chrt").args(["--rr", "3", "true"]).output();
    let tried = tried.map_err(|error| Missing::new(error.to_string()))?;
    let said = String::from_utf8_lossy(&tried.stderr).into_owned();
    if tried.status.success() { Ok(()) } else { Err(Missing::new(said)) }
}

/// Commands of a shell that make much of what a process inherits differ from what it usually is.
const PECULIAR: &str = "umask 027; ulimit -Sn 333; ulimit -Sl 77; ulimit -c 0; trap '' HUP; \
    echo 345 > /proc/self/oom_score_adj; renice 7 $$ > /dev/null; taskset -pc 0 $$ > /dev/null; \
    chrt --rr -p 3 $$; ionice -c 2 -n 6 -p $$; echo 7 > /proc/self/coredump_filter";

/// Checks that they have.
fn is_peculiar(alone: &Inherited) {
    let of = |name: &str| alone.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!((of("Umask"), of("nice level"), of("Cpus_allowed")), ("0027", "7", "1"));
    assert!(of("limit Max open files").starts_with("333 "), "{alone:#?}");
    assert_eq!((of("oom_score_adj"), of("NoNewPrivs"), of("Seccomp")), ("345", "0", "0"));
    // SCHED_RR, and class 2 in the upper three bits.
    assert_eq!((of("scheduling policy"), of("real-time priority")), ("2", "3"));
    assert_eq!(of("I/O priority"), (2 << 13 | 6).to_string());
    assert_eq!(of("coredump_filter"), "00000007");
    assert!(of("descriptor 0").ends_with("/status"), "{alone:#?}");
    assert_eq!(u64::from_str_radix(of("SigIgn"), 16).map(|set| set & 1), Ok(1));
}

/// Runs a command where nearly everything that a process inherits differs from what it usually is. Returns its
/// number.
fn in_peculiar_surroundings(words: &[OsString], directory: &Path) -> u32 {
    let shell = format!("{PECULIAR}; exec \"$@\"");
    let mut options = File::options();
    let input = options.read(true).custom_flags(libc::O_NONBLOCK).open("/proc/self/status");
    let output = File::options().append(true).create(true).open(directory.join("output"));
    let mut child = Command::new("setsid")
        .args(["env", "--ignore-signal=PIPE", "--block-signal=USR1", "sh", "-c", &shell, "sh"])
        .args(["setarch", "--addr-no-randomize"])
        .args(["setpriv", "--bounding-set=-sys_time", "--groups=1234,5678"])
        .args(["--inh-caps=+net_raw", "--ambient-caps=+net_raw", "--securebits=+no_setuid_fixup"])
        .arg("--")
        .args(words)
        .env("LD_LIBRARY_PATH", directory)
        .env("PECULIAR", OsString::from_vec(vec![0xff]))
        .current_dir(directory)
        .stdin(input.expect("a file"))
        .stdout(output.expect("a file"))
        .spawn()
        .expect("it starts");
    assert!(child.wait().expect("a child").success());
    child.id()
}

fn is_peculiar_for_root(alone: &Inherited) {
    is_peculiar(alone);
    let of = |name: &str| alone.get(name).map(String::as_str).unwrap_or_default();
    assert_eq!((of("session"), of("process group")), ("its starter's", "its starter's"));
    assert_eq!((of("Groups"), of("CapAmb")), ("1234 5678", "0000000000002000"));
    assert_eq!((of("securebits"), of("personality")), ("4", "00040000"));
    for (name, _, _) in NAMESPACES {
        let usual = fs::read_link(format!("/proc/self/ns/{name}")).expect("a link");
        assert_ne!(Path::new(of(&format!("namespace {name}"))), usual);
    }
    let flags = |n| {
        i32::from_str_radix(of(&format!("flags of descriptor {n}")).trim_start_matches("0o"), 8)
    };
    assert_eq!(flags(0).map(|it| it & libc::O_NONBLOCK), Ok(libc::O_NONBLOCK));
    assert_eq!(flags(1).map(|it| it & libc::O_APPEND), Ok(libc::O_APPEND));
    assert!(alone.contains_key("variable PECULIAR"));
}

/// The rows in which two programs differ.
fn differences(expected: &Inherited, found: &Inherited) -> Vec<(String, [Option<String>; 2])> {
    let names: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let both = |name: &String| [expected.get(name).cloned(), found.get(name).cloned()];
    let rows = names.into_iter().map(|name| (name.clone(), both(name)));
    rows.filter(|(_, [expected, found])| expected != found).collect()
}

fn every_way_passes_on_input_and_output() {
    for way in WAYS {
        let script = "cat; echo error >&2; exit 0";
        let words = ["sh", "-c", script].map(OsString::from);
        let words = runner(way, &words);
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this binary starts");
        let input = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut { input }, b"hello\n").expect("it reads");
        let output = child.wait_with_output().expect("a child");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{way}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "error\n", "{way}: {output:?}");
    }
}

fn words_need_not_be_text() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let bytes = [directory.path().as_os_str().as_encoded_bytes(), b"/\xff\xfe"].concat();
    let file = OsString::from_vec(bytes);
    for way in WAYS {
        let words = ["touch".into(), file.clone()];
        let words = runner(way, &words);
        let status = Command::new(&words[0]).args(&words[1..]).status();
        assert!(status.expect("this binary starts").success(), "{way}");
        fs::remove_file(&file).unwrap_or_else(|e| panic!("{way}: {e}"));
    }
}

fn a_set_uid_program_has_its_owners_rights() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("id");
    fs::copy("/usr/bin/id", &program).expect("a copy");
    std::os::unix::fs::chown(&program, Some(65534), Some(65534)).expect("root may");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).expect("root may");
    for way in WAYS {
        let words = runner(way, &[program.clone().into(), "-u".into()]);
        let output = Command::new(&words[0]).args(&words[1..]).output();
        let output = output.expect("this binary starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "65534\n", "{way}: {output:?}");
    }
}

fn a_worker_finds_the_libraries_that_its_program_finds() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| directory.path().join(name);
    // Notes each process that has loaded it.
    let source = "#include <stdio.h>\n#include <stdlib.h>\n\
        __attribute__((constructor)) static void note(void) {\n\
            FILE *notes = fopen(getenv(\"NOTES\"), \"a\");\n\
            if (!notes) return;\n\
            fputs(getenv(\"DTRACE_CONSUMER_WORKER\") ? \"worker\\n\" : \"other\\n\", notes);\n\
            fclose(notes);\n\
        }\n";
    fs::write(path("noted.c"), source).expect("a file");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([path("libnoted.so"), path("noted.c")])
        .status();
    assert!(compiled.expect("a compiler").success());
    let words = runner("command", &["true".into()]);
    let output = Command::new(&words[0])
        .args(&words[1..])
        .env("LD_LIBRARY_PATH", directory.path())
        .env("LD_PRELOAD", "libnoted.so")
        .env("NOTES", path("notes"))
        .output()
        .expect("this binary starts");
    assert!(output.status.success(), "{output:?}");
    let notes = fs::read_to_string(path("notes")).expect("notes");
    assert_eq!(notes, "other\nworker\nother\n");
}

//! What works on a kernel that restricts tracing, and what is the user told? docs/platforms.md has the table.
//!
//! A condition that only concerns what is mounted is set up in a mount namespace, on any kernel. Settings of the kernel
//! change only in a virtual machine. `vm/lane test --only kernel_conditions` also boots one with each of the
//! options that a test needs.

use std::fs;
use std::io;
use std::path::Path;

use dtrace_consumer::error::Check;
use dtrace_consumer::session::WarningKind;
use dtrace_consumer::{Error, Outcome, preflight, run_synchronous};
use dtrace_test_support::dtrace1::Dtrace1;
use dtrace_test_support::harness::ignore;
use dtrace_test_support::leftovers::{alone, one_at_a_time};
use dtrace_test_support::{Missing, live_tests, stock_kernel};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

live_tests! {
    serial,
    needs: [Root, Tracing, Check(is_not_for_another_condition)],
    tests: [
        a_kernel_without_types_is_named,
        types_that_are_damaged_or_incomplete_are_named,
        neither_debugfs_nor_tracefs_has_to_be_mounted,
    ],
    needs: [Root, Tracing, StockKernel, Check(is_not_for_another_condition)],
    tests: [
        probes_on_functions_are_not_enabled_while_ftrace_is_disabled,
        probes_on_functions_do_not_need_kprobes_to_be_enabled,
        hidden_addresses_are_warned_of_where_functions_are_named,
    ],
    needs: [Root, KernelOption("lockdown=integrity")],
    tests: [
        lockdown_for_integrity_permits_all_but_writing_to_processes,
    ],
    needs: [Root, KernelOption("lockdown=confidentiality")],
    tests: [
        lockdown_for_confidentiality_is_named,
        lockdown_for_confidentiality_is_named_where_nothing_is_mounted_that_shows_it,
    ],
    needs: [Root, KernelOption("debugfs=off")],
    tests: [
        a_kernel_without_debugfs_is_named,
    ],
    needs: [Root, Dtrace1, KernelOption("test.function_tracing=broken")],
    tests: [
        function_tracing_that_has_turned_itself_off_is_named,
    ],
}

/// `vm/lane` has booted the kernel for the tests that need the option.
fn is_not_for_another_condition() -> Result<(), Missing> {
    match std::env::var("DTRACE_KERNEL_OPTION") {
        Ok(option) => Err(Missing::new(format!("the kernel was booted for tests of `{option}`"))),
        Err(_) => Ok(()),
    }
}

const TYPES: &str = "/sys/kernel/btf/vmlinux";

/// A probe on a function that the kernel calls for every command, when it opens the command's libraries.
const FUNCTIONS: &str = "fbt::vfs_open:entry";

/// Runs a function in a mount namespace of its own, and of the workers that it starts.
fn in_mount_namespace<T: Send>(run: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("root may create a mount namespace");
            let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
            mount(None::<&str>, "/", None::<&str>, private, None::<&str>).expect("/ is a mount");
            run()
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn mount_type(name: &str, on: &str) {
    mount(Some(name), on, Some(name), MsFlags::empty(), None::<&str>).expect("it can be mounted");
}

/// Runs a session whose clauses trace true(1).
fn session(clauses: &str) -> Result<Outcome, Error> {
    let run = run_synchronous(clauses, ["true"]).flag("destructive").chew(|_| Ok(())).run();
    run.map_err(|failure| failure.error)
}

/// Asserts that a probe fires in true(1), and that nothing is wrong with the session.
fn fires(probe: &str, action: &str) {
    let outcome = session(&format!("{probe} /pid == $target/ {{ {action} }}"));
    let outcome = outcome.unwrap_or_else(|error| panic!("{probe}: {error}"));
    assert!(outcome.firings > 0, "{probe} does not fire: {outcome:?}");
    assert_eq!(outcome.warnings, [], "{probe}");
}

/// A check that is not met: subject, detail and remedy.
type Unmet<'s> = (&'s str, &'s str, &'s str);

/// Asserts which checks of preflight are not met. A session fails with the same.
#[track_caller]
fn assert_missing(expected: &[Unmet]) {
    let missing: Vec<Check> =
        preflight(None).checks().iter().filter(|check| !check.met).cloned().collect();
    let remedy = |check: &Check| check.remedy.clone().unwrap_or_default();
    let said: Vec<_> =
        missing.iter().map(|it| (it.subject, it.detail.clone(), remedy(it))).collect();
    let said: Vec<Unmet> = said.iter().map(|it| (it.0, &*it.1, &*it.2)).collect();
    assert_eq!(said, expected);
    let Err(Error::Unavailable(error)) = session("BEGIN { exit(0); }") else {
        panic!("a session runs")
    };
    assert_eq!(error.missing(), missing);
}

fn a_kernel_without_types_is_named() {
    let (_lock, guard) = alone();
    in_mount_namespace(|| {
        mount_type("tmpfs", "/sys/kernel/btf");
        assert_missing(&[(
            "kernel types",
            "the kernel has no /sys/kernel/btf/vmlinux",
            "boot a kernel built with CONFIG_DEBUG_INFO_BTF, as distributions build theirs",
        )]);
    });
    guard.check();
}

fn types_that_are_damaged_or_incomplete_are_named() {
    let (_lock, guard) = alone();
    let whole = fs::read(TYPES).expect("the kernel has types");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("types");
    let mut swapped = whole.clone();
    swapped[..2].reverse();
    let cut = &whole[..whole.len() - 1];
    for types in [&[], &whole[..1], &whole[..100_000], cut, &vec![0; whole.len()], &swapped] {
        fs::write(&file, types).expect("a file");
        in_mount_namespace(|| {
            bind(&file, TYPES);
            assert_missing(&[(
                "kernel types",
                "/sys/kernel/btf/vmlinux is damaged or incomplete",
                "remove what is mounted over it, or boot another kernel",
            )]);
        });
    }
    fs::write(&file, &whole).expect("a file");
    in_mount_namespace(|| {
        bind(&file, TYPES);
        fires("syscall::openat:entry", "trace(curthread->pid);");
    });
    drop(directory);
    guard.check();
}

fn bind(file: &Path, to: &str) {
    mount(Some(file), to, None::<&str>, MsFlags::MS_BIND, None::<&str>).expect("a bind mount");
}

fn neither_debugfs_nor_tracefs_has_to_be_mounted() {
    let (_lock, guard) = alone();
    in_mount_namespace(|| {
        unmount_tracing();
        let found = preflight(None);
        let debugfs = found.checks().iter().find(|check| check.subject == "debugfs");
        let detail = debugfs.map(|check| (check.met, check.detail.as_str()));
        let expected = "not mounted, or not readable by this user; the worker mounts its own";
        assert_eq!(detail, Some((true, expected)));
        fires("syscall::openat:entry", "trace(execname);");
        fires("rawtp:sched::sched_process_exit", "trace(1);");
    });
    guard.check();
}

fn unmount_tracing() {
    for on in ["/sys/kernel/tracing", "/sys/kernel/debug/tracing", "/sys/kernel/debug"] {
        while umount2(on, MntFlags::MNT_DETACH).is_ok() {}
    }
    assert!(!Path::new("/sys/kernel/debug/tracing").exists());
}

/// A setting of the kernel, which is restored in the end.
struct Setting {
    file: &'static str,
    before: String,
}

impl Setting {
    fn set(file: &'static str, value: &str) -> Setting {
        Setting::try_set(file, value).expect("root may write it")
    }

    /// The error is that of the write.
    fn try_set(file: &'static str, value: &str) -> io::Result<Setting> {
        let before = fs::read_to_string(file).expect("the kernel has the setting");
        let setting = Setting { file, before };
        setting.write(value)?;
        Ok(setting)
    }

    fn write(&self, value: &str) -> io::Result<()> {
        fs::write(self.file, value)?;
        let now = fs::read_to_string(self.file).expect("a value");
        assert_eq!(now.trim(), value.trim(), "{}", self.file);
        Ok(())
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let restored = fs::write(self.file, &self.before);
        // A second panic would abort the program.
        if !std::thread::panicking() {
            restored.expect("root may write it");
        }
    }
}

const FTRACE: &str = "/proc/sys/kernel/ftrace_enabled";

/// Why a test is ignored that needs [`without_ftrace`].
const FTRACE_STAYS: &str = "this kernel does not let ftrace be disabled";

/// Disables ftrace. Returns `None` if the kernel does not support that, like Linux 7.
fn without_ftrace() -> Option<Setting> {
    match Setting::try_set(FTRACE, "0") {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => {
            assert_eq!(fs::read_to_string(FTRACE).expect("a value").trim(), "1");
            None
        }
        disabled => Some(disabled.expect("root may write it")),
    }
}

fn probes_on_functions_are_not_enabled_while_ftrace_is_disabled() {
    let (_lock, guard) = alone();
    let Some(disabled) = without_ftrace() else {
        fires(FUNCTIONS, "trace(execname);");
        guard.check();
        ignore(FTRACE_STAYS);
    };
    for clause in [FUNCTIONS, "rawfbt::vfs_open:entry", "tcp:::send", "sched:::on-cpu"] {
        let error = session(&format!("{clause} {{ }}")).expect_err("it would never fire");
        let text = error.to_string();
        let expected = "would never fire, because kernel.ftrace_enabled is 0, and disabling it could break the \
                        kernel's function tracing (run `sysctl kernel.ftrace_enabled=1`)";
        assert!(text.contains(expected) && text.contains(&format!("`{clause}`")), "{text}");
    }
    fires("syscall::openat:entry", "trace(execname);");
    fires("tick-10ms, syscall::openat:entry", "trace(1);");
    fires("pid$target:libc.so.6:_exit:entry", "trace(1);");
    drop(disabled);
    // Nothing is broken.
    fires(FUNCTIONS, "trace(execname);");
    guard.check();
}

fn probes_on_functions_do_not_need_kprobes_to_be_enabled() {
    let (_lock, guard) = alone();
    let disabled = Setting::set("/sys/kernel/debug/kprobes/enabled", "0");
    fires(FUNCTIONS, "trace(execname);");
    drop(disabled);
    guard.check();
}

fn hidden_addresses_are_warned_of_where_functions_are_named() {
    let (_lock, guard) = alone();
    let hidden = Setting::set("/proc/sys/kernel/kptr_restrict", "2");
    for action in ["stack();", "sym(arg0);", "func(arg0);", "mod(arg0);"] {
        let outcome = session(&format!("{FUNCTIONS} /pid == $target/ {{ {action} }}"));
        let outcome = outcome.expect("it runs");
        assert!(outcome.firings > 0, "{action}");
        let [warning] = &outcome.warnings[..] else { panic!("{action}: {:?}", outcome.warnings) };
        assert_eq!(
            (warning.kind, warning.subject.as_str()),
            (WarningKind::WrongNames, "kernel.kptr_restrict")
        );
        let remedy = "(run `sysctl kernel.kptr_restrict=1`)";
        assert!(warning.message.contains(remedy), "{}", warning.message);
    }
    fires(FUNCTIONS, "trace(execname); ustack();");
    hidden.write("1").expect("root may write it");
    fires(FUNCTIONS, "stack();");
    drop(hidden);
    guard.check();
}

fn lockdown_for_integrity_permits_all_but_writing_to_processes() {
    let (_lock, guard) = alone();
    in_mount_namespace(|| {
        mount_type("securityfs", "/sys/kernel/security");
        let state = fs::read_to_string("/sys/kernel/security/lockdown").expect("a state");
        assert!(state.contains("[integrity]"), "{state}");
        assert!(preflight(None).is_ready());
        fires(FUNCTIONS, "stack(); trace(curthread->pid);");
        fires("syscall::openat:entry", "trace(copyinstr(arg1)); ustack();");
        fires("pid$target:libc.so.6:_exit:entry", "trace(1);");
        for action in ["copyoutstr(\"x\", arg1, 2);", "copyout(alloca(8), arg1, 8);"] {
            let error = session(&format!("syscall::openat:entry /pid == $target/ {{ {action} }}"));
            let text = error.expect_err("the kernel refuses it").to_string();
            let expected =
                "a kernel that is locked down permits neither `copyout` nor `copyoutstr`";
            assert!(text.contains(expected), "{action}: {text}");
        }
    });
    guard.check();
}

// These take no guard: it reads the list of uprobe events, which this kernel does not have.

fn lockdown_for_confidentiality_is_named() {
    let _lock = one_at_a_time();
    let of_debugfs = (
        "debugfs",
        "the kernel does not provide /sys/kernel/debug/tracing/uprobe_events: No such file or directory (os \
         error 2)",
        "boot without lockdown for confidentiality, a kernel built with CONFIG_UPROBE_EVENTS",
    );
    assert!(!Path::new("/sys/kernel/security/lockdown").exists());
    assert_missing(&[of_debugfs]);
    in_mount_namespace(|| {
        mount_type("securityfs", "/sys/kernel/security");
        let of_lockdown = (
            "lockdown",
            "the kernel is locked down for confidentiality, which forbids reading its memory",
            "boot with lockdown=integrity or none",
        );
        assert_missing(&[of_lockdown, of_debugfs]);
    });
}

fn lockdown_for_confidentiality_is_named_where_nothing_is_mounted_that_shows_it() {
    let _lock = one_at_a_time();
    in_mount_namespace(|| {
        unmount_tracing();
        assert!(preflight(None).is_ready());
        for script in [
            "BEGIN { }",
            "syscall::openat:entry { }",
            "rawtp:::sys_enter { }",
            "fbt::vfs_open:entry { }",
        ] {
            let text = session(script).expect_err("the kernel permits nothing").to_string();
            let expected = "the kernel may be locked down for confidentiality (boot with `lockdown=integrity`)";
            assert!(text.contains(expected), "{script}: {text}");
        }
    });
}

fn a_kernel_without_debugfs_is_named() {
    let _lock = one_at_a_time();
    assert_missing(&[(
        "debugfs",
        "the kernel has no debugfs",
        "boot without `debugfs=off`, a kernel built with CONFIG_DEBUG_FS and CONFIG_UPROBE_EVENTS",
    )]);
}

/// dtrace(1) enables probes on functions while they do not fire, which Linux 6.1 does not get over.
fn function_tracing_that_has_turned_itself_off_is_named() {
    let (_lock, guard) = alone();
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let dtrace1 = Dtrace1::find(scratch.path(), &[]).expect("dtrace(1) is installed");
    let Some(disabled) = without_ftrace() else { ignore(FTRACE_STAYS) };
    let script = format!("{FUNCTIONS} {{ }}");
    let output = dtrace1.command().args(["-q", "-n", &script, "-c", "true"]).output();
    assert!(output.expect("dtrace(1) starts").status.success());
    drop(disabled);
    let is_on = fs::File::open("/sys/kernel/tracing/available_filter_functions").is_ok();
    if is_on && stock_kernel().as_deref() != Some("6.1") {
        ignore("this kernel's function tracing does not turn itself off");
    }
    let text = session(&script).expect_err("the kernel traces no function").to_string();
    let expected =
        "the kernel has turned its function tracing off after an error (`dmesg` shows it); reboot";
    assert!(text.contains(expected), "{text}");
    fires("syscall::openat:entry", "trace(execname);");
    drop(scratch);
    guard.check();
}

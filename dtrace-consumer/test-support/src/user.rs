//! How does a test become an ordinary user, on a system that permits the user this or that?
//!
//! The user lives in a mount namespace with an /etc and a /usr/local/libexec of its own, so that nothing of
//! the system is changed. The user's program is the test binary, started as `BINARY as-user CASE`.

use std::path::Path;
use std::process::{Command, Stdio};

use dtrace_consumer::locate::Libdtrace;

use crate::prefix;
use crate::processes::orphans_ended;

/// The first argument of a test binary that is to be the user's program.
const WORD: &str = "as-user";

/// sudoers(5) that permits the user the installed worker, and nothing else.
pub const SUDOERS: &str = "Defaults use_pty\nnobody ALL=(root) NOPASSWD: \
    /usr/local/libexec/dtrace-worker serve\n";

/// What is written in the user's /etc, and what is changed on the user's system besides.
#[derive(Debug, Clone, Copy, Default)]
pub struct System<'a> {
    /// sudoers(5).
    pub sudoers: &'a str,
    /// doas.conf(5).
    pub doas: &'a str,
    /// The worker's configuration.
    pub worker: &'a str,
    /// Commands of a shell that root runs before.
    pub commands: &'a str,
    /// Options of unshare(1) besides `--mount`.
    pub namespaces: &'a [&'a str],
    /// Capabilities that the user has, as setpriv(1) takes them.
    pub capabilities: &'a str,
}

/// What the user is to do, if this process is the user's program. To be asked before `main`.
#[must_use]
pub fn case() -> Option<String> {
    let arguments = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let arguments: Vec<String> = arguments.collect();
    match &arguments[..] {
        [_, word, case] if word == WORD => Some(case.clone()),
        _ => None,
    }
}

const SCRIPT: &str = r#"
        set -e
        mount --make-rprivate /
        mount -t tmpfs -o mode=755 scratch /mnt
        mkdir /mnt/etc /mnt/libexec
        cp -a /etc/. /mnt/etc/
        cp "$WORKER" /mnt/libexec/dtrace-worker
        cp "$TEST" /mnt/libexec/user
        if test -n "$PREFIX"; then
            cp -a --no-preserve=ownership "$PREFIX" /mnt/libdtrace
            echo "prefix = /mnt/libdtrace" > /mnt/etc/dtrace-worker.conf
        fi
        mkdir -p /usr/local/libexec
        mount --bind /mnt/etc /etc
        mount --bind /mnt/libexec /usr/local/libexec
        printf %s "$SUDOERS" > /etc/sudoers
        chmod 440 /etc/sudoers
        rm -rf /etc/sudoers.d
        printf %s "$DOAS" > /etc/doas.conf
        chmod 400 /etc/doas.conf
        printf %s "$CONFIGURATION" >> /etc/dtrace-worker.conf
        # For commands that change libdtrace: makes a private one if the system's is used.
        private_libdtrace() {
            test ! -d /mnt/libdtrace || return 0
            directory=${LIBRARY%/*}
            mkdir -p "/mnt/libdtrace$directory"
            # With the libraries that it needs, and the loader.
            for loader in /lib*/ld-linux-*.so.*; do break; done
            needed=$("$loader" --list "$LIBRARY" | sed -n 's|.*[[:blank:]]\(/[^ ]*\) (.*|\1|p')
            cp -L $needed "/mnt/libdtrace$directory"
            cp -a "$directory"/libdtrace.so.2* "$directory/dtrace" "/mnt/libdtrace$directory"
            printf '\nprefix = /mnt/libdtrace\n' >> /etc/dtrace-worker.conf
            PREFIX=/mnt/libdtrace
        }
        eval "$COMMANDS"
        as_user="setpriv --reuid 65534 --regid 65534 --clear-groups"
        if test -n "$CAPABILITIES"; then
            # The user traces without an installed worker.
            as_user="${PREFIX:+DTRACE_CONSUMER_PREFIX=/mnt/libdtrace} $as_user
                --inh-caps $CAPABILITIES --ambient-caps $CAPABILITIES"
        fi
        exec env -i PATH="$PATH" TMPDIR=/mnt $as_user \
            /usr/local/libexec/user "$USER_WORD" "$CASE"
    "#;

/// The output of the user who does `case` on such a system. `worker` is the program that is installed there.
///
/// # Panics
/// If the user's program fails.
#[must_use]
pub fn as_user(system: &System<'_>, worker: &Path, case: &str) -> String {
    as_user_with(Some(prefix::used()), system, worker, case)
}

/// Does the same where the libdtrace of this machine is not used: the commands of the system provide one.
///
/// # Panics
/// If the user's program fails.
#[must_use]
pub fn as_user_without_libdtrace(system: &System<'_>, worker: &Path, case: &str) -> String {
    as_user_with(None, system, worker, case)
}

fn as_user_with(used: Option<Libdtrace>, system: &System<'_>, worker: &Path, case: &str) -> String {
    let exe = std::env::current_exe().expect("the test knows its own file");
    let library = used.as_ref().map(|used| used.library.clone()).unwrap_or_default();
    // A private libdtrace is a prefix of root's.
    let prefix = used.as_ref().and_then(prefix::of).unwrap_or_default();
    let output = Command::new("unshare")
        .arg("--mount")
        .args(system.namespaces)
        .args(["sh", "-c", SCRIPT])
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("TEST", exe)
        .env("WORKER", worker)
        .env("PREFIX", prefix)
        .env("LIBRARY", library)
        .env("SUDOERS", system.sudoers)
        .env("DOAS", system.doas)
        .env("CONFIGURATION", system.worker)
        .env("COMMANDS", system.commands)
        .env("CAPABILITIES", system.capabilities)
        .env("USER_WORD", WORD)
        .env("CASE", case)
        .stdin(Stdio::null())
        .output()
        .expect("unshare(1) can be run");
    // Its workers may end after it.
    orphans_ended();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {}: {said}", output.status);
    String::from_utf8(output.stdout).expect("text")
}

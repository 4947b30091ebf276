//! Adds advice to an error that libdtrace reported, from what is known of the session and the system.

use std::time::Duration;

use super::admitted::Admitted;
use super::hint::{self, Facts, NO_TARGET};
use super::settings::Settings;
use super::system::{exists, explained_by_limit, functions_are_off};
use super::{inquiry, near, system};
use crate::data::sentences;
use crate::error::{CompileError, Error};
use crate::stream::job::Purpose;

/// How long a worker may be silent that lists all probes for advice.
const LISTING: Duration = Duration::from_secs(30);

/// Adds what the user can do about an error, as far as it is known. `command` is the session's `$target`.
pub(crate) fn advised(settings: &Settings, command: Option<i32>, mut error: Error) -> Error {
    let grabs = |pid| {
        let is_it = |grabbed: i32| u32::try_from(grabbed) == Ok(pid);
        command.is_some_and(is_it) || settings.grabbed.iter().copied().any(is_it)
    };
    match &mut error {
        Error::Compile(error) => {
            if let Some(description) = sentences::unmatched_description(&error.message) {
                let parts = near::parts(description).map(str::to_owned);
                unmatched(settings, &grabs, &parts, error);
            } else if error.advice.is_none() {
                error.advice = uncompiled(&grabs, &error.message);
            }
        }
        Error::Process { attempt, advice, .. } => *advice = process(attempt),
        _ => {}
    }
    explained_by_limit(error)
}

/// Adds the limit of this process that explains why a session did not start, if there is one.
pub(crate) fn explained(error: Error) -> Error {
    explained_by_limit(error)
}

/// Adds similar probes, and why the description matches none.
fn unmatched(
    settings: &Settings,
    grabs: &dyn Fn(u32) -> bool,
    parts: &[String; 4],
    error: &mut CompileError,
) {
    let only_where = Settings {
        access: settings.access.clone(),
        silence_limit: Some(settings.silence_limit.map_or(LISTING, |limit| limit.min(LISTING))),
        ..Settings::default()
    };
    let everything = Purpose::List { patterns: Vec::new(), describe: false };
    // A script has been compiled, so the library was admitted.
    let only_where = Admitted::of(&only_where);
    // If the listing fails, the error is returned without suggestions.
    let Ok(probes) = inquiry::list(only_where, everything) else { return };
    error.similar = near::similar(&parts.join(":"), &probes);
    let symbols = system::kernel_symbols();
    let facts = Facts { probes: &probes, symbols: &symbols, ..facts(grabs) };
    if let Some(advice) = facts.unmatched(parts.each_ref().map(String::as_str)) {
        // A similar probe explains more than a list of all providers.
        let is_list = advice.starts_with("no provider matches");
        error.advice = (!is_list || error.similar.is_empty()).then_some(advice);
    }
}

/// What is known without a list of the probes.
fn facts(grabs: &dyn Fn(u32) -> bool) -> Facts<'_> {
    Facts {
        probes: &[],
        symbols: "",
        functions_are_off,
        exists,
        sun: cfg!(not(dtrace_abi = "linux")),
        grabs,
    }
}

fn uncompiled(grabs: &dyn Fn(u32) -> bool, message: &str) -> Option<String> {
    if let Some(pid) = hint::not_grabbed(message) {
        return facts(grabs).ungrabbed(pid);
    }
    if hint::names_no_process(message) {
        return Some(NO_TARGET.to_owned());
    }
    None
}

/// Explains why libdtrace did not grab a process. Its own message is always the same.
fn process(attempt: &str) -> Option<String> {
    let pid = attempt.strip_prefix("grab process ")?;
    let Some(pid) = pid.parse().ok().filter(|pid| exists(*pid)) else {
        return Some(format!("there is no process {pid}"));
    };
    // This process holds the command that libdtrace is to trace, which does no harm.
    let is_other = |tracer: &u32| !system::traces_for_this_process(*tracer);
    if let Some(tracer) = system::tracer_of(pid).filter(is_other) {
        return Some(format!(
            "process {tracer} traces it already, and a process can have only one tracer"
        ));
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    hides_processes(&mounts).then(|| HIDDEN.to_owned())
}

/// libdtrace looks with access(2), which ignores the capabilities of other users than root.
const HIDDEN: &str = "/proc hides processes that have capabilities (the mount option hidepid); trace as root or with \
                      an elevated worker, or remount /proc with hidepid=off";

/// Returns whether `/proc`, in these lines of proc(5)'s `mountinfo`, hides processes.
fn hides_processes(mounts: &str) -> bool {
    let is_proc = |line: &&str| line.split(' ').nth(4) == Some("/proc");
    // The last one covers the others.
    let options = mounts.lines().rfind(is_proc).and_then(|line| line.rsplit(' ').next());
    let hides = |option: &str| {
        option.strip_prefix("hidepid=").is_some_and(|how| !["0", "off"].contains(&how))
    };
    options.is_some_and(|options| options.split(',').any(hides))
}

#[cfg(test)]
mod tests {
    use super::hides_processes;

    #[test]
    fn the_mount_that_is_seen_tells_whether_processes_are_hidden() {
        let mount = |place: &str, options: &str| {
            format!("583 581 0:21 / {place} rw - proc proc {options}\n")
        };
        let open = mount("/proc", "rw");
        for (mounts, hides) in [
            (String::new(), false),
            (open.clone(), false),
            (mount("/proc", "rw,gid=4,hidepid=invisible"), true),
            (mount("/proc", "rw,hidepid=2"), true),
            (mount("/proc", "rw,hidepid=off"), false),
            (mount("/proc", "rw,hidepid=0"), false),
            (format!("{open}{}", mount("/proc", "rw,hidepid=ptraceable")), true),
            (format!("{}{open}", mount("/proc", "rw,hidepid=2")), false),
            (format!("{open}{}", mount("/mnt/proc", "rw,hidepid=2")), false),
        ] {
            assert_eq!(hides_processes(&mounts), hides, "{mounts}");
        }
    }
}

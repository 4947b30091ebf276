//! Composes a worker's job.

use std::time::Duration;

use dtrace_locate::locate::Libdtrace;

use super::options;
use super::retry::known_bad;
use super::settings::Settings;
use crate::data::aggregation::Mode;
use crate::data::session_info::ProgramInfo;
use crate::decode::consumer::Wants;
use crate::error::Error;
use crate::error::explain::Session;
use crate::stream::compile_flags::{ERROR_TAGS, PREPROCESS};
use crate::stream::job::{Job, LONGEST_DELAY, Process, Purpose, Unknown};

/// Makes a job of the user's settings, which [`check`] has accepted. `library` is the one to load; an elevated
/// worker loads the one that its administrator chose.
pub(super) fn job(
    settings: &Settings,
    library: Option<&Libdtrace>,
    purpose: Purpose,
    wants: Wants,
) -> Result<Job, Error> {
    let options = options::complete(&settings.options)?;
    let (file, syslibdir) = match library {
        Some(library) => (library.library.clone(), library.syslibdir.clone()),
        None => Default::default(),
    };
    // What a script uses is known only after preprocessing.
    let preprocessed = settings.compile_flags & PREPROCESS != 0;
    // A type may be defined in any D library.
    let everything = preprocessed || matches!(purpose, Purpose::Types { .. });
    Ok(Job {
        purpose,
        omit: if everything { known_bad(&file) } else { Vec::new() },
        library: file,
        unknown: library.map_or(Ok(None), |library| unknown(settings, library))?,
        syslibdir,
        all_libraries: everything,
        options,
        compile_flags: settings.compile_flags | ERROR_TAGS,
        scripts: settings.scripts.clone(),
        target: None,
        processes: settings.grabbed.iter().copied().map(Process::Grab).collect(),
        // A recording serves handlers that do not exist yet.
        firings: settings.recording.is_some()
            || wants.any(Wants::CHEW | Wants::CHEWREC | Wants::OUT),
        text: wants.any(Wants::OUT) || settings.delivery.demands.text,
        printed: settings.delivery.demands.printed,
        order: settings.delivery.order_for_libdtrace(),
        drain: settings.delivery.mode == Mode::Drain,
        report: wants.any(Wants::REPORT),
        read_options: read_options(settings),
        snapshot_interval: settings.interval,
        max_delay: delay(settings),
    })
}

/// Returns the options to read. A recording has those that decide how dtrace(1) would print it.
fn read_options(settings: &Settings) -> Vec<String> {
    let mut names = settings.read_options.clone();
    if settings.recording.is_some() {
        let printing = ["quiet", "flowindent"].map(str::to_owned);
        let new: Vec<String> = printing.into_iter().filter(|name| !names.contains(name)).collect();
        names.extend(new);
    }
    names
}

/// Returns the permission to load a library whose version is not known, if it was verified or is being checked.
fn unknown(settings: &Settings, library: &Libdtrace) -> Result<Option<Unknown>, Error> {
    Unknown::permission(library, settings.access.under_check.is_some()).map_err(|reason| {
        let library = library.library.display().to_string();
        Error::NotVerified { library, reason }
    })
}

/// Returns what is known of the session that a job is for, to explain its failure.
pub(super) fn known<'s>(job: &'s Job, programs: &'s [ProgramInfo]) -> Session<'s> {
    Session { scripts: &job.scripts, options: &job.options, omitted: &job.omit, programs }
}

/// How long records may wait by default. Waking for a record costs far more than the record, and a few megabytes of
/// buffer hold much more than the kernel records in this time at its highest rate.
const USUAL_DELAY: Duration = Duration::from_millis(5);

/// Returns how long records may wait. The kernel's waits have milliseconds, so a shorter delay is one.
fn delay(settings: &Settings) -> Duration {
    match settings.max_delay {
        Some(Duration::ZERO) => Duration::ZERO,
        delay => delay.unwrap_or(USUAL_DELAY).max(Duration::from_millis(1)),
    }
}

/// The shortest interval between walks. A shorter one would leave no time for anything else.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

/// Refuses settings that make no sense, and text that C strings cannot hold.
pub(super) fn check(settings: &Settings) -> Result<(), Error> {
    if let Some(interval) = settings.interval.filter(|it| *it < SHORTEST_INTERVAL) {
        let setting = format!("walk_every({interval:?})");
        return Err(Error::Setting { setting, reason: "the shortest interval is 1 ms" });
    }
    if let Some(delay) = settings.max_delay.filter(|it| *it > LONGEST_DELAY) {
        let setting = format!("max_delay({delay:?})");
        return Err(Error::Setting { setting, reason: "the longest delay is 1 s" });
    }
    for script in &settings.scripts {
        if script.text.contains(&0) {
            let reason = "it contains a NUL byte".to_owned();
            return Err(Error::Script { script: script.name.clone(), reason });
        }
    }
    Ok(())
}

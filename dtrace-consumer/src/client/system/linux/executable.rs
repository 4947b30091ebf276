//! Which executable is started again as the worker?

use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::start_up::address_of_this_code;
use crate::stream::marker::MARKER;

/// Returns this process's executable, if starting it again runs this crate's start-up hook.
pub(in crate::client) fn own_executable() -> Result<PathBuf, Error> {
    // By pid, because a loader that is asked to run `/proc/self/exe` would run itself.
    let program = PathBuf::from(format!("/proc/{}/exe", std::process::id()));
    if std::env::var_os(MARKER).is_some() {
        let reason = format!(
            "{MARKER} is set in the environment, but this process did not become a worker: \
             its start-up hook did not run"
        );
        return Err(Error::WorkerStart { program, reason });
    }
    if let Some(library) = foreign_home() {
        let reason = format!(
            "this crate's code is in {library} and not in the program itself, so that starting \
             the program again would not start a worker (name a worker program with \
             `worker(path)`, such as dtrace-worker)"
        );
        return Err(Error::WorkerStart { program, reason });
    }
    Ok(program)
}

/// Returns the shared library that contains this crate's code; `None` if the executable contains it.
fn foreign_home() -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let executable = std::fs::read_link("/proc/self/exe").ok()?;
    let home = maps.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        range.contains(&address_of_this_code()).then(|| rest.splitn(5, ' ').nth(4))?
    })?;
    let home = home.trim();
    // If a loader was started by name, the executable is that loader.
    let loader = executable.file_name().is_some_and(|n| n.to_string_lossy().starts_with("ld-"));
    (Path::new(home) != executable && !loader && !home.is_empty()).then(|| home.to_owned())
}

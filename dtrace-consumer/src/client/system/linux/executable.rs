//! Which executable is started again as the worker?

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::FsFlags;

use crate::client::system::foreign_home;
use crate::error::Error;
use crate::start_up::{address_of_this_code, obstacle};

/// Returns this process's executable, if starting it again runs this crate's start-up hook.
pub(in crate::client) fn own_executable() -> Result<PathBuf, Error> {
    // By PID, because a loader that is asked to run `/proc/self/exe` would run itself. The PID
    // comes from /proc, because /proc may belong to another PID namespace.
    let number = super::number_in_proc()
        .map_err(|cause| Error::System { attempt: "find this process in /proc", cause })?;
    let program = PathBuf::from(format!("/proc/{number}/exe"));
    if let Some(reason) = obstacle() {
        return Err(Error::WorkerStart { program, reason });
    }
    if let Some(library) = home_if_foreign() {
        let reason = foreign_home(Path::new(&library));
        return Err(Error::WorkerStart { program, reason });
    }
    if nix::sys::statvfs::statvfs(&program).is_ok_and(|it| it.flags().contains(FsFlags::ST_NOEXEC))
    {
        let reason = "its file system was mounted noexec after this program started (mount it with \
                      exec, or name a worker program elsewhere with `worker(path)`)";
        return Err(Error::WorkerStart { program, reason: reason.to_owned() });
    }
    Ok(program)
}

/// Returns where this process finds its libraries, apart from the system's directories. A loader that is named
/// explicitly ignores `LD_LIBRARY_PATH`, and does not know where the program is, which `$ORIGIN` stands for.
pub(in crate::client) fn library_directories() -> Vec<PathBuf> {
    let variable = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let is_separator = |byte: &u8| matches!(byte, b':' | b';');
    let named = variable.as_bytes().split(is_separator).map(|name| match name {
        // The loader takes an empty name for the working directory.
        b"" => PathBuf::from("."),
        name => PathBuf::from(OsStr::from_bytes(name)),
    });
    let mut directories: Vec<PathBuf> =
        if variable.is_empty() { Vec::new() } else { named.collect() };
    let maps = std::fs::read("/proc/self/maps").unwrap_or_default();
    for line in maps.split(|byte| *byte == b'\n') {
        let Some(at) = line.iter().position(|byte| *byte == b'/') else { continue };
        let file = Path::new(OsStr::from_bytes(&line[at..]));
        let is_library = file.file_name().is_some_and(|name| {
            let name = name.as_bytes();
            name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.")
        });
        let directory = file.parent().filter(|directory| {
            is_library && !directory.starts_with("/usr/lib") && !directory.starts_with("/lib")
        });
        // The loader's argument uses these as separators.
        let is_sayable = |it: &&Path| !it.as_os_str().as_bytes().iter().any(is_separator);
        if let Some(directory) = directory.filter(is_sayable)
            && !directories.iter().any(|it| it == directory)
        {
            directories.push(directory.to_owned());
        }
    }
    directories
}

/// Returns the shared library that contains this crate's code; `None` if the executable contains it.
fn home_if_foreign() -> Option<String> {
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

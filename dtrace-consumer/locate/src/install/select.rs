//! Which files of the packages make up a prefix, and are they complete?

use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::Programs;
use super::error::InstallError;
use super::files::{entries, move_to};
use crate::locate;
use crate::prefix::{self, SONAME};

/// Where dtrace(1) is in a prefix.
pub(super) const PROGRAM_PATH: &str = "usr/sbin/dtrace";

/// Moves the files that are used at run time from the unpacked packages into the prefix: libraries, D
/// libraries, copyright notices and optionally dtrace(1). Returns the libraries' directory, relative
/// to the prefix.
pub(super) fn select(
    unpacked: &Path,
    root: &Path,
    with_program: bool,
) -> Result<PathBuf, InstallError> {
    let missing = |what: &str| InstallError::Incomplete { missing: vec![what.to_owned()] };
    let from = prefix::library_directory(unpacked)?.ok_or_else(|| missing(SONAME))?;
    let directory = from.strip_prefix(unpacked).unwrap_or(&from).to_owned();
    for (name, path) in entries(&from)? {
        if name.contains(".so.") || name.ends_with(".so") || name == "dtrace" {
            move_to(&path, &root.join(&directory).join(&name))?;
        }
    }
    for (name, path) in entries(&unpacked.join("usr/share/doc"))? {
        let notice = path.join("copyright");
        // A package may share the directory of another one by a link.
        if notice.is_file() && !path.is_symlink() {
            move_to(&notice, &root.join("usr/share/doc").join(name).join("copyright"))?;
        }
    }
    if with_program {
        let program = ["usr/sbin", "usr/bin"].map(|it| unpacked.join(it).join("dtrace"));
        let program = program.iter().find(|it| it.is_file()).ok_or_else(|| missing("dtrace"))?;
        move_to(program, &root.join(PROGRAM_PATH))?;
    }
    Ok(directory)
}

/// Checks that the prefix's dynamic loader finds everything that libdtrace needs in its directory;
/// returns libdtrace's version. Does not run any code of libdtrace.
pub(super) fn check(programs: &Programs, directory: &Path) -> Result<String, InstallError> {
    let library = directory.join(SONAME);
    let incomplete = |missing: Vec<String>| InstallError::Incomplete { missing };
    let loader = prefix::find_loader(directory)?
        .ok_or_else(|| incomplete(vec!["the dynamic loader".into()]))?;
    let said = programs.run(
        Command::new(loader)
            .args(["--inhibit-cache", "--library-path"])
            .arg(directory)
            .arg("--list")
            .arg(&library),
    )?;
    let missing = unresolved(&said, directory);
    if !missing.is_empty() {
        return Err(incomplete(missing));
    }
    locate::examine(&library)
        .map_err(|refused| incomplete(vec![format!("a usable libdtrace ({refused})")]))
}

/// Returns the libraries that `ld.so --list` does not find, or finds outside the directory.
fn unresolved(list: &str, directory: &Path) -> Vec<String> {
    let needed = list.lines().filter_map(|line| line.split_once(" => "));
    let missing = needed.filter(|(_, found)| !Path::new(found.trim()).starts_with(directory));
    missing.map(|(name, _)| name.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_from_the_host_or_from_nowhere_counts_as_missing() {
        let list = "\tlinux-vdso.so.1 (0x00007f)\n\
                    \tlibelf.so.1 => /p/lib/libelf.so.1 (0x00007f)\n\
                    \tlibz.so.1 => /usr/lib/libz.so.1 (0x00007f)\n\
                    \tlibfuse3.so.4 => not found\n\
                    \t/p/lib/ld-linux.so.2 (0x00007f)\n";
        assert_eq!(unresolved(list, Path::new("/p/lib")), ["libz.so.1", "libfuse3.so.4"]);
    }
}

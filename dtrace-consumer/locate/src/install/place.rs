//! Which of several prefixes can hold a private libdtrace?

use std::fs;
use std::path::{Path, PathBuf};

use super::error::InstallError;
use super::installed::status;
use super::workplace::Workplace;
use crate::path;
use crate::prefix::PREFIX_NAME;

/// What [`choose_prefix`] chose.
#[derive(Debug)]
#[non_exhaustive]
pub struct Chosen {
    /// The prefix, as an absolute path.
    pub prefix: PathBuf,
    /// Why those offered before it cannot be used, in their order.
    pub passed: Vec<InstallError>,
}

/// Returns the first of these prefixes that can hold a private libdtrace: one whose path libdtrace supports, and that
/// can be created or holds one already. Nothing is left behind in any of them.
///
/// A prefix that contains other files is chosen all the same. [`Installer::install`](super::Installer::install) then
/// refuses to replace them.
///
/// # Errors
/// [`InstallError::NoPlace`] with the reasons if none can be used.
pub fn choose_prefix(offered: impl IntoIterator<Item = PathBuf>) -> Result<Chosen, InstallError> {
    let mut passed = Vec::new();
    for prefix in offered {
        match usable(&prefix) {
            Ok(prefix) => return Ok(Chosen { prefix, passed }),
            Err(error) => passed.push(error),
        }
    }
    Err(InstallError::NoPlace { passed })
}

/// Returns the prefix of a target directory of cargo in which the file is, if it is in one: `target/libdtrace` for
/// `target/debug/tool`. Programs below `target` search there.
///
/// Cargo tags, by name, both `target` and, if a build names its target, `target/<triple>`. The outer one is returned.
pub fn prefix_in_target(file: &Path) -> Option<PathBuf> {
    let tag = |it: &Path| fs::read_to_string(it.join("CACHEDIR.TAG"));
    let tagged = |it: &&Path| tag(it).is_ok_and(|text| text.contains("created by cargo"));
    let target = file.ancestors().skip_while(|it| !tagged(it)).take_while(tagged).last()?;
    Some(target.join(PREFIX_NAME))
}

/// Returns the absolute path of a prefix that libdtrace supports.
pub(super) fn supported(prefix: &Path) -> Result<PathBuf, InstallError> {
    let prefix =
        std::path::absolute(prefix).map_err(|error| InstallError::io("resolve", prefix, error))?;
    match path::unusable_in_prefix(&prefix) {
        Some(problem) => Err(InstallError::UnusablePath { prefix, problem }),
        None => Ok(prefix),
    }
}

fn usable(prefix: &Path) -> Result<PathBuf, InstallError> {
    let prefix = supported(prefix)?;
    match status(&prefix) {
        // A damaged one is chosen too: it is to be installed again or removed, and not to be forgotten.
        Ok(_) | Err(InstallError::Damaged { .. }) => {}
        // Only an attempt tells for certain what permissions, mounts and quotas allow.
        Err(_) => drop(Workplace::beside(&prefix)?),
    }
    Ok(prefix)
}

#[cfg(test)]
mod tests;

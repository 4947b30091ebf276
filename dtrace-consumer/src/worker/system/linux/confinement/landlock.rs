//! Where may a worker write if it does not look into other processes?
//!
//! Landlock confines it to the kernel's tracing files. It also denies access to the memory of other
//! processes, so sessions that read symbols there cannot use it. It applies to the calling thread
//! and to threads started later.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

use crate::worker::system::linux::uprobe_events::UPROBE_EVENTS;

/// The newest version whose rights are denied. A kernel that does not know some of them denies the
/// others.
const NEWEST: ABI = ABI::V6;

/// Denies every change of files outside the tracing file system, starting programs, TCP, connecting
/// to abstract sockets and signals to other processes, as far as the kernel's Landlock can.
pub(super) fn confine_writing() -> io::Result<()> {
    let denied = AccessFs::from_all(NEWEST) & !(AccessFs::ReadFile | AccessFs::ReadDir);
    let mut ruleset = Ruleset::default()
        .handle_access(denied)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(BitFlags::<Scope>::all()))
        .and_then(Ruleset::create)
        .map_err(io::Error::other)?;
    let tracing = Path::new(UPROBE_EVENTS).parent().unwrap_or(Path::new(UPROBE_EVENTS));
    for path in [tracing, Path::new("/dev/null")] {
        // What does not exist needs no exception.
        let Ok(place) = PathFd::new(path) else { continue };
        ruleset = ruleset
            .add_rule(PathBeneath::new(place, AccessFs::WriteFile))
            .map_err(io::Error::other)?;
    }
    ruleset.restrict_self().map_err(io::Error::other)?;
    Ok(())
}

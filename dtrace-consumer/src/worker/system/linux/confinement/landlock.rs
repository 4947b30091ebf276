//! What does Landlock forbid a worker that does not look into other processes?
//!
//! The same as the filters, by another part of the kernel. It also denies access to the memory of other
//! processes, so sessions that read symbols there cannot use it. It applies to the calling thread
//! and to threads started later.

use std::io;

use landlock::{ABI, Access, AccessFs, AccessNet, BitFlags, Ruleset, RulesetAttr, Scope};

/// The newest version whose rights are denied. A kernel that does not know some of them denies the
/// others.
const NEWEST: ABI = ABI::V6;

/// Denies opening files for writing and every other change of files, starting programs, TCP, connecting to abstract
/// sockets and signals to other processes, as far as the kernel's Landlock can.
pub(super) fn forbid_writing() -> io::Result<()> {
    let denied = AccessFs::from_all(NEWEST) & !(AccessFs::ReadFile | AccessFs::ReadDir);
    Ruleset::default()
        .handle_access(denied)
        .and_then(|ruleset| ruleset.handle_access(AccessNet::from_all(NEWEST)))
        .and_then(|ruleset| ruleset.scope(BitFlags::<Scope>::all()))
        .and_then(Ruleset::create)
        .and_then(|ruleset| ruleset.restrict_self())
        .map_err(io::Error::other)?;
    Ok(())
}

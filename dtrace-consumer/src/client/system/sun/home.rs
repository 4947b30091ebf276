//! Which file was this crate's code loaded from?

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::ptr;

use crate::start_up::address_of_this_code;

/// Returns the shared library that contains this crate's code; `None` if the executable contains it.
pub(super) fn foreign(executable: &Path) -> Option<PathBuf> {
    let address = ptr::with_exposed_provenance(address_of_this_code());
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: the call only writes to the structure, for whose fields zeros are valid.
    let found = unsafe {
        if libc::dladdr(address, found.as_mut_ptr()) == 0 {
            return None;
        }
        found.assume_init()
    };
    if found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the name ends in NUL, and stays valid as long as the file is loaded, which contains this function.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    let home = Path::new(OsStr::from_bytes(name.to_bytes()));
    let identity = |path: &Path| path.metadata().ok().map(|it| (it.dev(), it.ino()));
    // Of a program that was found in `PATH`, the loader may know only the name.
    let is_known = home.is_absolute() && identity(home).is_some();
    (is_known && identity(home) != identity(executable)).then(|| home.to_owned())
}

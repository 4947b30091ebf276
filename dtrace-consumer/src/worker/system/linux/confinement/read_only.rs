//! Makes the worker's mounts read-only.
//!
//! The worker has its own mount namespace, so this changes nothing for others. It applies to files
//! that are opened by their path. Paths that lead through another process, `/proc/PID/root`, leave
//! the namespace.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The numbers of `linux/mount.h`.
const READ_ONLY: u64 = 1;
const NO_DEVICES: u64 = 4;

/// Makes all mounts below `/` read-only and their device files unusable, except that files below the
/// `writable` paths can be written to, apart from those at `except`, and that the `devices` can be used. Paths
/// that are not mount points are left as they are. Kernels before 5.12 cannot do it.
pub(in crate::worker::system::linux) fn make_read_only(
    writable: &[&Path],
    except: &[&Path],
    devices: &[&Path],
) -> io::Result<()> {
    change(Path::new("/"), libc::AT_RECURSIVE, READ_ONLY | NO_DEVICES, 0)?;
    // Where giving back fails, as it does for paths that are not mount points, more is forbidden.
    for path in devices {
        let _ = change(path, 0, 0, NO_DEVICES);
    }
    for path in writable {
        let _ = change(path, libc::AT_RECURSIVE, 0, READ_ONLY);
    }
    except.iter().try_for_each(|path| change(path, libc::AT_RECURSIVE, READ_ONLY, 0))
}

/// Sets and clears attributes of the mount at a path.
fn change(path: &Path, flags: i32, set: u64, clear: u64) -> io::Result<()> {
    /// `struct mount_attr`, as long as its first version.
    #[repr(C)]
    struct Attributes {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let path = CString::new(path.as_os_str().as_bytes())?;
    let attributes = Attributes { set, clear, propagation: 0, user_namespace: 0 };
    // SAFETY: the path ends in NUL, the attributes have the length that is passed, and both outlive the call,
    // which only reads them.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

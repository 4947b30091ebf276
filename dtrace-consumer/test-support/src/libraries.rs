//! How does a traced program load libraries?

#[cfg(target_os = "linux")]
mod changing;
#[cfg(target_os = "linux")]
pub(crate) use changing::with_changing_list;

/// Loads a library into this process, and unloads it.
pub(crate) fn load() {
    let name = if cfg!(target_os = "linux") { c"libresolv.so.2" } else { c"libz.so.6" };
    // SAFETY: the name is a C string; the library has no initialisers that matter.
    unsafe {
        let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        libc::dlclose(library);
    }
}

//! Loads libdtrace, and checks that its structures are known.

use crate::abi::{KNOWN_VERSIONS, LIBRARY_FILE, OLDEST_VERSION};
use crate::api::{Api, Symbols};
use crate::version::Version;
use core::ffi::{CStr, c_char};
use libloading::os::unix;
use std::error::Error;
use std::path::{Path, PathBuf};

/// A loaded libdtrace: its functions, [`Library::api`], and its version.
///
/// It stays loaded until the process ends, whatever happens to this value: copied function pointers, and
/// pointers that libdtrace returned, remain valid. Loading it again is cheap and returns the same library.
///
/// The version is checked before anything else is used. On Linux it must be one of [`KNOWN_VERSIONS`], or the one
/// that the caller has verified, because structures changed between versions with the same SONAME. On the
/// other platforms the version is not significant, and only the platform and the SONAME decide.
#[derive(Debug)]
pub struct Library {
    api: Api,
    version: &'static CStr,
}

/// libdtrace is not available or not usable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The dynamic loader could not load the file.
    #[error("cannot load {}: {reason}; {}", file.display(), advice())]
    Open {
        /// The requested file.
        file: PathBuf,
        /// The dynamic loader's message.
        reason: String,
    },
    /// The file was loaded, but lacks a symbol of libdtrace.
    #[error(
        "cannot use {}: it lacks `{symbol}`, so it is not a supported libdtrace; {}",
        file.display(), advice()
    )]
    MissingSymbol {
        /// The requested file.
        file: PathBuf,
        /// The C name that is missing.
        symbol: &'static str,
    },
    /// The file is a libdtrace of a version whose structures were not verified, or are known to differ.
    #[error(
        "cannot use {}: it is version \"{found}\", and {}; \
         install a supported version or name its file",
        file.display(), unsupported(found, known)
    )]
    UnsupportedVersion {
        /// The requested file.
        file: PathBuf,
        /// The library's version text, such as `D 2.0.6`.
        found: String,
        /// The versions that need no verification.
        known: &'static [Version],
    },
}

fn advice() -> &'static str {
    if cfg!(dtrace_abi = "linux") {
        "install libdtrace 2.0.7 (package libdtrace2 of Debian and Ubuntu, dtrace of Fedora and \
         Oracle Linux) or name its file"
    } else {
        "libdtrace is part of this system (name its file to load another one)"
    }
}

/// Returns why a version is not loaded.
fn unsupported(found: &str, known: &[Version]) -> String {
    let known = known.iter().map(Version::to_string).collect::<Vec<_>>().join(", ");
    match found.parse::<Version>() {
        Ok(version) if version >= OLDEST_VERSION => {
            format!("only {known} is supported without verification")
        }
        _ => format!("its structures differ from those of {known}"),
    }
}

impl Library {
    /// Loads libdtrace from a file, by default the system's ([`LIBRARY_FILE`], which the dynamic loader
    /// searches for). Its version must be one of [`KNOWN_VERSIONS`].
    ///
    /// # Errors
    /// [`LoadError`], with what was tried, why it failed and what to do.
    ///
    /// # Safety
    /// Loading a file runs its initialisers, and its symbols must be what their names suggest: the file must
    /// be a libdtrace, or at least harmless. Nobody else in this process may call into libdtrace in conflict
    /// with the caller: its globals are not locked.
    pub unsafe fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        let file = file.unwrap_or(Path::new(LIBRARY_FILE));
        // SAFETY: the caller guarantees what this function requires, and nothing more is asked of a known version.
        unsafe { Self::load_if(file, None) }
    }

    /// Loads libdtrace from a file. Its version may also be `verified`: the caller has evidence that this file has
    /// the structures of [`abi`](crate::abi), or is about to gather that evidence in a process that may crash. A version below
    /// [`OLDEST_VERSION`] is refused whatever the caller has verified, because its structures are known to differ.
    ///
    /// ```no_run
    /// use dtrace_sys::{Library, Version};
    /// use std::path::Path;
    ///
    /// let file = Path::new("/opt/dtrace/lib/libdtrace.so.2");
    /// // SAFETY: the file is a libdtrace, and this process exists to find out whether 2.0.8 works.
    /// let library = unsafe { Library::load_verified(file, Version::new(2, 0, 8))? };
    /// # Ok::<(), dtrace_sys::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`Library::load`].
    ///
    /// # Safety
    /// As for [`Library::load`]. If `verified` is not one of [`KNOWN_VERSIONS`], nothing else guarantees that the
    /// functions of the table and the structures have their types: the caller does.
    pub unsafe fn load_verified(file: &Path, verified: Version) -> Result<Self, LoadError> {
        // SAFETY: the caller guarantees what this function requires.
        unsafe { Self::load_if(file, Some(verified)) }
    }

    /// # Safety
    /// As for [`Library::load_verified`].
    unsafe fn load_if(file: &Path, verified: Option<Version>) -> Result<Self, LoadError> {
        // SAFETY: the caller guarantees that the file's initialisers may run.
        let opened = unsafe { unix::Library::open(Some(file), unix::RTLD_NOW | unix::RTLD_LOCAL) };
        let loaded =
            Loaded(opened.map_err(|error| LoadError::Open {
                file: file.to_owned(),
                reason: reason(&error),
            })?);
        let missing = |symbol| LoadError::MissingSymbol { file: file.to_owned(), symbol };

        // SAFETY: libdtrace declares the variable as a constant pointer to a string.
        let variable: *const *const c_char = unsafe { loaded.function(b"_dtrace_version\0") }
            .ok_or_else(|| missing("_dtrace_version"))?;
        // SAFETY: the dynamic loader returned the variable's address; it is initialised and constant.
        let version = unsafe { version(variable) }.ok_or_else(|| missing("_dtrace_version"))?;
        gate(version, verified, file)?;
        // SAFETY: the version that was just checked is one of this ABI, or the caller guarantees that.
        let api = unsafe { Api::from_symbols(&loaded) }.map_err(missing)?;
        // Function pointers are `Copy` and outlive this value: never unload.
        core::mem::forget(loaded);
        Ok(Self { api, version })
    }

    /// Returns the libdtrace that the program is linked with.
    ///
    /// # Errors
    /// [`LoadError::UnsupportedVersion`] as for [`Library::load`]. [`LoadError::MissingSymbol`] if it lacks a
    /// function of the platform; the linker reports most of these before.
    ///
    /// # Safety
    /// The linked library must be a libdtrace, and nobody else may call into it in conflict with the caller.
    #[cfg(feature = "linked")]
    pub unsafe fn linked() -> Result<Self, LoadError> {
        unsafe extern "C" {
            static _dtrace_version: *const c_char;
        }
        let file = Path::new(LIBRARY_FILE);
        let missing = |symbol| LoadError::MissingSymbol { file: file.to_owned(), symbol };
        // SAFETY: the linker resolved the variable's address; it is initialised and constant.
        let version = unsafe { version(&raw const _dtrace_version) }
            .ok_or_else(|| missing("_dtrace_version"))?;
        gate(version, None, file)?;
        // SAFETY: the version that was just checked is one of this ABI, and linked libraries are never
        // unloaded.
        let api = unsafe { Api::linked(&Loaded(unix::Library::this())) }.map_err(missing)?;
        Ok(Self { api, version })
    }

    /// Returns the library's functions.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Returns the library's version text, such as `D 2.0.7`.
    #[must_use]
    pub fn version_text(&self) -> &'static CStr {
        self.version
    }

    /// Returns the library's version, or `None` if its format is unknown. That happens only on platforms
    /// where the version does not matter.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version.to_str().ok()?.parse().ok()
    }
}

/// Returns the dynamic loader's message. The text of `libloading` only names the call that failed.
fn reason(error: &libloading::Error) -> String {
    let text = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    text.trim_end_matches('.').to_owned()
}

/// # Safety
/// The address must be that of `_dtrace_version` in a library that is never unloaded.
unsafe fn version(variable: *const *const c_char) -> Option<&'static CStr> {
    if variable.is_null() {
        return None;
    }
    // SAFETY: the caller guarantees the address, and the string is a constant of the library.
    unsafe {
        let text = variable.read();
        (!text.is_null()).then(|| CStr::from_ptr(text))
    }
}

fn gate(version: &CStr, verified: Option<Version>, file: &Path) -> Result<(), LoadError> {
    let found = version.to_str().ok().and_then(|text| text.parse::<Version>().ok());
    let passes = found.is_some_and(|found| {
        KNOWN_VERSIONS.contains(&found) || (Some(found) == verified && found >= OLDEST_VERSION)
    });
    if KNOWN_VERSIONS.is_empty() || passes {
        return Ok(());
    }
    Err(LoadError::UnsupportedVersion {
        file: file.to_owned(),
        found: version.to_string_lossy().into_owned(),
        known: KNOWN_VERSIONS,
    })
}

struct Loaded(unix::Library);

impl Symbols for Loaded {
    unsafe fn function<F: Copy>(&self, name: &[u8]) -> Option<F> {
        // SAFETY: the caller guarantees the type.
        unsafe { self.0.get::<F>(name) }.ok().map(|symbol| *symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(dtrace_abi = "linux")]
    fn only_known_versions_pass_unless_one_was_verified() {
        let file = Path::new("libdtrace.so.2");
        assert!(gate(c"D 2.0.7", None, file).is_ok());
        for found in
            [c"D 2.0.6", c"D 2.0.2", c"D 2.0.8", c"D 2.0.70", c"Sun D 1.13", c"", c"D \xff"]
        {
            let error = gate(found, None, file).expect_err("not verified");
            assert!(matches!(&error, LoadError::UnsupportedVersion { .. }), "{error:?}");
        }
        let text = gate(c"D 2.0.8", None, file).expect_err("not verified").to_string();
        assert!(text.contains("cannot use libdtrace.so.2: it is version \"D 2.0.8\""), "{text}");
        assert!(text.contains("only 2.0.7 is supported without verification"), "{text}");
    }

    #[test]
    #[cfg(dtrace_abi = "linux")]
    fn a_verified_version_passes_alone_and_one_that_is_known_to_differ_never() {
        let file = Path::new("libdtrace.so.2");
        let gate = |found: &CStr, verified| gate(found, Some(verified), file);
        for micro in [6, 8, 70] {
            let verified = Version::new(2, 0, micro);
            let text = std::ffi::CString::new(format!("D {verified}")).expect("no NUL");
            assert!(gate(&text, verified).is_ok(), "{verified}");
            assert!(gate(c"D 2.0.7", verified).is_ok(), "{verified}");
            assert!(gate(c"D 2.0.9", verified).is_err(), "{verified}");
        }
        for (found, verified) in [
            (c"D 2.0.5", Version::new(2, 0, 5)),
            (c"D 2.0.2", Version::new(2, 0, 2)),
            (c"Oracle D 2.0", Version::new(2, 0, 0)),
            (c"Sun D 1.13", Version::new(1, 13, 0)),
        ] {
            let text = gate(found, verified).expect_err("too old").to_string();
            assert!(text.contains("its structures differ from those of 2.0.7"), "{text}");
        }
    }

    #[test]
    fn a_missing_function_is_named() {
        struct Without(&'static [u8]);
        impl Symbols for Without {
            unsafe fn function<F: Copy>(&self, name: &[u8]) -> Option<F> {
                let address: usize = 1;
                assert_eq!(size_of::<F>(), size_of::<usize>());
                // SAFETY: a function pointer may have any value but 0 as long as nobody calls it.
                (name != self.0).then(|| unsafe { core::mem::transmute_copy(&address) })
            }
        }
        // SAFETY: no function of the table is called.
        let (complete, incomplete, optional) = unsafe {
            (
                Api::from_symbols(&Without(b"")),
                Api::from_symbols(&Without(b"dtrace_work\0")),
                Api::from_symbols(&Without(b"dtrace_sleep\0")),
            )
        };
        assert!(complete.is_ok_and(|api| api.dtrace_sleep.is_some()));
        assert_eq!(incomplete.err(), Some("dtrace_work"));
        assert!(optional.is_ok_and(|api| api.dtrace_sleep.is_none()));
    }
}

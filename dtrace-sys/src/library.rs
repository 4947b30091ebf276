//! How is libdtrace found and loaded, and is it one whose structures are known?

use crate::abi::{LIBRARY_FILE, SUPPORTED_VERSIONS};
use crate::api::{Api, Symbols};
use crate::version::Version;
use core::ffi::{CStr, c_char};
use libloading::os::unix;
use std::error::Error;
use std::path::{Path, PathBuf};

/// A loaded libdtrace: its functions, [`Library::api`], and its version.
///
/// It stays loaded until the process ends, whatever happens to this value: function pointers copied
/// out of it and whatever libdtrace handed out remain valid. Loading it again costs nothing and
/// gives the same library.
///
/// Before anything else is used its version is looked at. On Linux it must be one of
/// [`SUPPORTED_VERSIONS`], since structures changed between versions of the same SONAME. On the
/// other platforms, where no version says so much, the platform and the SONAME decide alone.
#[derive(Debug)]
pub struct Library {
    api: Api,
    version: &'static CStr,
}

/// libdtrace could not be loaded, or is none that can be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The dynamic loader could not load the file.
    #[error("cannot load {}: {reason}. {}", file.display(), advice())]
    Open {
        /// The file as it was asked for.
        file: PathBuf,
        /// What the dynamic loader said.
        reason: String,
    },
    /// It was loaded, but has not what a libdtrace has.
    #[error(
        "{} has no `{symbol}`: it is not a libdtrace that this program can use. {}",
        file.display(), advice()
    )]
    MissingSymbol {
        /// The file as it was asked for.
        file: PathBuf,
        /// The C name that is missing.
        symbol: &'static str,
    },
    /// It is a libdtrace of a version whose structures were not verified.
    #[error(
        "{} says that it is \"{found}\", and its structures are known for {} only. \
         Install one of these, or name its file",
        file.display(), list(supported)
    )]
    UnsupportedVersion {
        /// The file as it was asked for.
        file: PathBuf,
        /// What the library says of itself, as in `D 2.0.6`.
        found: String,
        /// The versions that would do.
        supported: &'static [Version],
    },
}

fn advice() -> &'static str {
    if cfg!(dtrace_abi = "linux") {
        "Install libdtrace 2.0.7 (package libdtrace2 of Debian and Ubuntu, dtrace of Fedora and \
         Oracle Linux), or name its file"
    } else {
        "libdtrace is part of the system here; or name its file"
    }
}

fn list(versions: &[Version]) -> String {
    versions.iter().map(Version::to_string).collect::<Vec<_>>().join(", ")
}

impl Library {
    /// Loads libdtrace from a file, or the system's when none is named
    /// ([`LIBRARY_FILE`], looked for by the dynamic loader).
    ///
    /// # Errors
    /// [`LoadError`], which says what was tried, why it failed and what to do.
    ///
    /// # Safety
    /// Loading a file runs its initialisers, and its symbols are believed to be what their names
    /// say: the file must be a libdtrace or at least harmless. Nobody else may call into libdtrace
    /// in this process in ways that conflict with the caller's (its globals are not locked).
    pub unsafe fn load(file: Option<&Path>) -> Result<Self, LoadError> {
        let file = file.unwrap_or(Path::new(LIBRARY_FILE));
        // SAFETY: the caller vouches for the file's initialisers.
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
        // SAFETY: the dynamic loader gave the variable's address; it is initialised and constant.
        let version = unsafe { version(variable) }.ok_or_else(|| missing("_dtrace_version"))?;
        gate(version, file)?;
        // SAFETY: the version just looked at is one of this ABI.
        let api = unsafe { Api::from_symbols(&loaded) }.map_err(missing)?;
        // Function pointers are `Copy` and outlive this value: never unload.
        core::mem::forget(loaded);
        Ok(Self { api, version })
    }

    /// Returns the libdtrace that the program is linked with.
    ///
    /// # Errors
    /// [`LoadError::UnsupportedVersion`] as for [`Library::load`]. [`LoadError::MissingSymbol`]
    /// when it lacks a function of the platform; most would not have linked.
    ///
    /// # Safety
    /// The linked library must be a libdtrace, and nobody else may call into it in ways that
    /// conflict with the caller's.
    #[cfg(feature = "linked")]
    pub unsafe fn linked() -> Result<Self, LoadError> {
        unsafe extern "C" {
            static _dtrace_version: *const c_char;
        }
        let file = Path::new(LIBRARY_FILE);
        let missing = |symbol| LoadError::MissingSymbol { file: file.to_owned(), symbol };
        // SAFETY: the linker gave the variable's address; it is initialised and constant.
        let version = unsafe { version(&raw const _dtrace_version) }
            .ok_or_else(|| missing("_dtrace_version"))?;
        gate(version, file)?;
        // SAFETY: the version just looked at is one of this ABI; what is linked is never unloaded.
        let api = unsafe { Api::linked(&Loaded(unix::Library::this())) }.map_err(missing)?;
        Ok(Self { api, version })
    }

    /// Returns the library's functions.
    #[must_use]
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Returns what the library says of itself, as in `D 2.0.7`.
    #[must_use]
    pub fn version_text(&self) -> &'static CStr {
        self.version
    }

    /// Returns the library's version, or `None` if its form is unknown. That happens only where the
    /// version does not matter.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        self.version.to_str().ok()?.parse().ok()
    }
}

/// What the dynamic loader said. `libloading` itself only says which call failed.
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
    // SAFETY: as the caller vouches; the string is a constant of the library.
    unsafe {
        let text = variable.read();
        (!text.is_null()).then(|| CStr::from_ptr(text))
    }
}

fn gate(version: &CStr, file: &Path) -> Result<(), LoadError> {
    let known = version.to_str().ok().and_then(|text| text.parse::<Version>().ok());
    if SUPPORTED_VERSIONS.is_empty() || known.is_some_and(|v| SUPPORTED_VERSIONS.contains(&v)) {
        return Ok(());
    }
    Err(LoadError::UnsupportedVersion {
        file: file.to_owned(),
        found: version.to_string_lossy().into_owned(),
        supported: SUPPORTED_VERSIONS,
    })
}

struct Loaded(unix::Library);

impl Symbols for Loaded {
    unsafe fn function<F: Copy>(&self, name: &[u8]) -> Option<F> {
        // SAFETY: the caller vouches for the type.
        unsafe { self.0.get::<F>(name) }.ok().map(|symbol| *symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(dtrace_abi = "linux")]
    fn only_versions_whose_structures_were_verified_pass() {
        let file = Path::new("libdtrace.so.2");
        assert!(gate(c"D 2.0.7", file).is_ok());
        for found in [c"D 2.0.2", c"D 2.0.8", c"D 2.0.70", c"Sun D 1.13", c"", c"D \xff"] {
            let error = gate(found, file).expect_err("not verified");
            assert!(matches!(&error, LoadError::UnsupportedVersion { .. }), "{error:?}");
        }
        let text = gate(c"D 2.0.2", file).expect_err("not verified").to_string();
        assert!(text.contains("libdtrace.so.2 says that it is \"D 2.0.2\""), "{text}");
        assert!(text.contains("known for 2.0.7 only"), "{text}");
    }

    #[test]
    fn a_missing_function_is_named() {
        struct Without(&'static [u8]);
        impl Symbols for Without {
            unsafe fn function<F: Copy>(&self, name: &[u8]) -> Option<F> {
                let address: usize = 1;
                assert_eq!(size_of::<F>(), size_of::<usize>());
                // SAFETY: a function pointer may be any address but 0 as long as nobody calls it.
                (name != self.0).then(|| unsafe { core::mem::transmute_copy(&address) })
            }
        }
        // SAFETY: nothing of the table is called.
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

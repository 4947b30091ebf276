//! Turns a list of declarations into a table of function pointers.
//!
//! The macro defines the structure, the function that fills it from a loaded file and, with the feature
//! `linked`, the one that fills it with linked symbols.

/// Derives a function pointer's type from a declaration.
macro_rules! function_type {
    ($alias:ident) => { $alias };
    (($($argument:ident: $type:ty),*) $(-> $result:ty)?) => {
        unsafe extern "C" fn($($argument: $type),*) $(-> $result)?
    };
}

macro_rules! find {
    ($symbols:ident, $name:ident) => {
        $symbols.function(concat!(stringify!($name), "\0").as_bytes())
    };
}

/// A library in which symbols can be looked up.
pub(crate) trait Symbols {
    /// Returns the function with that name, which ends with a NUL; `None` if there is none.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to the function that has this name in C.
    unsafe fn function<F: Copy>(&self, name: &[u8]) -> Option<F>;
}

macro_rules! api {
    (
        every library { $($(#[$doc:meta])* fn $name:ident $signature:tt $(-> $result:ty)?;)* }
        every library by its type { $($(#[$typed_doc:meta])* fn $typed:ident: $alias:ident;)* }
        some libraries {
            $($(#[$some_doc:meta])* fn $some:ident $arguments:tt $(-> $some_result:ty)?;)*
        }
    ) => {
        /// libdtrace's functions, each under its C name.
        ///
        /// A function that is missing on some platform or in some version is an `Option`. A
        /// function whose declaration differs has the type of the same name in [`crate::abi`].
        ///
        /// They are unsafe to call, because C does not express these rules: a handle must be open and used by
        /// one thread at a time, and calls must come in the library's order. Further traps are documented at
        /// the function.
        #[derive(Debug)]
        #[non_exhaustive]
        pub struct Api {
            $($(#[$doc])* pub $name: function_type!($signature $(-> $result)?),)*
            $($(#[$typed_doc])* pub $typed: $alias,)*
            $(
                $(#[$some_doc])*
                pub $some: Option<function_type!($arguments $(-> $some_result)?)>,
            )*
        }

        impl Api {
            /// Fills the table by name. The error is the name of the first missing function.
            ///
            /// # Safety
            /// The symbols must be those of a libdtrace with the ABI of [`crate::abi`].
            pub(crate) unsafe fn from_symbols(
                symbols: &impl Symbols,
            ) -> Result<Self, &'static str> {
                // SAFETY: the caller guarantees that each name is the function whose type the field has.
                unsafe {
                    Ok(Self {
                        $($name: find!(symbols, $name).ok_or(stringify!($name))?,)*
                        $($typed: find!(symbols, $typed).ok_or(stringify!($typed))?,)*
                        $($some: find!(symbols, $some),)*
                    })
                }
            }

            /// Fills the table with linked symbols, and the rest by name.
            ///
            /// # Safety
            /// The same as of [`Api::from_symbols`], with the symbols of the linked library.
            #[cfg(feature = "linked")]
            pub(crate) unsafe fn linked(symbols: &impl Symbols) -> Result<Self, &'static str> {
                mod c {
                    use super::*;
                    unsafe extern "C" {
                        $(pub(super) fn $name $signature $(-> $result)?;)*
                    }
                }
                // SAFETY: as in `from_symbols`.
                unsafe {
                    Ok(Self {
                        $($name: c::$name,)*
                        $($typed: find!(symbols, $typed).ok_or(stringify!($typed))?,)*
                        $($some: find!(symbols, $some),)*
                    })
                }
            }
        }
    };
}
pub(super) use {api, find, function_type};

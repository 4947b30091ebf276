//! How does a list of declarations become a table of function pointers?
//!
//! It gives the structure, how it is filled from a loaded file and, with the feature `linked`, how
//! it is filled by the linker.

/// Writes a function pointer's type out of a declaration.
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

/// How symbols are found in a library.
pub(crate) trait Symbols {
    /// The function of that name, which ends with a NUL; `None` when there is none.
    ///
    /// # Safety
    /// `F` must be the type of the function pointer that the name stands for in C.
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
        /// All of them are unsafe to call for what C cannot say: a handle must be open, used by one
        /// thread at a time, and the order of calls must be the library's. What is a trap beyond
        /// that is said at the function.
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
            /// Fills the table by name; the error is the name of the first missing function.
            ///
            /// # Safety
            /// The symbols must be those of a libdtrace with the ABI of [`crate::abi`].
            pub(crate) unsafe fn from_symbols(
                symbols: &impl Symbols,
            ) -> Result<Self, &'static str> {
                // SAFETY: the caller vouches that each name stands for the function whose type the
                // field has.
                unsafe {
                    Ok(Self {
                        $($name: find!(symbols, $name).ok_or(stringify!($name))?,)*
                        $($typed: find!(symbols, $typed).ok_or(stringify!($typed))?,)*
                        $($some: find!(symbols, $some),)*
                    })
                }
            }

            /// Fills the table with what the linker found, and the rest by name.
            ///
            /// # Safety
            /// As for [`Api::from_symbols`], with the symbols of the linked library.
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

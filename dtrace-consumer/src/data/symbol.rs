//! Symbols of addresses.
//!
//! libdtrace resolves addresses where it traces, and the stream carries their symbols. So a recording
//! replayed on another machine has the same symbols.

use std::collections::HashMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::addresses::Addresses;
use super::record::Action;

/// The symbols that a stream has described, by process (0 for the kernel) and address.
pub(crate) type Symbols = HashMap<(u32, u64), String>;

/// An address and its symbol.
#[derive(Clone, Copy, PartialEq)]
pub struct SymbolRef<'a> {
    pid: u32,
    pub(super) address: u64,
    text: Option<&'a str>,
    /// Whether only the module matters, as for `mod()` and `umod()`.
    module_only: bool,
}

impl<'a> SymbolRef<'a> {
    /// Returns the address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Returns the process of the address; `None` for the kernel.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        (self.pid != 0).then_some(self.pid)
    }

    /// Returns the module, library or program; `None` if unknown.
    #[must_use]
    pub fn module(&self) -> Option<&'a str> {
        let text = self.text.filter(|t| !t.starts_with("0x"))?;
        Some(text.split_once('`').map_or(text, |(module, _)| module))
    }

    /// Returns the function or variable; `None` if unknown.
    #[must_use]
    pub fn symbol(&self) -> Option<&'a str> {
        let (_, symbol) = self.text?.split_once('`')?;
        let name = symbol.rsplit_once("+0x").map_or(symbol, |(name, _)| name);
        (!name.starts_with("0x")).then_some(name)
    }

    /// Returns the function's name as in its source if it is a mangled name of Rust (v0 or legacy); otherwise
    /// the same as [`symbol`](SymbolRef::symbol).
    ///
    /// ```no_run
    /// use dtrace_consumer::ValueRef;
    ///
    /// let script = "pid$target::*parse*:entry { ustack(10); }";
    /// dtrace_consumer::run_synchronous(script, ["target/debug/parser"])
    ///     .chewrec(|record| {
    ///         if let ValueRef::Stack(stack) = record.value() {
    ///             for frame in stack.frames() {
    ///                 println!("{}", frame.demangled().unwrap_or_else(|| frame.to_string()));
    ///             }
    ///         }
    ///         Ok(())
    ///     })
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    #[must_use]
    pub fn demangled(&self) -> Option<String> {
        self.symbol().map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)))
    }

    /// Returns the distance of the address from the start of the symbol, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        let (_, offset) = self.text?.rsplit_once("+0x")?;
        u64::from_str_radix(offset, 16).ok()
    }

    /// Returns whether only the module matters, as for `mod()` and `umod()`.
    pub(super) fn is_module(&self) -> bool {
        self.module_only
    }

    /// Copies the symbol.
    #[must_use]
    pub fn to_owned(&self) -> Symbol {
        let SymbolRef { pid, address, text, module_only } = *self;
        Symbol { pid, address, text: text.map(str::to_owned), module_only }
    }
}

impl fmt::Display for SymbolRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.text, self.module_only) {
            (Some(_), true) if self.module().is_some() => f.write_str(self.module().unwrap_or("")),
            (Some(text), _) => f.write_str(text),
            (None, _) => write!(f, "{:#x}", self.address),
        }
    }
}

impl fmt::Debug for SymbolRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x} {self}", self.address)
    }
}

/// Serializes as text.
impl Serialize for SymbolRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address and its symbol, owned.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Symbol {
    pid: u32,
    address: u64,
    text: Option<String>,
    module_only: bool,
}

impl Symbol {
    /// Borrows the symbol.
    #[must_use]
    pub fn as_ref(&self) -> SymbolRef<'_> {
        let Symbol { pid, address, ref text, module_only } = *self;
        SymbolRef { pid, address, text: text.as_deref(), module_only }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

impl Serialize for Symbol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_ref().serialize(serializer)
    }
}

pub(super) fn lookup(
    symbols: &Symbols,
    pid: u32,
    address: u64,
    module_only: bool,
) -> SymbolRef<'_> {
    let text = symbols.get(&(pid, address)).map(String::as_str);
    SymbolRef { pid, address, text, module_only }
}

/// Returns the symbol in a record of `sym()` or a related action.
pub(crate) fn symbol_of<'a>(
    action: Action,
    addresses: Addresses<'a>,
    symbols: &'a Symbols,
) -> Option<SymbolRef<'a>> {
    let address = addresses.iter().next()?;
    let module_only = matches!(action, Action::Mod | Action::UMod);
    Some(lookup(symbols, addresses.pid, address, module_only))
}

//! What is at an address?
//!
//! Addresses are resolved where tracing takes place, by libdtrace, and travel with their symbols; so
//! they mean the same when a recording is replayed on another machine.

use std::collections::HashMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::addresses::Addresses;
use super::record::Action;

/// The symbols that a stream has described, by process (0 is the kernel) and address.
pub(crate) type Symbols = HashMap<(u32, u64), String>;

/// An address and what is there.
#[derive(Clone, Copy, PartialEq)]
pub struct SymbolRef<'a> {
    pid: u32,
    pub(super) address: u64,
    text: Option<&'a str>,
    /// `mod()` and `umod()` are about the module alone.
    module_only: bool,
}

impl<'a> SymbolRef<'a> {
    /// The address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The process whose address it is; `None` for the kernel's.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        (self.pid != 0).then_some(self.pid)
    }

    /// The module, library or program; `None` if nothing is known of the address.
    #[must_use]
    pub fn module(&self) -> Option<&'a str> {
        let text = self.text.filter(|t| !t.starts_with("0x"))?;
        Some(text.split_once('`').map_or(text, |(module, _)| module))
    }

    /// The function or variable; `None` if none is known.
    #[must_use]
    pub fn symbol(&self) -> Option<&'a str> {
        let (_, symbol) = self.text?.split_once('`')?;
        let name = symbol.rsplit_once("+0x").map_or(symbol, |(name, _)| name);
        (!name.starts_with("0x")).then_some(name)
    }

    /// The function as its source names it, if it is one of Rust (v0 or legacy mangling); else as
    /// [`symbol`](SymbolRef::symbol).
    #[must_use]
    pub fn demangled(&self) -> Option<String> {
        self.symbol().map(|symbol| format!("{:#}", rustc_demangle::demangle(symbol)))
    }

    /// How far the address is from the symbol's beginning, in bytes.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        let (_, offset) = self.text?.rsplit_once("+0x")?;
        u64::from_str_radix(offset, 16).ok()
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

/// The symbol as text.
impl Serialize for SymbolRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An address and what is there, owned.
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

/// The symbol in a record of `sym()` and its kin.
pub(crate) fn symbol_of<'a>(
    action: Action,
    addresses: Addresses<'a>,
    symbols: &'a Symbols,
) -> Option<SymbolRef<'a>> {
    let address = addresses.iter().next()?;
    let module_only = matches!(action, Action::Mod | Action::UMod);
    Some(lookup(symbols, addresses.pid, address, module_only))
}

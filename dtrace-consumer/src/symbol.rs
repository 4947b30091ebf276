//! What is at an address?
//!
//! Addresses are resolved where tracing takes place, by libdtrace, and travel with their symbols; so
//! they mean the same when a recording is replayed on another machine.

use std::collections::HashMap;
use std::fmt;

use crate::record::Action;
use crate::stack::Addresses;

/// The symbols that a stream has told of: by process (0 is the kernel) and address.
pub(crate) type Symbols = HashMap<(u32, u64), String>;

/// An address and what is there.
#[derive(Clone, Copy, PartialEq)]
pub struct SymbolRef<'a> {
    pid: u32,
    address: u64,
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

/// The frames of a stack.
#[derive(Clone, Copy)]
pub struct StackRef<'a> {
    addresses: Addresses<'a>,
    symbols: &'a Symbols,
}

impl<'a> StackRef<'a> {
    pub(crate) fn new(addresses: Addresses<'a>, symbols: &'a Symbols) -> StackRef<'a> {
        StackRef { addresses, symbols }
    }

    /// The process whose stack it is; `None` for the kernel's.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        (self.addresses.pid != 0).then_some(self.addresses.pid)
    }

    /// The frames, innermost first; those that could not be resolved are there as addresses.
    pub fn frames(&self) -> impl Iterator<Item = SymbolRef<'a>> + use<'a> {
        let (pid, symbols) = (self.addresses.pid, self.symbols);
        self.addresses.iter().map(move |address| lookup(symbols, pid, address, false))
    }
}

impl PartialEq for StackRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.addresses == other.addresses
    }
}

/// The frames, innermost first, one a line.
impl fmt::Display for StackRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for frame in self.frames() {
            write!(f, "{separator}{frame}")?;
            separator = "\n";
        }
        Ok(())
    }
}

impl fmt::Debug for StackRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

fn lookup(symbols: &Symbols, pid: u32, address: u64, module_only: bool) -> SymbolRef<'_> {
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

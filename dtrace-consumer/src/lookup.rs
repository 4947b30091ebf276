//! Where are the kernel's functions and variables?

use crate::error::Error;
use crate::query::{self, query_methods};
use crate::session::Settings;
use crate::stream::job::Purpose;
use crate::stream::wire::{Malformed, Put, Take};

/// A symbol of the kernel (`dtrace_syminfo_t`, `GElf_Sym`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelSymbol {
    /// The module: `vmlinux`, or a kernel module.
    pub module: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: u64,
    /// Its size in bytes; 0 where it is not known.
    pub size: u64,
}

impl KernelSymbol {
    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.module);
        b.put_str(&self.name);
        b.put_u64(self.address);
        b.put_u64(self.size);
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<KernelSymbol, Malformed> {
        Ok(KernelSymbol {
            module: t.string("module")?,
            name: t.string("symbol")?,
            address: t.u64("address")?,
            size: t.u64("size")?,
        })
    }
}

/// Looks up symbols of the running kernel, by name and by address, in one go.
///
/// ```no_run
/// let found = dtrace_consumer::SymbolQuery::new().name("vfs_read").look_up()?;
/// if let Some(symbol) = &found[0] {
///     println!("{:#x}", symbol.address);
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a query does nothing until it is looked up"]
pub struct SymbolQuery {
    names: Vec<String>,
    addresses: Vec<u64>,
    settings: Settings,
}

impl SymbolQuery {
    /// Asks for nothing yet.
    pub fn new() -> SymbolQuery {
        SymbolQuery::default()
    }

    /// Asks for the symbol of a name, in the kernel or any of its modules.
    pub fn name(mut self, name: impl Into<String>) -> SymbolQuery {
        self.names.push(name.into());
        self
    }

    /// Asks for the symbol that contains an address.
    pub fn address(mut self, address: u64) -> SymbolQuery {
        self.addresses.push(address);
        self
    }

    query_methods!();

    /// The symbols, those of the names first, in the order in which they were asked for; `None` for
    /// what the kernel does not have.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where libdtrace cannot be used.
    pub fn look_up(self) -> Result<Vec<Option<KernelSymbol>>, Error> {
        let purpose = Purpose::Lookup { names: self.names, addresses: self.addresses };
        query::look_up(&self.settings, purpose)
    }
}

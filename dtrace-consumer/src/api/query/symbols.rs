//! Where are the kernel's functions and variables?

use super::Query;
use crate::client::inquiry;
use crate::data::kernel_symbol::KernelSymbol;
use crate::error::Error;
use crate::stream::job::Purpose;

/// Looks up symbols of the running kernel, by name and by address, in one go.
///
/// ```no_run
/// use dtrace_consumer::query::SymbolQuery;
///
/// let found = SymbolQuery::new().name("vfs_read").look_up()?;
/// if let Some(symbol) = &found[0] {
///     println!("{:#x}", symbol.address);
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
pub type SymbolQuery = Query<Symbols>;

/// What a [`SymbolQuery`] asks for.
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    names: Vec<String>,
    addresses: Vec<u64>,
}

impl Query<Symbols> {
    /// Asks for nothing yet.
    pub fn new() -> SymbolQuery {
        SymbolQuery::default()
    }

    /// Asks for the symbol of a name, in the kernel or any of its modules.
    pub fn name(mut self, name: impl Into<String>) -> SymbolQuery {
        self.about.names.push(name.into());
        self
    }

    /// Asks for the symbol that contains an address.
    pub fn address(mut self, address: u64) -> SymbolQuery {
        self.about.addresses.push(address);
        self
    }

    /// Returns the symbols, those of the names first, in the order in which they were asked for; `None`
    /// for what the kernel does not have.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where libdtrace cannot be used.
    pub fn look_up(self) -> Result<Vec<Option<KernelSymbol>>, Error> {
        let Symbols { names, addresses } = self.about;
        inquiry::look_up(&self.settings, Purpose::Lookup { names, addresses })
    }
}

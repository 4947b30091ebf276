//! Queries for the kernel's functions and variables.

use super::Query;
use crate::client::admit::admitted;
use crate::client::inquiry;
use crate::data::kernel_symbol::KernelSymbol;
use crate::error::Error;
use crate::stream::job::Purpose;

/// A query for symbols of the running kernel, by name and by address, in one go.
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

/// The subject of a [`SymbolQuery`].
#[derive(Debug, Clone, Default)]
pub struct Symbols {
    names: Vec<String>,
    addresses: Vec<u64>,
}

impl Query<Symbols> {
    /// Creates an empty query.
    pub fn new() -> SymbolQuery {
        SymbolQuery::default()
    }

    /// Queries for the symbol with this name, in the kernel or any of its modules.
    pub fn name(mut self, name: impl Into<String>) -> SymbolQuery {
        self.about.names.push(name.into());
        self
    }

    /// Queries for the symbol that contains an address.
    pub fn address(mut self, address: u64) -> SymbolQuery {
        self.about.addresses.push(address);
        self
    }

    /// Returns the symbols: first those of the names, then those of the addresses, each in the order of the
    /// query. Symbols that do not exist are `None`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if libdtrace is not usable.
    pub fn look_up(mut self) -> Result<Vec<Option<KernelSymbol>>, Error> {
        let Symbols { names, addresses } = self.about;
        let settings = admitted(&mut self.settings)?;
        inquiry::look_up(settings, Purpose::Lookup { names, addresses })
    }
}

//! Queries for the kernel's types.

use super::Query;
use crate::client::admit::admitted;
use crate::client::inquiry;
use crate::data::kernel_type::KernelType;
use crate::data::script::{Script, Specifier};
use crate::error::Error;
use crate::stream::job::Purpose;

/// A query for types of the running kernel and of libdtrace's D libraries.
///
/// ```no_run
/// use dtrace_consumer::query::TypeQuery;
///
/// let found = TypeQuery::new().name("struct tcp_sock").look_up()?;
/// if let Some(socket) = &found[0] {
///     for member in &socket.members {
///         println!("{:5} {} {}", member.offset / 8, member.type_name, member.name);
///     }
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
pub type TypeQuery = Query<Types>;

/// The subject of a [`TypeQuery`].
#[derive(Debug, Clone, Default)]
pub struct Types {
    names: Vec<String>,
}

impl Query<Types> {
    /// Creates an empty query.
    pub fn new() -> TypeQuery {
        TypeQuery::default()
    }

    /// Queries for the type with this name, in the kernel, its modules and the D libraries. The name is
    /// written as in D: `pid_t`, `struct sock`, `tcpinfo_t`, or ``struct nf_tables`nft_table`` for a type of
    /// the module `nf_tables`.
    pub fn name(mut self, name: impl Into<String>) -> TypeQuery {
        self.about.names.push(name.into());
        self
    }

    /// Returns the types in the order of the query. Types that do not exist are `None`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if libdtrace is not usable.
    pub fn look_up(mut self) -> Result<Vec<Option<KernelType>>, Error> {
        // The first program makes libdtrace compile the D libraries, so that one that does not compile on
        // this kernel is omitted.
        self.settings.scripts = vec![Script::probes(Specifier::Name, "BEGIN").named("type query")];
        let settings = admitted(&mut self.settings)?;
        inquiry::look_up_types(settings, Purpose::Types { names: self.about.names })
    }
}

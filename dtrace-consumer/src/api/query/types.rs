//! What are the kernel's types?

use super::Query;
use crate::client::inquiry;
use crate::data::kernel_type::KernelType;
use crate::data::script::{Script, Specifier};
use crate::error::Error;
use crate::stream::job::Purpose;

/// Looks up types of the running kernel and of libdtrace's D libraries.
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

/// What a [`TypeQuery`] asks for.
#[derive(Debug, Clone, Default)]
pub struct Types {
    names: Vec<String>,
}

impl Query<Types> {
    /// Asks for nothing yet.
    pub fn new() -> TypeQuery {
        TypeQuery::default()
    }

    /// Asks for the type of a name, in the kernel, its modules and the D libraries, as it is written in
    /// a D program: `pid_t`, `struct sock`, `tcpinfo_t`, ``struct nf_tables`nft_table`` for one of the
    /// module `nf_tables`.
    pub fn name(mut self, name: impl Into<String>) -> TypeQuery {
        self.about.names.push(name.into());
        self
    }

    /// Returns the types in the order in which they were asked for; `None` for those that do not exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where libdtrace cannot be used.
    pub fn look_up(mut self) -> Result<Vec<Option<KernelType>>, Error> {
        // The D libraries are read with the first program, so that one that does not compile on
        // this kernel is left out.
        self.settings.scripts = vec![Script::probes(Specifier::Name, "BEGIN").named("type query")];
        inquiry::look_up_types(&self.settings, Purpose::Types { names: self.about.names })
    }
}

//! Queries for probes.

use super::Query;
use crate::client::admit::admitted;
use crate::client::advise::advised;
use crate::client::inquiry;
use crate::client::settings::Settings;
use crate::data::listing::ListedProbe;
use crate::error::Error;
use crate::stream::job::Purpose;

/// A query for the probes of this system.
///
/// ```no_run
/// use dtrace_consumer::query::ProbeQuery;
///
/// for listed in ProbeQuery::new().pattern("syscall:::entry").list()? {
///     println!("{}", listed.probe);
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
pub type ProbeQuery = Query<Probes>;

/// The subject of a [`ProbeQuery`].
#[derive(Debug, Clone, Default)]
pub struct Probes {
    patterns: Vec<String>,
    describe: bool,
}

impl Query<Probes> {
    /// Creates a query for all probes. [`pattern`](Query::pattern) narrows it.
    pub fn new() -> ProbeQuery {
        ProbeQuery::default()
    }

    pub(in crate::api) fn of_scripts(settings: Settings) -> ProbeQuery {
        Query { about: Probes::default(), settings }
    }

    /// Queries for the probes that match `provider:module:function:name`. Empty parts match anything; `*`,
    /// `?` and `[…]` match as in the shell. Call it several times for the probes that match any of several
    /// patterns.
    pub fn pattern(mut self, pattern: impl Into<String>) -> ProbeQuery {
        self.about.patterns.push(pattern.into());
        self
    }

    /// Queries for the probes' stability and arguments, too, which takes longer.
    pub fn describe(mut self) -> ProbeQuery {
        self.about.describe = true;
        self
    }

    /// Returns the probes, in the library's order.
    ///
    /// # Errors
    /// [`Error::Libdtrace`] for an invalid pattern, [`Error::Unavailable`] if tracing is not possible.
    pub fn list(self) -> Result<Vec<ListedProbe>, Error> {
        let Query { about: Probes { patterns, describe }, mut settings } = self;
        let settings = admitted(&mut settings)?;
        inquiry::list(settings, Purpose::List { patterns, describe })
            .map_err(|error| advised(&settings, None, error))
    }
}

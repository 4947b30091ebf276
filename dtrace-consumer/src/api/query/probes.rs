//! Which probes does this system have?

use super::Query;
use crate::client::settings::Settings;
use crate::client::{inquiry, near};
use crate::data::listing::ListedProbe;
use crate::error::Error;
use crate::stream::job::Purpose;

/// Asks for the probes that this system has.
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

/// What a [`ProbeQuery`] asks for.
#[derive(Debug, Clone, Default)]
pub struct Probes {
    patterns: Vec<String>,
    describe: bool,
}

impl Query<Probes> {
    /// Asks for all probes, unless narrowed by [`pattern`](Query::pattern).
    pub fn new() -> ProbeQuery {
        ProbeQuery::default()
    }

    pub(in crate::api) fn of_scripts(settings: Settings) -> ProbeQuery {
        Query { about: Probes::default(), settings }
    }

    /// Asks for the probes that match `provider:module:function:name`; empty parts match anything, and
    /// `*`, `?` and `[…]` match as in the shell. May be called several times, for those that match any.
    pub fn pattern(mut self, pattern: impl Into<String>) -> ProbeQuery {
        self.about.patterns.push(pattern.into());
        self
    }

    /// Asks for the probes' stability and arguments, too, which takes longer.
    pub fn describe(mut self) -> ProbeQuery {
        self.about.describe = true;
        self
    }

    /// Returns the probes, in the library's order.
    ///
    /// # Errors
    /// [`Error::Libdtrace`] for an invalid pattern, [`Error::Unavailable`] where tracing is not
    /// possible.
    pub fn list(self) -> Result<Vec<ListedProbe>, Error> {
        let Query { about: Probes { patterns, describe }, settings } = self;
        inquiry::list(&settings, Purpose::List { patterns, describe })
            .map_err(|error| near::suggested(&settings.access, error))
    }
}

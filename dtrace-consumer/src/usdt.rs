//! How does a C program get probes of its own?
//!
//! As with `dtrace -h` and `dtrace -G`: from a script that defines a provider come a header, by which
//! the program fires the probes, and an object file to link it with. Programs in Rust have the crate
//! `usdt` for it.

use std::path::PathBuf;

use crate::builder::Builder;
use crate::error::Error;
use crate::option;
use crate::query;
use crate::stream::job::Purpose;

impl<C> Builder<C> {
    /// The C header of the providers that the scripts define, as `dtrace -h` writes it
    /// (`dtrace_program_header`). `name` is the file's, from which its include guard is made.
    ///
    /// ```no_run
    /// let script = "provider shop { probe sale(int item, char *customer); };";
    /// let header = dtrace_consumer::trace(script).header("shop.h")?;
    /// std::fs::write("shop.h", header)?; // has the macro SHOP_SALE
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As of [`check`](Builder::check).
    pub fn header(mut self, name: &str) -> Result<Vec<u8>, Error> {
        self.settings.compile_flags |= option::ZERO_MATCHES;
        query::text(&self.settings, Purpose::Header { name: name.to_owned() })
    }

    /// Writes the object file that a program with probes is linked with, as `dtrace -G` does
    /// (`dtrace_program_link`). `objects` are all object files of the program that fire probes;
    /// they are **changed in place**, once: link them afterwards, with the one that this writes. The
    /// system's `ld` is needed.
    ///
    /// # Errors
    /// [`Error::Script`] unless there is exactly one script, [`Error::Libdtrace`] if an object cannot be
    /// used; others as of [`check`](Builder::check).
    pub fn link<P: Into<PathBuf>>(
        mut self,
        output: impl Into<PathBuf>,
        objects: impl IntoIterator<Item = P>,
    ) -> Result<(), Error> {
        if self.settings.sources.len() != 1 {
            let script = self.settings.sources.get(1).map_or("", |source| &source.name).to_owned();
            let reason = "an object file is made from exactly one script".to_owned();
            return Err(Error::Script { script, reason });
        }
        self.settings.compile_flags |= option::ZERO_MATCHES;
        let objects = objects.into_iter().map(Into::into).collect();
        let purpose = Purpose::Link { output: output.into(), objects };
        query::text(&self.settings, purpose).map(drop)
    }
}

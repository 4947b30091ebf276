//! What a stream has described so far.

use foldhash::HashMap;

use super::aggregation::Aggregation;
use super::kept;
use crate::data::aggregation::ParameterEncoding;
use crate::data::probe::Probe;
use crate::data::session_info::Platform;
use crate::data::symbol::Symbols;
use crate::records::layout::{self, Field};
use crate::stream::packed::Packing;
use crate::stream::payload::{AggregationFrame, ClauseFrame, SymbolFrame};
use crate::stream::wire::Malformed;

/// The descriptions that later frames refer to by number.
#[derive(Debug, Default)]
pub(crate) struct Described {
    pub(super) probes: HashMap<u32, Probe>,
    pub(super) clauses: HashMap<u32, Clause>,
    pub(super) aggregations: HashMap<u32, Aggregation>,
    pub(super) symbols: Symbols,
}

/// How to decode the firings of a clause.
#[derive(Debug)]
pub(super) struct Clause {
    pub(super) statement: u32,
    pub(super) fields: Vec<Field>,
    pub(super) packing: Packing,
}

impl Described {
    pub(super) fn add_probe(&mut self, probe: Probe) {
        self.probes.insert(probe.id, probe);
    }

    pub(super) fn add_clause(&mut self, frame: ClauseFrame) -> Result<(), Malformed> {
        let packing = kept::packing_of(&frame.records)?;
        let fields = layout::of_clause(frame.records);
        self.clauses.insert(frame.key, Clause { statement: frame.statement, fields, packing });
        Ok(())
    }

    /// Adds an aggregation. `platform` is that of the stream, if known.
    pub(super) fn add_aggregation(
        &mut self,
        frame: AggregationFrame,
        platform: Option<Platform>,
    ) -> Result<(), Malformed> {
        let packing = kept::packing_of(&frame.keys)?;
        let aggregation = Aggregation::new(frame, packing, encoding(platform));
        self.aggregations.insert(aggregation.key, aggregation);
        Ok(())
    }

    pub(super) fn add_symbol(&mut self, frame: SymbolFrame) {
        self.symbols.insert((frame.pid, frame.address), frame.text);
    }
}

/// Returns how a platform encodes the parameters of distributions.
fn encoding(platform: Option<Platform>) -> ParameterEncoding {
    match platform {
        Some(Platform::FreeBsd | Platform::MacOs | Platform::Illumos) => ParameterEncoding::Sun,
        Some(Platform::Linux) | None => ParameterEncoding::Linux,
    }
}

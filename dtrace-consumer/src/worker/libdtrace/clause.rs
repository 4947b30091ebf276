//! How to treat the firings of a clause.

use super::printf::Printer;
use crate::data::record::{Action, RecordDescription};
use crate::records::layout::{self, Field};
use crate::stream::packed::Packing;

/// What a clause's records require for each firing, computed once.
#[derive(Debug)]
pub(super) struct Clause {
    /// The number by which the stream refers to it.
    pub(super) key: u32,
    /// The size of a firing's data, in bytes.
    pub(super) length: usize,
    /// Whether all its actions only record, so that libdtrace has nothing to do for it but print.
    pub(super) pure: bool,
    /// Whether it has records that are printed where text is wanted.
    pub(super) prints: bool,
    /// What prints its firings in libdtrace's place.
    pub(super) printer: Option<Printer>,
    /// Whether the consumer must perform an action, even if nobody wants the firings.
    pub(super) asks: bool,
    /// How a firing's records travel.
    pub(super) packing: Packing,
    exit: Option<RecordDescription>,
    with_addresses: Vec<Field>,
}

impl Clause {
    /// Examines the records. `string_size` is the size of a D string, if it is known.
    pub(super) fn new(key: u32, records: &[RecordDescription], string_size: Option<u32>) -> Clause {
        let packing = Packing::with_strings(records, string_size);
        Clause {
            key,
            length: packing.length(),
            pure: records.iter().all(|r| only_records(r.action)),
            printer: Printer::of(records),
            prints: records.iter().any(|r| r.action != Action::Exit),
            asks: records.iter().any(|r| is_performed(r.action)),
            packing,
            exit: records.iter().find(|r| r.action == Action::Exit).cloned(),
            with_addresses: with_addresses(layout::of_clause(records.to_vec())),
        }
    }

    /// Returns the argument of `exit()`, if the clause called it.
    pub(super) fn exit_status(&self, data: &[u8]) -> Option<i32> {
        let bytes = self.exit.as_ref()?.bytes(data)?;
        bytes.first_chunk().map(|b| i32::from_ne_bytes(*b))
    }

    /// Calls `visit` with the process and the address of every address in the firing's records.
    pub(super) fn addresses(&self, data: &[u8], mut visit: impl FnMut(u32, u64)) {
        for addresses in self.with_addresses.iter().filter_map(|field| field.addresses(data)) {
            addresses.iter().for_each(|address| visit(addresses.pid, address));
        }
    }
}

pub(super) fn with_addresses(fields: Vec<Field>) -> Vec<Field> {
    fields.into_iter().filter(Field::has_addresses).collect()
}

/// Returns whether the consumer performs the action.
pub(super) fn is_performed(action: Action) -> bool {
    matches!(action, Action::System | Action::Freopen)
}

/// Returns whether an action only records, so that libdtrace has nothing to do when it is consumed.
fn only_records(action: Action) -> bool {
    use Action::*;
    matches!(
        action,
        Trace | Exit | Printf | Tracemem | Print | Stack | UStack | Sym | Mod | USym | UMod | UAddr
    )
}

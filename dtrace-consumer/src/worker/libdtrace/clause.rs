//! How are the firings of a clause treated?

use crate::data::record::{Action, RecordDescription};
use crate::records::layout::{self, Field};

/// What a clause's records mean for its firings, worked out once.
#[derive(Debug)]
pub(super) struct Clause {
    /// The number by which the stream refers to it.
    pub(super) key: u32,
    /// Bytes of a firing's data.
    pub(super) length: usize,
    /// Whether libdtrace has nothing to do for it: all of its actions only record.
    pub(super) pure: bool,
    /// Whether it has records that libdtrace would format.
    pub(super) prints: bool,
    /// Whether the consumer has to carry out something, whoever wants the firings.
    pub(super) asks: bool,
    exit: Option<RecordDescription>,
    with_addresses: Vec<Field>,
}

impl Clause {
    pub(super) fn new(key: u32, records: &[RecordDescription]) -> Clause {
        Clause {
            key,
            length: records.iter().map(|r| r.offset as usize + r.size as usize).max().unwrap_or(0),
            pure: records.iter().all(|r| only_records(r.action)),
            prints: records.iter().any(|r| r.action != Action::Exit),
            asks: records.iter().any(|r| is_performed(r.action)),
            exit: records.iter().find(|r| r.action == Action::Exit).cloned(),
            with_addresses: with_addresses(layout::of_clause(records.to_vec())),
        }
    }

    /// The argument of `exit()`, if the clause has called it.
    pub(super) fn exit_status(&self, data: &[u8]) -> Option<i32> {
        let bytes = self.exit.as_ref()?.bytes(data)?;
        bytes.first_chunk().map(|b| i32::from_ne_bytes(*b))
    }

    /// Calls `visit` with process and address for every address in the firing's records.
    pub(super) fn addresses(&self, data: &[u8], mut visit: impl FnMut(u32, u64)) {
        for addresses in self.with_addresses.iter().filter_map(|field| field.addresses(data)) {
            addresses.iter().for_each(|address| visit(addresses.pid, address));
        }
    }
}

pub(super) fn with_addresses(fields: Vec<Field>) -> Vec<Field> {
    fields.into_iter().filter(Field::has_addresses).collect()
}

/// Whether the consumer carries the action out.
pub(super) fn is_performed(action: Action) -> bool {
    matches!(action, Action::System | Action::Freopen)
}

/// Whether an action only records, so that libdtrace has nothing to do when it is consumed.
fn only_records(action: Action) -> bool {
    use Action::*;
    matches!(
        action,
        Trace | Exit | Printf | Tracemem | Print | Stack | UStack | Sym | Mod | USym | UMod | UAddr
    )
}

//! How is each record of a clause, or each key of an aggregation, to be read?
//!
//! libdtrace says little about a record: action, size, alignment, and for `trace()` whether it is
//! signed. The conversions of a printf's format say more. Both are put together here, once for each
//! clause; then decoding a firing's record is a look at its bytes.

use crate::format::{Conversion, conversions};
use crate::record::{Action, RecordDescription};
use crate::stack::Addresses;
use crate::symbol::{StackRef, Symbols, symbol_of};
use crate::value::{Integer, Sign, ValueRef};

/// A record with the way to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) description: RecordDescription,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Integer(Sign),
    String,
    Bytes,
    Addresses,
    Aggregation,
    Opaque,
}

/// What `dtrd_arg` of a trace record says on Linux.
const TRACE_SIGNED: u64 = 1;
const TRACE_BY_REFERENCE: u64 = 4;

impl Field {
    fn new(description: RecordDescription, sign: Sign) -> Field {
        let form = match description.action {
            Action::Trace | Action::Printf => plain(&description, sign),
            Action::Exit => Form::Integer(Sign::Signed),
            Action::Printa => Form::Aggregation,
            Action::Tracemem => Form::Bytes,
            Action::Stack
            | Action::UStack
            | Action::Sym
            | Action::Mod
            | Action::USym
            | Action::UMod
            | Action::UAddr => Form::Addresses,
            _ => Form::Opaque,
        };
        Field { description, form }
    }

    /// The record's value within a firing's or a key's data.
    pub(crate) fn value<'a>(&self, data: &'a [u8], symbols: &'a Symbols) -> ValueRef<'a> {
        let action = self.description.action;
        // A record outside of its data comes only from a damaged stream; it holds nothing.
        let Some(bytes) = self.description.bytes(data) else { return ValueRef::Nothing };
        let opaque = ValueRef::Opaque { action, bytes };
        match self.form {
            Form::Nothing => ValueRef::Nothing,
            Form::Integer(sign) => {
                Integer::from_bytes(bytes, sign).map_or(opaque, ValueRef::Integer)
            }
            Form::String => ValueRef::String(up_to_nul(bytes)),
            Form::Bytes => ValueRef::Bytes(bytes),
            Form::Aggregation => Integer::from_bytes(bytes, Sign::Unsigned)
                .map_or(opaque, |n| ValueRef::Aggregation(n.as_u64())),
            Form::Addresses => match Addresses::linux(action, bytes) {
                Some(addresses) if matches!(action, Action::Stack | Action::UStack) => {
                    ValueRef::Stack(StackRef::new(addresses, symbols))
                }
                Some(addresses) => {
                    symbol_of(action, addresses, symbols).map_or(opaque, ValueRef::Symbol)
                }
                None => opaque,
            },
            Form::Opaque => opaque,
        }
    }
}

/// A value of D's own types: a number, a string or memory.
fn plain(r: &RecordDescription, sign: Sign) -> Form {
    match (r.size, r.alignment) {
        (0, _) => Form::Nothing,
        // A string's alignment is one; so is a single character's.
        (2.., 1) => Form::String,
        (1 | 2 | 4 | 8, _) if r.argument != TRACE_BY_REFERENCE => Form::Integer(sign),
        (1, 1) => Form::Integer(sign),
        _ => Form::Bytes,
    }
}

fn up_to_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|b| *b == 0).next().unwrap_or(bytes)
}

/// The fields of a clause's records.
pub(crate) fn of_clause(records: Vec<RecordDescription>) -> Vec<Field> {
    let mut arguments: std::vec::IntoIter<Conversion> = Vec::new().into_iter();
    let mut fields = Vec::with_capacity(records.len());
    for record in records {
        let sign = match record.action {
            Action::Printf => {
                if let Some(format) = &record.format {
                    arguments = conversions(format).into_iter();
                }
                arguments.next().map_or(Sign::Unknown, |conversion| conversion.sign())
            }
            Action::Trace if record.argument & TRACE_SIGNED != 0 => Sign::Signed,
            Action::Trace => Sign::Unsigned,
            _ => {
                // Other actions' records stand among a printf's arguments, as with `%k`.
                arguments.next();
                Sign::Unknown
            }
        };
        fields.push(Field::new(record, sign));
    }
    fields
}

/// The fields of an aggregation's keys, whose signs are not recorded.
pub(crate) fn of_keys(records: Vec<RecordDescription>) -> Vec<Field> {
    records.into_iter().map(|record| Field::new(record, Sign::Unknown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(action: Action, offset: u32, size: u32, alignment: u16) -> RecordDescription {
        RecordDescription { action, offset, size, alignment, argument: 0, format: None }
    }

    #[test]
    fn the_format_decides_the_sign_of_a_printf_argument() {
        let mut first = record(Action::Printf, 0, 4, 4);
        first.format = Some("%d and %u".to_owned());
        let fields = of_clause(vec![first, record(Action::Printf, 4, 4, 4)]);
        let data = [0xff; 8];
        let symbols = Symbols::new();
        let values: Vec<String> =
            fields.iter().map(|f| f.value(&data, &symbols).to_string()).collect();
        assert_eq!(values, ["-1", "4294967295"]);
    }

    #[test]
    fn a_string_ends_at_its_nul_or_at_its_end() {
        let fields = of_keys(vec![record(Action::Trace, 0, 4, 1)]);
        let symbols = Symbols::new();
        assert_eq!(fields[0].value(b"ab\0x", &symbols), ValueRef::String(b"ab"));
        assert_eq!(fields[0].value(b"abcd", &symbols), ValueRef::String(b"abcd"));
    }

    #[test]
    fn a_record_beyond_its_data_holds_nothing() {
        let fields = of_keys(vec![record(Action::Trace, u32::MAX, 8, 8)]);
        assert_eq!(fields[0].value(b"short", &Symbols::new()), ValueRef::Nothing);
    }
}

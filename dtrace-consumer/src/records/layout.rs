//! How is each record of a clause, or each key of an aggregation, decoded?
//!
//! libdtrace describes a record only by its action, size, alignment, and for `trace()` its sign. The
//! conversions of a printf format tell more. This module combines both once for each clause, so that decoding
//! a record only reads its bytes.

#[cfg(all(test, feature = "live"))]
mod properties;

use super::format::{Conversion, conversions};
use crate::data::addresses::{Addresses, StackForm};
use crate::data::integer::{Integer, Sign};
use crate::data::nul::up_to_nul;
use crate::data::record::{Action, RecordDescription};
use crate::data::stack::StackRef;
use crate::data::symbol::{Symbols, symbol_of};
use crate::data::value::ValueRef;

/// A record, and how to decode it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) description: RecordDescription,
    /// Its name in the format.
    pub(crate) name: Option<String>,
    form: Form,
    /// Where its bytes begin in the data.
    at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Nothing,
    Integer(Sign),
    String,
    Bytes,
    /// Memory, of which the number at `offset` gives the valid length.
    Prefix {
        offset: u32,
        size: u32,
    },
    /// The size of a `Prefix`. It is not a value itself.
    PrefixSize,
    Stack(StackForm),
    Symbol,
    Aggregation,
    Opaque,
}

/// Values of `dtrd_arg` of a trace record on Linux.
const TRACE_SIGNED: u64 = 1;
pub(crate) const TRACE_BY_REFERENCE: u64 = 4;
/// Not of libdtrace: whether the value has a sign is unknown.
pub(crate) const TRACE_SIGN_UNKNOWN: u64 = 1 << 62;

/// `dtrd_arg` of a tracemem record on Linux: the next record has the memory's size. Its own `dtrd_arg` is
/// `SIZE`, or `SSIZE` if it is signed.
const TRACEMEM_DYNAMIC: u64 = 2;
pub(crate) const TRACEMEM_SIZE: u64 = 3;
const TRACEMEM_SSIZE: u64 = 4;
/// Not of libdtrace: the record before has the memory's size, as elsewhere than on Linux.
pub(crate) const TRACEMEM_SIZE_BEFORE: u64 = 1 << 62;

/// Not of libdtrace: set in the argument of a stack's record that has no header, as elsewhere than on Linux. The rest
/// is libdtrace's argument.
pub(crate) const STACK_WITHOUT_HEADER: u64 = 1 << 62;

impl Field {
    fn new(description: RecordDescription, sign: Sign) -> Field {
        let form = match description.action {
            Action::Trace | Action::Printf => plain(&description, sign),
            Action::Exit => Form::Integer(Sign::Signed),
            Action::Printa => Form::Aggregation,
            Action::Tracemem => Form::Bytes,
            // First comes the address, whose argument is the type. The bytes at the address follow.
            Action::Print if description.argument != 0 => Form::Integer(Sign::Unsigned),
            Action::Print => Form::Bytes,
            Action::Stack | Action::UStack | Action::JStack => stack(&description),
            Action::Sym | Action::Mod | Action::USym | Action::UMod | Action::UAddr => Form::Symbol,
            _ => Form::Opaque,
        };
        Field { at: description.offset as usize, description, name: None, form }
    }

    /// Adapts the field to data that lack the bytes before `start`.
    pub(crate) fn from(mut self, start: usize) -> Field {
        self.at = self.at.saturating_sub(start);
        if let Form::Prefix { offset, .. } = &mut self.form {
            *offset = offset.saturating_sub(u32::try_from(start).unwrap_or(u32::MAX));
        }
        self
    }

    /// Returns the record's bytes within `data`; `None` if they lie outside.
    #[inline]
    pub(crate) fn bytes<'a>(&self, data: &'a [u8]) -> Option<&'a [u8]> {
        match self.description.size as usize {
            // It may follow the last byte of the data.
            0 => Some(&[]),
            size => data.get(self.at..)?.get(..size),
        }
    }

    /// Returns whether the record holds a value of the script, rather than an instruction to libdtrace.
    pub(crate) fn is_data(&self) -> bool {
        use Action::{Commit, Discard, Exit, Library, Printa, Speculate};
        let for_libdtrace = matches!(
            self.description.action,
            Exit | Library | Printa | Speculate | Commit | Discard
        );
        let is_value = !matches!(self.form, Form::PrefixSize | Form::Nothing);
        self.description.size > 0 && is_value && !for_libdtrace
    }

    /// Returns the form of the stack in the record, if it holds one.
    pub(crate) fn stack_form(&self) -> Option<StackForm> {
        match self.form {
            Form::Stack(form) => Some(form),
            _ => None,
        }
    }

    /// Returns the addresses in the record, if its action records any.
    pub(crate) fn addresses<'a>(&self, data: &'a [u8]) -> Option<Addresses<'a>> {
        match self.form {
            Form::Stack(form) => Addresses::of_stack(self.bytes(data)?, form),
            Form::Symbol => Addresses::of_symbol(self.description.action, self.bytes(data)?),
            _ => None,
        }
    }

    /// Returns whether the record may hold addresses.
    pub(crate) fn has_addresses(&self) -> bool {
        matches!(self.form, Form::Stack(_) | Form::Symbol)
    }

    /// Returns the record's value within the data of a firing or a key.
    #[inline]
    pub(crate) fn value<'a>(&self, data: &'a [u8], symbols: &'a Symbols) -> ValueRef<'a> {
        // Most are numbers.
        if let Form::Integer(sign) = self.form
            && let Some(n) = self.bytes(data).and_then(|bytes| Integer::from_bytes(bytes, sign))
        {
            return ValueRef::Integer(n);
        }
        self.any_value(data, symbols)
    }

    fn any_value<'a>(&self, data: &'a [u8], symbols: &'a Symbols) -> ValueRef<'a> {
        let action = self.description.action;
        // Only a damaged stream has a record outside its data. It has no value.
        let Some(bytes) = self.bytes(data) else { return ValueRef::Nothing };
        let opaque = ValueRef::Opaque { action, bytes };
        match self.form {
            Form::Nothing => ValueRef::Nothing,
            Form::Integer(sign) => {
                Integer::from_bytes(bytes, sign).map_or(opaque, ValueRef::Integer)
            }
            Form::PrefixSize => {
                Integer::from_bytes(bytes, Sign::Unsigned).map_or(opaque, ValueRef::Integer)
            }
            Form::String => ValueRef::String(up_to_nul(bytes)),
            Form::Bytes => ValueRef::Bytes(bytes),
            Form::Prefix { offset, size } => {
                let wanted = data
                    .get(offset as usize..)
                    .and_then(|rest| Integer::from_bytes(rest.get(..size as usize)?, Sign::Signed))
                    .map_or(bytes.len(), |n| usize::try_from(n.as_i64()).unwrap_or(0));
                ValueRef::Bytes(bytes.get(..wanted).unwrap_or(bytes))
            }
            Form::Aggregation => Integer::from_bytes(bytes, Sign::Unsigned)
                .map_or(opaque, |n| ValueRef::Aggregation(n.as_u64())),
            Form::Stack(form) => Addresses::of_stack(bytes, form)
                .map_or(opaque, |addresses| ValueRef::Stack(StackRef::new(addresses, symbols))),
            Form::Symbol => Addresses::of_symbol(action, bytes)
                .and_then(|addresses| symbol_of(action, addresses, symbols))
                .map_or(opaque, ValueRef::Symbol),
            Form::Opaque => opaque,
        }
    }
}

/// Returns the form of a stack's record.
fn stack(r: &RecordDescription) -> Form {
    let has_header = r.argument & STACK_WITHOUT_HEADER == 0;
    match r.action {
        Action::JStack if has_header => Form::Opaque,
        _ if has_header => Form::Stack(StackForm::WithHeader),
        Action::Stack => Form::Stack(StackForm::Bare),
        // Of a process, libdtrace's argument has the number of frames in its lower half.
        _ => Form::Stack(StackForm::WithProcess(r.argument as u32)),
    }
}

/// Returns the form of a value of D's own types: a number, a string or memory.
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

/// Returns the fields of a clause's records.
pub(crate) fn of_clause(records: Vec<RecordDescription>) -> Vec<Field> {
    let mut arguments: std::vec::IntoIter<Conversion> = Vec::new().into_iter();
    let mut fields: Vec<Field> = Vec::with_capacity(records.len());
    for record in records {
        let field = match record.action {
            Action::Printf => {
                if let Some(format) = &record.format {
                    arguments = conversions(format).into_iter();
                }
                // Elsewhere than on Linux, a call without arguments records a number.
                let is_empty = record.format.is_some() && arguments.as_slice().is_empty();
                let conversion = arguments.next();
                let sign = conversion.as_ref().map_or(Sign::Unknown, Conversion::sign);
                let mut field = Field::new(record, sign);
                if is_empty {
                    field.form = Form::Nothing;
                }
                if conversion.as_ref().is_some_and(Conversion::is_stack) {
                    field.form = stack(&field.description);
                }
                field.name = conversion.and_then(|conversion| conversion.name);
                field
            }
            Action::Trace if record.argument & TRACE_SIGNED != 0 => {
                Field::new(record, Sign::Signed)
            }
            Action::Trace if record.argument == TRACE_SIGN_UNKNOWN => {
                Field::new(record, Sign::Unknown)
            }
            Action::Trace => Field::new(record, Sign::Unsigned),
            Action::Tracemem if matches!(record.argument, TRACEMEM_SIZE | TRACEMEM_SSIZE) => {
                if let Some(memory) = fields.last_mut()
                    && memory.description.argument == TRACEMEM_DYNAMIC
                {
                    memory.form = Form::Prefix { offset: record.offset, size: record.size };
                }
                let mut size = Field::new(record, Sign::Unknown);
                size.form = Form::PrefixSize;
                size
            }
            Action::Tracemem if record.argument == TRACEMEM_SIZE_BEFORE => {
                let mut memory = Field::new(record, Sign::Unknown);
                if let Some(Field { form: Form::PrefixSize, description, .. }) = fields.last() {
                    let (offset, size) = (description.offset, description.size);
                    memory.form = Form::Prefix { offset, size };
                }
                memory
            }
            // Elsewhere than on Linux, a call without arguments records a number.
            Action::System | Action::Freopen
                if record.size > 0
                    && record.format.as_deref().is_some_and(|it| conversions(it).is_empty()) =>
            {
                Field { form: Form::Nothing, ..Field::new(record, Sign::Unknown) }
            }
            _ => Field::new(record, Sign::Unknown),
        };
        fields.push(field);
    }
    fields
}

/// Returns the fields of an aggregation's keys, whose signs libdtrace does not record.
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
    fn a_call_without_arguments_records_no_value() {
        for (size, action) in [(0, Action::Printf), (8, Action::Printf), (8, Action::System)] {
            let mut text = record(action, 0, size, 8);
            text.format = Some("100%%".to_owned());
            let fields = of_clause(vec![text, record(Action::Trace, 8, 1, 1)]);
            assert_eq!(fields[0].value(&[1; 9], &Symbols::new()), ValueRef::Nothing, "{size}");
            assert_eq!([fields[0].is_data(), fields[1].is_data()], [false, true], "{size}");
        }
    }

    #[test]
    fn memory_is_as_long_as_the_number_behind_it_or_before_it_says() {
        let tracemem = |argument, offset, size| RecordDescription {
            argument,
            ..record(Action::Tracemem, offset, size, 8)
        };
        let before = [tracemem(TRACEMEM_SIZE, 0, 8), tracemem(TRACEMEM_SIZE_BEFORE, 8, 4)];
        let behind = [tracemem(TRACEMEM_DYNAMIC, 16, 4), tracemem(TRACEMEM_SSIZE, 24, 8)];
        let memory = [[1, 2, 3, 4, 0, 0, 0, 0], [5, 6, 7, 8, 0, 0, 0, 0]];
        let data = [&3u64.to_ne_bytes()[..], memory.as_flattened(), &2u64.to_ne_bytes()].concat();
        let values = |fields: &[Field]| -> Vec<String> {
            let data_fields = fields.iter().filter(|field| field.is_data());
            data_fields.map(|field| format!("{:?}", field.value(&data, &Symbols::new()))).collect()
        };
        let fields = of_clause([before.clone(), behind.clone()].concat());
        assert_eq!(values(&fields), ["Bytes([01, 02, 03])", "Bytes([05, 06])"]);
        let fields = of_clause([behind, before].concat());
        assert_eq!(values(&fields), ["Bytes([05, 06])", "Bytes([01, 02, 03])"]);
        // Without a length it is whole.
        let fields = of_clause(vec![tracemem(TRACEMEM_SIZE_BEFORE, 8, 4)]);
        assert_eq!(values(&fields), ["Bytes([01, 02, 03, 04])"]);
    }

    #[test]
    fn a_stack_is_read_as_its_system_records_it() {
        let frames = |action, argument, words: &[u64]| {
            let data: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let size = u32::try_from(data.len()).unwrap();
            let described = RecordDescription { argument, ..record(action, 0, size, 8) };
            match of_clause(vec![described])[0].value(&data, &Symbols::new()) {
                ValueRef::Stack(stack) => {
                    let frames: Vec<u64> = stack.frames().map(|frame| frame.address()).collect();
                    Some((stack.pid(), frames))
                }
                _ => None,
            }
        };
        let elsewhere = |argument| STACK_WITHOUT_HEADER | argument;
        use Action::{JStack, Stack, UStack};
        assert_eq!(frames(Stack, elsewhere(3), &[7, 8, 0]), Some((None, vec![7, 8])));
        assert_eq!(frames(UStack, elsewhere(2), &[77, 7, 8]), Some((Some(77), vec![7, 8])));
        assert_eq!(frames(JStack, elsewhere(64 << 32 | 1), &[77, 7, 8]), Some((Some(77), vec![7])));
        assert_eq!(frames(UStack, elsewhere(2), &[]), None, "its process is missing");
        assert_eq!(frames(Stack, 3, &[7]), None, "its header is missing");
        assert_eq!(frames(JStack, 3, &[7, 8, 9]), None);
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

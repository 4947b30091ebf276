//! Firings of probes, as handlers see them.

use foldhash::HashMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::aggregated::Aggregated;
use super::aggregation::Aggregation;
use super::entry::OwnedEntry;
use super::{json, line};
use crate::data::folded::Folded;
use crate::data::from_value::{FromValue, TypeError};
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::symbol::Symbols;
use crate::data::value::{ValueKey, ValueRef};
use crate::records::layout::Field;
use crate::records::row_error::RowError;
use crate::records::rows::{self, Part};
use crate::stream::payload::FiringFrame;

/// One firing of one clause: its probe, and what its actions recorded.
#[derive(Debug, Clone, Copy)]
pub struct Firing<'a> {
    pub(crate) frame: &'a FiringFrame<'a>,
    /// The records in their places.
    pub(crate) data: &'a [u8],
    pub(crate) probe: &'a Probe,
    pub(crate) statement: u32,
    pub(crate) fields: &'a [Field],
    pub(crate) symbols: &'a Symbols,
    /// The entries that its `printa()` prints.
    pub(crate) printed: &'a [OwnedEntry],
    pub(crate) aggregations: &'a HashMap<u32, Aggregation>,
}

/// The position of a firing in the flow of functions. Requires the option `flowindent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Flow<'a> {
    /// Entry, return, or neither.
    pub kind: FlowKind,
    /// The depth, in characters of indentation.
    pub indent: i32,
    /// The mark before the name: `-> `, `<- `, ` | `…
    pub prefix: &'a str,
}

/// The direction of a [`Flow`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FlowKind {
    /// A function or system call is entered.
    Entry,
    /// It returns.
    Return,
    /// Neither.
    None,
}

impl<'a> Firing<'a> {
    /// Returns the probe that fired.
    #[must_use]
    pub fn probe(&self) -> &'a Probe {
        self.probe
    }

    /// Returns the CPU on which it fired.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.frame.cpu
    }

    /// Returns libdtrace's number of the statement, which differs between the clauses of a script.
    #[must_use]
    pub fn statement(&self) -> u32 {
        self.statement
    }

    /// Returns the position in the flow; `None` without `flowindent`.
    #[must_use]
    pub fn flow(&self) -> Option<Flow<'a>> {
        self.frame.flow.map(|flow| Flow {
            kind: match flow.kind {
                0 => FlowKind::Entry,
                1 => FlowKind::Return,
                _ => FlowKind::None,
            },
            indent: flow.indent,
            prefix: std::str::from_utf8(flow.prefix).unwrap_or(""),
        })
    }

    /// Returns the records, in the order of the clause's actions.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'a>> + use<'a> {
        let firing = *self;
        self.fields.iter().enumerate().map(move |(index, field)| Record { firing, index, field })
    }

    /// Returns the record at `index`, from 0.
    #[must_use]
    pub fn record(&self, index: usize) -> Option<Record<'a>> {
        let field = self.fields.get(index)?;
        Some(Record { firing: *self, index, field })
    }

    /// Returns the values that the actions recorded: printf arguments, traced expressions, stacks. Excludes
    /// `exit()` and the actions that libdtrace performs.
    pub fn values(&self) -> impl Iterator<Item = ValueRef<'a>> + use<'a> {
        self.parts().map(Placed::decode)
    }

    /// Returns the values, not yet decoded.
    #[inline]
    fn parts(&self) -> impl Iterator<Item = Placed<'a>> + Clone + use<'a> {
        let (data, symbols) = (self.data, self.symbols);
        let fields = self.fields.iter().filter(|field| field.is_data());
        fields.map(move |field| Placed { field, data, symbols })
    }

    /// Returns the values with their names.
    fn named_values(&self) -> impl Iterator<Item = (Option<&'a str>, ValueRef<'a>)> + use<'a> {
        self.parts().map(|part| (part.field.name.as_deref(), part.decode()))
    }

    /// Returns whether it has any values.
    pub(crate) fn has_values(&self) -> bool {
        self.fields.iter().any(Field::is_data)
    }

    /// Returns the values as one line of the folded format, from which flame graphs are drawn. At least one of
    /// them should be a stack.
    ///
    /// ```no_run
    /// use dtrace_consumer::value::FoldedStacks;
    ///
    /// let mut stacks = FoldedStacks::default();
    /// dtrace_consumer::trace("profile-99 { ustack(); stack(); } tick-10s { exit(0); }")
    ///     .chew(|firing| Ok(stacks.add(&firing.folded(), 1)?))
    ///     .run()?;
    /// print!("{stacks}");
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    #[must_use]
    pub fn folded(&self) -> Folded<'a> {
        Folded::of(self.values())
    }

    /// Returns the records that hold the [`values`](Firing::values), in the same order.
    pub fn data_records(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        self.records().filter(|r| r.field.is_data())
    }

    /// Converts the value at a position, from 0, or with a name in the format of `printf`.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such value, it is of another kind, or it does not fit.
    pub fn get<'k, T: FromValue<'a>>(&self, key: impl Into<ValueKey<'k>>) -> Result<T, TypeError> {
        T::from_value(pick(self.named_values(), key.into())?)
    }

    /// Deserializes the values.
    ///
    /// | type | takes |
    /// |---|---|
    /// | tuple, list | the values in order |
    /// | structure | values by name, if the format of a `printf` names them, as in `seq=%u` or `"seq":%u`; otherwise in order |
    /// | map, `flatten`, untagged or internally tagged enumeration | values by name; all of them need names |
    /// | scalar | the only value |
    ///
    /// A structure takes values by name if there is one for each of its fields, or if all values have names
    /// and at least one of these is that of a field. Then a field may lack a value if serde can do without
    /// it: an `Option`, or a field with `#[serde(default)]`.
    ///
    /// Integers are checked: one that does not fit is an error. `arg0` to `arg9` are registers of 64 bits, so an
    /// `int` of -1 arrives as 4294967295; write `(int)arg0` in the script. Through `flatten`, untagged and
    /// internally tagged enumerations, serde does not say which type it wants: numbers arrive as dtrace(1)
    /// prints them, and do not convert to `bool`.
    ///
    /// # Errors
    /// [`RowError`], which names the probe, the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        rows::from_values(self.parts()).map_err(|e| e.of(self.probe.to_string()))
    }

    /// Returns exactly what dtrace(1) would print for the firing. Empty unless the session wants output, as
    /// those with an `out` closure do.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.frame.text
    }

    /// Returns what each record printed, in order. Excludes records that print nothing.
    pub fn output(&self) -> impl Iterator<Item = Output<'a>> + use<'a> {
        let firing = *self;
        let mut start = 0;
        let word = |b: &[u8]| b.first_chunk().map_or(0, |b| u32::from_le_bytes(*b) as usize);
        self.frame.text_ends.chunks_exact(8).filter_map(move |pair| {
            let (index, end) = (word(pair), word(&pair[4..]));
            let text = firing.frame.text.get(start..end)?;
            start = end;
            Some(Output { firing, index, text }).filter(|output| !output.text.is_empty())
        })
    }
}

/// A value in the data of its firing.
#[derive(Clone, Copy)]
struct Placed<'a> {
    field: &'a Field,
    data: &'a [u8],
    symbols: &'a Symbols,
}

impl<'a> Placed<'a> {
    #[inline]
    fn decode(self) -> ValueRef<'a> {
        self.field.value(self.data, self.symbols)
    }
}

impl Part for Placed<'_> {
    #[inline]
    fn name(&self) -> Option<&str> {
        self.field.name.as_deref()
    }

    #[inline]
    fn value(&self) -> ValueRef<'_> {
        self.decode()
    }
}

/// Returns the value of a key.
pub(super) fn pick<'v>(
    mut values: impl Iterator<Item = (Option<&'v str>, ValueRef<'v>)>,
    key: ValueKey<'_>,
) -> Result<ValueRef<'v>, TypeError> {
    let found = match key {
        ValueKey::Index(index) => values.nth(index),
        ValueKey::Name(wanted) => values.find(|(name, _)| *name == Some(wanted)),
    };
    let (_, value) = found.ok_or_else(|| TypeError::new("a value", format!("none {key}")))?;
    Ok(value)
}

/// Formats the probe and the values, on one line.
impl fmt::Display for Firing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.probe)?;
        line::values(f, self.named_values())
    }
}

/// Serializes as `probe`, `cpu`, `statement`, `flow` (or null) and `values`: an object whose members have the names of
/// the values, or their positions from 0.
impl Serialize for Firing<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = (self.probe, self.cpu(), self.statement);
        json::firing(serializer, of, self.flow(), self.named_values())
    }
}

/// A record of a firing.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    firing: Firing<'a>,
    index: usize,
    field: &'a Field,
}

impl<'a> Record<'a> {
    /// Returns the firing that it belongs to.
    #[must_use]
    pub fn firing(&self) -> &Firing<'a> {
        &self.firing
    }

    /// Returns its position in the firing, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Returns the action that made it.
    #[must_use]
    pub fn action(&self) -> Action {
        self.field.description.action
    }

    /// Returns its layout in the data, and its format string if it has one.
    #[must_use]
    pub fn description(&self) -> &'a RecordDescription {
        &self.field.description
    }

    /// Returns its name in the format of its `printf`: the word before the conversion and an equals sign or
    /// colon.
    #[must_use]
    pub fn name(&self) -> Option<&'a str> {
        self.field.name.as_deref()
    }

    /// Returns its value.
    #[must_use]
    pub fn value(&self) -> ValueRef<'a> {
        self.field.value(self.firing.data, self.firing.symbols)
    }

    /// Converts its value to the requested type.
    ///
    /// # Errors
    /// [`TypeError`] if the value is of another kind or does not fit.
    pub fn get<T: FromValue<'a>>(&self) -> Result<T, TypeError> {
        T::from_value(self.value())
    }

    /// Returns the entries that a `printa()` prints, with keys and values. Empty without
    /// [`printed_entries`](crate::Session::printed_entries).
    pub fn aggregated(&self) -> impl Iterator<Item = Aggregated<'a>> + use<'a> {
        let firing = self.firing;
        let variable = match self.value() {
            ValueRef::Aggregation(variable) => Some(variable),
            _ => None,
        };
        firing.printed.iter().filter_map(move |printed| {
            let aggregation = firing.aggregations.get(&printed.aggregation)?;
            (Some(aggregation.variable) == variable)
                .then(|| Aggregated::new(aggregation, printed.frame(), firing.symbols).ok())?
        })
    }

    /// Returns its bytes, as the kernel recorded them.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.field.bytes(self.firing.data).unwrap_or_default()
    }
}

/// Serializes as its `action`, its `name` in the format (or null), and its `value`.
impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("Record", 3)?;
        record.serialize_field("action", &self.action())?;
        record.serialize_field("name", &self.name())?;
        record.serialize_field("value", &self.value())?;
        record.end()
    }
}

/// The text that a record printed. Serializes as `probe`, `action` (or null) and `text`.
#[derive(Debug, Clone, Copy)]
pub struct Output<'a> {
    firing: Firing<'a>,
    index: usize,
    text: &'a [u8],
}

impl<'a> Output<'a> {
    /// Returns the firing that it belongs to.
    #[must_use]
    pub fn firing(&self) -> &Firing<'a> {
        &self.firing
    }

    /// Returns the probe that fired.
    #[must_use]
    pub fn probe(&self) -> &'a Probe {
        self.firing.probe
    }

    /// Returns the record that printed it.
    #[must_use]
    pub fn record(&self) -> Option<Record<'a>> {
        self.firing.record(self.index)
    }

    /// Returns the action of that record. `system()` and `freopen()` "print" their command or file.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        self.record().map(|record| record.action())
    }

    /// Returns the text exactly as dtrace(1) would print it, in bytes, because D strings are bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.text
    }

    /// Returns the text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }
}

impl Serialize for Output<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::output(serializer, self.probe(), self.action(), &self.text())
    }
}

impl fmt::Display for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

//! What a session delivers, as values that own their data.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::Serializer;

use super::aggregated::{self, Aggregated};
use super::firing::{self, Firing, FlowKind, Output, Record};
use super::json::{self, EventJson};
use super::line;
use crate::data::aggregation::{AggregationFunction, AggregationValue};
use crate::data::folded::Folded;
use crate::data::from_value::{FromValue, TypeError};
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::CommandStream;
use crate::data::probe::Probe;
use crate::data::record::Action;
use crate::data::session_info::{OptionChange, ProcessEvent};
use crate::data::value::{Value, ValueKey, ValueRef};
use crate::records::row_error::RowError;
use crate::records::rows;

/// A delivered item that owns its data.
///
/// Serializes as an object whose member `event` names its kind: `{"event":"walked"}`. Firings, text and entries have their
/// members beside it. Other events have one member, named after the kind. Formats as one line; text keeps its line feeds.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A clause has fired.
    Firing(FiringEvent),
    /// A record has printed text.
    Output(OutputEvent),
    /// An entry of a walk over the aggregations.
    Aggregated(AggregatedEvent),
    /// A walk over the aggregations is complete.
    Walked,
    /// Data were dropped.
    Drop(DropReport),
    /// A clause failed at run time.
    Fault(Fault),
    /// The script has changed an option.
    Option(OptionChange),
    /// A traced process has ended or can no longer be followed.
    Process(ProcessEvent),
    /// The command has written a line; see [`command_lines`](crate::Session::command_lines).
    Line(CommandLine),
}

impl Event {
    /// Returns the firing, if this is one.
    #[must_use]
    pub fn as_firing(&self) -> Option<&FiringEvent> {
        if let Event::Firing(firing) = self { Some(firing) } else { None }
    }

    /// Returns the text, if this is text.
    #[must_use]
    pub fn as_output(&self) -> Option<&OutputEvent> {
        if let Event::Output(output) = self { Some(output) } else { None }
    }

    /// Returns the entry of an aggregation, if this is one.
    #[must_use]
    pub fn as_aggregated(&self) -> Option<&AggregatedEvent> {
        if let Event::Aggregated(entry) = self { Some(entry) } else { None }
    }

    /// Returns the probe that a firing, text or fault is from.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        match self {
            Event::Firing(firing) => Some(&firing.probe),
            Event::Output(output) => Some(&output.probe),
            Event::Fault(fault) => fault.probe.as_ref(),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Firing(firing) => firing.fmt(f),
            Event::Output(output) => output.fmt(f),
            Event::Aggregated(entry) => entry.fmt(f),
            Event::Walked => f.write_str("the walk is complete"),
            Event::Drop(report) => report.fmt(f),
            Event::Fault(fault) => f.write_str(fault.message.trim_end()),
            Event::Option(change) => change.fmt(f),
            Event::Process(event) => event.fmt(f),
            Event::Line(line) => String::from_utf8_lossy(&line.bytes).fmt(f),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match self {
            Event::Firing(firing) => EventJson::Firing(firing),
            Event::Output(output) => EventJson::Output(output),
            Event::Aggregated(entry) => EventJson::Aggregated(entry),
            Event::Walked => EventJson::Walked,
            Event::Drop(drop) => EventJson::Drop { drop },
            Event::Fault(fault) => EventJson::Fault { fault },
            Event::Option(option) => EventJson::Option { option },
            Event::Process(process) => EventJson::Process { process },
            Event::Line(line) => EventJson::Line { line },
        };
        json.serialize(serializer)
    }
}

/// A line that the traced command has written. Serializes its bytes as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CommandLine {
    /// The stream that it was written to.
    pub stream: CommandStream,
    /// The line without its newline.
    #[serde(serialize_with = "as_text", rename = "text")]
    pub bytes: Vec<u8>,
}

impl CommandLine {
    pub(crate) fn new(stream: CommandStream, line: &[u8]) -> CommandLine {
        CommandLine { stream, bytes: line.to_vec() }
    }
}

fn as_text<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}

/// A [`Firing`] that owns its data: probe, CPU, and the values with their names and actions.
///
/// Text arrives as [`Event::Output`]. Actions that libdtrace carries out, such as `printa()` or `exit()`, have
/// no value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FiringEvent {
    /// The probe that fired.
    pub probe: Arc<Probe>,
    /// The CPU on which it fired.
    pub cpu: u32,
    /// libdtrace's number of the statement.
    pub statement: u32,
    /// The position in the flow; `None` without the option `flowindent`.
    pub flow: Option<FlowEvent>,
    /// The values that its actions recorded; see [`Firing::values`].
    pub values: Vec<Value>,
    names: Names,
}

/// A [`Flow`](crate::record::Flow) that owns its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FlowEvent {
    /// Entry, return, or neither.
    pub kind: FlowKind,
    /// The depth, in characters of indentation.
    pub indent: i32,
    /// The mark before the name.
    pub prefix: String,
}

/// The names in the formats, and the actions, of a clause's values. Its firings share them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Names(Arc<[(Option<String>, Action)]>);

impl Names {
    pub(crate) fn of(firing: &Firing<'_>) -> Names {
        let name = |record: Record<'_>| (record.name().map(str::to_owned), record.action());
        Names(firing.data_records().map(name).collect())
    }
}

impl FiringEvent {
    pub(crate) fn new(firing: &Firing<'_>, probe: Arc<Probe>, names: Names) -> FiringEvent {
        FiringEvent {
            probe,
            cpu: firing.cpu(),
            statement: firing.statement(),
            flow: firing.flow().map(|flow| FlowEvent {
                kind: flow.kind,
                indent: flow.indent,
                prefix: flow.prefix.to_owned(),
            }),
            values: firing.values().map(|value| value.to_owned()).collect(),
            names,
        }
    }

    /// Returns the name of the value at `index`, from 0, in the format of its `printf`.
    #[must_use]
    pub fn name(&self, index: usize) -> Option<&str> {
        self.names.0.get(index)?.0.as_deref()
    }

    /// Returns the action that recorded the value at `index`, from 0.
    #[must_use]
    pub fn action(&self, index: usize) -> Option<Action> {
        self.names.0.get(index).map(|(_, action)| *action)
    }

    /// Returns the values, each with its name in the format of its `printf`.
    pub fn named_values(&self) -> impl Iterator<Item = (Option<&str>, ValueRef<'_>)> + Clone {
        let values = self.values.iter().enumerate();
        values.map(|(index, value)| (self.name(index), value.as_ref()))
    }

    /// Converts the value at a position, from 0, or with a name in the format of `printf`.
    ///
    /// ```no_run
    /// use dtrace_consumer::trace;
    ///
    /// let script = r#"syscall::openat:entry { printf("pid=%d path=%s", pid, copyinstr(arg1)); }"#;
    /// for event in trace(script).events(1024)? {
    ///     if let Some(open) = event.as_firing() {
    ///         println!("{} {}", open.get::<i32>("pid")?, open.get::<&str>(1)?);
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TypeError`] if there is no such value, it is of another kind, or it does not fit.
    pub fn get<'a, 'k, T: FromValue<'a>>(
        &'a self,
        key: impl Into<ValueKey<'k>>,
    ) -> Result<T, TypeError> {
        T::from_value(firing::pick(self.named_values(), key.into())?)
    }

    /// Deserializes the values; see [`Firing::row`].
    ///
    /// # Errors
    /// [`RowError`], which names the probe, the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        rows::from_values(self.named_values()).map_err(|e| e.of(self.probe.to_string()))
    }

    /// Returns the values as one line of the folded format; see [`Firing::folded`].
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        Folded::of(self.values.iter().map(Value::as_ref))
    }
}

/// Formats as [`Firing`] does.
impl fmt::Display for FiringEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.probe)?;
        line::values(f, self.named_values())
    }
}

/// Serializes as [`Firing`] does.
impl Serialize for FiringEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let of = (&*self.probe, self.cpu, self.statement);
        json::firing(serializer, of, self.flow.as_ref(), self.named_values())
    }
}

/// An [`Output`] that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OutputEvent {
    /// The probe that fired.
    pub probe: Arc<Probe>,
    /// The action that printed it; see [`Output::action`].
    pub action: Option<Action>,
    /// The text as dtrace(1) would print it, in bytes, because D strings are bytes.
    pub bytes: Vec<u8>,
}

impl OutputEvent {
    pub(crate) fn new(output: &Output<'_>, probe: Arc<Probe>) -> OutputEvent {
        OutputEvent { probe, action: output.action(), bytes: output.bytes().to_vec() }
    }

    /// Returns the text, with invalid UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

/// Formats the text.
impl fmt::Display for OutputEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// Serializes as `probe`, `action` (or null) and `text`.
impl Serialize for OutputEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        json::output(serializer, &self.probe, self.action, &self.text())
    }
}

/// An [`Aggregated`] entry that owns its data.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AggregatedEvent {
    /// The aggregation's name.
    pub name: Arc<str>,
    /// The aggregating function.
    pub function: AggregationFunction,
    /// The keys.
    pub keys: Vec<Value>,
    /// The value.
    pub value: AggregationValue,
    /// The value on each CPU, with the CPU's number; see [`Aggregated::per_cpu`].
    pub per_cpu: Vec<(u32, AggregationValue)>,
}

impl From<&Aggregated<'_>> for AggregatedEvent {
    fn from(entry: &Aggregated<'_>) -> AggregatedEvent {
        AggregatedEvent {
            name: entry.name().into(),
            function: entry.function(),
            keys: entry.keys().map(|key| key.to_owned()).collect(),
            value: entry.value().clone(),
            per_cpu: entry.per_cpu().collect(),
        }
    }
}

impl AggregatedEvent {
    /// Converts the key at `index`, from 0, to the requested type.
    ///
    /// # Errors
    /// [`TypeError`] if there is no such key, it is of another kind, or it does not fit.
    pub fn key<'a, T: FromValue<'a>>(&'a self, index: usize) -> Result<T, TypeError> {
        let keys = &self.keys;
        let key = keys.get(index).map(Value::as_ref);
        T::from_value(key.ok_or_else(|| aggregated::no_key(&self.name, index, keys.len()))?)
    }

    /// Returns the keys as one line of the folded format; see [`Aggregated::folded`].
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        Folded::of(self.keys.iter().map(Value::as_ref))
    }

    /// Returns the value as a number; see [`Aggregated::number`].
    ///
    /// # Errors
    /// [`TypeError`] for a distribution, and for a minimum, maximum or mean of nothing.
    pub fn number(&self) -> Result<i64, TypeError> {
        aggregated::number(&self.value)
    }

    /// Deserializes the keys, followed by the value if it is a number, into a tuple or structure.
    ///
    /// # Errors
    /// [`RowError`], which names the field, the expected type and the value.
    pub fn row<T: DeserializeOwned>(&self) -> Result<T, RowError> {
        aggregated::row(&self.name, self.keys.iter().map(Value::as_ref), &self.value)
    }
}

/// Formats as [`Aggregated`] does.
impl fmt::Display for AggregatedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line::entry(f, &self.name, self.keys.iter().map(Value::as_ref), &self.value)
    }
}

/// Serializes as [`Aggregated`] does.
impl Serialize for AggregatedEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let by_cpu = self.per_cpu.iter().cloned();
        json::aggregated(serializer, &self.name, self.keys.iter(), &self.value, by_cpu)
    }
}

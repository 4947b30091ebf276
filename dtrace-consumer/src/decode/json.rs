//! What does an event look like in JSON?
//!
//! Programs that make tables of JSON infer one type for each member. So rare events are objects of their own, and
//! values are named members, because a list would mix types.

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeMap, SerializeStruct, Serializer};

use crate::data::aggregation::AggregationValue;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::Outcome;
use crate::data::probe::Probe;
use crate::data::record::Action;
use crate::data::session_info::{OptionChange, ProcessEvent, SessionInfo};

/// An event. Firings, text, entries and lines may be borrowed from the session, or own their data.
#[derive(serde::Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum EventJson<'a, F, O, A, L> {
    Start { session: Option<&'a SessionInfo> },
    Firing(F),
    Output(O),
    Aggregated(A),
    Walked,
    Drop { drop: &'a DropReport },
    Fault { fault: &'a Fault },
    Option { option: &'a OptionChange },
    Process { process: &'a ProcessEvent },
    Line { line: L },
    Stop { outcome: &'a Outcome },
    Error { error: ErrorJson<'a> },
}

/// An error of a session.
#[derive(serde::Serialize)]
pub(crate) struct ErrorJson<'a> {
    pub kind: &'a str,
    pub message: &'a str,
}

pub(super) fn firing<'v, S: Serializer, V: Serialize>(
    serializer: S,
    (probe, cpu, statement): (&Probe, u32, u32),
    flow: Option<impl Serialize>,
    values: impl Iterator<Item = (Option<&'v str>, V)>,
) -> Result<S::Ok, S::Error> {
    let mut firing = serializer.serialize_struct("Firing", 5)?;
    firing.serialize_field("probe", probe)?;
    firing.serialize_field("cpu", &cpu)?;
    firing.serialize_field("statement", &statement)?;
    firing.serialize_field("flow", &flow)?;
    firing.serialize_field("values", &Named(values.collect()))?;
    firing.end()
}

pub(super) fn output<S: Serializer>(
    serializer: S,
    probe: &Probe,
    action: Option<Action>,
    text: &str,
) -> Result<S::Ok, S::Error> {
    let mut output = serializer.serialize_struct("Output", 3)?;
    output.serialize_field("probe", probe)?;
    output.serialize_field("action", &action)?;
    output.serialize_field("text", text)?;
    output.end()
}

/// Serializes an entry. Only with `aggpercpu` are there values `per_cpu`.
pub(super) fn aggregated<S: Serializer, K: Serialize>(
    serializer: S,
    name: &str,
    keys: impl Iterator<Item = K>,
    value: &AggregationValue,
    per_cpu: impl Iterator<Item = (u32, AggregationValue)>,
) -> Result<S::Ok, S::Error> {
    let per_cpu: Vec<OnCpu> = per_cpu.map(|(cpu, value)| OnCpu(cpu, value)).collect();
    let mut entry = serializer.serialize_struct("Aggregated", 6)?;
    entry.serialize_field("name", name)?;
    entry.serialize_field("function", &value.function())?;
    entry.serialize_field("keys", &Named(keys.map(|key| (None, key)).collect()))?;
    split(&mut entry, value)?;
    entry.serialize_field("per_cpu", &per_cpu)?;
    entry.end()
}

/// Serializes a value as a number or as buckets.
fn split<S: SerializeStruct>(object: &mut S, value: &AggregationValue) -> Result<(), S::Error> {
    object.serialize_field("value", &value.as_i64())?;
    object.serialize_field("buckets", &value.distribution())
}

/// The value on a CPU.
struct OnCpu(u32, AggregationValue);

impl Serialize for OnCpu {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serializer.serialize_struct("OnCpu", 3)?;
        value.serialize_field("cpu", &self.0)?;
        split(&mut value, &self.1)?;
        value.end()
    }
}

/// Values as members of an object.
struct Named<'a, V>(Vec<(Option<&'a str>, V)>);

impl<V: Serialize> Serialize for Named<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // DuckDB refuses names that differ only in case.
        let mut taken = HashSet::new();
        let mut object = serializer.serialize_map(Some(self.0.len()))?;
        for (position, (name, value)) in self.0.iter().enumerate() {
            match name.filter(|name| !is_position(name) && taken.insert(name.to_lowercase())) {
                Some(name) => object.serialize_entry(name, value)?,
                None => object.serialize_entry(&position.to_string(), value)?,
            }
        }
        object.end()
    }
}

/// Returns whether the name would be taken for the position of another value.
fn is_position(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_their_names_or_their_positions_and_none_twice() {
        let named = |names: &[Option<&'static str>]| {
            let values = names.iter().copied().zip(10..).collect();
            serde_json::to_string(&Named(values)).expect("JSON")
        };
        assert_eq!(named(&[Some("seq"), None, Some("ack")]), r#"{"seq":10,"1":11,"ack":12}"#);
        assert_eq!(named(&[Some("x"), Some("x"), Some("x")]), r#"{"x":10,"1":11,"2":12}"#);
        assert_eq!(named(&[Some("len"), Some("Len")]), r#"{"len":10,"1":11}"#);
        assert_eq!(named(&[Some("1"), None, Some("")]), r#"{"0":10,"1":11,"2":12}"#);
        assert_eq!(named(&[]), "{}");
    }
}

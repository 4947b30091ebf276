//! What does a script deliver? Sessions in one line.

use dtrace_consumer::Aggregated;
use dtrace_consumer::aggregation::AggregationValue;
use dtrace_consumer::{Outcome, Value, run_synchronous};

/// Runs `script` around a command that does nothing, and returns the values of each firing.
#[must_use]
pub fn values_of(script: &str) -> Vec<Vec<Value>> {
    values_with(script, &[]).0
}

/// As [`values_of`], with options; and what the session came to.
///
/// # Panics
/// If the session fails.
#[must_use]
pub fn values_with(script: &str, options: &[(&str, &str)]) -> (Vec<Vec<Value>>, Outcome) {
    let mut all = Vec::new();
    let mut session = run_synchronous(script, ["true"]).chew(|firing| {
        all.push(firing.values().map(|v| v.to_owned()).collect());
        Ok(())
    });
    for (name, value) in options {
        session = session.option(*name, *value);
    }
    let outcome = session.run().expect("the session comes to its end");
    (all, outcome)
}

/// Everything that the script prints.
///
/// # Panics
/// If the session fails.
#[must_use]
pub fn text_of(script: &str) -> String {
    let mut text = String::new();
    run_synchronous(script, ["true"])
        .out(|output| {
            text.push_str(&output.text());
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    text
}

/// Fails unless a session works, after one that did not.
///
/// # Panics
/// If it fails.
pub fn next_session_works() {
    assert_eq!(values_of("BEGIN { trace(1); }").len(), 1);
}

/// An aggregation's entry, kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The aggregation's name.
    pub name: String,
    /// Its keys.
    pub keys: Vec<Value>,
    /// Its value.
    pub value: AggregationValue,
}

impl Entry {
    fn of(entry: &Aggregated<'_>) -> Entry {
        Entry {
            name: entry.name().to_owned(),
            keys: entry.keys().map(|key| key.to_owned()).collect(),
            value: entry.value().clone(),
        }
    }
}

/// The entries of the walk at the end of a script's session.
///
/// # Panics
/// If the session fails.
#[must_use]
pub fn entries_of(script: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    run_synchronous(script, ["true"])
        .walk(|entry| {
            entries.push(Entry::of(entry));
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    entries
}

/// The only entry of the aggregation `name`.
///
/// # Panics
/// If there is none, or more than one.
#[must_use]
pub fn named(entries: &[Entry], name: &str) -> AggregationValue {
    let mut found = entries.iter().filter(|entry| entry.name == name);
    let value = found.next().unwrap_or_else(|| panic!("there is no @{name}")).value.clone();
    assert!(found.next().is_none(), "there is more than one @{name}");
    value
}

/// The strings of all firings.
///
/// # Panics
/// If a value is no string.
#[must_use]
pub fn strings(values: &[Vec<Value>]) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{other:?} is no string"),
    };
    values.iter().flatten().map(text).collect()
}

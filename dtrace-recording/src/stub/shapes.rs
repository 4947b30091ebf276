//! Which values does each clause of a recording have, and which keys each aggregation?

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use dtrace_consumer::record::Probe;
use dtrace_consumer::value::{Integer, Sign};
use dtrace_consumer::{Aggregated, CallbackResult, Consumer, Firing, ValueRef, Wants};

use super::names::{Names, camel, snake};

/// The type of a value, which holds all that were recorded in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A number of as many bits, signed or not.
    Integer(u8, bool),
    Text,
    Bytes,
    /// A stack, or what has no type of its own.
    Other,
}

impl Kind {
    fn of(value: ValueRef<'_>) -> Kind {
        match value {
            ValueRef::Integer(number) => Kind::Integer(bits(number), is_signed(number)),
            ValueRef::String(_) | ValueRef::Symbol(_) => Kind::Text,
            ValueRef::Bytes(_) => Kind::Bytes,
            _ => Kind::Other,
        }
    }

    /// Returns a type for both. The same clause may record another type at another probe.
    fn or(self, other: Kind) -> Kind {
        match (self, other) {
            (a, b) if a == b => a,
            (Kind::Integer(a, true), Kind::Integer(b, true)) => Kind::Integer(a.max(b), true),
            (Kind::Integer(a, false), Kind::Integer(b, false)) => Kind::Integer(a.max(b), false),
            (Kind::Integer(..), Kind::Integer(..)) => Kind::Integer(128, true),
            _ => Kind::Other,
        }
    }

    /// Returns the Rust type.
    pub(super) fn rust(self) -> String {
        match self {
            Kind::Integer(bits, true) => format!("i{bits}"),
            Kind::Integer(bits, false) => format!("u{bits}"),
            Kind::Text => "String".to_owned(),
            Kind::Bytes => "Vec<u8>".to_owned(),
            Kind::Other => "Value".to_owned(),
        }
    }

    /// Returns whether the type implements `Display`.
    pub(super) fn displays(self) -> bool {
        self != Kind::Bytes
    }
}

fn bits(number: Integer) -> u8 {
    u8::try_from(8 * number.width()).unwrap_or(64)
}

/// Returns whether dtrace(1) prints it as a signed number.
fn is_signed(number: Integer) -> bool {
    match number.sign() {
        Sign::Signed => true,
        Sign::Unsigned => false,
        Sign::Unknown => number.width() >= 4,
    }
}

/// A value of a row, or a key of an aggregation.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Its name in the format.
    pub(super) name: Option<String>,
    pub(super) kind: Kind,
    /// What was recorded first.
    pub(super) example: String,
}

impl Place {
    fn new(name: Option<&str>, value: ValueRef<'_>) -> Place {
        // Of a stack, the innermost function.
        let example = value.to_string();
        let example =
            example.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim();
        Place { name: name.map(str::to_owned), kind: Kind::of(value), example: example.to_owned() }
    }
}

/// What clauses record that have the same values.
#[derive(Debug, Clone)]
pub(super) struct Row {
    /// libdtrace's numbers of the clauses.
    pub(super) statements: BTreeSet<u32>,
    pub(super) probes: BTreeSet<String>,
    ids: BTreeSet<u32>,
    pub(super) format: Option<String>,
    pub(super) values: Vec<Place>,
    /// What the names of all probes have in common.
    provider: Common,
    function: Common,
    name: Common,
}

impl Row {
    fn new(firing: &Firing<'_>) -> Row {
        let values = firing.data_records().map(|it| Place::new(it.name(), it.value())).collect();
        let format = firing.data_records().find_map(|record| record.description().format.clone());
        let probe = firing.probe();
        Row {
            statements: BTreeSet::from([firing.statement()]),
            probes: BTreeSet::new(),
            ids: BTreeSet::new(),
            format,
            values,
            provider: Common::of(&probe.provider),
            function: Common::of(&probe.function),
            name: Common::of(&probe.name),
        }
    }

    fn add_probe(&mut self, probe: &Probe) {
        if self.ids.insert(probe.id) {
            self.probes.insert(probe.to_string());
            self.provider.meet(&Common::of(&probe.provider));
            self.function.meet(&Common::of(&probe.function));
            self.name.meet(&Common::of(&probe.name));
        }
    }

    /// Takes a firing of the same clause whose values may have other types.
    fn widen(&mut self, firing: &Firing<'_>) {
        self.values.truncate(firing.data_records().count());
        for (known, record) in self.values.iter_mut().zip(firing.data_records()) {
            known.kind = known.kind.or(Kind::of(record.value()));
        }
    }

    /// Takes the clauses of a row that is [like](Row::is_like) this one.
    fn merge(&mut self, other: Row) {
        for (known, new) in self.values.iter_mut().zip(&other.values) {
            known.kind = known.kind.or(new.kind);
        }
        self.statements.extend(other.statements);
        self.probes.extend(other.probes);
        self.provider.meet(&other.provider);
        self.function.meet(&other.function);
        self.name.meet(&other.name);
    }

    /// Returns whether clauses with these values can share a structure: the types are the same, or the format
    /// names all values and the types differ only in the size of numbers.
    fn is_like(&self, other: &Row) -> bool {
        let is_close = |a: &Place, b: &Place| {
            a.name == b.name
                && (a.kind == b.kind || (a.name.is_some() && a.kind.or(b.kind) != Kind::Other))
        };
        self.values.len() == other.values.len()
            && self.values.iter().zip(&other.values).all(|(a, b)| is_close(a, b))
    }

    /// Returns a name for its structure, which may be taken.
    pub(super) fn structure_name(&self) -> String {
        let (function, name) = (self.function.text(), self.name.text());
        match (function, name) {
            ("", name) => camel(&format!("{} {name}", self.provider.text())),
            // The provider rawtp has the same word in both places.
            (function, name) if function == name => camel(function),
            (function, name) => camel(&format!("{function} {name}")),
        }
    }

    /// Returns the names of its fields.
    pub(super) fn fields(&self) -> Vec<String> {
        let mut names = Names::of_fields();
        let name = |(index, value): (usize, &Place)| {
            let wanted = value.name.as_deref().and_then(snake);
            names.unique(&wanted.unwrap_or_else(|| format!("value{index}")))
        };
        self.values.iter().enumerate().map(name).collect()
    }

    /// Returns whether only one of its values has this name.
    pub(super) fn is_unique(&self, name: &str) -> bool {
        self.values.iter().filter(|value| value.name.as_deref() == Some(name)).count() == 1
    }

    pub(super) fn has_undecoded(&self) -> bool {
        self.values.iter().any(|value| value.kind == Kind::Other)
    }
}

/// A part of the names of probes, as far as all have the same.
#[derive(Debug, Clone)]
struct Common(Option<String>);

impl Common {
    fn of(text: &str) -> Common {
        Common(Some(text.to_owned()))
    }

    fn meet(&mut self, other: &Common) {
        if self.0 != other.0 {
            self.0 = None;
        }
    }

    fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

/// An aggregation.
#[derive(Debug, Clone)]
pub(super) struct Counted {
    pub(super) name: String,
    pub(super) function: &'static str,
    /// `None` if some values are distributions and others are not.
    pub(super) is_distribution: Option<bool>,
    pub(super) keys: Vec<Place>,
}

impl Counted {
    /// Takes an entry whose keys or value may have other types.
    fn widen(&mut self, keys: &[Kind], is_distribution: Option<bool>) {
        self.keys.truncate(keys.len());
        for (known, new) in self.keys.iter_mut().zip(keys) {
            known.kind = known.kind.or(*new);
        }
        self.is_distribution = self.is_distribution.filter(|it| Some(*it) == is_distribution);
    }

    /// Takes an aggregation of the same name.
    fn merge(&mut self, other: &Counted) {
        let keys: Vec<Kind> = other.keys.iter().map(|key| key.kind).collect();
        self.widen(&keys, other.is_distribution);
    }

    pub(super) fn has_undecoded(&self) -> bool {
        self.keys.iter().any(|key| key.kind == Kind::Other)
    }
}

/// Collects what a replay delivers.
#[derive(Default)]
pub(super) struct Shapes {
    rows: BTreeMap<u32, Row>,
    counted: BTreeMap<u64, Counted>,
}

impl Shapes {
    /// Returns the rows, in the order of the clauses in the scripts, and the aggregations.
    pub(super) fn found(self) -> (Vec<Row>, Vec<Counted>) {
        let mut rows: Vec<Row> = Vec::new();
        for row in self.rows.into_values() {
            match rows.iter_mut().find(|known| known.is_like(&row)) {
                Some(known) => known.merge(row),
                None => rows.push(row),
            }
        }
        // The program tells aggregations apart by their names.
        let mut counted: Vec<Counted> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for aggregation in self.counted.into_values() {
            match places.entry(aggregation.name.clone()) {
                Entry::Occupied(place) => counted[*place.get()].merge(&aggregation),
                Entry::Vacant(place) => {
                    place.insert(counted.len());
                    counted.push(aggregation);
                }
            }
        }
        (rows, counted)
    }
}

impl Consumer for Shapes {
    fn wants(&self) -> Wants {
        Wants::CHEW
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        if firing.data_records().next().is_none() {
            return Ok(());
        }
        let row = match self.rows.entry(firing.statement()) {
            Entry::Vacant(free) => free.insert(Row::new(firing)),
            Entry::Occupied(known) => {
                let row = known.into_mut();
                row.widen(firing);
                row
            }
        };
        row.add_probe(firing.probe());
        Ok(())
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        let is_distribution = Some(entry.value().distribution().is_some());
        match self.counted.entry(entry.variable()) {
            Entry::Vacant(free) => {
                free.insert(Counted {
                    name: entry.name().to_owned(),
                    function: entry.function().name(),
                    is_distribution,
                    keys: entry.keys().map(|key| Place::new(None, key)).collect(),
                });
            }
            Entry::Occupied(known) => {
                let keys: Vec<Kind> = entry.keys().map(Kind::of).collect();
                known.into_mut().widen(&keys, is_distribution);
            }
        }
        Ok(())
    }
}

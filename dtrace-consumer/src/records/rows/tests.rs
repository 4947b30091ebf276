//! Which rows become which types?

use std::collections::{BTreeMap, HashMap};

use serde::Deserialize;

use super::*;
use crate::data::integer::{Integer, Sign};

#[derive(Debug, Deserialize, PartialEq)]
struct Segment {
    seq: u32,
    ack: u32,
    state: String,
}

fn number(n: i64) -> ValueRef<'static> {
    ValueRef::Integer(Integer::from_bytes(&n.to_ne_bytes(), Sign::Unknown).unwrap())
}

fn string(text: &'static str) -> ValueRef<'static> {
    ValueRef::String(text.as_bytes())
}

fn unnamed<'v>(
    values: &[ValueRef<'v>],
) -> impl Iterator<Item = (Option<&'v str>, ValueRef<'v>)> + Clone {
    values.iter().map(|value| (None, *value))
}

#[test]
fn named_values_fill_the_fields_of_their_names() {
    let values = [
        (Some("state"), ValueRef::String(b"listen")),
        (Some("port"), number(80)),
        (Some("ack"), number(9)),
        (Some("seq"), number(7)),
    ];
    let segment: Segment = from_values(values.into_iter()).unwrap();
    assert_eq!(segment, Segment { seq: 7, ack: 9, state: "listen".into() });
    let mut wrong = values;
    wrong[2].1 = ValueRef::String(b"x");
    let error = from_values::<Segment>(wrong.into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "field `ack`: expected u32, found string x");
    // A value that is missing is not replaced by another one.
    let error = from_values::<Segment>(values[..3].iter().copied()).unwrap_err();
    assert_eq!(error.to_string(), "missing field `seq` (the format names state, port, ack)");
}

/// Takes values with their names only.
#[derive(Debug, PartialEq)]
struct NamedOnly(Vec<(String, u32)>);

impl<'de> Deserialize<'de> for NamedOnly {
    fn deserialize<D: de::Deserializer<'de>>(from: D) -> Result<NamedOnly, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = NamedOnly;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("names and numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamedOnly, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(NamedOnly(entries))
            }
        }

        from.deserialize_struct("NamedOnly", &["seq", "ack"], Entries)
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Renamed {
    #[serde(alias = "ack")]
    seq: u32,
    #[serde(skip)]
    skipped: u8,
}

#[test]
fn values_named_in_the_order_of_the_fields_give_the_same_as_by_name() {
    let values = [(Some("seq"), number(7)), (Some("ack"), number(9)), (Some("state"), string("x"))];
    let segment: Segment = from_values(values.into_iter()).unwrap();
    assert_eq!(segment, Segment { seq: 7, ack: 9, state: "x".into() });
    let mut wrong = values;
    wrong[1].1 = string("y");
    let error = from_values::<Segment>(wrong.into_iter()).unwrap_err();
    assert_eq!(error.to_string(), "field `ack`: expected u32, found string y");

    let entries = NamedOnly(vec![("seq".into(), 7), ("ack".into(), 9)]);
    assert_eq!(from_values(values[..2].iter().copied()), Ok(entries));
    // Both are names of the same field.
    let error = from_values::<Renamed>(values[..2].iter().copied()).unwrap_err();
    assert_eq!(error.to_string(), "duplicate field `seq` (the format names seq, ack)");
    assert_eq!(from_values(values[1..2].iter().copied()), Ok(Renamed { seq: 9, skipped: 0 }));
}

#[test]
fn values_fill_a_structure_in_order() {
    let values = [number(7), number(9), ValueRef::String(b"established")];
    let segment: Segment = from_values(unnamed(&values)).unwrap();
    assert_eq!(segment, Segment { seq: 7, ack: 9, state: "established".into() });
    let tuple: (u64, i8, String) = from_values(unnamed(&values)).unwrap();
    assert_eq!(tuple, (7, 9, "established".into()));
}

#[test]
fn an_error_names_the_field_and_both_types() {
    let values = [number(7), ValueRef::String(b"x"), ValueRef::String(b"y")];
    let error = from_values::<Segment>(unnamed(&values)).unwrap_err();
    assert_eq!(error.to_string(), "field `ack` (value 1): expected u32, found string x");
}

#[test]
fn too_few_and_too_many_values_are_errors() {
    let error = from_values::<Segment>(unnamed(&[number(7)])).unwrap_err();
    assert!(error.to_string().contains("3 elements"), "{error}");
    let error = from_values::<(u64, u64)>(unnamed(&[number(1); 3])).unwrap_err();
    assert_eq!(error.to_string(), "3 values, expected 2");
}

#[test]
fn a_single_value_is_a_row_of_its_own() {
    assert_eq!(from_values::<i32>(unnamed(&[number(-1)])), Ok(-1));
    let state: String = from_values(unnamed(&[ValueRef::String(b"closed")])).unwrap();
    assert_eq!(state, "closed");
}

#[test]
fn a_structure_finds_its_values_among_others() {
    let values = [
        (None, string("first")),
        (Some("state"), string("listen")),
        (Some("seq"), number(7)),
        (None, number(1)),
        (Some("ack"), number(9)),
    ];
    let segment: Segment = from_values(values.into_iter()).unwrap();
    assert_eq!(segment, Segment { seq: 7, ack: 9, state: "listen".into() });
}

#[test]
fn a_structure_without_any_of_the_names_takes_the_values_in_order() {
    let values = [(Some("a"), number(7)), (Some("b"), number(9)), (Some("c"), string("x"))];
    let segment: Segment = from_values(values.into_iter()).unwrap();
    assert_eq!(segment, Segment { seq: 7, ack: 9, state: "x".into() });
}

#[test]
fn fields_with_a_default_or_another_name_need_no_value_of_their_own() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Open {
        #[serde(alias = "process")]
        pid: i32,
        #[serde(default)]
        flags: u8,
        path: Option<String>,
    }
    let row: Open = from_values([(Some("process"), number(-1))].into_iter()).unwrap();
    assert_eq!(row, Open { pid: -1, flags: 0, path: None });
}

/// The values of `printf("call=%s pid=%d size=%d")`, and of `printf("pid=%d path=%s")`.
fn two_shapes() -> [Vec<(Option<&'static str>, ValueRef<'static>)>; 2] {
    let pid = (Some("pid"), number(7));
    [
        vec![(Some("call"), string("read")), pid, (Some("size"), number(-5))],
        vec![pid, (Some("path"), string("/etc"))],
    ]
}

#[test]
fn untagged_and_tagged_enumerations_take_named_values() {
    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(untagged)]
    enum Row {
        Read { call: String, pid: u16, size: i64 },
        Open { pid: u16, path: String },
    }
    let [read, open] = two_shapes();
    let rows: [Row; 2] = [read.clone(), open].map(|v| from_values(v.into_iter()).unwrap());
    let (call, path) = ("read".to_owned(), "/etc".to_owned());
    assert_eq!(rows, [Row::Read { call, pid: 7, size: -5 }, Row::Open { pid: 7, path }]);

    #[derive(Debug, Deserialize, PartialEq)]
    #[serde(tag = "call", rename_all = "lowercase")]
    enum Call {
        Read { pid: u16, size: i64 },
    }
    let call: Call = from_values(read.into_iter()).unwrap();
    assert_eq!(call, Call::Read { pid: 7, size: -5 });
}

#[test]
fn structures_can_be_flattened() {
    #[derive(Debug, Deserialize, PartialEq)]
    struct Process {
        pid: i32,
    }
    #[derive(Debug, Deserialize, PartialEq)]
    struct Row {
        #[serde(flatten)]
        process: Process,
        #[serde(flatten)]
        rest: HashMap<String, String>,
    }
    let [_, open] = two_shapes();
    let row: Row = from_values(open.into_iter()).unwrap();
    let rest = HashMap::from([("path".to_owned(), "/etc".to_owned())]);
    assert_eq!(row, Row { process: Process { pid: 7 }, rest });
}

#[test]
fn maps_and_json_take_named_values() {
    let [read, _] = two_shapes();
    let json: serde_json::Value = from_values(read.clone().into_iter()).unwrap();
    assert_eq!(json, serde_json::json!({ "call": "read", "pid": 7, "size": -5 }));
    let error = from_values::<BTreeMap<String, i64>>(read.into_iter()).unwrap_err();
    assert_eq!(error.field(), Some("call"));
    let values = [(Some("a"), number(1)), (None, number(2))];
    let error = from_values::<BTreeMap<String, i64>>(values.into_iter()).unwrap_err();
    assert_eq!(error.position(), Some(1));
    assert!(error.to_string().starts_with("value 1: no name, expected a map"), "{error}");
    // What has no names is a list.
    let json: serde_json::Value = from_values(values.into_iter()).unwrap();
    assert_eq!(json, serde_json::json!([1, 2]));
}

#[test]
fn memory_is_a_list_bytes_or_text() {
    let row = |value| [(Some("data"), value)].into_iter();
    let json: serde_json::Value = from_values(row(ValueRef::Bytes(b"ab"))).unwrap();
    assert_eq!(json, serde_json::json!({ "data": [97, 98] }));
    let map: HashMap<String, Vec<u8>> = from_values(row(ValueRef::Bytes(b"ab"))).unwrap();
    assert_eq!(map["data"], b"ab");
    for memory in [&b"ab"[..], b"ab\0\0"] {
        assert_eq!(from_values::<String>(row(ValueRef::Bytes(memory))), Ok("ab".to_owned()));
    }
}

#[test]
fn a_register_that_holds_a_negative_int_is_recognised() {
    let register = |bits: u64| {
        ValueRef::Integer(Integer::from_bytes(&bits.to_ne_bytes(), Sign::Signed).unwrap())
    };
    let error = from_values::<(i32,)>(unnamed(&[register(0xffff_fffe)])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "value 0: expected i32, found integer 4294967294 (if that is -2 in a 64-bit register, cast it in \
         the script, as in `(int)arg0`)"
    );
    #[derive(Debug, Deserialize)]
    struct Flattened {
        #[serde(flatten)]
        _number: Number,
    }
    #[derive(Debug, Deserialize)]
    struct Number {
        _number: i32,
    }
    let values = [(Some("_number"), register(0xffff_fffe))];
    let error = from_values::<Flattened>(values.into_iter()).unwrap_err().to_string();
    assert!(
        error.starts_with("expected i32, found integer `4294967294` (if that is -2"),
        "{error}"
    );
    // This one is no `int`.
    let error = from_values::<(i32,)>(unnamed(&[register(1 << 40)])).unwrap_err();
    assert!(!error.to_string().contains("register"), "{error}");
}

//! Types as libctf describes them: of every kind, and such as cannot be.

use dtrace_consumer::query::{KernelType, TypeKind, TypeQuery};
use dtrace_stand_in::plan::{Member, Plan, Type};
use dtrace_sys::abi::*;

use crate::stage::*;

/// Returns what every name means when libctf has these types.
fn described(prefix: &Prefix, types: Vec<Type>) -> Option<KernelType> {
    Plan { types, ..Plan::default() }.put(&prefix.path);
    let found = TypeQuery::new().prefix(&prefix.path).name("struct it").look_up();
    found.expect("a type is no error").remove(0)
}

fn of_kind(kind: i32) -> Type {
    Type { kind, size: 8, ..Type::default() }
}

fn member(name: &str, of: i64, offset: u64) -> Member {
    Member { name: Some(name.to_owned()), of, offset }
}

fn structure(members: Vec<Member>) -> Type {
    Type { members, ..of_kind(CTF_K_STRUCT) }
}

/// A structure with a member of every kind.
pub(crate) fn every_kind() -> Vec<Type> {
    let constants = vec![(Some("ONE".to_owned()), 1)];
    let integer = Type { encoding: Some([CTF_INT_SIGNED, 0, 3]), ..of_kind(CTF_K_INTEGER) };
    let mut types = vec![
        Type { constants: constants.clone(), ..structure(Vec::new()) },
        integer,
        Type { constants, ..of_kind(CTF_K_ENUM) },
        // A typedef of the integer.
        Type { stands_for: Some(1), ..of_kind(10) },
        structure(vec![member("inner", 1, 5)]),
    ];
    types.extend([2, 3, 4, 5, 7, 9].map(of_kind));
    let numbers = 1..i64::try_from(types.len()).expect("few types");
    types[0].members = numbers.map(|of| member(&format!("m{of}"), of, 64)).collect();
    types[0].members.push(member("", 4, 128));
    types
}

pub(crate) fn members_and_constants_are_read_to_their_end() {
    let prefix = Prefix::new();
    let whole = described(&prefix, every_kind()).expect("a structure");
    let members: Vec<_> =
        whole.members.iter().map(|it| (&it.name[..], it.kind, it.offset, it.width)).collect();
    let integer = TypeKind::Integer { signed: true };
    let expected = [
        ("m1", integer, 64, 3),
        ("m2", TypeKind::Enum, 64, 64),
        ("m3", integer, 64, 3),
        ("m4", TypeKind::Struct, 64, 64),
        ("m5", TypeKind::Float, 64, 64),
        ("m6", TypeKind::Pointer, 64, 64),
        ("m7", TypeKind::Array, 64, 64),
        ("m8", TypeKind::Function, 64, 0),
        ("m9", TypeKind::Union, 64, 64),
        ("m10", TypeKind::Forward, 64, 0),
        ("inner", integer, 133, 3),
    ];
    assert_eq!(members, expected);
    for length in [0, 1, 511, 512, 5000] {
        let name = "n".repeat(length);
        let named = |type_: Type| Type { name: Some(name.clone()), ..type_ };
        let found = described(&prefix, vec![named(structure(vec![member(&name, 0, 0)]))]);
        // An anonymous member is its own members, and this one contains itself.
        let members = found.as_ref().map(|it| it.members.len());
        assert_eq!(members, Some(1), "{length}");
        let found = found.expect("a structure");
        assert_eq!(found.members[0].name, name, "{length}");
        assert_eq!(found.name, name[..length.min(511)], "{length}");
        let constants = vec![(Some(name.clone()), i32::MIN), (Some(String::new()), i32::MAX)];
        let found = described(&prefix, vec![Type { constants, ..of_kind(CTF_K_ENUM) }]);
        let constants = found.expect("an enumeration").enumerators;
        let constants: Vec<_> = constants.iter().map(|it| (&it.name[..], it.value)).collect();
        assert_eq!(constants, [(&name[..], i32::MIN), ("", i32::MAX)], "{length}");
    }
}

pub(crate) fn types_that_cannot_be_are_answered() {
    let prefix = Prefix::new();
    let nameless = |of| Member { name: None, of, offset: u64::MAX };
    for (types, kind, members) in [
        // Members without names, of types that do not exist, beyond every offset.
        (
            vec![structure(vec![nameless(99), nameless(-1), member("x", i64::MIN, 7)])],
            TypeKind::Struct,
            3,
        ),
        // Sizes and widths that overflow.
        (
            vec![
                structure(vec![member("x", 1, u64::MAX)]),
                Type { size: i64::MAX, ..of_kind(CTF_K_UNION) },
            ],
            TypeKind::Struct,
            1,
        ),
        (vec![Type { size: i64::MIN, ..of_kind(CTF_K_UNION) }], TypeKind::Union, 0),
        // An unknown kind, and a typedef that leads nowhere.
        (vec![of_kind(i32::MAX)], TypeKind::Other, 0),
        (vec![Type { stands_for: Some(i64::MAX), ..of_kind(CTF_K_STRUCT) }], TypeKind::Other, 0),
        // A structure without members, and an enumeration that has them.
        (vec![structure(Vec::new())], TypeKind::Struct, 0),
        (vec![Type { members: vec![member("x", 0, 0)], ..of_kind(CTF_K_ENUM) }], TypeKind::Enum, 0),
    ] {
        let found = described(&prefix, types.clone());
        let found = found.unwrap_or_else(|| panic!("{types:?}"));
        assert_eq!((found.kind, found.members.len()), (kind, members), "{types:?}");
    }
    // A structure that contains itself without a name, once and twice: that would go on for ever.
    for times in [1, 2] {
        let types = vec![structure(vec![nameless(0); times])];
        let found = described(&prefix, types).expect("a structure");
        assert!(found.members.len() <= 1 << 16, "{}", found.members.len());
    }
    let constants = vec![(None, 0)];
    let found = described(&prefix, vec![Type { constants, ..of_kind(CTF_K_ENUM) }]);
    assert_eq!(found.expect("an enumeration").enumerators[0].name, "");
}

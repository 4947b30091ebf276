//! The kernel's types.

use serde::Serialize;

/// A type of the kernel, of one of its modules, or of a D library (`dtrace_typeinfo_t`, libctf).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct KernelType {
    /// Where it is defined: `vmlinux`, a kernel module, or `D` for types that D programs define.
    pub module: String,
    /// Its name in C.
    pub name: String,
    /// Its kind, with typedefs and qualifiers resolved.
    pub kind: TypeKind,
    /// Its size in bytes; `None` for a type without one, such as a structure that is only declared.
    pub size: Option<u64>,
    /// The members of a structure or union, in the order of declaration. An anonymous member is replaced by
    /// its own members, as C accesses them.
    pub members: Vec<TypeMember>,
    /// The constants of an enumeration.
    pub enumerators: Vec<Enumerator>,
}

/// The kind of a type, with typedefs and qualifiers resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// An integer, character or boolean type.
    Integer {
        /// Whether it can be negative.
        signed: bool,
    },
    /// A floating type.
    Float,
    /// A pointer.
    Pointer,
    /// An array.
    Array,
    /// A function.
    Function,
    /// A structure.
    Struct,
    /// A union.
    Union,
    /// An enumeration.
    Enum,
    /// A type that is declared but not defined.
    Forward,
    /// Any other type, such as `void`.
    Other,
}

/// A member of a structure or union.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct TypeMember {
    /// Its name.
    pub name: String,
    /// The name of its type, which a further query can look up.
    pub type_name: String,
    /// The kind of its type.
    pub kind: TypeKind,
    /// Its offset in bits from the start of the structure that was queried.
    pub offset: u64,
    /// Its width in bits; 0 if unknown, or for an array without a length.
    pub width: u64,
}

/// A constant of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct Enumerator {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: i32,
}

impl KernelType {
    /// Returns the member with this name.
    pub fn member(&self, name: &str) -> Option<&TypeMember> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl TypeKind {
    /// All kinds. The stream encodes a kind as its index here.
    pub(crate) const ALL: [TypeKind; 11] = [
        TypeKind::Other,
        TypeKind::Integer { signed: false },
        TypeKind::Integer { signed: true },
        TypeKind::Float,
        TypeKind::Pointer,
        TypeKind::Array,
        TypeKind::Function,
        TypeKind::Struct,
        TypeKind::Union,
        TypeKind::Enum,
        TypeKind::Forward,
    ];
}

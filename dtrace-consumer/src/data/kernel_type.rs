//! What are the kernel's types?

use serde::Serialize;

/// A type of the kernel, of one of its modules, or of a D library (`dtrace_typeinfo_t`, libctf).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct KernelType {
    /// Where it is defined: `vmlinux`, a kernel module, or `D` for types that D programs define.
    pub module: String,
    /// Its name, as in C.
    pub name: String,
    /// What it is, once typedefs and qualifiers are resolved.
    pub kind: TypeKind,
    /// Its size in bytes; `None` if it has none, like a structure that is only declared.
    pub size: Option<u64>,
    /// The members of a structure or union, in the order of declaration. Those of a member without
    /// a name stand in its place, as C lets them be written.
    pub members: Vec<TypeMember>,
    /// The constants of an enumeration.
    pub enumerators: Vec<Enumerator>,
}

/// What a type is, typedefs and qualifiers resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum TypeKind {
    /// An integer, a character or a truth value.
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
    /// Declared and not defined.
    Forward,
    /// None of these, `void` for one.
    Other,
}

/// A member of a structure or union.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct TypeMember {
    /// Its name.
    pub name: String,
    /// The name of its type, to look that up.
    pub type_name: String,
    /// What its type is.
    pub kind: TypeKind,
    /// Where it begins in the structure that was looked up, in bits.
    pub offset: u64,
    /// How many bits it has; 0 if that is not known, or for an array without a length.
    pub width: u64,
}

/// A constant of an enumeration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Enumerator {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: i32,
}

impl KernelType {
    /// The member of a name.
    pub fn member(&self, name: &str) -> Option<&TypeMember> {
        self.members.iter().find(|member| member.name == name)
    }
}

impl TypeKind {
    /// All kinds; on the wire each is its place here.
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

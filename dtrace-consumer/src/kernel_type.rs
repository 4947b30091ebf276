//! What are the kernel's types?

use crate::error::Error;
use crate::query::{self, query_methods};
use crate::session::Settings;
use crate::stream::job::{Purpose, Source};
use crate::stream::wire::{Malformed, Put, Take};

/// A type of the kernel, of one of its modules, or of a D library (`dtrace_typeinfo_t`, libctf).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

    pub(crate) fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.module);
        b.put_str(&self.name);
        self.kind.put(b);
        b.put_option(self.size, |b, size| b.put_u64(size));
        b.put_list(self.members.iter(), |b, member| {
            b.put_str(&member.name);
            b.put_str(&member.type_name);
            member.kind.put(b);
            b.put_u64(member.offset);
            b.put_u64(member.width);
        });
        b.put_list(self.enumerators.iter(), |b, constant| {
            b.put_str(&constant.name);
            b.put_i32(constant.value);
        });
    }

    pub(crate) fn take(t: &mut Take<'_>) -> Result<KernelType, Malformed> {
        Ok(KernelType {
            module: t.string("module")?,
            name: t.string("type")?,
            kind: TypeKind::take(t)?,
            size: t.option("size", |t| t.u64("size"))?,
            members: t.list("members", |t| {
                Ok(TypeMember {
                    name: t.string("member")?,
                    type_name: t.string("type of a member")?,
                    kind: TypeKind::take(t)?,
                    offset: t.u64("offset")?,
                    width: t.u64("width")?,
                })
            })?,
            enumerators: t.list("enumerators", |t| {
                Ok(Enumerator { name: t.string("enumerator")?, value: t.i32("value")? })
            })?,
        })
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

    fn put(self, b: &mut Vec<u8>) {
        let place = TypeKind::ALL.iter().position(|kind| *kind == self);
        b.put_u8(place.and_then(|n| u8::try_from(n).ok()).unwrap_or(0));
    }

    fn take(t: &mut Take<'_>) -> Result<TypeKind, Malformed> {
        let kind = TypeKind::ALL.get(usize::from(t.u8("kind")?));
        kind.copied().ok_or(Malformed::new("kind", "not one that this version knows"))
    }
}

/// Looks up types of the running kernel and of libdtrace's D libraries.
///
/// ```no_run
/// let found = dtrace_consumer::TypeQuery::new().name("struct tcp_sock").look_up()?;
/// if let Some(socket) = &found[0] {
///     for member in &socket.members {
///         println!("{:5} {} {}", member.offset / 8, member.type_name, member.name);
///     }
/// }
/// # Ok::<(), dtrace_consumer::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a query does nothing until it is looked up"]
pub struct TypeQuery {
    names: Vec<String>,
    settings: Settings,
}

impl TypeQuery {
    /// Asks for nothing yet.
    pub fn new() -> TypeQuery {
        TypeQuery::default()
    }

    /// Asks for the type of a name, in the kernel, its modules and the D libraries, as it is written in
    /// a D program: `pid_t`, `struct sock`, `tcpinfo_t`, ``struct nf_tables`nft_table`` for one of the
    /// module `nf_tables`.
    pub fn name(mut self, name: impl Into<String>) -> TypeQuery {
        self.names.push(name.into());
        self
    }

    query_methods!();

    /// The types in the order in which they were asked for; `None` for what there is not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where libdtrace cannot be used.
    pub fn look_up(mut self) -> Result<Vec<Option<KernelType>>, Error> {
        // The D libraries are read with the first program, so that one that does not compile on
        // this kernel is left out.
        self.settings.sources = vec![Source {
            name: "type query".to_owned(),
            argument_zero: String::new(),
            text: b"BEGIN".to_vec(),
            arguments: Vec::new(),
            specifier: Some(crate::Specifier::Name),
        }];
        query::look_up_types(&self.settings, Purpose::Types { names: self.names })
    }
}

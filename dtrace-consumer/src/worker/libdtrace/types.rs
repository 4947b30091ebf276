//! Looks up types with libdtrace and its libctf.

use std::ffi::{CString, c_char, c_int, c_long, c_ulong, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use dtrace_sys::Api;
use dtrace_sys::abi::*;

use super::delivered::{owned, text_in};
use super::handle::Handle;
use super::platform;
use crate::data::kernel_type::{Enumerator, KernelType, TypeKind, TypeMember};

/// How deep to follow anonymous members. Nesting in C is far less deep.
const DEPTH: u32 = 32;

/// How many members to look at in one type, those of anonymous members included. No type of the kernel has
/// nearly as many. Types that contain themselves twice would have 2^32.
const MOST_MEMBERS: u32 = 1 << 16;

/// Returns the type with this name, written as in D.
pub(super) fn named(handle: Handle, name: &str) -> Option<KernelType> {
    if names_nothing(name) {
        return None;
    }
    let (module, name) = split(name);
    let name = CString::new(name).ok()?;
    let module = module.map(CString::new).transpose().ok()?;
    // A special pointer value that means all objects. D libraries have copies of the kernel types that they
    // use. A search of all objects would find those first, so vmlinux comes before.
    let every = ptr::without_provenance(DTRACE_OBJ_EVERY.addr());
    let objects = module.as_ref().map_or([c"vmlinux".as_ptr(), every], |m| [m.as_ptr(); 2]);
    let info = objects.into_iter().find_map(|object| {
        let mut info = platform::no_type();
        // SAFETY: the handle is open, both texts end in NUL, and the call only writes to the structure.
        let result = unsafe {
            (handle.api.dtrace_lookup_by_type)(handle.raw, object, name.as_ptr(), &raw mut info)
        };
        (result == 0).then_some(info)
    })?;
    // SAFETY: the call has filled in the name, which the library owns.
    let module = unsafe { owned(info.dtt_object) };
    Container::of(handle, &info)?.describe(module, info.dtt_type)
}

/// Returns whether the text contains no name, or only a tag's keyword, which crashes libctf.
fn names_nothing(name: &str) -> bool {
    name.split(|c: char| c != '_' && !c.is_alphanumeric())
        .all(|word| ["", "struct", "union", "enum"].contains(&word))
}

/// Splits ``struct module`name`` or ``module`name`` into module and type name.
fn split(name: &str) -> (Option<String>, String) {
    match name.split_once('`') {
        None => (None, name.to_owned()),
        Some((before, rest)) => {
            let (tag, module) = before.rsplit_once(' ').unwrap_or(("", before));
            (Some(module.to_owned()), format!("{tag} {rest}").trim_start().to_owned())
        }
    }
}

/// A container of types that libdtrace owns.
#[derive(Clone, Copy)]
pub(super) struct Container {
    api: &'static Api,
    /// Not null, and open as long as the handle.
    raw: *mut ctf_file_t,
}

impl Container {
    /// Returns the container of a type, if libdtrace named one.
    pub(super) fn of(handle: Handle, info: &dtrace_typeinfo_t) -> Option<Container> {
        let raw = info.dtt_ctfp;
        (!raw.is_null()).then_some(Container { api: handle.api, raw })
    }

    /// Returns the name of a type in C.
    pub(super) fn name(self, id: ctf_id_t) -> Option<String> {
        let name = self.api.ctf_type_name?;
        let mut buffer = [0u8; 512];
        // SAFETY: the container is open, libctf refuses unknown type ids, and the length is that of the
        // buffer.
        let named = unsafe { name(self.raw, id, buffer.as_mut_ptr().cast(), buffer.len()) };
        (!named.is_null()).then(|| text_in(&buffer))
    }

    fn describe(self, module: String, id: ctf_id_t) -> Option<KernelType> {
        let name = self.name(id)?;
        let kind = self.kind(id);
        let (mut members, mut enumerators) = (Vec::new(), Vec::new());
        match kind {
            TypeKind::Struct | TypeKind::Union => {
                self.members(id, 0, DEPTH, &mut { MOST_MEMBERS }, &mut members);
            }
            TypeKind::Enum => self.enumerators(id, &mut enumerators),
            _ => {}
        }
        Some(KernelType { module, name, kind, size: self.size(id), members, enumerators })
    }

    /// Resolves typedefs and qualifiers.
    fn resolve(self, id: ctf_id_t) -> ctf_id_t {
        // SAFETY: as in `name`.
        let resolved = self.api.ctf_type_resolve.map(|resolve| unsafe { resolve(self.raw, id) });
        resolved.filter(|id| *id != -1).unwrap_or(id)
    }

    fn kind(self, id: ctf_id_t) -> TypeKind {
        // SAFETY: as in `name`.
        let number =
            self.api.ctf_type_kind.map_or(-1, |kind| unsafe { kind(self.raw, self.resolve(id)) });
        match number {
            CTF_K_INTEGER => {
                let format = self.encoding(id).map_or(0, |encoding| encoding.cte_format);
                TypeKind::Integer { signed: format & CTF_INT_SIGNED != 0 }
            }
            CTF_K_FLOAT => TypeKind::Float,
            CTF_K_POINTER => TypeKind::Pointer,
            CTF_K_ARRAY => TypeKind::Array,
            CTF_K_FUNCTION => TypeKind::Function,
            CTF_K_STRUCT => TypeKind::Struct,
            CTF_K_UNION => TypeKind::Union,
            CTF_K_ENUM => TypeKind::Enum,
            CTF_K_FORWARD => TypeKind::Forward,
            _ => TypeKind::Other,
        }
    }

    /// Returns the encoding of an integer or a bit field.
    fn encoding(self, id: ctf_id_t) -> Option<ctf_encoding_t> {
        let encode = self.api.ctf_type_encoding?;
        // Resolving a bit field returns the whole integer, and a typedef has no encoding.
        [id, self.resolve(id)].into_iter().find_map(|id| {
            let mut encoding = ctf_encoding_t::default();
            // SAFETY: as in `name`; the call only writes to the structure.
            let result = unsafe { encode(self.raw, id, &raw mut encoding) };
            (result == 0).then_some(encoding)
        })
    }

    fn size(self, id: ctf_id_t) -> Option<u64> {
        if matches!(self.kind(id), TypeKind::Function | TypeKind::Forward | TypeKind::Other) {
            return None;
        }
        // SAFETY: as in `name`.
        let size = unsafe { self.api.ctf_type_size?(self.raw, id) };
        u64::try_from(size).ok()
    }

    /// Returns how many bits a member of this type has.
    fn width(self, id: ctf_id_t) -> u64 {
        let bits = self.encoding(id).map(|encoding| u64::from(encoding.cte_bits));
        let whole = || self.size(id).unwrap_or(0).saturating_mul(8);
        bits.filter(|bits| *bits != 0).unwrap_or_else(whole)
    }

    /// Adds the members of a structure or union that itself begins at bit `base`. `left` is how many more to
    /// look at.
    fn members(
        self,
        id: ctf_id_t,
        base: u64,
        depth: u32,
        left: &mut u32,
        found: &mut Vec<TypeMember>,
    ) {
        let Some(iterate) = self.api.ctf_member_iter else { return };
        let mut members = Members { container: self, base, depth, left, found };
        // SAFETY: as in `name`. The callback's argument is the list, which outlives the call and has no other
        // user during it.
        unsafe {
            let list = (&raw mut members).cast::<c_void>();
            iterate(self.raw, self.resolve(id), Some(member), list);
        }
    }

    fn enumerators(self, id: ctf_id_t, found: &mut Vec<Enumerator>) {
        let Some(iterate) = self.api.ctf_enum_iter else { return };
        // SAFETY: as in `members`.
        unsafe {
            let list = ptr::from_mut(found).cast::<c_void>();
            iterate(self.raw, self.resolve(id), Some(enumerator), list);
        }
    }
}

/// The state of an iteration over members.
struct Members<'f> {
    container: Container,
    base: u64,
    depth: u32,
    left: &'f mut u32,
    found: &'f mut Vec<TypeMember>,
}

unsafe extern "C" fn member(
    name: *const c_char,
    id: c_long,
    offset: c_ulong,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: `members` passes a pointer to its list, and the name is null or a C string.
    let (members, name) = unsafe { (&mut *arg.cast::<Members<'_>>(), owned(name)) };
    let added = catch_unwind(AssertUnwindSafe(|| {
        let Members { container, base, depth, ref mut left, ref mut found } = *members;
        **left = left.checked_sub(1)?;
        let offset = base.saturating_add(offset);
        let kind = container.kind(id);
        if name.is_empty() && matches!(kind, TypeKind::Struct | TypeKind::Union) && depth > 0 {
            container.members(id, offset, depth - 1, left, found);
            return Some(());
        }
        let type_name = container.name(id).unwrap_or_default();
        let width = container.width(id);
        found.push(TypeMember { name, type_name, kind, offset, width });
        Some(())
    }));
    c_int::from(!matches!(added, Ok(Some(()))))
}

unsafe extern "C" fn enumerator(name: *const c_char, value: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: `enumerators` passes a pointer to its list, and the name is null or a C string.
    let added = catch_unwind(AssertUnwindSafe(|| unsafe {
        let found = &mut *arg.cast::<Vec<Enumerator>>();
        found.push(Enumerator { name: owned(name), value });
    }));
    c_int::from(added.is_err())
}

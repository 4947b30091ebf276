//! How is a function replaced that a loaded library calls?
//!
//! A library calls functions of other libraries through a table of addresses, which the dynamic loader
//! fills in. Replacing an address there affects the calls of this library only.

use std::ffi::{CStr, c_int, c_void};
use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use dtrace_sys::abi::GElf_Sym;

/// Has the library that contains `inside` call `ours` as `name`, and keeps in `next` what it has called so far.
/// Other libraries in this process still call the original.
///
/// # Errors
/// As for [`replace`].
///
/// # Safety
/// No other thread may be calling into the library. The loader has filled in all addresses that the library calls, as
/// it does with `RTLD_NOW`. `F` is a type of function pointers, and the library may call a function of that type as
/// `name`.
pub(super) unsafe fn intercept<F: Copy>(
    inside: usize,
    name: &CStr,
    next: &OnceLock<F>,
    ours: F,
) -> io::Result<()> {
    const { assert!(size_of::<F>() == size_of::<usize>()) };
    let exchange = |place: *mut usize| {
        let place = place.cast::<F>();
        // SAFETY: the place is writable, and holds the address of the function with this name, which has this type.
        unsafe {
            if next.set(*place).is_ok() {
                *place = ours;
            }
        }
    };
    // SAFETY: the caller guarantees it.
    unsafe { replace(inside, name, exchange) }
}

/// Replaces the address that the library which contains `inside` calls as `name`. `replace` is given the
/// address of the place, which it can write to, and writes there or not.
///
/// # Errors
/// The library's tables are not found, or do not name the function; or its page cannot be made writable.
///
/// # Safety
/// No other thread may be calling into the library.
pub(super) unsafe fn replace(
    inside: usize,
    name: &CStr,
    replace: impl FnOnce(*mut usize),
) -> io::Result<()> {
    let library = loaded(inside).ok_or_else(|| missing("the library's dynamic section"))?;
    // SAFETY: the dynamic section is that of a library that stays loaded.
    let tables = unsafe { Tables::of(&library) }.ok_or_else(|| missing("the library's tables"))?;
    // SAFETY: the tables are those of this library.
    let place = unsafe { tables.place_of(name) }
        .ok_or_else(|| missing(&format!("a call of {}", name.to_string_lossy())))?;
    // SAFETY: the caller guarantees that nobody calls through the place meanwhile, and it is one of the
    // library's own, aligned addresses.
    unsafe { with_writable(place, &library, replace) }
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{what}: not found"))
}

/// What the dynamic loader tells of a loaded library.
struct Loaded {
    base: usize,
    dynamic: *const Entry,
    /// The addresses that were made read-only when everything was filled in.
    read_only: Range<usize>,
}

/// An entry of a dynamic section, `Elf64_Dyn`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Entry {
    tag: i64,
    value: usize,
}

/// Where an address is filled in, `Elf64_Rela`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

const DT_NULL: i64 = 0;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_PLTREL: i64 = 20;
const DT_JMPREL: i64 = 23;
const DT_RELA: i64 = 7;

/// Finds the library that contains an address.
fn loaded(inside: usize) -> Option<Loaded> {
    struct Search {
        inside: usize,
        found: Option<Loaded>,
    }

    unsafe extern "C" fn look(info: *mut libc::dl_phdr_info, _: usize, arg: *mut c_void) -> c_int {
        // SAFETY: `loaded` passes its search, and the dynamic loader a description with its segments; both
        // are valid during the call.
        let (search, info, segments) = unsafe {
            let (Some(search), Some(info)) = (arg.cast::<Search>().as_mut(), info.as_ref()) else {
                return 1;
            };
            if info.dlpi_phdr.is_null() {
                return 0;
            }
            let number = usize::from(info.dlpi_phnum);
            (search, info, std::slice::from_raw_parts(info.dlpi_phdr, number))
        };
        let base = usize::try_from(info.dlpi_addr).unwrap_or(0);
        let range = |segment: &libc::Elf64_Phdr| {
            let start = base.wrapping_add(usize::try_from(segment.p_vaddr).unwrap_or(0));
            start..start.saturating_add(usize::try_from(segment.p_memsz).unwrap_or(0))
        };
        let of = |kind: u32| segments.iter().filter(move |segment| segment.p_type == kind);
        if !of(libc::PT_LOAD).any(|segment| range(segment).contains(&search.inside)) {
            return 0;
        }
        let dynamic = of(libc::PT_DYNAMIC).next().map(range);
        search.found = dynamic.map(|dynamic| Loaded {
            base,
            dynamic: ptr::with_exposed_provenance(dynamic.start),
            read_only: of(libc::PT_GNU_RELRO).next().map_or(0..0, |segment| {
                let Range { start, end } = range(segment);
                // The page that it shares with what follows stays writable.
                start..end - end % page()
            }),
        });
        1
    }

    let mut search = Search { inside, found: None };
    // SAFETY: the callback's argument is the search, which outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search.found
}

/// The tables of a library that say where the addresses of the functions that it calls are.
struct Tables {
    base: usize,
    relocations: *const Relocation,
    number: usize,
    symbols: *const GElf_Sym,
    strings: *const libc::c_char,
}

impl Tables {
    /// # Safety
    /// The dynamic section is that of a library that stays loaded.
    unsafe fn of(library: &Loaded) -> Option<Tables> {
        let value = |tag: i64| {
            let mut entry = library.dynamic;
            loop {
                // SAFETY: the section ends with an entry of the tag DT_NULL, behind which this does not read.
                let Entry { tag: found, value } = unsafe { *entry };
                match found {
                    DT_NULL => return None,
                    _ if found == tag => return Some(value),
                    // SAFETY: this entry is not the last one.
                    _ => entry = unsafe { entry.add(1) },
                }
            }
        };
        // The GNU C library turns the section's addresses into those of the process, others do not.
        let address = |tag| {
            let address = value(tag)?;
            Some(if address < library.base { address + library.base } else { address })
        };
        if value(DT_PLTREL) != usize::try_from(DT_RELA).ok() {
            return None;
        }
        Some(Tables {
            base: library.base,
            relocations: ptr::with_exposed_provenance(address(DT_JMPREL)?),
            number: value(DT_PLTRELSZ)? / size_of::<Relocation>(),
            symbols: ptr::with_exposed_provenance(address(DT_SYMTAB)?),
            strings: ptr::with_exposed_provenance(address(DT_STRTAB)?),
        })
    }

    /// # Safety
    /// The tables are those of a loaded library.
    unsafe fn place_of(&self, name: &CStr) -> Option<*mut usize> {
        (0..self.number).find_map(|at| {
            // SAFETY: the table has so many entries. The symbol that an entry names is in the table of
            // symbols, and its name is a string that ends in NUL.
            let (relocation, symbol_name) = unsafe {
                let relocation = *self.relocations.add(at);
                let symbol = &*self.symbols.add(usize::try_from(relocation.info >> 32).ok()?);
                (
                    relocation,
                    CStr::from_ptr(self.strings.add(usize::try_from(symbol.st_name).ok()?)),
                )
            };
            let place = self.base.checked_add(usize::try_from(relocation.offset).ok()?)?;
            (symbol_name == name && place.is_multiple_of(align_of::<usize>()))
                .then(|| ptr::with_exposed_provenance_mut(place))
        })
    }
}

/// Calls `write` with a place that is writable meanwhile.
///
/// # Safety
/// The place is one of the addresses that the library calls, and nobody uses it meanwhile.
unsafe fn with_writable(
    place: *mut usize,
    library: &Loaded,
    write: impl FnOnce(*mut usize),
) -> io::Result<()> {
    let page = page();
    let start = place.addr() - place.addr() % page;
    let protect = |protection| {
        let start = ptr::with_exposed_provenance_mut(start);
        // SAFETY: the page is one of the library's data. Making it writable takes nothing from anyone.
        let result = unsafe { libc::mprotect(start, page, protection) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    if !library.read_only.contains(&place.addr()) {
        write(place);
        return Ok(());
    }
    protect(libc::PROT_READ | libc::PROT_WRITE)?;
    write(place);
    protect(libc::PROT_READ)
}

/// Returns the length of a page.
fn page() -> usize {
    // SAFETY: the call has no preconditions.
    let length = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(length).ok().filter(|length| *length > 0).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_is_not_called_is_an_error() {
        let in_c_library = libc::getpid as *const () as usize;
        for (inside, name) in [(0, c"syscall"), (in_c_library, c"no_such_function")] {
            // SAFETY: nothing is replaced.
            let replaced = unsafe { replace(inside, name, |_| panic!("there is no such place")) };
            let error = replaced.expect_err("it is not called");
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
        }
    }
}

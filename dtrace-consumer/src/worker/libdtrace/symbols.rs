//! Looks up the kernel's symbols.

use std::ffi::CString;
use std::ptr;

use dtrace_sys::abi::*;

use super::delivered::owned;
use super::handle::Handle;
use super::platform;
use crate::data::kernel_symbol::KernelSymbol;

/// Returns the kernel's symbol with this name.
pub(super) fn named(handle: Handle, name: &str) -> Option<KernelSymbol> {
    let name = CString::new(name).ok()?;
    // A special pointer value that means all objects.
    let every = ptr::without_provenance(DTRACE_OBJ_EVERY.addr());
    let (mut symbol, mut info) = (GElf_Sym::default(), platform::no_symbol());
    // SAFETY: the handle is open, the name ends in NUL, and the call only writes to the structures.
    let result = unsafe {
        (handle.api.dtrace_lookup_by_name)(
            handle.raw,
            every,
            name.as_ptr(),
            &raw mut symbol,
            &raw mut info,
        )
    };
    // SAFETY: the call has filled in the names, which the library owns.
    (result == 0).then(|| unsafe { found(&symbol, &info) })
}

/// Returns the kernel's symbol that contains an address.
pub(super) fn at(handle: Handle, address: u64) -> Option<KernelSymbol> {
    let (mut symbol, mut info) = (GElf_Sym::default(), platform::no_symbol());
    // SAFETY: the handle is open.
    let result = unsafe { platform::lookup_by_addr(handle, address, &mut symbol, &mut info) };
    // SAFETY: the call has filled in the names, which the library owns.
    (result == 0).then(|| unsafe { found(&symbol, &info) })
}

/// Copies a symbol.
///
/// # Safety
/// The names are null or C strings.
unsafe fn found(symbol: &GElf_Sym, info: &dtrace_syminfo_t) -> KernelSymbol {
    let names = platform::names(info);
    // SAFETY: the caller guarantees it; see `# Safety`.
    let (module, name) = unsafe { (owned(names.module), owned(names.name)) };
    KernelSymbol { module, name, address: symbol.st_value, size: symbol.st_size }
}

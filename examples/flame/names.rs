//! What are functions of C++ and Rust called in their source?

use cpp_demangle::{DemangleOptions, Symbol};
use dtrace_consumer::value::SymbolRef;

/// Returns the name of a frame's function. DTrace returns names of C++ and Rust as the linker has them.
pub(crate) fn function_name(frame: &SymbolRef<'_>) -> Option<String> {
    let symbol = frame.symbol()?;
    let name = frame.demangled()?;
    // Rust's older names follow the scheme of C++, but are not meant for its demangler.
    if name != symbol {
        return Some(name);
    }
    // Without parameters and return types, which make frames too long to read.
    let options = DemangleOptions::new().no_params().no_return_type();
    let of_cpp = Symbol::new(symbol).ok().and_then(|it| it.demangle_with_options(&options).ok());
    Some(of_cpp.unwrap_or(name))
}

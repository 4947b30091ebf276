//! Raw bindings to libdtrace.

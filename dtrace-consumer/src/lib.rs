//! DTrace for Rust programs.

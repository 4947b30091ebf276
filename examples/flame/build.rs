//! Links programs so that libdtrace finds their functions; see the `build.rs` of the root package.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|it| it == "linux") {
        println!("cargo::rustc-link-arg=-Wl,-z,separate-loadable-segments");
    }
}

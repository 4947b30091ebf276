//! Links what has probes on its functions so that libdtrace finds them: see the root's `build.rs`.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_OS").is_ok_and(|it| it == "linux") {
        println!("cargo::rustc-link-arg=-Wl,-z,separate-loadable-segments");
    }
}

//! Chooses whose libdtrace the worker is for: the target's own, as in dtrace-sys, unless `--cfg dtrace_abi="..."` asks for
//! another one.

use std::env;

const ABIS: [&str; 4] = ["linux", "freebsd", "macos", "illumos"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let values = ABIS.map(|abi| format!("{abi:?}")).join(", ");
    println!("cargo::rustc-check-cfg=cfg(dtrace_abi, values({values}))");
    if env::var_os("CARGO_CFG_DTRACE_ABI").is_none() {
        let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
        if ABIS.contains(&target.as_str()) {
            println!("cargo::rustc-cfg=dtrace_abi={target:?}");
        }
    }
}

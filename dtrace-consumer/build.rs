//! Compiles the worker for the libdtrace that dtrace-sys is for.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Without live sessions there is no dtrace-sys, and no worker.
    if let Ok(abi) = env::var("DEP_DTRACE_ABI") {
        println!("cargo::rustc-cfg=dtrace_abi={abi:?}");
    }
}

//! Chooses the ABI of the target, and prepares what the features ask for.

use std::env;

const ABIS: [&str; 4] = ["linux", "freebsd", "macos", "illumos"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    choose_abi();
    #[cfg(feature = "linked")]
    link();
    #[cfg(feature = "bindgen")]
    generate();
}

/// The target's own ABI, unless `--cfg dtrace_abi="..."` asks for another one (to compile it). Crates that depend on this
/// one find it in `DEP_DTRACE_ABI`.
fn choose_abi() {
    let values = ABIS.map(|abi| format!("{abi:?}")).join(", ");
    println!("cargo::rustc-check-cfg=cfg(dtrace_abi, values({values}))");
    if let Ok(asked) = env::var("CARGO_CFG_DTRACE_ABI") {
        println!("cargo::metadata=ABI={asked}");
        return;
    }
    let target = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if ABIS.contains(&target.as_str()) {
        println!("cargo::rustc-cfg=dtrace_abi={target:?}");
        println!("cargo::metadata=ABI={target}");
    }
}

#[cfg(feature = "linked")]
fn link() {
    println!("cargo::rerun-if-env-changed=DTRACE_LIB_DIR");
    if let Ok(dir) = env::var("DTRACE_LIB_DIR") {
        println!("cargo::rustc-link-search=native={dir}");
    }
    println!("cargo::rustc-link-lib=dtrace");
}

#[cfg(feature = "bindgen")]
fn generate() {
    use std::path::PathBuf;

    println!("cargo::rerun-if-env-changed=DTRACE_INCLUDE_DIR");
    println!("cargo::rerun-if-changed=wrapper.h");
    println!("cargo::rerun-if-changed=shim");
    let include = env::var("DTRACE_INCLUDE_DIR").unwrap_or_else(|_| "/usr/include".into());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let bindings = bindgen::Builder::default()
        .header("wrapper.h")
        .clang_args(["-D_GNU_SOURCE", "-Ishim"])
        .clang_arg(format!("-I{include}"))
        .allowlist_item("_?dtrace_.*|DTRACE.*|DT_CLSFLAG_.*|GElf_Sym|ctf_id_t")
        .opaque_type("ctf_file_t|ctf_dict_t|_IO_FILE|FILE|dt_ident|dtrace_difo.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .derive_debug(false)
        .layout_tests(true)
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate()
        .unwrap_or_else(|error| panic!("cannot read dtrace.h from {include}: {error}"))
        .to_string();
    // The bindings call the field what C calls it.
    let bindings = bindings.replace("mod_", "r#mod");
    std::fs::write(out.join("generated.rs"), bindings).expect("cannot write to OUT_DIR");
}

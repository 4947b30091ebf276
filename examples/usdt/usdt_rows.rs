//! Receives USDT probes of a Rust program, defined with the `usdt` crate, as typed rows.
//!
//! The program plays both parts: it traces a second copy of itself, which answers a few requests and
//! defines two probes. docs/platforms.md describes what such probes need.

use std::env;

use dtrace_consumer::run_synchronous;

#[usdt::provider(provider = "shop")]
mod shop {
    /// A request begins: its number and path.
    fn request__begin(number: u64, path: &str) {}
    /// A request ends: its number and the length of the response.
    fn request__end(number: u64, length: u32) {}
}

/// The traced program.
fn serve() -> Result<(), Box<dyn std::error::Error>> {
    usdt::register_probes()?;
    for (number, path) in (1..).zip(["/", "/apples", "/pears"]) {
        shop::request__begin!(|| (number, path));
        let answer = format!("<h1>{path}</h1>");
        shop::request__end!(|| (number, answer.len() as u32));
    }
    Ok(())
}

const SCRIPT: &str = r#"
shop$target:::request-begin { self->path = copyinstr(arg1); }
shop$target:::request-end { printf("%d %d %s", arg0, (uint32_t)arg1, self->path); }
"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::args_os().nth(1).is_some_and(|word| word == "serve") {
        return serve();
    }
    let program = env::current_exe()?;
    let mut session = run_synchronous(SCRIPT, [program.as_os_str(), "serve".as_ref()]);
    // On FreeBSD the probes exist only when the program has registered them.
    if cfg!(target_os = "freebsd") {
        session = session.allow_zero_matches();
    }
    session
        .rows(|(number, length, path): (u64, u32, String)| {
            println!("request {number} for {path}: {length} bytes");
            Ok(())
        })
        .run()?;
    Ok(())
}

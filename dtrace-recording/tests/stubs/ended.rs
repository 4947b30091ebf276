//! Reads `tests/data/ended.dtrace`. Replace each `todo!`.
//!
//! Cargo.toml needs only this:
//!
//! ```toml
//! [dependencies]
//! dtrace-consumer = { git = "https://github.com/dtrace-consumer/dtrace-consumer", default-features = false }
//! ```
//!
//! Firings arrive CPU by CPU. Where order matters, record `timestamp` and sort by it.
#![allow(dead_code)] // until you use every field

use dtrace_consumer::{Failure, replay};

/// Recorded by `dtrace:::BEGIN` with the format `n=%d\n`.
#[derive(Debug, Clone, PartialEq)]
struct DtraceBegin {
    /// Such as `1`.
    n: i32,
}

fn main() -> Result<(), Failure> {
    let outcome = replay("tests/data/ended.dtrace")
        .chew(|firing| {
            match firing.statement() {
                0 => {
                    let row = DtraceBegin {
                        n: firing.get("n")?,
                    };
                    todo!("use {row:?}")
                }
                _ => Ok(()),
            }
        })
        .run()?;
    println!("{}", outcome.losses);
    Ok(())
}

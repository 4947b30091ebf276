//! Reads `tests/data/numbers.dtrace`. Replace each `todo!`.
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

/// Recorded by `syscall:vmlinux:getppid:entry` with the format `n=%d id=%llu name=%s`.
#[derive(Debug, Clone, PartialEq)]
struct GetppidEntry {
    /// Such as `1`.
    n: i32,
    /// Such as `18446744073709551614`.
    id: u64,
    /// Such as `getppid`.
    name: String,
}

/// Recorded by `syscall:vmlinux:getppid:return` with the format `n=%d error=%d`.
#[derive(Debug, Clone, PartialEq)]
struct GetppidReturn {
    /// Such as `1`.
    n: i32,
    /// Such as `-1`.
    error: i32,
}

fn main() -> Result<(), Failure> {
    let outcome = replay("tests/data/numbers.dtrace")
        .chew(|firing| {
            match firing.statement() {
                1 => {
                    let row = GetppidEntry {
                        n: firing.get("n")?,
                        id: firing.get("id")?,
                        name: firing.get("name")?,
                    };
                    todo!("use {row:?}")
                }
                2 => {
                    let row = GetppidReturn {
                        n: firing.get("n")?,
                        error: firing.get("error")?,
                    };
                    todo!("use {row:?}")
                }
                _ => Ok(()),
            }
        })
        .walk(|entry| {
            match entry.name() {
                // quantize()
                "sizes" => {
                    // Such as `read`.
                    let key0: String = entry.key(0)?;
                    // Such as `1152921504606846976`.
                    let key1: i64 = entry.key(1)?;
                    let value = entry.value().distribution();
                    todo!("use {key0} {key1} {value:?}")
                }
                // count()
                "calls" => {
                    // Such as `read`.
                    let key0: String = entry.key(0)?;
                    // Such as `1152921504606846976`.
                    let key1: i64 = entry.key(1)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {key1} {value:?}")
                }
                _ => Ok(()),
            }
        })
        .run()?;
    println!("{}", outcome.losses);
    Ok(())
}

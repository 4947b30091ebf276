//! Reads `tests/data/awkward.dtrace`. Replace each `todo!`.
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

use dtrace_consumer::{Failure, Value, replay};

/// Recorded by `dtrace:::BEGIN` with the format `type=%d self=%d Self=%u n=%d n=%d 2nd=%d \u{e9}=%d {x}=%s\n`.
#[derive(Debug, Clone, PartialEq)]
struct DtraceBegin {
    /// Such as `1`.
    type_: i32,
    /// Such as `2`.
    self_: i32,
    /// Such as `3`.
    self_2: u32,
    /// Such as `4`.
    n: i32,
    /// Such as `5`.
    n_2: i32,
    /// Such as `6`.
    value5: i32,
    /// Such as `7`.
    value6: i32,
    /// Such as `a'b`.
    value7: String,
    /// Such as `"); panic!("`.
    value8: String,
}

/// Recorded by `dtrace:::BEGIN`, `dtrace:::END` with the format `size=%d name=%s\n`.
#[derive(Debug, Clone, PartialEq)]
struct Dtrace {
    /// Such as `1`.
    size: i64,
    /// Such as `one`.
    name: String,
}

/// Recorded by `dtrace:::END` with the format `size=%lld name=%s\n`.
#[derive(Debug, Clone, PartialEq)]
struct DtraceEnd {
    /// Such as `1099511627776`.
    size: i64,
    /// Such as `two`.
    name: String,
    /// Such as `00000000`.
    value2: Vec<u8>,
    value3: Value,
}

fn main() -> Result<(), Failure> {
    let outcome = replay("tests/data/awkward.dtrace")
        .chew(|firing| {
            match firing.statement() {
                0 => {
                    let row = DtraceBegin {
                        type_: firing.get("type")?,
                        self_: firing.get("self")?,
                        self_2: firing.get("Self")?,
                        n: firing.get(3)?,
                        n_2: firing.get(4)?,
                        value5: firing.get(5)?,
                        value6: firing.get(6)?,
                        value7: firing.get(7)?,
                        value8: firing.get(8)?,
                    };
                    todo!("use {row:?}")
                }
                1 | 3 => {
                    let row = Dtrace {
                        size: firing.get("size")?,
                        name: firing.get("name")?,
                    };
                    todo!("use {row:?}")
                }
                2 => {
                    let row = DtraceEnd {
                        size: firing.get("size")?,
                        name: firing.get("name")?,
                        value2: firing.get(2)?,
                        value3: firing.get(3)?,
                    };
                    todo!("use {row:?}")
                }
                _ => Ok(()),
            }
        })
        .walk(|entry| {
            match entry.name() {
                // count()
                "_" => {
                    // Such as `quote" '`.
                    let key0: String = entry.key(0)?;
                    // Such as `1`.
                    let key1: u8 = entry.key(1)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {key1} {value:?}")
                }
                // avg()
                "loop" => {
                    let key0: Value = entry.key(0)?;
                    // Such as `65535`.
                    let key1: u16 = entry.key(1)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {key1} {value:?}")
                }
                // quantize()
                "Type" => {
                    // Such as `\u{e9}`.
                    let key0: String = entry.key(0)?;
                    let value = entry.value().distribution();
                    todo!("use {key0} {value:?}")
                }
                _ => Ok(()),
            }
        })
        .run()?;
    println!("{}", outcome.losses);
    Ok(())
}

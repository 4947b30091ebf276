//! Reads `../examples/recordings/tcp_segments.dtrace`. Replace each `todo!`.
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

/// Recorded by `rawtp:net::net_dev_queue` with the format `%llu %s %d %u %u %u %u %u %s`.
#[derive(Debug, Clone, PartialEq)]
struct RawtpNetDevQueue {
    /// Such as `5620130544423`.
    value0: u64,
    /// Such as `send`.
    value1: String,
    /// Such as `56284`.
    value2: i32,
    /// Such as `41681`.
    value3: u16,
    /// Such as `579898484`.
    value4: u32,
    /// Such as `0`.
    value5: u32,
    /// Such as `0`.
    value6: u32,
    /// Such as `2`.
    value7: u8,
    /// Such as `state-syn-sent`.
    value8: String,
}

/// Recorded by `rawtp:tcp::tcp_probe` with the format `%llu %s %u %u %u %u %u %u %s`.
#[derive(Debug, Clone, PartialEq)]
struct RawtpTcpProbe {
    /// Such as `5620132228980`.
    value0: u64,
    /// Such as `receive`.
    value1: String,
    /// Such as `56284`.
    value2: u16,
    /// Such as `41681`.
    value3: u16,
    /// Such as `579898485`.
    value4: u32,
    /// Such as `3712922483`.
    value5: u32,
    /// Such as `64`.
    value6: u32,
    /// Such as `24`.
    value7: u8,
    /// Such as `state-established`.
    value8: String,
}

fn main() -> Result<(), Failure> {
    let outcome = replay("../examples/recordings/tcp_segments.dtrace")
        .chew(|firing| {
            match firing.statement() {
                3 => {
                    let row = RawtpNetDevQueue {
                        value0: firing.get(0)?,
                        value1: firing.get(1)?,
                        value2: firing.get(2)?,
                        value3: firing.get(3)?,
                        value4: firing.get(4)?,
                        value5: firing.get(5)?,
                        value6: firing.get(6)?,
                        value7: firing.get(7)?,
                        value8: firing.get(8)?,
                    };
                    todo!("use {row:?}")
                }
                4 => {
                    let row = RawtpTcpProbe {
                        value0: firing.get(0)?,
                        value1: firing.get(1)?,
                        value2: firing.get(2)?,
                        value3: firing.get(3)?,
                        value4: firing.get(4)?,
                        value5: firing.get(5)?,
                        value6: firing.get(6)?,
                        value7: firing.get(7)?,
                        value8: firing.get(8)?,
                    };
                    todo!("use {row:?}")
                }
                _ => Ok(()),
            }
        })
        .walk(|entry| {
            match entry.name() {
                // count()
                "syscalls" => {
                    // Such as `7`.
                    let key0: i64 = entry.key(0)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {value:?}")
                }
                _ => Ok(()),
            }
        })
        .run()?;
    println!("{}", outcome.losses);
    Ok(())
}

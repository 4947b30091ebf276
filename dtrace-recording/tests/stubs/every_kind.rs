//! Reads `../dtrace-consumer/tests/data/recordings/v2.dtrace`. Replace each `todo!`.
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

/// Recorded by `dtrace:::BEGIN` with the format `%d %llu %x %s|%5c|%-8s|\n`.
#[derive(Debug, Clone, PartialEq)]
struct DtraceBegin {
    /// Such as `-1`.
    value0: i32,
    /// Such as `4294967295`.
    value1: u64,
    /// Such as `255`.
    value2: u32,
    /// Such as `text`.
    value3: String,
    /// Such as `99`.
    value4: i32,
    /// Such as `left`.
    value5: String,
    /// Such as `-5`.
    value6: i32,
    /// Such as `5`.
    value7: u32,
    /// Such as `-1`.
    value8: i8,
    /// Such as `-2`.
    value9: i16,
    /// Such as `a string`.
    value10: String,
    /// Such as `00000000000000000200000000000000`.
    value11: Vec<u8>,
    /// Such as `000000000000`.
    value12: Vec<u8>,
    /// Such as `0xffff8881046e2d80`.
    value13: String,
}

/// Recorded by `dtrace:::BEGIN`.
#[derive(Debug, Clone, PartialEq)]
struct DtraceBegin2 {
    /// Such as `speculated`.
    value0: String,
}

/// Recorded by `syscall:vmlinux:write:entry`.
#[derive(Debug, Clone, PartialEq)]
struct WriteEntry {
    /// Such as `vmlinux'perf_syscall_enter+0x18d`.
    value0: Value,
    /// Such as `vmlinux'syscall_trace_enter+0x180`.
    value1: String,
    /// Such as `vmlinux`.
    value2: String,
    /// Such as `libc.so.6'write+0x10`.
    value3: Value,
    /// Such as `0x5634ae05cd00`.
    value4: String,
    /// Such as `0x5634ae05cd00`.
    value5: String,
    /// Such as `0x5634ae05cd00`.
    value6: String,
}

fn main() -> Result<(), Failure> {
    let outcome = replay("../dtrace-consumer/tests/data/recordings/v2.dtrace")
        .chew(|firing| {
            match firing.statement() {
                0 => {
                    let row = DtraceBegin {
                        value0: firing.get(0)?,
                        value1: firing.get(1)?,
                        value2: firing.get(2)?,
                        value3: firing.get(3)?,
                        value4: firing.get(4)?,
                        value5: firing.get(5)?,
                        value6: firing.get(6)?,
                        value7: firing.get(7)?,
                        value8: firing.get(8)?,
                        value9: firing.get(9)?,
                        value10: firing.get(10)?,
                        value11: firing.get(11)?,
                        value12: firing.get(12)?,
                        value13: firing.get(13)?,
                    };
                    todo!("use {row:?}")
                }
                3 => {
                    let row = DtraceBegin2 {
                        value0: firing.get(0)?,
                    };
                    todo!("use {row:?}")
                }
                6 => {
                    let row = WriteEntry {
                        value0: firing.get(0)?,
                        value1: firing.get(1)?,
                        value2: firing.get(2)?,
                        value3: firing.get(3)?,
                        value4: firing.get(4)?,
                        value5: firing.get(5)?,
                        value6: firing.get(6)?,
                    };
                    todo!("use {row:?}")
                }
                _ => Ok(()),
            }
        })
        .walk(|entry| {
            match entry.name() {
                // count()
                "counts" => {
                    // Such as `BEGIN`.
                    let key0: String = entry.key(0)?;
                    // Such as `-1`.
                    let key1: i32 = entry.key(1)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {key1} {value:?}")
                }
                // sum()
                "sums" => {
                    // Such as `a`.
                    let key0: String = entry.key(0)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {value:?}")
                }
                // min()
                "minimum" => {
                    let value: i64 = entry.number()?;
                    todo!("use {value:?}")
                }
                // max()
                "maximum" => {
                    let value: i64 = entry.number()?;
                    todo!("use {value:?}")
                }
                // avg()
                "average" => {
                    let value: i64 = entry.number()?;
                    todo!("use {value:?}")
                }
                // stddev()
                "deviation" => {
                    let value: i64 = entry.number()?;
                    todo!("use {value:?}")
                }
                // quantize()
                "powers" => {
                    let value = entry.value().distribution();
                    todo!("use {value:?}")
                }
                // lquantize()
                "linear" => {
                    let value = entry.value().distribution();
                    todo!("use {value:?}")
                }
                // llquantize()
                "orders" => {
                    let value = entry.value().distribution();
                    todo!("use {value:?}")
                }
                // sum()
                "normalized" => {
                    let value: i64 = entry.number()?;
                    todo!("use {value:?}")
                }
                // count()
                "stacks" => {
                    // Such as `libc.so.6'write+0x10`.
                    let key0: Value = entry.key(0)?;
                    let value: i64 = entry.number()?;
                    todo!("use {key0} {value:?}")
                }
                // count()
                "writes" => {
                    // Such as `write`.
                    let key0: String = entry.key(0)?;
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

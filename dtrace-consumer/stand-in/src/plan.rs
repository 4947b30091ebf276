//! What shall the stand-in do?

use std::path::Path;

use serde::{Deserialize, Serialize};

/// The plan's file in the prefix.
pub const PLAN: &str = "plan.json";
/// The file in the prefix, if it is there, in which the stand-in notes the functions that were called, a
/// line each.
pub const CALLS: &str = "calls";
/// The file in the prefix, if it is there, in which the stand-in notes for each call that goes wrong how
/// many rounds were delivered before.
pub const HAPPENED: &str = "happened";

/// What one process with the stand-in goes through.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// What goes wrong in which call.
    pub faults: Vec<Fault>,
    /// What each call of `dtrace_work` delivers; the call after the last says that tracing has ended.
    pub rounds: Vec<Vec<Event>>,
    /// The entries of the aggregation `@a`, whose function is `count()` and whose key an `int`.
    pub entries: Vec<Entry>,
    /// What is odd about descriptions of probes, statements and arguments.
    pub listing: Option<ListingOddity>,
    /// Drops that are reported from within each snapshot of the aggregations.
    pub drops_in_snapshot: u64,
}

impl Plan {
    /// Leaves the plan where the stand-in finds it.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn put(&self, prefix: &Path) {
        let text = serde_json::to_string(self).expect("a plan can be written down");
        std::fs::write(prefix.join(PLAN), text).expect("the prefix is there");
    }
}

/// A call that goes wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fault {
    /// The function's name.
    pub call: String,
    /// Which of its calls, from 1.
    pub nth: u32,
    /// What happens then.
    pub misdeed: Misdeed,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Misdeed {
    /// It fails, with this number for `dtrace_errno`.
    Fail(i32),
    /// It does nothing and answers this; functions that give pointers answer null.
    Answer(i64),
    /// The process aborts.
    Abort,
    /// The process exits with this status, after a word to its standard error.
    Exit(i32),
    /// The process gets this signal.
    Signal(i32),
}

/// What `dtrace_work` does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A clause's firing.
    Firing(Firing),
    /// A probe callback without a firing.
    NoFiring,
    /// A record callback without a firing having begun.
    LoneRecord,
    /// A firing's end without its beginning.
    LoneEnd,
    /// A report of drops.
    Drop {
        /// Their kind, a `DTRACEDROP_`.
        kind: i32,
        /// How many.
        drops: u64,
        /// Whether the report is there.
        missing: bool,
    },
    /// A fault of a clause.
    Fault {
        /// Whether its probe is told.
        probe: bool,
        /// Whether its description is there.
        missing: bool,
    },
    /// A `setopt()`.
    Option {
        /// Whether its description is there.
        missing: bool,
    },
    /// Nothing, for so many milliseconds.
    Pause(u64),
    /// The end of a process.
    Process {
        /// Its number.
        pid: i32,
        /// What is said of it.
        message: Option<String>,
    },
    /// A signal ends the wait.
    Interrupted,
}

/// A clause's firing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Firing {
    /// The clause's number.
    pub statement: u32,
    /// Its records.
    pub records: Vec<Record>,
    /// The data, in which records lie.
    pub data: Vec<u8>,
    /// What is odd about it.
    pub oddity: Option<Oddity>,
}

/// One record of a clause.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// A `DTRACEACT_`.
    pub action: u16,
    /// Where it lies in the data.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
    /// Its alignment.
    pub alignment: u16,
    /// `dtrd_arg`.
    pub argument: u64,
    /// Its format.
    pub format: Option<String>,
}

/// What is odd about a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Oddity {
    /// The description of its records is missing.
    NoDescription,
    /// That stands at an odd address.
    CrookedDescription,
    /// The description of its probe is missing.
    NoProbe,
    /// That has no names.
    NoNames,
    /// The list of records is missing.
    NoRecords,
    /// The list of records stands at an odd address.
    CrookedRecords,
    /// There are so many records.
    Count(i32),
    /// The data are missing.
    NoData,
    /// The data are said to be so many bytes.
    Size(u32),
    /// The record callback gets a record of nobody.
    ForeignRecord,
    /// The record callback gets an address between two records.
    CrookedRecord,
    /// The record callback gets no firing.
    RecordOfNothing,
    /// It has no end.
    NoEnd,
    /// It begins again before its end.
    Nested,
    /// It ends twice.
    TwoEnds,
    /// It is interrupted by a signal before its end, and comes again in the next round.
    Redelivered,
}

/// An entry of the aggregation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Its key.
    pub key: i32,
    /// Its value.
    pub value: u64,
    /// What is odd about it.
    pub oddity: Option<EntryOddity>,
}

/// What is odd about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryOddity {
    /// The entry itself is missing.
    NoEntry,
    /// The description is missing.
    NoDescription,
    /// The name is missing, which does no harm.
    NoName,
    /// There are so many keys.
    Keys(i32),
    /// The keys are missing.
    NoKeys,
    /// A key lies behind the others' end.
    KeyOutside,
    /// The value is missing.
    NoValue,
    /// The value lies behind the data's end.
    ValueOutside,
    /// The value is too short for its function.
    ShortValue,
    /// The function is none.
    Function(u16),
}

/// What is odd about what the library says of probes and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListingOddity {
    /// A probe's description is missing.
    NoProbe,
    /// It stands at an odd address.
    CrookedProbe,
    /// A probe has so many arguments.
    Arguments(i32),
    /// The list of arguments is missing.
    NoArguments,
    /// A statement is missing.
    NoStatement,
    /// A statement has no clause.
    NoClause,
    /// A description that was asked for has no parts.
    NoParts,
    /// A symbol has no names, which does no harm.
    NoSymbol,
}

//! What should the stand-in do?

use std::os::unix::fs::symlink;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The file of the plan in the prefix.
pub const PLAN: &str = "plan.json";
/// The file in the prefix to which the stand-in appends the name of each called function, if it exists. What an option is
/// set to follows in the same line, and so do the flags of `dtrace_open`.
pub const CALLS: &str = "calls";
/// What is noted among the calls before the process that the stand-in is attached to is let go.
pub const RELEASED: &str = "released";
/// What is noted among the calls where the library would carry out `system()` or `freopen()` in its own process.
pub const CARRIED_OUT: &str = "carried out";
/// The file in the prefix to which the stand-in appends, if it exists, how many rounds were delivered before
/// each call that went wrong.
pub const HAPPENED: &str = "happened";

/// The behaviour of the stand-in in one process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The calls that go wrong.
    pub faults: Vec<Fault>,
    /// The system calls that the process makes, in this order. The results are appended to error messages.
    pub system_calls: Vec<SystemCall>,
    /// What each call of `dtrace_work` delivers. The call after the last round reports the end of tracing.
    pub rounds: Vec<Vec<Event>>,
    /// The entries of the aggregations: of `@a`, whose function is `count()` and whose key an `int`, unless they say
    /// otherwise.
    pub entries: Vec<Entry>,
    /// Whether each round waits in the buffers until the interval of `switchrate` is over or tracing is off. When it is off,
    /// one call delivers all rounds up to the next pause (not Linux, where libdtrace does not wait by itself).
    pub keeps_rates: bool,
    /// An oddity of the descriptions of probes, statements and arguments.
    pub listing: Option<ListingOddity>,
    /// The number of drops that each snapshot of the aggregations reports while it runs.
    pub drops_in_snapshot: u64,
    /// The number of places in each entry's list by CPU; without it, entries have none. On other platforms than
    /// Linux only whether it is set counts: their lists have a place for each configured CPU.
    pub cpus: Option<u32>,
    /// Whether these lists lack their last place. Whoever reads as many as the library has reads beyond their ends.
    pub lists_are_short: bool,
    /// Whether nothing tells how long these lists are: the library has no map of aggregations (Linux).
    pub lists_are_of_unknown_length: bool,
    /// The text of every symbol and of every name of a type.
    pub name: Option<String>,
    /// How many arguments each probe has; 1 without it.
    pub arguments: Option<u32>,
    /// The types, by number. The first one is what every name means. Without any, all types are `int`.
    pub types: Vec<Type>,
    /// Whether the library attaches to a process that it grabs, and for how many milliseconds `dtrace_close`
    /// stays attached to it (Linux).
    pub attached: Option<u64>,
    /// A process that the library attaches to when it compiles a script, as if the script named it. The script does not
    /// compile if that fails.
    pub named: Option<i32>,
}

impl Plan {
    /// Writes the plan to where the stand-in finds it.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn put(&self, prefix: &Path) {
        let text = serde_json::to_string(self).expect("a plan serialises");
        std::fs::write(prefix.join(PLAN), text).expect("the prefix exists");
        // One that does something else is another library: a session must not have a copy of the one before.
        let link = prefix.join("lib/libdtrace.so.2");
        if let Ok(to) = std::fs::read_link(&link) {
            let renewed = std::fs::remove_file(&link).and_then(|()| symlink(to, link));
            renewed.expect("a link that may be replaced");
        }
    }
}

/// A type of libctf.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Type {
    /// Its kind, a `CTF_K_`.
    pub kind: i32,
    /// Its name, if it has another one than the plan's.
    pub name: Option<String>,
    /// Its size in bytes; -1 fails.
    pub size: i64,
    /// Its format, offset and number of bits, if it has an encoding.
    pub encoding: Option<[u32; 3]>,
    /// The number of the type that it stands for, as a typedef does.
    pub stands_for: Option<i64>,
    /// Its members.
    pub members: Vec<Member>,
    /// The names and values of its constants.
    pub constants: Vec<(Option<String>, i32)>,
}

/// A member of a structure or union.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: Option<String>,
    /// The number of its type.
    pub of: i64,
    /// Its offset in bits.
    pub offset: u64,
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

/// A system call that the process makes at its first call of a function.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemCall {
    /// The name of the function of libdtrace.
    pub within: String,
    /// The number of the system call.
    pub number: i64,
    /// Its arguments; the others are 0.
    pub arguments: Vec<Argument>,
    /// Whether it is made like a 32-bit program makes it (x86-64). Only numbers can be arguments then.
    pub as_32_bit: bool,
}

/// An argument of a system call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Argument {
    /// A number.
    Number(i64),
    /// The address of a string.
    Text(String),
    /// The address of this many words, with these values.
    Words(Vec<u64>),
    /// The result of an earlier system call; 0 means the previous one, 1 the one before it.
    Result(usize),
    /// The number of this process.
    OwnProcess,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum Misdeed {
    /// It fails, and `dtrace_errno` returns this number.
    Fail(i32),
    /// It does nothing and returns this number, or null if it returns a pointer.
    Answer(i64),
    /// The process aborts.
    Abort,
    /// The process writes a line to standard error and exits with this status.
    Exit(i32),
    /// The process gets this signal.
    Signal(i32),
}

/// Something that `dtrace_work` does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Event {
    /// A clause's firing.
    Firing(Firing),
    /// A probe callback without a firing.
    NoFiring,
    /// A record callback without a firing.
    LoneRecord,
    /// The end of a firing that has not begun.
    LoneEnd,
    /// A report of drops.
    Drop {
        /// Their kind, a `DTRACEDROP_`.
        kind: i32,
        /// How many.
        drops: u64,
        /// Whether the report is missing.
        missing: bool,
    },
    /// A fault of a clause.
    Fault {
        /// Whether it names its probe.
        probe: bool,
        /// Whether its description is missing.
        missing: bool,
    },
    /// A `setopt()`.
    Option {
        /// Whether its description is missing.
        missing: bool,
    },
    /// Nothing, for so many milliseconds.
    Pause(u64),
    /// The end of a process.
    Process {
        /// Its number.
        pid: i32,
        /// libdtrace's message about it.
        message: Option<String>,
    },
    /// A signal interrupts the wait.
    Interrupted,
}

/// A clause's firing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Firing {
    /// The clause's number.
    pub statement: u32,
    /// Its records.
    pub records: Vec<Record>,
    /// The data that hold the records.
    pub data: Vec<u8>,
    /// The prefix of flow indentation.
    pub prefix: Option<String>,
    /// What is wrong with it, if anything.
    pub oddity: Option<Oddity>,
}

/// One record of a clause.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// A `DTRACEACT_`.
    pub action: u16,
    /// Its offset in the data.
    pub offset: u32,
    /// Its size in bytes.
    pub size: u32,
    /// Its alignment.
    pub alignment: u16,
    /// `dtrd_arg`.
    pub argument: u64,
    /// Its format.
    pub format: Option<String>,
    /// What is wrong with the statement that makes it, if anything (not Linux, where records do not refer to
    /// statements).
    pub statement: Option<StatementOddity>,
}

/// An oddity of the statement, of its actions or of their code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StatementOddity {
    /// The record names no statement.
    Unnamed,
    /// The record names this number of bytes behind its statement.
    Beside(i64),
    /// The record names this number.
    Elsewhere(u64),
    /// The statement has no actions.
    NoActions,
    /// Its first action is misaligned.
    CrookedActions,
    /// Its actions end after this many.
    Actions(usize),
    /// Its actions end after this many, but its last one is another.
    Chain(usize),
    /// The action behind the first is misaligned.
    CrookedNext,
    /// Its actions follow each other in a circle.
    Circle,
    /// The action has this kind.
    Kind(u16),
    /// The action has no code.
    NoCode,
    /// The code is misaligned.
    CrookedCode,
    /// The code returns a type with this kind, these flags and this size.
    Type(u8, u8, u32),
    /// The statement has no format, though the record has the number of one.
    NoFormat,
    /// The record has no number of a format, though the statement has one.
    NoNumber,
}

/// An oddity of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Oddity {
    /// The description of its records is missing.
    NoDescription,
    /// The description of its records is misaligned.
    CrookedDescription,
    /// The description of its probe is missing.
    NoProbe,
    /// Its probe has no names.
    NoNames,
    /// The list of records is missing.
    NoRecords,
    /// The list of records is misaligned.
    CrookedRecords,
    /// The description claims this number of records.
    Count(i32),
    /// The data are missing.
    NoData,
    /// The data claim this size in bytes.
    Size(u32),
    /// The record callback gets a record that belongs to no clause.
    ForeignRecord,
    /// The record callback gets an address between two records.
    CrookedRecord,
    /// The record callback gets no firing.
    RecordOfNothing,
    /// It does not end.
    NoEnd,
    /// It begins again before its end.
    Nested,
    /// It ends twice.
    TwoEnds,
    /// A signal interrupts it before its end; the next round delivers it again.
    Redelivered,
}

/// An entry of the aggregation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The number and name of its aggregation, if that is another one.
    pub aggregation: Option<(u32, String)>,
    /// Its key.
    pub key: i32,
    /// What it has instead of that key.
    pub keys: Option<Keys>,
    /// Its value.
    pub value: u64,
    /// What it has instead of the value and the function `count()`.
    pub other: Option<Value>,
    /// What is wrong with it, if anything.
    pub oddity: Option<EntryOddity>,
}

/// A value of an entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Value {
    /// A `DTRACEAGG_`.
    pub function: u16,
    /// The parameters of the function.
    pub signature: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The keys of an entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Keys {
    /// Their records.
    pub records: Vec<Record>,
    /// The data that hold the records.
    pub data: Vec<u8>,
}

impl Entry {
    /// Returns the number and name of the entry's aggregation.
    pub(crate) fn aggregation(&self) -> (u32, &str) {
        self.aggregation.as_ref().map_or((1, "a"), |(number, name)| (*number, name))
    }

    /// Returns the entry's keys.
    pub(crate) fn whole_key(&self) -> Keys {
        let own = || {
            let offset = if self.oddity == Some(EntryOddity::KeyOutside) { 1 } else { 0 };
            let action = dtrace_sys::abi::DTRACEACT_DIFEXPR;
            let record = Record { action, offset, size: 4, alignment: 4, ..Record::default() };
            Keys { records: vec![record], data: self.key.to_ne_bytes().to_vec() }
        };
        self.keys.clone().unwrap_or_else(own)
    }

    /// Returns the entry's function, parameters and the bytes of its value, in which the number at the start is
    /// greater by `more`.
    pub(crate) fn whole_value(&self, more: u64) -> Value {
        let own = || Value {
            function: dtrace_sys::abi::DTRACEAGG_COUNT,
            signature: 0,
            bytes: self.value.to_ne_bytes().to_vec(),
        };
        let mut value = self.other.clone().unwrap_or_else(own);
        if let Some(first) = value.bytes.first_chunk_mut() {
            *first = u64::from_ne_bytes(*first).wrapping_add(more).to_ne_bytes();
        }
        if self.oddity == Some(EntryOddity::ShortValue) {
            value.bytes.truncate(4);
        }
        value
    }
}

/// An oddity of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryOddity {
    /// The entry itself is missing.
    NoEntry,
    /// The description is missing.
    NoDescription,
    /// The name is missing, which is harmless.
    NoName,
    /// The description claims this number of keys.
    Keys(i32),
    /// The keys are missing.
    NoKeys,
    /// A key reaches beyond the keys.
    KeyOutside,
    /// The value is missing.
    NoValue,
    /// The value is beyond the end of the data.
    ValueOutside,
    /// The value is too short for its function.
    ShortValue,
    /// The aggregating function has this number.
    Function(u16),
}

/// An oddity of descriptions of probes and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ListingOddity {
    /// A probe's description is missing.
    NoProbe,
    /// A probe's description is misaligned.
    CrookedProbe,
    /// A probe claims this number of arguments.
    Arguments(i32),
    /// The list of arguments is missing.
    NoArguments,
    /// A statement is missing.
    NoStatement,
    /// A statement has no clause.
    NoClause,
    /// A statement is misaligned.
    CrookedStatement,
    /// A statement's clause is misaligned.
    CrookedClause,
    /// A parsed description has no parts.
    NoParts,
    /// A symbol has no names, which is harmless.
    NoSymbol,
}

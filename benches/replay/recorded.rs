//! A recording in memory, written as docs/stream.md describes it.

/// The kinds of frames.
const BEGIN: u8 = 1;
const STARTED: u8 = 3;
const PROBE: u8 = 4;
const CLAUSE: u8 = 5;
const FIRING: u8 = 6;
const AGGREGATION: u8 = 7;
const SNAPSHOT_BEGIN: u8 = 8;
const ENTRY: u8 = 9;
const SNAPSHOT_END: u8 = 10;
const END: u8 = 18;

/// The version of the stream's format.
const VERSION: u16 = 2;

/// The number of the only probe.
const PROBE_ID: u32 = 1;

/// Where libdtrace for Linux puts the first record of a firing.
const FIRST: u32 = 16;

/// The size of a D string, in bytes.
const STRING: u32 = 256;

/// A value that a record holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Number(u64),
    Text(&'static str),
}

/// A `printf` with these arguments, and the text that it printed if it was recorded.
pub(crate) struct Printf {
    pub(crate) format: &'static str,
    pub(crate) values: &'static [Value],
    pub(crate) text: &'static str,
}

/// A recording that is being written.
pub(crate) struct Recording(Vec<u8>);

impl Recording {
    /// Begins one, up to the start of tracing, with one probe.
    pub(crate) fn begin() -> Recording {
        let mut recording = Recording(Vec::new());
        let session = Fields::new().string("2.0.7").string("libdtrace.so.2").u8(1);
        let session = session.string("6.18.0").string("x86_64").u32(0).u8(byte_order()).u8(0);
        let begin = Fields::new().raw(b"DTrS").u16(VERSION).raw(&session.0);
        recording.frame(BEGIN, &begin);
        recording.frame(STARTED, &Fields(vec![0; 40]));
        let parts = ["syscall", "vmlinux", "getppid", "entry"];
        let probe = parts.iter().fold(Fields::new().u32(PROBE_ID), |it, part| it.string(part));
        recording.frame(PROBE, &probe);
        recording
    }

    /// Adds `number` firings of a clause with this `printf`.
    pub(crate) fn firings(mut self, printf: &Printf, number: u32) -> Recording {
        let records = places(printf.values).enumerate().map(|(index, (offset, value))| {
            let format = (index == 0).then_some(printf.format);
            record(3, offset, *value, format)
        });
        let clause = records
            .fold(Fields::new().u32(0).u32(0).length(printf.values.len()), |clause, record| {
                clause.raw(&record.0)
            });
        self.frame(CLAUSE, &clause);
        let has_text = !printf.text.is_empty();
        let parts = if has_text { 2 } else { 0 };
        let firing = Fields::new().u32(PROBE_ID).u32(0).u32(0).u8(parts);
        let mut firing = firing.bytes(&packed(printf.values).0);
        if has_text {
            let ends = Fields::new().u32(0).length(printf.text.len());
            firing = firing.string(printf.text).bytes(&ends.0);
        }
        for _ in 0..number {
            self.frame(FIRING, &firing);
        }
        self
    }

    /// Adds a walk over `@[number, text] = count()` with `number` keys.
    pub(crate) fn walk(mut self, number: u32) -> Recording {
        let keys = |n: u32| [Value::Number(n.into()), Value::Text("getppid")];
        let first = keys(0);
        let described = places(&first).map(|(offset, value)| record(1, offset, *value, None).0);
        let described = described.collect::<Vec<_>>().concat();
        let aggregation = Fields::new().u32(0).u64(1).string("calls").u16(1).u64(0).u64(1);
        self.frame(AGGREGATION, &aggregation.u32(2).raw(&described));
        self.frame(SNAPSHOT_BEGIN, &Fields::new());
        for n in 0..number {
            let entry = Fields::new().u32(0).u64(0).bytes(&packed(&keys(n)).0);
            let count = u64::from(n).to_ne_bytes();
            self.frame(ENTRY, &entry.bytes(&count).bytes(&[]));
        }
        self.frame(SNAPSHOT_END, &Fields::new());
        self
    }

    /// Ends it.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.frame(END, &Fields::new());
        self.0
    }

    fn frame(&mut self, kind: u8, payload: &Fields) {
        let length = Fields::new().length(payload.0.len() + 1);
        self.0.extend([&length.0[..], &[kind], &payload.0].concat());
    }
}

/// Returns each value with its offset.
fn places(values: &[Value]) -> impl Iterator<Item = (u32, &Value)> {
    values.iter().scan(FIRST, |next, value| {
        let (size, alignment) = layout(*value);
        let offset = next.next_multiple_of(alignment.into());
        *next = offset + size;
        Some((offset, value))
    })
}

/// Returns the size and the alignment of a value's record.
fn layout(value: Value) -> (u32, u16) {
    match value {
        Value::Number(_) => (8, 8),
        Value::Text(_) => (STRING, 1),
    }
}

/// Returns the description of a record.
fn record(action: u16, offset: u32, value: Value, format: Option<&str>) -> Fields {
    let (size, alignment) = layout(value);
    let record = Fields::new().u16(action).u32(offset).u32(size).u16(alignment).u64(0);
    match format {
        Some(format) => record.u8(1).string(format),
        None => record.u8(0),
    }
}

/// Packs records.
fn packed(values: &[Value]) -> Fields {
    values.iter().fold(Fields::new(), |packed, value| match value {
        Value::Number(n) => packed.raw(&n.to_ne_bytes()),
        // Texts of up to 127 bytes have a length of one byte.
        Value::Text(text) => packed.u8(text.len() as u8).raw(text.as_bytes()),
    })
}

fn byte_order() -> u8 {
    u8::from(cfg!(target_endian = "big"))
}

/// The fields of a frame.
struct Fields(Vec<u8>);

impl Fields {
    fn new() -> Fields {
        Fields(Vec::new())
    }

    fn raw(mut self, bytes: &[u8]) -> Fields {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(self, n: u8) -> Fields {
        self.raw(&[n])
    }

    fn u16(self, n: u16) -> Fields {
        self.raw(&n.to_le_bytes())
    }

    fn u32(self, n: u32) -> Fields {
        self.raw(&n.to_le_bytes())
    }

    fn u64(self, n: u64) -> Fields {
        self.raw(&n.to_le_bytes())
    }

    fn length(self, n: usize) -> Fields {
        self.u32(u32::try_from(n).expect("frames are small"))
    }

    fn bytes(self, bytes: &[u8]) -> Fields {
        self.length(bytes.len()).raw(bytes)
    }

    fn string(self, text: &str) -> Fields {
        self.bytes(text.as_bytes())
    }
}

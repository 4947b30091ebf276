//! What becomes of each kind of record, and of a record whose statement is wrong?
//!
//! On Linux a record itself says what it holds. Elsewhere the statements of the program do, and a session comes to the
//! same.

use dtrace_consumer::record::Action;
use dtrace_consumer::trace;
use dtrace_stand_in::plan::{
    CARRIED_OUT, Event, Firing, Keys, Plan, Record, StatementOddity, Value,
};
use dtrace_sys::abi::*;

use crate::delivered::refused;
use crate::order::log;
use crate::stage::*;

/// What the plan says of a traced number with a sign and of memory: `dtrd_arg` on Linux.
const SIGNED: u64 = 1;
const MEMORY: u64 = 4;

/// Records that are put one behind the other.
#[derive(Default)]
struct Recorded {
    records: Vec<Record>,
    data: Vec<u8>,
}

impl Recorded {
    fn add(mut self, action: u16, argument: u64, bytes: &[u8]) -> Recorded {
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        let place = |length| u32::try_from(length).expect("few data");
        let (offset, size) = (place(self.data.len()), place(bytes.len()));
        self.records.push(Record { argument, ..record(action, offset, size) });
        self.data.extend_from_slice(bytes);
        self
    }

    /// A D string of 16 bytes.
    fn string(self, action: u16, text: &str) -> Recorded {
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(16, 0);
        let mut recorded = self.add(action, 0, &bytes);
        recorded.last().alignment = 1;
        recorded
    }

    fn number(self, action: u16, number: i32) -> Recorded {
        let argument = if action == DTRACEACT_DIFEXPR { SIGNED } else { 0 };
        self.add(action, argument, &number.to_ne_bytes())
    }

    /// A call without arguments records a number on other systems than Linux.
    fn nothing(self, action: u16) -> Recorded {
        self.add(action, 0, if SUN { &[0; 8] } else { &[] })
    }

    fn words(self, action: u16, argument: u64, words: &[u64]) -> Recorded {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.add(action, argument, &bytes)
    }

    /// A stack of the kernel or of a process.
    fn stack(self, pid: u32, frames: &[u64]) -> Recorded {
        let action = if pid == 0 { DTRACEACT_STACK } else { DTRACEACT_USTACK };
        if SUN {
            let process = [u64::from(pid)];
            let process = if pid == 0 { &[][..] } else { &process };
            return self.words(action, frames.len() as u64, &[process, frames].concat());
        }
        let header = [frames.len() as u32, 0, u32::from(pid != 0), pid].map(u32::to_ne_bytes);
        let frames: Vec<u8> = frames.iter().flat_map(|frame| frame.to_ne_bytes()).collect();
        self.add(action, 0, &[&header.concat()[..], &frames].concat())
    }

    /// Memory, of which a number says how much there is.
    fn part(self, bytes: &[u8], length: u32) -> Recorded {
        let length = u64::from(length).to_ne_bytes();
        #[cfg(not(dtrace_abi = "linux"))]
        return self.add(DTRACEACT_TRACEMEM_DYNSIZE, 0, &length).add(DTRACEACT_TRACEMEM, 0, bytes);
        #[cfg(dtrace_abi = "linux")]
        self.add(DTRACEACT_TRACEMEM, 2, bytes).add(DTRACEACT_TRACEMEM, 3, &length)
    }

    fn format(mut self, format: &str) -> Recorded {
        self.last().format = Some(format.to_owned());
        self
    }

    fn last(&mut self) -> &mut Record {
        self.records.last_mut().expect("a record")
    }

    /// Makes the statement of every record odd.
    fn odd(mut self, oddity: StatementOddity) -> Recorded {
        self.records.iter_mut().for_each(|r| r.statement = Some(oddity));
        self
    }

    fn fired(self, statement: u32) -> Event {
        let Recorded { records, data } = self;
        Event::Firing(Firing { statement, records, data, ..Firing::default() })
    }
}

/// Returns what a session gets of each firing: the name and value of each of its values, and its formats.
fn values(prefix: &Prefix, firings: Vec<Event>) -> Vec<(String, Vec<String>)> {
    Plan { rounds: vec![firings.clone()], ..Plan::default() }.put(&prefix.path);
    let mut seen = Vec::new();
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .chew(|firing| {
            let named =
                firing.records().filter(|r| r.value() != dtrace_consumer::ValueRef::Nothing);
            let named = named.map(|r| match r.name() {
                Some(name) => format!("{name}={:?}", r.value()),
                None => format!("{:?}", r.value()),
            });
            let named = named.collect::<Vec<_>>().join(" ");
            let formats = firing.records().filter_map(|r| r.description().format.clone());
            seen.push((named, formats.collect()));
            Ok(())
        })
        .run();
    result.unwrap_or_else(|failure| panic!("{firings:?}: {failure}"));
    seen
}

/// Returns what a session gets of one firing.
fn of(prefix: &Prefix, recorded: Recorded) -> (String, Vec<String>) {
    let seen = values(prefix, vec![recorded.fired(100)]);
    seen.into_iter().next().expect("it arrives")
}

pub(crate) fn strings_and_numbers_and_memory_are_told_apart() {
    let prefix = Prefix::new();
    const TRACE: u16 = DTRACEACT_DIFEXPR;
    let recorded = Recorded::default()
        .string(TRACE, "text")
        .number(TRACE, -1)
        .words(TRACE, SIGNED, &[u64::MAX])
        .add(TRACE, SIGNED, &[7])
        .words(TRACE, MEMORY, &[1])
        .words(TRACE, MEMORY, &[1, 2])
        .string(TRACE, "");
    let (values, _) = of(&prefix, recorded);
    let memory = "01, 00, 00, 00, 00, 00, 00, 00";
    assert_eq!(
        values,
        format!(
            "String(\"text\") Integer(-1) Integer(-1) Integer(7) Bytes([{memory}]) \
             Bytes([{memory}, 02, 00, 00, 00, 00, 00, 00, 00]) String(\"\")"
        )
    );
}

pub(crate) fn each_call_has_its_own_format_and_arguments() {
    let prefix = Prefix::new();
    const PRINTF: u16 = DTRACEACT_PRINTF;
    let recorded = Recorded::default()
        .number(PRINTF, -1)
        .format("a=%d b=%s c=%u d=%x\n")
        .string(PRINTF, "text")
        .number(PRINTF, -1)
        .number(PRINTF, 255)
        .nothing(PRINTF)
        .format("none\n")
        .string(PRINTF, "key")
        .format("%s=%d\n")
        .number(PRINTF, -5)
        .nothing(DTRACEACT_SYSTEM)
        .format("true")
        .number(DTRACEACT_DIFEXPR, 9)
        .number(PRINTF, 1)
        .format("e=%d f=%d")
        .number(PRINTF, 2);
    let (values, formats) = of(&prefix, recorded);
    let system = if SUN { "" } else { "Opaque { action: System, bytes: [] } " };
    assert_eq!(
        values,
        format!(
            "a=Integer(-1) b=String(\"text\") c=Integer(4294967295) d=Integer(255) String(\"key\") \
             Integer(-5) {system}Integer(9) e=Integer(1) f=Integer(2)"
        )
    );
    let expected = ["a=%d b=%s c=%u d=%x\n", "none\n", "%s=%d\n", "true", "e=%d f=%d"];
    assert_eq!(formats, expected);
}

pub(crate) fn what_the_consumer_carries_out_the_library_only_formats() {
    let prefix = Prefix::new();
    let recorded = Recorded::default()
        .number(DTRACEACT_SYSTEM, 1)
        .format("first %d %d")
        .number(DTRACEACT_SYSTEM, 2)
        .nothing(DTRACEACT_SYSTEM)
        .format("second")
        .number(DTRACEACT_FREOPEN, 3)
        .format("file%d");
    let plan = Plan { rounds: vec![vec![recorded.fired(1)]], ..Plan::default() };
    let mut seen = Vec::new();
    let log = log(&prefix, &plan, || {
        let session = trace("BEGIN { }").prefix(&prefix.path).keep_system().out(|output| {
            seen.push((output.action(), output.text().into_owned()));
            Ok(())
        });
        session.run().expect("nothing goes wrong");
    });
    let expected =
        [(Action::System, "first %d %d"), (Action::System, "second"), (Action::Freopen, "file%d")];
    assert_eq!(seen, expected.map(|(action, text)| (Some(action), text.to_owned())));
    let count = |call: &str| log.iter().filter(|line| *line == call).count();
    assert_eq!((count("dtrace_fprintf"), count(CARRIED_OUT)), (3, 0));
}

pub(crate) fn memory_has_the_length_that_a_record_gives() {
    let prefix = Prefix::new();
    let recorded = || {
        Recorded::default()
            .add(DTRACEACT_TRACEMEM, 0, &[1, 2])
            .part(&[1, 2, 3, 4], 3)
            .part(&[5, 6], 9)
            .add(DTRACEACT_TRACEMEM, 0, &[7])
    };
    let mut seen = Vec::new();
    Plan { rounds: vec![vec![recorded().fired(1)]], ..Plan::default() }.put(&prefix.path);
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .chew(|firing| {
            seen.extend(firing.values().map(|value| format!("{value:?}")));
            Ok(())
        })
        .run();
    result.expect("nothing goes wrong");
    assert_eq!(seen, ["Bytes([01, 02])", "Bytes([01, 02, 03])", "Bytes([05, 06])", "Bytes([07])"]);
}

pub(crate) fn stacks_have_their_process_and_frames() {
    let prefix = Prefix::new();
    let recorded = || {
        let recorded = Recorded::default().stack(0, &[4096, 8192]).stack(77, &[512, 0, 768]);
        let recorded = recorded.words(DTRACEACT_USYM, 0, &[77, 512]).stack(78, &[]);
        // Names follow the frames.
        if SUN {
            return recorded.words(DTRACEACT_JSTACK, 8 << 32 | 1, &[79, 1024, 2048]);
        }
        recorded.stack(79, &[1024])
    };
    let mut seen = Vec::new();
    let name = Some("a.out`name".to_owned());
    Plan { rounds: vec![vec![recorded().fired(1)]], name, ..Plan::default() }.put(&prefix.path);
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .chew(|firing| {
            for value in firing.values() {
                if let dtrace_consumer::ValueRef::Stack(stack) = value {
                    let frames: Vec<u64> = stack.frames().map(|frame| frame.address()).collect();
                    assert!(stack.frames().all(|frame| frame.symbol() == Some("name")), "{stack}");
                    seen.push((stack.pid(), frames));
                }
            }
            Ok(())
        })
        .run();
    result.expect("nothing goes wrong");
    let expected = [
        (None, vec![4096, 8192]),
        (Some(77), vec![512]),
        (Some(78), Vec::new()),
        (Some(79), vec![1024]),
    ];
    assert_eq!(seen, expected);
}

pub(crate) fn a_printa_has_the_entries_of_all_its_aggregations() {
    let prefix = Prefix::new();
    const PRINTA: u16 = DTRACEACT_PRINTA;
    let of = |number: u32, name: &str, value| {
        let aggregation = Some((number, name.to_owned()));
        dtrace_stand_in::plan::Entry { aggregation, ..entry(1, value) }
    };
    let recorded = Recorded::default()
        .words(PRINTA, 16, &[1])
        .format("%d %@d %@d\n")
        .words(PRINTA, 16, &[2])
        .words(PRINTA, 17, &[2])
        .format("%@d\n")
        .words(PRINTA, 18, &[3])
        .format("%@d\n");
    let rounds = vec![vec![recorded.fired(1)]];
    let entries = vec![of(1, "one", 10), of(2, "two", 20), of(3, "three", 30)];
    Plan { rounds, entries, ..Plan::default() }.put(&prefix.path);
    // The library prints the records of a call together, if it prints them.
    for prints in [false, true] {
        let mut seen = Vec::new();
        let session = trace("BEGIN { }").prefix(&prefix.path).printed_entries();
        let session = if prints { session.formatted() } else { session };
        let result = session.chew(|firing| {
            for record in firing.records() {
                let mut printed = Vec::new();
                for entry in record.aggregated() {
                    printed.push((entry.name(), entry.number()?));
                }
                seen.push(format!("{printed:?}"));
            }
            Ok(())
        });
        result.run().expect("nothing goes wrong");
        let two = "[(\"two\", 20)]";
        let expected = ["[(\"one\", 10)]", two, two, "[(\"three\", 30)]"];
        assert_eq!(seen, expected, "prints: {prints}");
    }
}

pub(crate) fn keys_of_every_kind_arrive() {
    let prefix = Prefix::new();
    let Recorded { records, data } = Recorded::default()
        .string(DTRACEACT_DIFEXPR, "text")
        .number(DTRACEACT_DIFEXPR, -3)
        .stack(0, &[4096])
        .words(DTRACEACT_SYM, 0, &[8192])
        .words(DTRACEACT_DIFEXPR, MEMORY, &[1, 2])
        .stack(77, &[512]);
    let keys = Some(Keys { records, data });
    let bytes = [3u64, 12].iter().flat_map(|word| word.to_ne_bytes()).collect();
    let value = Value { function: DTRACEAGG_AVG, signature: 0, bytes };
    let one = dtrace_stand_in::plan::Entry { keys, other: Some(value), ..entry(0, 0) };
    let name = Some("a.out`name".to_owned());
    Plan { entries: vec![one], name, ..Plan::default() }.put(&prefix.path);
    let mut seen = Vec::new();
    let result = trace("BEGIN { }")
        .prefix(&prefix.path)
        .walk(|entry| {
            let keys: Vec<String> = entry.keys().map(|key| key.to_string()).collect();
            seen.push((keys.join(" "), entry.value().render().to_string()));
            Ok(())
        })
        .run();
    result.expect("nothing goes wrong");
    let [(keys, value)] = &seen[..] else { panic!("{seen:?}") };
    let expected = "text -3 a.out`name a.out`name 01000000000000000200000000000000 a.out`name";
    assert_eq!((keys.as_str(), value.trim()), (expected, "4"));
}

/// What is wrong with a statement. Nothing is read beyond it, and the records keep their bytes.
#[cfg(not(dtrace_abi = "linux"))]
pub(crate) fn records_whose_statement_cannot_be_arrive_as_they_are() {
    use StatementOddity::*;
    let prefix = Prefix::new();
    const PRINTF: u16 = DTRACEACT_PRINTF;
    let recorded = || {
        let recorded = Recorded::default().string(PRINTF, "first").format("a=%s b=%s c=%d\n");
        recorded.string(PRINTF, "second").number(PRINTF, -1)
    };
    let whole = "a=String(\"first\") b=String(\"second\") c=Integer(-1)";
    let bytes = |text: &str| {
        let text: Vec<String> = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        format!("[{}{}]", text.join(", "), ", 00".repeat(16 - text.len()))
    };
    let (first, second) = (bytes("first"), bytes("second"));
    let plain = format!("Bytes({first}) Bytes({second}) Integer(-1)");
    let named = format!("a=Bytes({first}) b=Bytes({second}) c=Integer(-1)");
    let only_first = format!("a=String(\"first\") b=Bytes({second}) c=Integer(-1)");
    let odd = [
        (Unnamed, &plain),
        (Beside(8), &plain),
        (Beside(-8), &plain),
        (Beside(1), &plain),
        (Elsewhere(1), &plain),
        (Elsewhere(u64::MAX), &plain),
        (NoActions, &named),
        (CrookedActions, &named),
        (Actions(1), &only_first),
        (Chain(1), &only_first),
        (CrookedNext, &only_first),
        (Kind(DTRACEACT_PRINTA), &named),
        (Kind(u16::MAX), &named),
        (NoCode, &named),
        (CrookedCode, &named),
        (Type(u8::MAX, u8::MAX, u32::MAX), &format!("{named}!")),
        (Type(DIF_TYPE_CTF, 0, 0), &named),
    ];
    for (oddity, expected) in odd {
        let odd = recorded().odd(oddity).fired(1);
        let seen = values(&prefix, vec![odd, recorded().fired(2)]);
        let seen: Vec<&str> = seen.iter().map(|(values, _)| values.as_str()).collect();
        // What is by reference is memory, even a number.
        let expected = expected.replace("Integer(-1)!", "Bytes([ff, ff, ff, ff])");
        assert_eq!(seen, [&expected, whole], "{oddity:?}");
    }
    // The actions have no end, but as many are followed as there are records: the first one is meant each time.
    let seen = values(&prefix, vec![recorded().odd(Circle).fired(1)]);
    assert!(
        seen[0].0.starts_with("a=String(\"first\") b=String(\"second\") c=String("),
        "{seen:?}"
    );
    for oddity in [NoFormat, NoNumber] {
        let (values, formats) = of(&prefix, recorded().odd(oddity));
        let expected = "String(\"first\") String(\"second\") Integer(-1)";
        assert_eq!((values.as_str(), formats.len()), (expected, 0), "{oddity:?}");
    }
}

#[cfg(dtrace_abi = "linux")]
pub(crate) fn records_whose_statement_cannot_be_arrive_as_they_are() {
    use StatementOddity::Unnamed;
    let prefix = Prefix::new();
    let (values, _) = of(&prefix, Recorded::default().string(1, "first").odd(Unnamed));
    assert_eq!(values, "String(\"first\")", "nothing here refers to statements");
}

/// A record that lies outside of its data is refused, whatever its statement says.
pub(crate) fn a_statement_makes_no_record_longer_than_it_is() {
    let prefix = Prefix::new();
    let mut recorded = Recorded::default().string(DTRACEACT_DIFEXPR, "text");
    recorded.last().size = 256;
    refused(&prefix, recorded.fired(3), "record 0 at");
}

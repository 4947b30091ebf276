//! Generators of arbitrary streams: everything that the format can express, likely and unlikely.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

mod contents;
mod messages;
mod packed;

pub(crate) use messages::command;

use super::frame::Frame;
use super::packed::Packing;
use super::payload::{
    AggregationFrame, ClauseFrame, EntryFrame, FailureFrame, FailureKind, FiringFrame, FlowFrame,
    StepTimes, SymbolFrame,
};
use crate::data::aggregation::{
    AggregationFunction, DistributionParameters, Order, ParameterEncoding,
};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::{Enumerator, KernelType, TypeKind, TypeMember};
use crate::data::listing::{Attributes, ListedProbe, ProbeDetails};
use crate::data::loss::{DropKind, DropReport, Fault};
use crate::data::outcome::CommandOutcome;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::recording::Edit;
use crate::data::script::{Script, Specifier};
use crate::data::session_info::{OptionChange, ProcessEvent, ProgramInfo};
use crate::data::warning::{Warning, WarningKind};

/// A frame, with the data that it borrows.
#[derive(Debug, Clone)]
pub(crate) enum Sample {
    Plain(Frame<'static>),
    Firing {
        /// Probe, clause, CPU.
        numbers: (u32, u32, u32),
        flow: Option<(u8, i32, Vec<u8>)>,
        data: Vec<u8>,
        text: Vec<u8>,
        text_ends: Vec<u8>,
    },
    Entry {
        aggregation: u32,
        generation: u64,
        keys: Vec<u8>,
        value: Vec<u8>,
        per_cpu: Vec<u8>,
    },
    Report(Vec<u8>),
}

impl Sample {
    pub(crate) fn frame(&self) -> Frame<'_> {
        match self {
            Sample::Plain(frame) => frame.clone(),
            Sample::Firing { numbers: (probe, clause, cpu), flow, data, text, text_ends } => {
                Frame::Firing(FiringFrame {
                    probe: *probe,
                    clause: *clause,
                    cpu: *cpu,
                    flow: flow.as_ref().map(|(kind, indent, prefix)| FlowFrame {
                        kind: *kind,
                        indent: *indent,
                        prefix,
                    }),
                    data,
                    text,
                    text_ends,
                })
            }
            Sample::Entry { aggregation, generation, keys, value, per_cpu } => {
                Frame::Entry(EntryFrame {
                    aggregation: *aggregation,
                    generation: *generation,
                    keys,
                    value,
                    per_cpu,
                })
            }
            Sample::Report(text) => Frame::Report(text),
        }
    }
}

/// Generates a number from a small set, so that frames refer to each other.
fn reference() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..3, 1 => any::<u32>()]
}

/// Generates a number of bytes within a record's data, or far outside.
fn extent() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0u32..48, 2 => Just(8), 2 => Just(16), 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z0-9_`+]{0,12}", 1 => "\\PC{0,12}", 1 => any::<String>()]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![4 => vec(any::<u8>(), 0..64), 1 => vec(prop_oneof![Just(0), Just(0xff)], 0..64)]
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => (1u16..9).prop_map(Action::from_number),
        4 => prop_oneof![0x101u16..0x106, 0x201u16..0x205, 0x401u16..0x404, 0x501u16..0x604]
            .prop_map(Action::from_number),
        1 => any::<u16>().prop_map(Action::from_number),
    ]
}

fn format() -> impl Strategy<Value = String> {
    let part =
        prop_oneof!["%[-+ #0-9.*']{0,3}[lhLwj]{0,2}[a-zA-Z%@?]", "[a-z ]{0,4}", Just("%".into())];
    prop_oneof![4 => vec(part, 0..5).prop_map(|parts| parts.concat()), 1 => any::<String>()]
}

pub(crate) fn record() -> impl Strategy<Value = RecordDescription> {
    let alignment = prop_oneof![4 => Just(1u16), 4 => Just(8), 2 => any::<u16>()];
    let elsewhere = (0u64..6).prop_map(|argument| 1 << 62 | argument);
    let argument = prop_oneof![4 => 0u64..6, 2 => elsewhere, 1 => any::<u64>()];
    (action(), extent(), extent(), alignment, argument, option::of(format())).prop_map(
        |(action, offset, size, alignment, argument, format)| RecordDescription {
            action,
            offset,
            size,
            alignment,
            argument,
            format,
        },
    )
}

fn probe() -> impl Strategy<Value = Probe> {
    (reference(), text(), text(), text(), text()).prop_map(
        |(id, provider, module, function, name)| Probe { id, provider, module, function, name },
    )
}

fn attributes() -> impl Strategy<Value = Attributes> {
    (0u8..8, 0u8..8, 0u8..6)
        .prop_map(|(names, data, class)| Attributes::from_numbers(names, data, class))
}

fn listed() -> impl Strategy<Value = ListedProbe> {
    let details = (attributes(), attributes(), vec(option::of(text()), 0..4)).prop_map(
        |(stability, argument_stability, arguments)| ProbeDetails {
            stability,
            argument_stability,
            arguments,
        },
    );
    (probe(), option::of(details)).prop_map(|(probe, details)| ListedProbe { probe, details })
}

fn found() -> impl Strategy<Value = KernelSymbol> {
    (text(), text(), any::<u64>(), any::<u64>())
        .prop_map(|(module, name, address, size)| KernelSymbol { module, name, address, size })
}

fn found_type() -> impl Strategy<Value = KernelType> {
    let kind = || prop::sample::select(TypeKind::ALL.to_vec());
    let member = (text(), text(), kind(), any::<u64>(), any::<u64>()).prop_map(
        |(name, type_name, kind, offset, width)| TypeMember {
            name,
            type_name,
            kind,
            offset,
            width,
        },
    );
    let enumerator = (text(), any::<i32>()).prop_map(|(name, value)| Enumerator { name, value });
    let parts = (vec(member, 0..3), vec(enumerator, 0..3));
    (text(), text(), kind(), option::of(any::<u64>()), parts).prop_map(
        |(module, name, kind, size, (members, enumerators))| KernelType {
            module,
            name,
            kind,
            size,
            members,
            enumerators,
        },
    )
}

fn program() -> impl Strategy<Value = ProgramInfo> {
    (any::<u32>(), any::<u32>(), attributes(), attributes(), vec(listed(), 0..3)).prop_map(
        |(matches, record_generators, description_stability, statement_stability, clauses)| {
            ProgramInfo {
                matches,
                record_generators,
                description_stability,
                statement_stability,
                clauses,
            }
        },
    )
}

fn clause() -> impl Strategy<Value = ClauseFrame> {
    (reference(), any::<u32>(), vec(record(), 0..6))
        .prop_map(|(key, statement, records)| ClauseFrame { key, statement, records })
}

/// Generates the parameters of a distribution: valid ones of a script, or arbitrary ones.
fn signature() -> impl Strategy<Value = u64> {
    let linear = (any::<i32>(), 1u16..9, 1u16..20).prop_map(|(base, step, levels)| {
        u64::from(step) << 48 | u64::from(levels) << 32 | u64::from(base.cast_unsigned())
    });
    let log_linear =
        (2u16..11, 0u16..3, 0u16..16, 1u16..4).prop_map(|(factor, low, more, times)| {
            let (steps, high) = (u64::from(factor * times), u64::from(low + more));
            steps << 48 | high << 32 | u64::from(low) << 16 | u64::from(factor)
        });
    prop_oneof![3 => linear, 3 => log_linear, 1 => any::<u64>()]
}

fn aggregation() -> impl Strategy<Value = AggregationFrame> {
    let function = prop::sample::select(AggregationFunction::ALL.to_vec());
    let normal = prop_oneof![6 => Just(1u64), 2 => 0u64..5, 1 => any::<u64>()];
    let variable = prop_oneof![0u64..3, any::<u64>()];
    let name = prop_oneof![2 => Just("a".to_owned()), 1 => Just("b".to_owned()), 1 => text()];
    (reference(), variable, name, function, signature(), normal, vec(record(), 0..4)).prop_map(
        |(key, variable, name, function, signature, normal, keys)| AggregationFrame {
            key,
            variable,
            name,
            function,
            signature,
            normal,
            keys,
        },
    )
}

fn entry() -> impl Strategy<Value = Sample> {
    let value = prop_oneof![
        2 => vec(any::<u8>(), 8),
        2 => vec(any::<u8>(), 16),
        2 => vec(any::<u8>(), 32),
        1 => vec(any::<u8>(), 127 * 8),
        1 => bytes(),
    ];
    (reference(), 0u64..3, bytes(), value, bytes()).prop_map(
        |(aggregation, generation, keys, value, per_cpu)| Sample::Entry {
            aggregation,
            generation,
            keys,
            value,
            per_cpu,
        },
    )
}

/// Generates an aggregation, and entries whose values have the size that its parameters require.
fn walk() -> impl Strategy<Value = Vec<Sample>> {
    let begin = prop::sample::select(vec![Frame::SnapshotBegin, Frame::PrintaBegin]);
    (aggregation(), vec((bytes(), any::<u64>(), 0u64..2), 1..4), begin).prop_map(
        |(aggregation, entries, begin)| {
            let (f, linux) = (aggregation.function, ParameterEncoding::Linux);
            let slots = match (f, DistributionParameters::decode(f, linux, aggregation.signature)) {
                (_, Ok(parameters)) => parameters.slots(),
                (AggregationFunction::Avg, _) => 2,
                (AggregationFunction::Stddev, _) => 4,
                _ => 1,
            };
            let (key, packing) = (aggregation.key, Packing::of(&aggregation.keys));
            let mut samples = vec![Sample::Plain(Frame::Aggregation(aggregation))];
            samples.push(Sample::Plain(begin));
            for (mut keys, seed, generation) in entries {
                if packing.check().is_ok() {
                    let raw = std::mem::take(&mut keys);
                    packing.pack(&raw, &mut keys);
                }
                let words =
                    (0..slots as u64).map(|i| seed.wrapping_mul(i.wrapping_add(seed >> 32)));
                let value = words.flat_map(u64::to_le_bytes).collect();
                let per_cpu = Vec::new();
                samples.push(Sample::Entry { aggregation: key, generation, keys, value, per_cpu });
            }
            samples.push(Sample::Plain(Frame::SnapshotEnd));
            samples
        },
    )
}

fn firing() -> impl Strategy<Value = Sample> {
    let pair = (reference(), extent())
        .prop_map(|(record, end)| [record.to_le_bytes(), end.to_le_bytes()].concat());
    let text_ends = prop_oneof![4 => vec(pair, 0..5).prop_map(|p| p.concat()), 1 => bytes()];
    let flow = (0u8..5, any::<i32>(), bytes());
    let numbers = (reference(), reference(), any::<u32>());
    (numbers, option::of(flow), bytes(), bytes(), text_ends).prop_map(
        |(numbers, flow, data, text, text_ends)| Sample::Firing {
            numbers,
            flow,
            data,
            text,
            text_ends,
        },
    )
}

fn failure() -> impl Strategy<Value = FailureFrame> {
    let kind = prop::sample::select(vec![
        FailureKind::Load,
        FailureKind::Option,
        FailureKind::Compile,
        FailureKind::Library,
        FailureKind::Process,
        FailureKind::Call,
        FailureKind::Surroundings,
    ]);
    (kind, text(), any::<i32>(), text(), option::of(any::<u32>()), vec(text(), 0..3)).prop_map(
        |(kind, attempt, number, message, script, needed)| FailureFrame {
            kind,
            attempt,
            number,
            message,
            script,
            needed,
        },
    )
}

fn drop_report() -> impl Strategy<Value = DropReport> {
    let kind = prop_oneof![-2i32..14, any::<i32>()].prop_map(DropKind::from_number);
    (kind, option::of(any::<u32>()), any::<u64>(), any::<u64>(), text()).prop_map(
        |(kind, cpu, drops, total, message)| DropReport { kind, cpu, drops, total, message },
    )
}

fn fault() -> impl Strategy<Value = Fault> {
    let place = (any::<u64>(), any::<i32>(), any::<i32>());
    (option::of(probe()), any::<u32>(), text(), any::<i32>(), place, text()).prop_map(
        |(probe, cpu, kind, code, (address, action, offset), message)| Fault {
            probe,
            cpu,
            kind,
            code,
            address,
            action,
            offset,
            message,
        },
    )
}

fn plain() -> impl Strategy<Value = Frame<'static>> {
    let word = || option::of(any::<u64>());
    prop_oneof![
        contents::session().prop_map(Frame::Begin),
        program().prop_map(Frame::Program),
        any::<[u64; 5]>().prop_map(|[load, open, compile, enable, go]| {
            Frame::Started(StepTimes { load, open, compile, enable, go })
        }),
        probe().prop_map(Frame::Probe),
        clause().prop_map(Frame::Clause),
        aggregation().prop_map(Frame::Aggregation),
        Just(Frame::SnapshotBegin),
        Just(Frame::SnapshotEnd),
        (reference(), prop_oneof![0u64..4, any::<u64>()], text())
            .prop_map(|(pid, address, text)| Frame::Symbol(SymbolFrame { pid, address, text })),
        drop_report().prop_map(Frame::Drop),
        fault().prop_map(Frame::Fault),
        (text(), word(), word()).prop_map(|(name, old, new)| Frame::OptionChange(OptionChange {
            name,
            old,
            new
        })),
        (any::<i32>(), any::<bool>(), option::of(text())).prop_map(|(pid, gone, message)| {
            Frame::Process(ProcessEvent { pid, gone, message })
        }),
        failure().prop_map(Frame::Failure),
        any::<i32>().prop_map(Frame::Exit),
        Just(Frame::End),
        (any::<i32>(), any::<u64>()).prop_map(|(status, ran)| {
            let (status, ran) = (ExitStatus::from_raw(status), Duration::from_nanos(ran));
            Frame::CommandEnd(CommandOutcome { status, ran })
        }),
        vec((text(), word()), 0..4).prop_map(Frame::Options),
        listed().prop_map(Frame::Listed),
        Just(Frame::PrintaBegin),
        Just(Frame::CaughtUp),
        Just(Frame::Alive),
        (0u8..4, text(), text()).prop_map(|(kind, subject, message)| {
            Frame::Warning(Warning { kind: WarningKind::from_number(kind), subject, message })
        }),
        contents::contents().prop_map(Frame::Contents),
        contents::session_failure().prop_map(Frame::SessionFailed),
        contents::origin().prop_map(Frame::Origin),
        (text(), text()).prop_map(|(what, details)| Frame::Edited(Edit { what, details })),
        any::<u64>().prop_map(Frame::Arrived),
        option::of(found()).prop_map(Frame::Found),
        option::of(found_type()).prop_map(Frame::FoundType),
    ]
}

/// Generates any frame.
pub(crate) fn sample() -> impl Strategy<Value = Sample> {
    prop_oneof![
        20 => plain().prop_map(Sample::Plain),
        2 => firing(),
        2 => entry(),
        1 => bytes().prop_map(Sample::Report),
    ]
}

/// Generates frames that mostly refer to each other, like those of a session.
pub(crate) fn frames() -> impl Strategy<Value = Vec<Sample>> {
    let one = |frame: Frame<'static>| vec![Sample::Plain(frame)];
    let piece = prop_oneof![
        4 => probe().prop_map(Frame::Probe).prop_map(one),
        4 => clause().prop_map(Frame::Clause).prop_map(one),
        4 => firing().prop_map(|firing| vec![firing]),
        8 => packed::fired(),
        4 => walk(),
        2 => sample().prop_map(|sample| vec![sample]),
    ];
    let described = (0u32..3).prop_map(|id| {
        let part = String::new;
        let (provider, module, function, name) = (part(), part(), part(), part());
        Probe { id, provider, module, function, name }
    });
    (vec(described, 0..4), vec(piece, 0..24)).prop_map(|(probes, pieces)| {
        let probes = probes.into_iter().map(|probe| Sample::Plain(Frame::Probe(probe)));
        probes.chain(pieces.into_iter().flatten()).collect()
    })
}

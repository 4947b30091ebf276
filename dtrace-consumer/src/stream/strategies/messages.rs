//! Generators of messages to the worker.

use std::time::Duration;

use dtrace_sys::Version;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::stream::job::{Command, Gate, Job, Process, Purpose, Target, Unknown};

fn target() -> impl Strategy<Value = Target> {
    let gate = (any::<u64>(), bytes()).prop_map(|(address, opening)| Gate { address, opening });
    (any::<i32>(), option::of(gate)).prop_map(|(pid, gate)| Target { pid, gate })
}

/// Generates any message to the worker.
pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        9 => job().prop_map(|job| Command::Job(Box::new(job))),
        1 => Just(Command::Stop),
        1 => Just(Command::CatchUp),
    ]
}

fn job() -> impl Strategy<Value = Job> {
    let purpose = prop_oneof![
        Just(Purpose::Trace),
        Just(Purpose::Check),
        (vec(text(), 0..3), any::<bool>())
            .prop_map(|(patterns, describe)| Purpose::List { patterns, describe }),
        (vec(text(), 0..3), vec(any::<u64>(), 0..3))
            .prop_map(|(names, addresses)| Purpose::Lookup { names, addresses }),
        vec(text(), 0..3).prop_map(|names| Purpose::Types { names }),
        text().prop_map(|name| Purpose::Header { name }),
        (text(), vec(text(), 0..3)).prop_map(|(output, objects)| Purpose::Link {
            output: output.into(),
            objects: objects.into_iter().map(Into::into).collect(),
        }),
    ];
    let specifier = prop::sample::select(vec![
        Specifier::Provider,
        Specifier::Module,
        Specifier::Function,
        Specifier::Name,
    ]);
    let source = (text(), text(), bytes(), vec(text(), 0..3), option::of(specifier)).prop_map(
        |(name, argument_zero, text, arguments, specifier)| Script {
            name,
            argument_zero,
            text,
            arguments,
            specifier,
        },
    );
    let process =
        prop_oneof![target().prop_map(Process::Created), any::<i32>().prop_map(Process::Grab),];
    let options = vec((text(), option::of(text())), 0..3);
    let flags = (any::<bool>(), any::<u32>(), any::<[bool; 5]>());
    let order = (0u8..9).prop_map(|n| Order::from_number(n).unwrap_or_default());
    let unknown =
        (any::<[u16; 3]>(), any::<bool>()).prop_map(|([major, minor, micro], under_check)| {
            Unknown { version: Some(Version::new(major, minor, micro)), under_check }
        });
    let unknown = option::of(unknown);
    let duration = || any::<u64>().prop_map(Duration::from_nanos);
    let rest = (vec(text(), 0..3), option::of(duration()), duration());
    (
        (purpose, text(), unknown, option::of(text()), vec(contents::omitted(), 0..3)),
        options,
        flags,
        vec(source, 0..3),
        (option::of(target()), vec(process, 0..3), order),
        rest,
    )
        .prop_map(|(files, options, flags, scripts, (target, processes, order), rest)| {
            let (purpose, library, unknown, syslibdir, omit) = files;
            let (all_libraries, compile_flags, [firings, text, report, printed, drain]) = flags;
            let (read_options, snapshot_interval, max_delay) = rest;
            Job {
                purpose,
                library: library.into(),
                unknown,
                syslibdir: syslibdir.map(Into::into),
                omit,
                options,
                all_libraries,
                compile_flags,
                scripts,
                target,
                processes,
                firings,
                text,
                printed,
                order,
                drain,
                report,
                read_options,
                snapshot_interval,
                max_delay,
            }
        })
}

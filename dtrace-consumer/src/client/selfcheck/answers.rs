//! Which answers does a libdtrace give? As lines that are the same on every run.
//!
//! What differs from run to run is compared with what else the library says about it: the CPU of a firing with the
//! CPU that the script recorded, an address in a message with that in the structure, and so on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::questions::{FAULTS_TELL_CLAUSES, OFFSET};
use crate::data::kernel_symbol::KernelSymbol;
use crate::data::kernel_type::KernelType;
use crate::data::listing::ListedProbe;
use crate::data::loss::{DropReport, Fault};
use crate::data::outcome::Outcome;
use crate::data::record::Action;
use crate::data::session_info::OptionChange;
use crate::data::value::ValueRef;
use crate::decode::aggregated::Aggregated;
use crate::decode::consumer::{Consumer, Wants};
use crate::decode::firing::{Firing, Record};
use crate::error::callback::CallbackResult;
use crate::error::compile::CompileError;

/// A value by reference of at most this size is shown byte by byte.
const SHOWN_BYTES: usize = 16;

/// `dtrd_arg` of a value that `trace()` records by reference.
const BY_REFERENCE: u64 = 4;

/// The answers of a tracing session.
#[derive(Debug, Default)]
pub(super) struct Answers {
    lines: Vec<String>,
    /// The firings and faults, with the number of their clause.
    of_clauses: Vec<(&'static str, u64, String)>,
    flows: BTreeSet<String>,
    /// The CPU on which the clauses ran.
    cpu: Option<u32>,
}

impl Answers {
    /// Returns the lines about everything that was delivered.
    pub(super) fn lines(mut self) -> Vec<String> {
        // Only the distance of clauses is predicted.
        let first = self.of_clauses.iter().map(|(_, clause, _)| *clause).min().unwrap_or(0);
        let of_clauses = self.of_clauses.into_iter();
        self.lines.extend(
            of_clauses.map(|(kind, clause, rest)| format!("{kind} {} {rest}", clause - first)),
        );
        self.lines.extend(self.flows);
        self.lines
    }
}

/// Returns the lines about a session as a whole.
pub(super) fn of_session(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    for program in &outcome.programs {
        let (clauses, matches) = (program.clauses.len(), program.matches);
        let (described, stated) = (program.description_stability, program.statement_stability);
        lines.push(format!(
            "program of {clauses} clauses with {matches} matches, {described} and {stated}"
        ));
        let mut probes: BTreeMap<String, u32> = BTreeMap::new();
        for clause in &program.clauses {
            *probes.entry(clause.probe.to_string()).or_default() += 1;
        }
        lines.extend(probes.iter().map(|(probe, number)| format!("{number} clauses of {probe}")));
    }
    lines.extend(outcome.exit.map(|status| format!("exit {status}")));
    lines.push(format!("ended by {:?}", outcome.ended_by));
    lines
}

impl Consumer for Answers {
    fn wants(&self) -> Wants {
        Wants::CHEW | Wants::OUT
    }

    fn chew(&mut self, firing: &Firing<'_>) -> CallbackResult {
        self.cpu = Some(self.cpu.unwrap_or(firing.cpu()));
        if let Some(flow) = firing.flow() {
            self.flows.insert(format!("flow {:?} {} {:?}", flow.kind, flow.indent, flow.prefix));
        }
        let mut line = format!("{}:", firing.probe());
        // What libdtrace itself carries out has no value, nor have assignments, which have records on some systems.
        let has_value = |record: &Record<'_>| {
            let is_empty = record.action() == Action::Trace && record.bytes().is_empty();
            record.action() != Action::Library && !is_empty
        };
        let records = firing.records().filter(has_value);
        let mut separator = " ";
        for record in records {
            write!(line, "{separator}{}", describe(firing, &record))?;
            separator = "; ";
        }
        if !firing.text().is_empty() && !firing.records().any(|it| is_compared(&it)) {
            write!(line, "; prints {:?}", String::from_utf8_lossy(firing.text()))?;
        }
        self.of_clauses.push(("firing", firing.statement().into(), line));
        Ok(())
    }

    fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
        let mut line = format!("aggregation {} {entry}", entry.function().name());
        if entry.normal() != 1 {
            write!(line, "; normalized by {}", entry.normal())?;
        }
        // All clauses that aggregate run on one CPU.
        let on_cpu = entry.per_cpu().find(|(cpu, _)| Some(*cpu) == self.cpu);
        let agrees = on_cpu.is_some_and(|(_, value)| value == *entry.value());
        write!(line, "; by CPU {}", agreement(agrees))?;
        self.lines.push(line);
        Ok(())
    }

    fn on_drop(&mut self, report: &DropReport) -> CallbackResult {
        let DropReport { kind, cpu, drops, total, message } = report;
        let cpu = cpu.map_or("no CPU".to_owned(), |cpu| format!("CPU {cpu}"));
        let says = agreement(message.starts_with(&format!("{drops} ")));
        self.lines.push(format!("drop {kind:?} on {cpu}: {drops} of {total}; its message {says}"));
        Ok(())
    }

    fn on_fault(&mut self, fault: &Fault) -> CallbackResult {
        let Fault { probe, kind, code, address, action, offset, message, .. } = fault;
        let probe = probe.as_ref().map_or(String::new(), ToString::to_string);
        let mut parts = vec![kind.clone(), format!("{OFFSET} {offset}"), probe.clone()];
        parts.extend((*address != 0).then(|| format!("{address:#x}")));
        parts.extend((!FAULTS_TELL_CLAUSES).then(|| format!("action #{action}")));
        let says = agreement(parts.iter().all(|part| message.contains(part.as_str())));
        let line = format!("{probe}: {code} {kind} at {address:#x}; its message {says}");
        if FAULTS_TELL_CLAUSES {
            self.of_clauses.push(("fault", u64::from(action.unsigned_abs()), line));
        } else {
            self.lines.push(format!("fault in action {action} of {line}"));
        }
        Ok(())
    }

    fn on_option(&mut self, change: &OptionChange) -> CallbackResult {
        self.lines.push(format!("option {change}"));
        Ok(())
    }
}

fn agreement(agrees: bool) -> &'static str {
    if agrees { "agrees" } else { "differs" }
}

/// Returns whether the record's value is compared with something else, instead of being shown.
fn is_compared(record: &Record<'_>) -> bool {
    matches!(record.name(), Some("cpu" | "id" | "pid" | "tid"))
}

/// Returns a record's action, format and value.
fn describe(firing: &Firing<'_>, record: &Record<'_>) -> String {
    let number = |record: &Record<'_>| record.get::<i64>().ok();
    let named =
        |name| firing.records().find(|it| it.name() == Some(name)).and_then(|it| number(&it));
    let description = record.description();
    let mut text = format!("{:?}", record.action());
    if let Some(format) = &description.format {
        text.push_str(&format!("({format:?})"));
    }
    let stack_of = || {
        let mut stacks = firing.values().filter_map(|value| match value {
            ValueRef::Stack(stack) => stack.pid(),
            _ => None,
        });
        stacks.next().map(i64::from)
    };
    let value = match (record.name(), record.value()) {
        (Some("cpu"), _) => {
            format!("cpu {}", agreement(number(record) == Some(firing.cpu().into())))
        }
        (Some("id"), _) => {
            let id = i64::from(firing.probe().id);
            format!("id {}", agreement(number(record) == Some(id)))
        }
        // BEGIN fires in the worker's first thread. On Linux it has the number of the process, and `pid` would be that of the
        // consumer. Elsewhere threads have numbers of their own, and `pid` is the worker's.
        (Some(name @ ("pid" | "tid")), _) => {
            let pid = stack_of();
            format!("{name} {}", agreement(pid.is_some() && pid == number(record)))
        }
        (_, ValueRef::Stack(stack)) => {
            let frames = if stack.frames().next().is_some() { "frames" } else { "nothing" };
            match stack.pid().map(i64::from) {
                None => format!("with {frames}"),
                pid if pid == named("tid") => format!("of tid with {frames}"),
                pid if pid == named("pid") => format!("of pid with {frames}"),
                _ => format!("of another process with {frames}"),
            }
        }
        (_, ValueRef::String(_))
            if description.argument == BY_REFERENCE && record.bytes().len() <= SHOWN_BYTES =>
        {
            record.bytes().iter().map(|byte| format!("{byte:02x}")).collect()
        }
        // Its number does not matter.
        (_, ValueRef::Aggregation(_)) => return text,
        (_, value) => value.to_string(),
    };
    format!("{text} {value}")
}

/// Returns the lines about listed probes.
pub(super) fn of_probes(probes: &[ListedProbe]) -> Vec<String> {
    let line = |listed: &ListedProbe| {
        // The module of a probe depends on the kernel.
        let probe = &listed.probe;
        let arguments = listed.details.as_ref().map_or(0, |it| it.arguments.len());
        let stability = listed.details.as_ref().map(|it| it.stability.to_string());
        let (provider, function, name) = (&probe.provider, &probe.function, &probe.name);
        let stability = stability.unwrap_or_default();
        format!("probe {provider}::{function}:{name} {stability} with {arguments} arguments")
    };
    probes.iter().map(line).collect()
}

/// Returns the line about a type.
pub(super) fn of_type(found: Option<&KernelType>) -> String {
    let Some(found) = found else { return "no type".to_owned() };
    let member = |(name, offset): (&str, u64)| format!("{name} at {offset}");
    let members = found.members.iter().map(|it| member((&it.name, it.offset)));
    let (members, size) = (members.collect::<Vec<_>>().join(", "), found.size.unwrap_or(0));
    format!("type {}`{} of {size} bytes: {members}", found.module, found.name)
}

/// Returns the line about a symbol. `known` are symbols with their addresses.
pub(super) fn of_symbol(found: Option<&KernelSymbol>, known: &[(String, u64)]) -> String {
    match found {
        None => "no symbol".to_owned(),
        Some(KernelSymbol { address: 0, .. }) => "a symbol without an address".to_owned(),
        Some(found) => {
            let mut known = known.iter();
            let is_known =
                known.any(|(name, address)| *name == found.name && *address == found.address);
            format!("symbol {}`{}; its address {}", found.module, found.name, agreement(is_known))
        }
    }
}

/// Returns the symbols of the kernel's list, with their addresses: `ffffffff81000000 T _text`.
pub(super) fn of_list(list: &str) -> Vec<(String, u64)> {
    let symbol = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((words.nth(1)?.to_owned(), address))
    };
    list.lines().filter_map(symbol).collect()
}

/// Returns the line about a script that does not compile.
pub(super) fn of_mistake(error: &CompileError) -> String {
    let line = error.line.map_or("no line".to_owned(), |line| format!("line {line}"));
    format!("error in {line}, {}", error.tag.as_deref().unwrap_or("without a tag"))
}

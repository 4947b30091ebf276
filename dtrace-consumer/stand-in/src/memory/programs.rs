//! What do programs consist of on FreeBSD, macOS and illumos?
//!
//! Their records have the address of the statement that makes them. A clause makes its records by statements, each of
//! which has an action for each record; an aggregation has a statement of its own.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::OnceLock;

use dtrace_sys::abi::*;

use super::{crooked, keep, probe, shortened, statement, text};
use crate::plan::{Entry, Event, Plan, Record, StatementOddity};

/// What makes records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Maker {
    /// The clause with this number.
    Clause(u32),
    /// The aggregation with this number.
    Aggregation(u32),
}

/// A program.
struct Program {
    /// The addresses of its statements.
    statements: Vec<usize>,
    /// The address of the statement that makes a record, by the record's index.
    makers: HashMap<(Maker, usize), usize>,
}

static PROGRAM: OnceLock<Program> = OnceLock::new();

/// An action to make.
struct Action {
    kind: dtrace_actkind_t,
    returns: dtrace_diftype_t,
}

/// Returns the addresses of the statements of the plan's program, which are always the same.
pub(crate) fn statements(plan: &Plan) -> Vec<*mut dtrace_stmtdesc_t> {
    let program = PROGRAM.get_or_init(|| Program::of(plan));
    program.statements.iter().map(|address| ptr::with_exposed_provenance_mut(*address)).collect()
}

/// Returns the address of the statement that makes a record; 0 if the program does not have it.
pub(super) fn maker_of(maker: Maker, index: usize) -> u64 {
    let program = PROGRAM.get();
    let found = program.and_then(|it| it.makers.get(&(maker, index)).copied());
    found.unwrap_or(0) as u64
}

/// Returns the places of the records that each statement of a clause makes.
pub(super) fn calls(records: &[Record]) -> Vec<Range<usize>> {
    let mut calls: Vec<Range<usize>> = Vec::new();
    for (index, r) in records.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &records[before]);
        let is_further = before.is_some_and(|before| {
            let is_argument = r.format.is_none() && is_printf_like(r.action);
            let is_memory = r.action == DTRACEACT_TRACEMEM;
            is_argument && before.action == r.action
                || is_memory && before.action == DTRACEACT_TRACEMEM_DYNSIZE
        });
        match calls.last_mut() {
            Some(call) if is_further => call.end = index + 1,
            _ => calls.push(index..index + 1),
        }
    }
    calls
}

/// Returns whether an action has a format.
pub(super) fn is_printf_like(action: u16) -> bool {
    matches!(action, DTRACEACT_PRINTF | DTRACEACT_PRINTA | DTRACEACT_SYSTEM | DTRACEACT_FREOPEN)
}

/// Returns the type of what a record holds. In the plan, a string is known by its alignment, and memory by its argument.
fn type_of(r: &Record) -> dtrace_diftype_t {
    let of = |kind, flags, size| dtrace_diftype_t {
        dtdt_kind: kind,
        dtdt_ckind: 1,
        dtdt_flags: flags,
        dtdt_pad: 0,
        dtdt_size: size,
    };
    match (r.alignment, r.argument) {
        (1, _) if r.size > 1 => of(DIF_TYPE_STRING, DIF_TF_BYREF, 0),
        (_, 4) => of(DIF_TYPE_CTF, DIF_TF_BYREF, r.size),
        _ => of(DIF_TYPE_CTF, 0, r.size),
    }
}

impl Program {
    fn of(plan: &Plan) -> Program {
        let mut program = Program { statements: Vec::new(), makers: HashMap::new() };
        for event in plan.rounds.iter().flatten() {
            if let Event::Firing(firing) = event {
                program.add_clause(firing.statement, &firing.records);
            }
        }
        for entry in &plan.entries {
            program.add_aggregation(entry);
        }
        if program.statements.is_empty() {
            program.statements.push(statement(new_clause()).expose_provenance());
        }
        program
    }

    fn add_clause(&mut self, number: u32, records: &[Record]) {
        let maker = Maker::Clause(number);
        if self.makers.contains_key(&(maker, 0)) {
            return;
        }
        let clause = new_clause();
        let mut before: *mut dtrace_actdesc_t = ptr::null_mut();
        for call in calls(records) {
            let made = &records[call.clone()];
            let action = |r: &Record| Action { kind: r.action, returns: type_of(r) };
            let oddity = made.iter().find_map(|r| r.statement);
            let format = made[0].format.as_deref();
            let statement =
                new_statement(clause, made.iter().map(action).collect(), format, oddity);
            // SAFETY: both were made here. The actions of a clause are one list.
            unsafe {
                let first = (*statement).dtsd_action;
                if let Some(before) = before.as_mut() {
                    before.dtad_next = first;
                } else {
                    (*clause).dted_action = first;
                }
                before =
                    if oddity.is_none() { (*statement).dtsd_action_last } else { ptr::null_mut() };
            }
            self.add(statement, maker, call);
        }
    }

    fn add_aggregation(&mut self, entry: &Entry) {
        let maker = Maker::Aggregation(entry.aggregation().0);
        if self.makers.contains_key(&(maker, 0)) {
            return;
        }
        let number = |size| Record { action: DTRACEACT_DIFEXPR, size, ..Record::default() };
        let keys = entry.whole_key().records;
        let oddity = keys.iter().find_map(|r| r.statement);
        let value = entry.whole_value(0);
        let value = Record { action: value.function, ..number(8) };
        let records: Vec<Record> = [vec![number(4)], keys, vec![value]].concat();
        let actions = records.iter().map(|r| Action { kind: r.action, returns: type_of(r) });
        let statement = new_statement(new_clause(), actions.collect(), None, oddity);
        self.add(statement, maker, 0..records.len());
    }

    fn add(&mut self, statement: *mut dtrace_stmtdesc_t, maker: Maker, places: Range<usize>) {
        let address = statement.expose_provenance();
        self.statements.push(address);
        self.makers.extend(places.map(|index| ((maker, index), address)));
    }
}

/// Makes the start of a clause, which is all that callers may know.
pub(crate) fn new_clause() -> *mut dtrace_ecbdesc_t {
    // SAFETY: a structure of integers and pointers, for which zeros are valid.
    let mut clause: dtrace_ecbdesc_t = unsafe { std::mem::zeroed() };
    // SAFETY: the probe was just made.
    clause.dted_probe = unsafe { *probe(0, true) };
    keep(clause)
}

/// Makes a statement.
fn new_statement(
    clause: *mut dtrace_ecbdesc_t,
    actions: Vec<Action>,
    format: Option<&str>,
    oddity: Option<StatementOddity>,
) -> *mut dtrace_stmtdesc_t {
    use StatementOddity::*;
    let made = statement(clause);
    let actions: Vec<*mut dtrace_actdesc_t> = actions
        .into_iter()
        .map(|action| new_action(made.expose_provenance() as u64, action, oddity))
        .collect();
    for pair in actions.windows(2) {
        // SAFETY: it was just made.
        unsafe { (*pair[0]).dtad_next = pair[1] };
    }
    let (mut first, mut last) = (actions[0], actions[actions.len() - 1]);
    match oddity {
        Some(NoActions) => (first, last) = (ptr::null_mut(), ptr::null_mut()),
        Some(CrookedActions) => first = crooked(first),
        Some(Actions(number)) => last = actions[number - 1],
        Some(Chain(number)) => {
            let cut = actions[number - 1];
            // SAFETY: it was just made.
            unsafe { (*cut).dtad_next = ptr::null_mut() };
        }
        Some(CrookedNext) => {
            // SAFETY: it was just made.
            unsafe { (*first).dtad_next = crooked((*first).dtad_next) };
        }
        Some(Circle) => {
            // SAFETY: it was just made.
            unsafe { (*first).dtad_next = first };
            last = ptr::null_mut();
        }
        _ => {}
    }
    // SAFETY: it was just made.
    unsafe {
        ((*made).dtsd_action, (*made).dtsd_action_last) = (first, last);
        if let Some(format) = format.filter(|_| oddity != Some(NoFormat)) {
            (*made).dtsd_fmtdata = text(format).cast::<c_void>();
        }
    }
    made
}

fn new_action(
    statement: u64,
    action: Action,
    oddity: Option<StatementOddity>,
) -> *mut dtrace_actdesc_t {
    use StatementOddity::*;
    // SAFETY: structures of integers and pointers, for which zeros are valid.
    let (mut made, mut code): (dtrace_actdesc_t, dtrace_difo_t) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    made.dtad_kind = action.kind;
    made.dtad_uarg = statement;
    made.dtad_refcnt = 1;
    // One instruction, and strings and integers that are said to be there.
    code.dtdo_buf = keep(0x2300_0000);
    code.dtdo_len = 1;
    (code.dtdo_intlen, code.dtdo_strlen, code.dtdo_varlen) = (1, 1, 1);
    code.dtdo_rtype = action.returns;
    match oddity {
        Some(Kind(number)) => made.dtad_kind = number,
        Some(Type(kind, flags, size)) => {
            code.dtdo_rtype.dtdt_kind = kind;
            code.dtdo_rtype.dtdt_flags = flags;
            code.dtdo_rtype.dtdt_size = size;
        }
        _ => {}
    }
    // The library's own structure is longer.
    let code = shortened(&code, size_of::<dtrace_difo_t>());
    made.dtad_difo = match oddity {
        Some(NoCode) => ptr::null_mut(),
        Some(CrookedCode) => crooked(code),
        _ => code,
    };
    keep(made)
}

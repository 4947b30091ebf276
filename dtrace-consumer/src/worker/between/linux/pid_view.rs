//! Which PIDs does a D script see?
//!
//! libdtrace runs in the worker, and its BPF programs ask the kernel for the number of the process in which
//! a probe fires. Two answers would surprise a script's author:
//!
//! - In dtrace(1) the tracer is the consuming process, and `pid == $pid` selects it. Here, the
//!   consumer and its worker are two processes. `$pid` is the consumer's PID, so `pid` must be
//!   that, too, while the worker runs. Otherwise what the worker writes to the consumer passes
//!   `/pid != $pid/`, and tracing feeds itself.
//! - The kernel answers with the number in the initial PID namespace. In a container, all other numbers that
//!   libdtrace and the script have are those of the container: `$target`, the number that `BEGIN` expects, the
//!   one that symbols are looked up with. Nothing would ever fire.
//!
//! Three ways to keep the tracer out of its own sight were weighed:
//!
//! - One number for both processes: where the kernel would answer with the worker's, `pid` is the consumer's.
//!   Whatever a script does with `pid` means what it means in dtrace(1), be it a predicate, a key or a variable. It
//!   costs some instructions per use of `pid`. `execname`, `tid` and the like remain the worker's.
//! - Comparisons with `$pid` that are expanded to name both. It costs nothing in the kernel, but the script
//!   would have to be parsed, and a number that is first assigned to a variable would go unnoticed.
//! - A predicate that the library adds when asked. Scripts that were written for dtrace(1) do not ask, and scripts that
//!   look at the tracer itself would no longer see it.
//!
//! The first is what readers of a script expect. So this module changes the programs that libdtrace loads: a call
//! of the kernel's helper becomes a call of a function at the program's end, which calls the helper and translates
//! its answer. Both calls are one instruction, so everything stays in its place.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

use nix::sys::stat::{major, minor};

use super::bpf::{self, Instruction};
use crate::worker::system::linux::pid_namespace::{INITIAL, NAMESPACE};

/// How processes are to appear to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PidView {
    /// This process's number, as it knows it.
    own: i32,
    /// The consumer's number, as this process knows it; `None` if scripts see the two as separate
    /// processes.
    consumer: Option<i32>,
    /// The PID namespace of this process, if it is not the initial one.
    namespace: Option<Namespace>,
}

/// A PID namespace within the initial one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Namespace {
    /// The kernel's number of the device that the namespace's file is on.
    device: u64,
    file: u64,
    /// The number of this process in the initial namespace.
    outer: i32,
}

/// Added to the numbers of processes outside the namespace. No process has a number this large.
const OUTSIDE: i32 = 1 << 30;

impl PidView {
    /// Finds out what is to be translated for this process. `consumer` is the process that is to appear in its
    /// place.
    ///
    /// # Errors
    /// The kernel does not let this process find out its own number, or cannot translate numbers.
    pub(crate) fn of_worker(consumer: Option<i32>) -> io::Result<PidView> {
        let own = std::process::id().cast_signed();
        let view = PidView { own, consumer, namespace: None };
        let file = fs::metadata(NAMESPACE)?;
        if file.ino() == INITIAL {
            return Ok(view);
        }
        let answer = [CALL_HELPER, shift_right(0, 32), EXIT];
        let outer = bpf::run(&answer)?.cast_signed();
        // The C library packs a device's number in another way than the kernel.
        let device = major(file.dev()) << 20 | minor(file.dev());
        let namespace = Namespace { device, file: file.ino(), outer };
        let translate = [&[call(0, 3), shift_right(0, 32), EXIT], &*namespace.function()].concat();
        let translated = bpf::run(&translate)?.cast_signed();
        if translated != own {
            return Err(io::Error::other(format!(
                "the kernel translates this process's PID to {translated}, not to {own}"
            )));
        }
        Ok(PidView { namespace: Some(namespace), ..view })
    }

    /// Returns a view that changes the program that is returned with it.
    #[cfg(test)]
    pub(super) fn with_program() -> (PidView, Vec<Instruction>) {
        let view = PidView { own: 7000, consumer: Some(6000), namespace: None };
        (view, vec![CALL_HELPER, shift_right(0, 32), EXIT])
    }

    /// Returns whether this process is in a PID namespace within the initial one.
    pub(crate) fn translates(&self) -> bool {
        self.namespace.is_some()
    }

    /// Returns the program as it is to be loaded; `None` if nothing changes.
    pub(super) fn changed(&self, program: &[Instruction]) -> Option<Vec<Instruction>> {
        let mut changed = program.to_vec();
        let (mut variables, mut others) = (Vec::new(), Vec::new());
        for (at, _) in program.iter().enumerate().filter(|(_, it)| **it == CALL_HELPER) {
            match (Use::of(program, at, self.own), self.namespace) {
                (Use::Variable, _) if self.consumer.is_some() => variables.push(at),
                (Use::WorkerOnly, Some(namespace)) => {
                    changed[at + 2].immediate = namespace.outer;
                }
                (Use::Variable | Use::Other, Some(_)) => others.push(at),
                _ => {}
            }
        }
        let functions = [
            (variables, self.consumer.map(|consumer| self.function_for_variable(consumer))),
            (others, self.namespace.map(|namespace| namespace.function())),
        ];
        for (calls, function) in functions {
            let Some(function) = function.filter(|_| !calls.is_empty()) else { continue };
            let start = changed.len();
            for at in calls {
                changed[at] = call(at, start);
            }
            changed.extend(function);
        }
        (changed != program).then_some(changed)
    }

    /// Returns a function that returns what the helper returns, with the consumer in place of the worker.
    fn function_for_variable(&self, consumer: i32) -> Vec<Instruction> {
        let mut function = match self.namespace {
            None => vec![CALL_HELPER],
            Some(namespace) => namespace.answer(),
        };
        // Only the upper half changes: the lower one is the thread.
        let replace =
            [shift_left(0, 32), shift_right(0, 32), set(1, consumer), shift_left(1, 32), or(0, 1)];
        function.extend([
            copy(1, 0),
            shift_right(1, 32),
            jump_unless_equal(1, self.own, replace.len()),
        ]);
        function.extend(replace);
        function.push(EXIT);
        function
    }
}

impl Namespace {
    /// Returns a function that returns what the helper returns, with the namespace's numbers.
    fn function(self) -> Vec<Instruction> {
        let mut function = self.answer();
        function.push(EXIT);
        function
    }

    /// Returns instructions that leave in register 0 what the helper would, with the namespace's numbers. A
    /// process outside keeps its number in the initial namespace, plus [`OUTSIDE`]: distinct processes stay
    /// distinct, and none is mistaken for one inside. The kernel's idle threads stay 0.
    fn answer(self) -> Vec<Instruction> {
        const OUTSIDE_LENGTH: usize = 5;
        let ask = [copy(3, FRAME), add(3, -8), set(4, 8), CALL_HELPER_IN_NAMESPACE];
        // The kernel has left the thread and then the process.
        let known = [
            load(0, FRAME, -4),
            shift_left(0, 32),
            load(1, FRAME, -8),
            or(0, 1),
            jump(OUTSIDE_LENGTH),
        ];
        let outside: [_; OUTSIDE_LENGTH] =
            [set(1, OUTSIDE), copy(0, 1), shift_left(1, 32), or(0, 1), or(0, 6)];
        let mut answer = vec![CALL_HELPER, copy(6, 0)];
        let body: Vec<Instruction> = [
            &set_wide(1, self.device)[..],
            &set_wide(2, self.file),
            &ask,
            &[jump_unless_equal(0, 0, known.len())],
            &known,
            &outside,
        ]
        .concat();
        answer.push(jump_if_equal(0, 0, body.len()));
        answer.extend(body);
        answer
    }
}

/// What a program does with the helper's answer.
#[derive(Debug, PartialEq, Eq)]
enum Use {
    /// It is the D variable `pid`.
    Variable,
    /// It is compared with the worker's number, so that `BEGIN` and `END` fire in no other consumer.
    WorkerOnly,
    /// It is compared with the number of a process that is traced, or tells threads apart, or is recorded
    /// for looking up symbols. The worker must not pass for the consumer there: its memory is another one.
    Other,
}

impl Use {
    /// Returns the use of the call at a place.
    fn of(program: &[Instruction], at: usize, own: i32) -> Use {
        let takes_process = program.get(at + 1) == Some(&shift_right(0, 32));
        let compares = program
            .get(at + 2)
            .filter(|it| matches!(it.code, JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL) && it.registers == 0);
        match compares {
            _ if !takes_process => Use::Other,
            // Only the programs of `BEGIN` and `END` begin with it.
            Some(compared) if at <= 1 && compared.immediate == own => Use::WorkerOnly,
            Some(_) => Use::Other,
            None => Use::Variable,
        }
    }
}

const JUMP_IF_EQUAL: u8 = 0x15;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
/// The register of the stack frame.
const FRAME: u8 = 10;

/// `bpf_get_current_pid_tgid`.
const CALL_HELPER: Instruction = instruction(0x85, 0, 0, 0, 14);
/// `bpf_get_ns_current_pid_tgid`: device, file, buffer and its length.
const CALL_HELPER_IN_NAMESPACE: Instruction = instruction(0x85, 0, 0, 0, 120);
const EXIT: Instruction = instruction(0x95, 0, 0, 0, 0);

const fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: from << 4 | to, offset, immediate }
}

const fn copy(to: u8, from: u8) -> Instruction {
    instruction(0xbf, to, from, 0, 0)
}

const fn set(to: u8, value: i32) -> Instruction {
    instruction(0xb7, to, 0, 0, value)
}

/// Sets a register to 64 bits, which takes two instructions.
const fn set_wide(to: u8, value: u64) -> [Instruction; 2] {
    let (low, high) = (value as u32, (value >> 32) as u32);
    [instruction(0x18, to, 0, 0, low.cast_signed()), instruction(0, 0, 0, 0, high.cast_signed())]
}

const fn add(to: u8, value: i32) -> Instruction {
    instruction(0x07, to, 0, 0, value)
}

const fn or(to: u8, from: u8) -> Instruction {
    instruction(0x4f, to, from, 0, 0)
}

const fn shift_left(to: u8, by: i32) -> Instruction {
    instruction(0x67, to, 0, 0, by)
}

const fn shift_right(to: u8, by: i32) -> Instruction {
    instruction(0x77, to, 0, 0, by)
}

/// Loads 32 bits.
const fn load(to: u8, from: u8, offset: i16) -> Instruction {
    instruction(0x61, to, from, offset, 0)
}

/// Calls the function that starts at `start` from `at`.
fn call(at: usize, start: usize) -> Instruction {
    // No program has that many instructions.
    let distance = i32::try_from(start - at - 1).unwrap_or(i32::MAX);
    instruction(0x85, 0, 1, 0, distance)
}

fn jump(over: usize) -> Instruction {
    instruction(0x05, 0, 0, i16::try_from(over).unwrap_or(i16::MAX), 0)
}

fn jump_if_equal(register: u8, value: i32, over: usize) -> Instruction {
    let over = i16::try_from(over).unwrap_or(i16::MAX);
    instruction(JUMP_IF_EQUAL, register, 0, over, value)
}

fn jump_unless_equal(register: u8, value: i32, over: usize) -> Instruction {
    Instruction { code: JUMP_UNLESS_EQUAL, ..jump_if_equal(register, value, over) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: i32 = 7000;
    const CONSUMER: i32 = 6000;
    const OTHER: Instruction = copy(6, 1);

    fn view(namespace: bool) -> PidView {
        let namespace = namespace.then_some(Namespace { device: 4, file: 1 << 32, outer: 90_000 });
        PidView { own: OWN, consumer: Some(CONSUMER), namespace }
    }

    /// The programs of `BEGIN` and `END` begin like this.
    fn own_probe() -> Vec<Instruction> {
        vec![OTHER, CALL_HELPER, shift_right(0, 32), jump_unless_equal(0, OWN, 1), OTHER, EXIT]
    }

    /// A program that reads `pid` twice, compares with a traced process, and reads `tid`.
    fn program() -> Vec<Instruction> {
        let variable = [CALL_HELPER, shift_right(0, 32), EXIT];
        let of_process = [CALL_HELPER, shift_right(0, 32), jump_unless_equal(0, OWN, 1), EXIT];
        let of_thread = [CALL_HELPER, copy(7, 0), EXIT];
        [&[OTHER, OTHER][..], &variable, &of_process, &of_thread, &variable].concat()
    }

    /// Returns the places of the program's calls that changed, and checks where they lead.
    fn changed_calls(view: PidView, program: &[Instruction]) -> Vec<usize> {
        let Some(changed) = view.changed(program) else { return Vec::new() };
        let places: Vec<usize> =
            (0..program.len()).filter(|at| changed[*at] != program[*at]).collect();
        for at in &places {
            let called = changed[*at];
            assert_eq!((program[*at], called.code, called.registers), (CALL_HELPER, 0x85, 0x10));
            let start = at + 1 + usize::try_from(called.immediate).expect("behind the call");
            // A function begins behind the end of the program or of another one.
            assert_eq!((changed[start - 1], changed[start]), (EXIT, CALL_HELPER));
            assert!(start >= program.len());
        }
        assert_eq!(changed.last(), Some(&EXIT));
        places
    }

    #[test]
    fn only_the_variable_pid_tells_the_worker_from_the_consumer() {
        assert_eq!(changed_calls(view(false), &program()), [2, 12]);
        let apart = PidView { consumer: None, ..view(false) };
        assert_eq!(apart.changed(&program()), None);
    }

    #[test]
    fn every_number_is_translated_in_a_pid_namespace() {
        assert_eq!(changed_calls(view(true), &program()), [2, 5, 9, 12]);
        let apart = PidView { consumer: None, ..view(true) };
        assert_eq!(changed_calls(apart, &program()), [2, 5, 9, 12]);
    }

    #[test]
    fn begin_fires_in_the_worker_and_nowhere_else() {
        assert_eq!(view(false).changed(&own_probe()), None);
        let mut expected = own_probe();
        expected[3].immediate = 90_000;
        assert_eq!(view(true).changed(&expected[..0]), None);
        assert_eq!(view(true).changed(&own_probe()), Some(expected));
    }

    #[test]
    fn programs_without_such_a_call_stay_as_they_are() {
        // The second half of an instruction that sets 64 bits, and a call of a function.
        let wide = set_wide(1, 14 << 32);
        let program = [&wide[..], &[instruction(0x85, 0, 1, 0, 14), EXIT]].concat();
        for program in [&program[..], &[], &[EXIT]] {
            assert_eq!(view(true).changed(program), None);
        }
        // A program that ends too early is for the kernel to refuse.
        for length in 0..own_probe().len() {
            let changed = view(true).changed(&own_probe()[..length]);
            assert_eq!(changed.is_some(), length > 1, "{length}");
        }
    }

    #[test]
    fn jumps_in_a_function_stay_in_it() {
        let namespace = view(true).namespace.expect("it has one");
        let functions = [
            namespace.function(),
            view(true).function_for_variable(1),
            view(false).function_for_variable(1),
        ];
        for function in functions {
            for (at, it) in function.iter().enumerate() {
                if matches!(it.code, JUMP_IF_EQUAL | JUMP_UNLESS_EQUAL | 0x05) {
                    let target = at + 1 + usize::try_from(it.offset).expect("forwards");
                    // Not into the second half of an instruction.
                    assert_ne!(function.get(target).map_or(0, |it| it.code), 0, "{function:?}");
                }
            }
        }
    }
}

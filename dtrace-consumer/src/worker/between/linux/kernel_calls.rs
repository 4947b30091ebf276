//! Which system calls does libdtrace make, and how are they changed?
//!
//! libdtrace makes its system calls for probes, programs and maps through the C library's `syscall`. This
//! module comes between: it replaces the address that libdtrace calls, and changes or answers some of the calls. All
//! others are passed on as they are.

use std::ffi::c_long;
use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{fs, io, ptr, slice};

use nix::errno::Errno;

use super::aggregation_maps;
use super::begin_and_end;
use super::bpf::{
    ById, Instruction, Load, Lookup, MAP_CREATE, MAP_GET_FD_BY_ID, MAP_GET_NEXT_KEY,
    MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, PROG_LOAD, is_state_name,
};
use super::drop_counters;
use super::known_answers;
use super::pid_view::PidView;
use super::uprobe_places::{Attributes, Corrected, Rules, corrected};
use super::wake_ups;
use crate::worker::between::called_function;

/// `syscall(2)` with all arguments that a system call can have.
type Syscall = unsafe extern "C" fn(c_long, usize, usize, usize, usize, usize, usize) -> c_long;

/// What the calls are passed on to.
static SYSCALL: OnceLock<Syscall> = OnceLock::new();

/// How the calls change.
static CHANGES: OnceLock<Changes> = OnceLock::new();

struct Changes {
    /// An address in the libdtrace that makes the calls.
    inside: usize,
    /// How places of probes are corrected, if the kernel has uprobes.
    places: Option<Rules>,
    view: Option<PidView>,
}

/// Whether the kernel refused a changed program, which was then loaded unchanged.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Comes between the kernel and the libdtrace that contains `inside`: corrects the places of probes, and
/// changes programs to have this view of processes. `only_known` makes it refuse probes in files
/// that the traced process has not mapped.
///
/// # Errors
/// libdtrace does not call `syscall` as expected.
pub(crate) fn come_between(
    inside: usize,
    view: Option<PidView>,
    only_known: bool,
) -> io::Result<()> {
    let places = uprobe_type().ok().map(|uprobe| Rules { uprobe, only_known });
    // A second libdtrace in this process would be the same.
    CHANGES.get_or_init(|| Changes { inside, places, view });
    // SAFETY: libdtrace is called by this thread only, and has started no other ones yet. It is opened with RTLD_NOW.
    // `syscall` has variable arguments. They are passed like those of `Syscall`, because all are integers. Both read as
    // many arguments as a system call can have, and the kernel ignores those that a call does not have.
    unsafe { called_function::intercept(inside, c"syscall", &SYSCALL, passes_on) }
}

/// Returns the kernel's number for uprobes.
///
/// # Errors
/// The kernel has no uprobes.
pub(crate) fn uprobe_type() -> io::Result<u32> {
    let kind = fs::read_to_string("/sys/bus/event_source/devices/uprobe/type")?;
    kind.trim().parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))
}

/// Returns whether the kernel refused a program that was changed for the view of processes.
pub(crate) fn refused_a_view() -> bool {
    REFUSED.load(Ordering::Relaxed)
}

/// Takes the place of `syscall` for libdtrace.
unsafe extern "C" fn passes_on(
    number: c_long,
    first: usize,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
) -> c_long {
    // They are set before this function's address is.
    let (Some(syscall), Some(changes)) = (SYSCALL.get(), CHANGES.get()) else { return -1 };
    // SAFETY: it is the caller's call.
    let pass_on = |first, a| unsafe { syscall(number, first, a, b, c, d, e) };
    match (number, low_half(first)) {
        (libc::SYS_perf_event_open, _) => {
            let given: *const Attributes = ptr::with_exposed_provenance(first);
            // SAFETY: the first argument of this call points to attributes.
            let changed =
                changes.places.and_then(|it| unsafe { corrected(given, low_half(a), it) });
            match changed {
                None => {
                    let opened = pass_on(first, a);
                    // SAFETY: as above.
                    if unsafe { wake_ups::is_buffer(given.cast()) }
                        && let (Ok(event @ 0..), Ok(cpu)) =
                            (i32::try_from(opened), u32::try_from(low_half(b)))
                    {
                        wake_ups::opened(event, cpu);
                    }
                    opened
                }
                Some(Corrected::Refused) => {
                    Errno::ESTALE.set();
                    -1
                }
                Some(Corrected::At { mut attributes, path, file: _file }) => {
                    attributes.path = path.as_ptr();
                    // The copy of the caller's attributes, and the path of a file that is open. They outlive
                    // the call.
                    pass_on((&raw mut attributes).expose_provenance(), a)
                }
            }
        }
        (libc::SYS_bpf, PROG_LOAD) if b == size_of::<Load>() => {
            let given: *const Load = ptr::with_exposed_provenance(a);
            // SAFETY: the second argument of this call points to as many bytes of attributes as the third says.
            let changed =
                changes.view.and_then(|view| Some((view, unsafe { changed(given, &view) }?)));
            let Some((view, (load, _program))) = changed else { return pass_on(first, a) };
            // The copy of the caller's attributes, with another program. Both outlive the call.
            let loaded = pass_on(first, (&raw const load).expose_provenance());
            // Where numbers of processes are translated, no predicate of an unchanged program would ever hold.
            if loaded >= 0 || is_busy() || view.translates() {
                return loaded;
            }
            let loaded = pass_on(first, a);
            REFUSED.fetch_or(loaded >= 0, Ordering::Relaxed);
            loaded
        }
        (libc::SYS_bpf, MAP_CREATE) if b >= size_of::<Map>() => {
            let created = pass_on(first, a);
            // SAFETY: as for programs.
            let map = unsafe { ptr::with_exposed_provenance::<Map>(a).as_ref() };
            if let (Some(map), Ok(fd @ 0..)) = (map, i32::try_from(created)) {
                if map.is_state() {
                    begin_and_end::keep_state(fd);
                } else if map.is_buffers() {
                    wake_ups::keep_map(fd);
                } else if map.has_generations() {
                    aggregation_maps::keep_generations(fd);
                } else if map.has_drop_counters() {
                    known_answers::keep_counters(fd);
                } else if map.has_usdt_probes() {
                    known_answers::keep_usdt_probes(fd);
                }
            }
            created
        }
        (libc::SYS_bpf, MAP_GET_FD_BY_ID) if b >= size_of::<ById>() => {
            let opened = pass_on(first, a);
            // SAFETY: as for programs.
            if let Some(by_id) = unsafe { ptr::with_exposed_provenance::<ById>(a).as_ref() } {
                let fd = i32::try_from(opened).ok().filter(|fd| *fd >= 0);
                let _ = catch_unwind(|| aggregation_maps::opens(by_id.id, fd));
            }
            opened
        }
        (libc::SYS_bpf, MAP_GET_NEXT_KEY) if b >= size_of::<Lookup>() => {
            let lookup: *const Lookup = ptr::with_exposed_provenance(a);
            // SAFETY: as for programs.
            if unsafe { known_answers::has_no_keys(lookup) } {
                Errno::ENOENT.set();
                return -1;
            }
            // SAFETY: as for programs.
            match catch_unwind(|| unsafe { aggregation_maps::next_key(lookup) }).ok().flatten() {
                Some(Ok(())) => 0,
                Some(Err(errno)) => {
                    errno.set();
                    -1
                }
                None => {
                    let result = pass_on(first, a);
                    if result < 0 {
                        // SAFETY: as for programs.
                        unsafe { aggregation_maps::has_no_more_keys(lookup) };
                    }
                    result
                }
            }
        }
        (libc::SYS_bpf, MAP_LOOKUP_ELEM) if b >= size_of::<Lookup>() => {
            let lookup: *const Lookup = ptr::with_exposed_provenance(a);
            // SAFETY: as for programs.
            let is_answered = catch_unwind(|| unsafe {
                if begin_and_end::before_lookup(lookup, changes.inside) {
                    known_answers::tracing_is_over();
                }
                // The counters in a snapshot of aggregations are those of its moment.
                !aggregation_maps::is_watching() && known_answers::answer(lookup, Instant::now())
            });
            if is_answered.unwrap_or(false) {
                return 0;
            }
            let result = pass_on(first, a);
            if result == 0 {
                // SAFETY: as for programs.
                let _ =
                    catch_unwind(|| unsafe { known_answers::keep_answer(lookup, Instant::now()) });
            }
            result
        }
        (libc::SYS_bpf, MAP_UPDATE_ELEM) if b >= size_of::<Lookup>() => {
            // SAFETY: as for programs.
            unsafe { known_answers::before_update(ptr::with_exposed_provenance(a)) };
            pass_on(first, a)
        }
        _ => pass_on(first, a),
    }
}

/// The beginning of `union bpf_attr` for `BPF_MAP_CREATE`.
#[repr(C)]
struct Map {
    /// The kind, and the sizes of keys and values.
    shape: [u32; 3],
    others: [u32; 4],
    name: [u8; 16],
}

const _: () = assert!(std::mem::offset_of!(Map, name) == 28);

impl Map {
    /// Returns whether it is the array of 32-bit numbers in which the programs keep the state of tracing.
    fn is_state(&self) -> bool {
        self.shape == [2, 4, 4] && is_state_name(&self.name)
    }

    /// Returns whether it has the events of the CPUs' buffers.
    fn is_buffers(&self) -> bool {
        self.shape == [4, 4, 4] && self.name.starts_with(b"buffers\0")
    }

    /// Returns whether it is the array of the current generations of aggregations.
    fn has_generations(&self) -> bool {
        self.shape == [2, 4, 8] && self.name.starts_with(b"agggen\0")
    }

    /// Returns whether it has the drop counters of each CPU.
    fn has_drop_counters(&self) -> bool {
        let [kind, key_size, value_size] = self.shape;
        drop_counters::have_shape(kind, key_size as usize, value_size as usize)
            && self.name.starts_with(b"cpuinfo\0")
    }

    /// Returns whether it has the USDT probes of processes.
    fn has_usdt_probes(&self) -> bool {
        self.shape[0] == 1 && self.name.starts_with(b"usdt_names\0")
    }
}

/// Returns the attributes with another program, and the program; `None` if nothing changes.
///
/// # Safety
/// `given` points to the attributes of a program that is to be loaded.
unsafe fn changed(given: *const Load, view: &PidView) -> Option<(Load, Vec<Instruction>)> {
    // SAFETY: the caller guarantees it.
    let mut load = *unsafe { given.as_ref() }?;
    // Records of functions would have to describe a new one as well. libdtrace 2.0.7 passes none.
    if load.function_records != 0 {
        return None;
    }
    let start: *const Instruction =
        ptr::with_exposed_provenance(usize::try_from(load.instructions).ok()?);
    if start.is_null() || !start.is_aligned() {
        return None;
    }
    // SAFETY: the attributes name the program's first instruction and their number.
    let program = unsafe { slice::from_raw_parts(start, usize::try_from(load.length).ok()?) };
    let program = catch_unwind(|| view.changed(program)).ok()??;
    load.length = u32::try_from(program.len()).ok()?;
    load.instructions = program.as_ptr().expose_provenance() as u64;
    Some((load, program))
}

/// Returns whether the last call failed only because the kernel was busy. libdtrace then tries again.
fn is_busy() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

/// Returns the `int` that an argument passes; only the lower half of its register counts.
fn low_half(argument: usize) -> i32 {
    let bytes = argument.to_ne_bytes();
    let low = if cfg!(target_endian = "little") { &bytes[..4] } else { &bytes[4..] };
    low.try_into().map_or(0, i32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both the attributes and the program are allocated to the byte.
    #[test]
    fn a_program_is_read_to_its_last_instruction() {
        let (view, program) = PidView::with_program();
        let program = program.into_boxed_slice();
        let given = Box::new(Load::of(&program).expect("a short one"));
        // SAFETY: the attributes name the program, and both outlive the call.
        let (load, new) = unsafe { changed(&raw const *given, &view) }.expect("it changes");
        assert_eq!(load.length as usize, new.len());
        assert_eq!(load.instructions, new.as_ptr().addr() as u64);
        assert!(new.len() > program.len() && new[1..program.len()] == program[1..]);
        assert_eq!(given.length as usize, program.len());
    }

    #[test]
    fn a_program_that_is_none_is_passed_on() {
        let (view, program) = PidView::with_program();
        let given = Load::of(&program).expect("a short one");
        let empty: Box<[Instruction]> = Box::new([]);
        let empty = Load::of(&empty).expect("the shortest");
        let (mut without, mut crooked, mut described) = (given, given, given);
        without.instructions = 0;
        crooked.instructions += 1;
        described.function_records = given.instructions;
        for load in [without, crooked, described, empty].map(Box::new) {
            // SAFETY: the attributes name a program or none, or one that is not read.
            assert!(unsafe { changed(&raw const *load, &view) }.is_none());
        }
        // SAFETY: there are no attributes.
        assert!(unsafe { changed(ptr::null(), &view) }.is_none());
    }
}

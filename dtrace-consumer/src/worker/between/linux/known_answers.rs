//! Which of libdtrace's questions are answered without the kernel?
//!
//! Whenever libdtrace is woken, it reads the drop counters of the CPU, and looks for USDT probes of processes that have
//! ended. Where records are rare, these two calls of bpf(2) take much of the worker's time, and the answers are nearly
//! always those of the last time.
//!
//! So counters that were read a moment ago are given again, and a drop in between is reported with the kernel's next answer.
//! The kernel is asked each time once tracing is over, and while the worker reads the maps of aggregations itself. Only
//! libdtrace puts USDT probes into their map, so the map is empty until it does.

use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::bpf::Lookup;
use super::drop_counters::SIZE;

/// For how long counters are given again.
const MOMENT: Duration = Duration::from_millis(100);

/// The map with the counters of each CPU, until tracing is over.
static COUNTERS: AtomicI32 = AtomicI32::new(NO_MAP);

/// The map with the USDT probes of processes, as long as it is empty.
static NO_USDT_PROBES: AtomicI32 = AtomicI32::new(NO_MAP);

const NO_MAP: i32 = -1;

/// The kernel's last answers.
static ANSWERS: Mutex<Vec<Answer>> = Mutex::new(Vec::new());

struct Answer {
    cpu: u32,
    at: Instant,
    counters: [u8; SIZE],
}

/// Keeps the descriptor of a new map with drop counters: keys of 32 bits, and values of [`SIZE`] bytes. libdtrace never
/// closes it.
pub(super) fn keep_counters(map: i32) {
    ANSWERS.lock().clear();
    COUNTERS.store(map, Ordering::Relaxed);
}

/// Keeps the descriptor of the map with USDT probes, which is new. libdtrace never closes it.
pub(super) fn keep_usdt_probes(map: i32) {
    NO_USDT_PROBES.store(map, Ordering::Relaxed);
}

/// Notes that tracing is over. From now on, the kernel is asked for counters.
pub(super) fn tracing_is_over() {
    COUNTERS.store(NO_MAP, Ordering::Relaxed);
}

/// Notes that libdtrace sets an element of a map.
///
/// # Safety
/// `update` points to the attributes of the call, or is null.
pub(super) unsafe fn before_update(update: *const Lookup) {
    // SAFETY: the caller guarantees it.
    if unsafe { update.as_ref() }.is_some_and(|update| is_for(update, &NO_USDT_PROBES)) {
        NO_USDT_PROBES.store(NO_MAP, Ordering::Relaxed);
    }
}

/// Returns whether no key follows another one, because the map has none.
///
/// # Safety
/// `lookup` points to the attributes of the call, or is null.
pub(super) unsafe fn has_no_keys(lookup: *const Lookup) -> bool {
    // SAFETY: the caller guarantees it.
    unsafe { lookup.as_ref() }.is_some_and(|lookup| is_for(lookup, &NO_USDT_PROBES))
}

/// Gives the counters that libdtrace asks for, if they were read a moment ago. Returns whether it does.
///
/// # Safety
/// `lookup` points to the attributes of the call, or is null.
pub(super) unsafe fn answer(lookup: *const Lookup, now: Instant) -> bool {
    // SAFETY: the caller guarantees it.
    let Some((cpu, place)) = (unsafe { question(lookup) }) else { return false };
    let answers = ANSWERS.lock();
    let is_recent =
        |answer: &&Answer| answer.cpu == cpu && now.saturating_duration_since(answer.at) < MOMENT;
    let Some(answer) = answers.iter().find(is_recent) else { return false };
    // SAFETY: libdtrace has room there for a value of the map. It is the map of counters, whose values have `SIZE` bytes.
    unsafe { place.write_unaligned(answer.counters) };
    true
}

/// Keeps the counters that the kernel has given to libdtrace.
///
/// # Safety
/// `lookup` points to the attributes of the call, which has succeeded, or is null.
pub(super) unsafe fn keep_answer(lookup: *const Lookup, now: Instant) {
    // SAFETY: the caller guarantees it.
    let Some((cpu, place)) = (unsafe { question(lookup) }) else { return };
    // SAFETY: the kernel has written a value of the map there. It is the map of counters, whose values have `SIZE` bytes.
    let counters = unsafe { place.read_unaligned() };
    let mut answers = ANSWERS.lock();
    answers.retain(|answer| answer.cpu != cpu);
    answers.push(Answer { cpu, at: now, counters });
}

/// Returns the CPU whose counters libdtrace asks for, and the place for them; `None` if the kernel has to answer.
///
/// # Safety
/// `lookup` points to the attributes of the call, or is null.
unsafe fn question(lookup: *const Lookup) -> Option<(u32, *mut [u8; SIZE])> {
    // SAFETY: the caller guarantees it.
    let lookup = unsafe { lookup.as_ref() }.filter(|lookup| is_for(lookup, &COUNTERS))?;
    let key = std::ptr::with_exposed_provenance::<[u8; 4]>(usize::try_from(lookup.key).ok()?);
    let place: *mut [u8; SIZE] =
        std::ptr::with_exposed_provenance_mut(usize::try_from(lookup.value).ok()?);
    // SAFETY: the attributes point to a key of the map. It is the map of counters, whose keys have 32 bits.
    let cpu = u32::from_ne_bytes(*unsafe { key.as_ref() }?);
    Some((cpu, place)).filter(|_| !place.is_null())
}

/// Returns whether a call is for an element of a map, which `NO_MAP` is not.
fn is_for(call: &Lookup, map: &AtomicI32) -> bool {
    i32::try_from(call.map) == Ok(map.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for the counters of a CPU. Key and place are allocated to the byte. Returns the answer, if there is one.
    fn ask(map: i32, cpu: u32, now: Instant, kernel: Option<[u8; SIZE]>) -> Option<[u8; SIZE]> {
        let key = Box::new(cpu.to_ne_bytes());
        let mut place = Box::new(kernel.unwrap_or([0; SIZE]));
        let lookup = Box::new(Lookup::of(map, &key[..], &mut place[..]));
        // SAFETY: the attributes name a key and a place for a value of the map of counters.
        unsafe {
            if answer(&raw const *lookup, now) {
                return Some(*place);
            }
            if kernel.is_some() {
                keep_answer(&raw const *lookup, now);
            }
        }
        None
    }

    #[test]
    fn counters_are_given_again_for_a_moment_until_tracing_is_over() {
        const MAP: i32 = i32::MAX;
        let (first, second) = ([1; SIZE], [2; SIZE]);
        let start = Instant::now();
        assert_eq!(ask(MAP, 0, start, Some(first)), None);
        assert_eq!(ask(MAP, 0, start, None), None, "no map is known");
        keep_counters(MAP);
        assert_eq!(ask(MAP, 0, start, Some(first)), None);
        assert_eq!(ask(MAP, 1, start, Some(second)), None, "another CPU");
        assert_eq!(ask(MAP, 0, start, None), Some(first));
        assert_eq!(ask(MAP, 1, start, None), Some(second));
        assert_eq!(ask(MAP - 1, 0, start, None), None, "another map");
        // SAFETY: there are no attributes.
        assert!(!unsafe { answer(std::ptr::null(), start) });

        let later = start + MOMENT;
        assert_eq!(ask(MAP, 0, later, Some(second)), None, "it is too old");
        assert_eq!(ask(MAP, 0, later, None), Some(second));
        tracing_is_over();
        assert_eq!(ask(MAP, 0, later, None), None);
        keep_counters(MAP);
        assert_eq!(ask(MAP, 0, later, None), None, "the counters of another map");
    }

    #[test]
    fn a_map_has_no_keys_until_one_is_put_there() {
        const MAP: i32 = i32::MAX;
        let lookup = |map| Lookup::of(map, &[], &mut []);
        // SAFETY: keys are not read.
        let is_empty = |map| unsafe { has_no_keys(&raw const *Box::new(lookup(map))) };
        // SAFETY: as above.
        let put = |map| unsafe { before_update(&raw const *Box::new(lookup(map))) };
        assert!(!is_empty(MAP) && !is_empty(NO_MAP), "no map is known");
        keep_usdt_probes(MAP);
        put(MAP - 1);
        assert!(is_empty(MAP) && !is_empty(MAP - 1));
        put(MAP);
        assert!(!is_empty(MAP) && !is_empty(NO_MAP));
    }
}

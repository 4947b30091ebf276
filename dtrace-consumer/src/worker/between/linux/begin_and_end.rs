//! Have `BEGIN` and `END` fired, and who fires them if libdtrace does not?
//!
//! libdtrace places uprobes on two empty functions in its own file, and calls the first one when tracing starts
//! and the second one when it stops. Link-time optimisation removes the calls, because the functions do
//! nothing. This is so in libdtrace 2.0.6 as Ubuntu 26.04 has it. There `BEGIN` never fires, and
//! without it no other probe does.
//!
//! So the worker calls a function that libdtrace has not called. The BPF programs tell: they keep the activity of
//! tracing in a map. The program of `BEGIN` runs only while the activity is "inactive", that of `END` only while
//! it is "draining", and each ends that activity. Right behind the place of each call, libdtrace
//! looks up on which CPU the probe has fired. If the activity has not changed by then, the probe has not fired.
//! A call too many has no effect, because the program does not run a second time.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use parking_lot::Mutex;

use super::bpf::{self, Lookup};
use super::empty_function::{self, LONGEST};
use super::mapped_file::open_if_it_is;
use super::mappings::Mappings;
use crate::worker::system::linux::descriptors::bpf_maps;
use crate::worker::system::linux::uprobe_events::{OwnEvent, own_events};

/// The descriptor of the map in which the programs keep the state of tracing.
static STATE: AtomicI32 = AtomicI32::new(-1);

/// The keys of the map: the activity, and the CPUs on which `BEGIN` and `END` have fired.
const ACTIVITY: u32 = 0;
const BEGAN_ON: u32 = 1;
const ENDED_ON: u32 = 2;

/// Values of the activity: before `BEGIN` has fired, and from the end of tracing until `END` has fired.
const INACTIVE: u32 = 0;
const DRAINING: u32 = 2;

/// The CPU that the probes have to fire on, if only one is traced.
static ONLY_CPU: AtomicU64 = AtomicU64::new(ANY_CPU);
const ANY_CPU: u64 = u64::MAX;

/// The functions of libdtrace that fire the probes.
static FUNCTIONS: OnceLock<Functions> = OnceLock::new();

/// Why a probe could not be fired on the CPU that it has to fire on.
static UNFIRED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Returns why this module could not fire a probe, if it tried and failed since the last call.
pub(crate) fn why_unfired() -> Option<io::Error> {
    UNFIRED.lock().take()
}

/// Keeps the descriptor of the map with the state of tracing. libdtrace never closes it.
pub(super) fn keep_state(map: i32) {
    STATE.store(map, Ordering::Relaxed);
}

/// Makes the probes fire on this CPU, on which alone buffers exist.
pub(crate) fn fire_only_on(cpu: u64) {
    ONLY_CPU.store(cpu, Ordering::Relaxed);
}

/// Returns whether tracing has begun, which it does when `BEGIN` fires; `None` if libdtrace has no map that tells.
pub(crate) fn has_begun() -> Option<bool> {
    // Whether or not the call that created the map was seen.
    let is_state = |map: &i32| bpf::shape(*map).is_ok_and(|shape| shape.is_state());
    if let Some(state) = bpf_maps().into_iter().find(is_state) {
        keep_state(state);
    }
    Some(activity()? != INACTIVE)
}

/// Returns whether tracing was stopped, and `END` has not fired.
pub(crate) fn lacks_its_end() -> bool {
    activity() == Some(DRAINING)
}

fn activity() -> Option<u32> {
    let state = STATE.load(Ordering::Relaxed);
    // SAFETY: only a map with such keys and values is kept, and libdtrace never closes it.
    let activity = (state >= 0).then(|| unsafe { bpf::look_up(state, ACTIVITY) })?.ok()?;
    Some(u32::from_ne_bytes(activity))
}

/// Fires the probe that libdtrace asks about, if it has not fired. `inside` is an address in libdtrace. Returns whether
/// tracing is now over.
///
/// # Safety
/// `lookup` points to the attributes of a lookup in a map, or is null.
pub(super) unsafe fn before_lookup(lookup: *const Lookup, inside: usize) -> bool {
    // SAFETY: the caller guarantees it.
    let Some(lookup) = (unsafe { lookup.as_ref() }) else { return false };
    if i32::try_from(lookup.map) != Ok(STATE.load(Ordering::Relaxed)) {
        return false;
    }
    let Ok(key) = usize::try_from(lookup.key) else { return false };
    // SAFETY: the attributes point to a key, and this map's keys have 32 bits.
    let key = unsafe { std::ptr::with_exposed_provenance::<[u8; 4]>(key).as_ref() };
    match key.map(|key| u32::from_ne_bytes(*key)) {
        Some(BEGAN_ON) => {
            // Later, a confined worker cannot read the list of events.
            let functions = FUNCTIONS.get_or_init(|| Functions::find(inside));
            fire(functions.begin, INACTIVE);
        }
        Some(ENDED_ON) => {
            fire(FUNCTIONS.get().and_then(|it| it.end), DRAINING);
            return true;
        }
        _ => {}
    }
    false
}

/// Calls the function if the activity shows that its probe has not fired.
fn fire(function: Option<Function>, before: u32) {
    let Some(function) = function.filter(|_| activity() == Some(before)) else { return };
    let cpu = ONLY_CPU.load(Ordering::Relaxed);
    if cpu == ANY_CPU {
        return function.call();
    }
    if let Err(error) = on_cpu(cpu, move || function.call()) {
        *UNFIRED.lock() = Some(error);
    }
}

/// Makes a call on a CPU, in a thread of its own, so that this one stays free to run on any.
fn on_cpu(cpu: u64, call: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let bound = move || {
        let mut set = CpuSet::new();
        set.set(usize::try_from(cpu).map_err(|_| Errno::EINVAL)?)?;
        sched_setaffinity(Pid::from_raw(0), &set)?;
        call();
        Ok(())
    };
    let thread = thread::Builder::new().name("fire".to_owned()).spawn(bound)?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
}

/// The two functions, as far as they are known.
struct Functions {
    begin: Option<Function>,
    end: Option<Function>,
}

/// The address of an empty function of libdtrace.
#[derive(Clone, Copy)]
struct Function(usize);

impl Functions {
    /// Finds the places of the uprobes that libdtrace has created.
    fn find(inside: usize) -> Functions {
        let events = own_events();
        let find = |name| {
            let event = events.iter().find(|event| event.name == name)?;
            Function::at(event, inside)
        };
        Functions { begin: find("BEGIN"), end: find("END") }
    }
}

impl Function {
    /// Returns the function at the place of a uprobe. It must be an empty one, and the place must be mapped as code of
    /// the very file that contains `inside`.
    fn at(event: &OwnEvent, inside: usize) -> Option<Function> {
        let pid = i32::try_from(std::process::id()).ok()?;
        let mappings = Mappings::read(pid, Path::new(&event.path)).ok()?;
        let library = mappings.at_address(u64::try_from(inside).ok()?)?;
        let address = mappings.address_of(event.offset)?;
        let file = open_if_it_is(Path::new(&event.path), library.file)?;
        let file = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        // In memory there is the uprobe's breakpoint.
        let mut code = [0; LONGEST];
        file.read_exact_at(&mut code, event.offset).ok()?;
        empty_function::is_one(&code).then_some(Function(usize::try_from(address).ok()?))
    }

    fn call(self) {
        let address = std::ptr::with_exposed_provenance::<()>(self.0);
        // SAFETY: the address is in executable memory that maps libdtrace's own file, which is never unloaded. The
        // code there returns to its caller and changes nothing else, so that it can be called as a function
        // without arguments and results. The kernel has put a breakpoint there, and executes the first
        // instruction in its place.
        unsafe {
            let function: unsafe extern "C" fn() = std::mem::transmute(address);
            function();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use nix::sched::{sched_getaffinity, sched_getcpu};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "CPUs")]
    fn a_call_is_made_on_its_cpu_and_no_other() {
        let permitted = sched_getaffinity(Pid::from_raw(0)).expect("CPUs");
        let is_permitted = |cpu: &usize| permitted.is_set(*cpu).is_ok_and(|it| it);
        let (send, cpus) = channel();
        for cpu in (0..CpuSet::count()).filter(is_permitted) {
            let send = send.clone();
            let call = move || send.send(sched_getcpu()).expect("it is awaited");
            on_cpu(cpu as u64, call).expect("a CPU that exists");
            assert_eq!(cpus.recv(), Ok(Ok(cpu)));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "CPUs")]
    fn a_cpu_that_does_not_exist_is_an_error() {
        // The last that the kernel's set has, and numbers that it does not have.
        for cpu in [CpuSet::count() as u64 - 1, CpuSet::count() as u64, u64::MAX] {
            let error = on_cpu(cpu, || panic!("on another CPU")).expect_err("no such CPU");
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{cpu}: {error}");
        }
    }

    /// Keys are allocated to the byte. A shorter one is that of another map.
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn only_a_key_of_the_state_is_read() {
        const MAP: i32 = i32::MAX;
        keep_state(MAP);
        let inside = libc::getpid as *const () as usize;
        let ask = |map: i32, key: &[u8]| {
            let key: Box<[u8]> = key.into();
            let lookup = Box::new(Lookup::of(map, &key, &mut []));
            // SAFETY: the attributes name a key, which has 32 bits if the map is that of the state.
            let is_over = unsafe { before_lookup(&raw const *lookup, inside) };
            (FUNCTIONS.get().is_some(), is_over)
        };
        assert_eq!(ask(MAP - 1, &[1]), (false, false), "another map");
        assert_eq!(ask(MAP, &ACTIVITY.to_ne_bytes()), (false, false));
        assert_eq!(ask(MAP, &ENDED_ON.to_ne_bytes()), (false, true));
        assert_eq!(
            ask(MAP, &BEGAN_ON.to_ne_bytes()),
            (true, false),
            "the functions are looked for"
        );
        // SAFETY: there are no attributes.
        unsafe { before_lookup(std::ptr::null(), inside) };
    }
}

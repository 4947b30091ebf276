//! Which processes came from this one, and which kernel objects did they have?
//!
//! Another tracer may work beside a test. What it has in the kernel looks the same and is none of the test's
//! business, so only what a process of the test was seen with counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use crate::processes::{children, descendants_of};
use crate::system::{Object, held_by, number_of_descriptors};

/// How often to look. A worker has its programs and maps for much longer.
const LOOK: Duration = Duration::from_millis(20);

/// Watches the descendants of this process, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What was seen so far.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    pub(crate) processes: BTreeSet<i32>,
    /// Those of them that were children of another process of the test. When that has ended, nobody else reaps them.
    pub(crate) indirect: BTreeSet<i32>,
    pub(crate) objects: BTreeSet<Object>,
}

impl Watch {
    pub(crate) fn start() -> Watch {
        let (seen, over) = (Arc::<Mutex<Seen>>::default(), Arc::<AtomicBool>::default());
        let (into, until) = (Arc::clone(&seen), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            let mut sizes = BTreeMap::new();
            while !until.load(Ordering::Acquire) {
                look(&mut sizes, &into);
                std::thread::sleep(LOOK);
            }
        });
        Watch { seen, over, thread: Some(thread) }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Adds what the descendants have now. `sizes` are their numbers of descriptors when they were last looked at.
fn look(sizes: &mut BTreeMap<i32, u64>, seen: &Mutex<Seen>) {
    let descendants = descendants_of(std::process::id());
    // Looked at afterwards: what has become a child meanwhile counts as one.
    let direct = children();
    for pid in descendants {
        let mut seen_so_far = seen.lock();
        seen_so_far.processes.insert(pid);
        if !direct.contains(&pid) {
            seen_so_far.indirect.insert(pid);
        }
        drop(seen_so_far);
        let size = number_of_descriptors(pid);
        if size == 0 || sizes.insert(pid, size) != Some(size) {
            let held = held_by(pid.unsigned_abs());
            seen.lock().objects.extend(held);
        }
    }
}

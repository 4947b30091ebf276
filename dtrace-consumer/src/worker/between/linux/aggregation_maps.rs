//! How are the kernel's maps of aggregations read?
//!
//! libdtrace reads them one key after the other. For each key of each CPU, it makes three system calls and compares
//! the key with all keys of the aggregation that it has seen: the time grows with the square of the number of keys.
//! This module reads a map with a few calls instead, at the moment when libdtrace asks for the map's first key.
//!
//! libdtrace has to see some keys all the same. With each it looks for drops on the map's CPU, and an
//! aggregation with a key is one that it describes to a walk. So it is told of the first key of each map, and of one
//! key of each aggregation.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use super::bpf::{self, Lookup};
use crate::worker::libdtrace::{
    Contents, KernelMaps, MapContents, Watched, aggregation_of, generation_of,
};

/// The most bytes to read at once. It bounds the memory that many CPUs with large maps take.
const MOST: usize = 256 << 20;

/// The descriptor of the map with the current generations.
static GENERATIONS: AtomicI32 = AtomicI32::new(-1);

thread_local! {
    /// What is known of the call that is being watched.
    static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
}

/// Keeps the descriptor of the map with the current generations. libdtrace never closes it.
pub(super) fn keep_generations(map: i32) {
    GENERATIONS.store(map, Ordering::Relaxed);
}

/// The kernel's maps of aggregations, as libdtrace 2.0.7 lays them out.
#[derive(Debug)]
struct AggregationMaps;

/// Returns the access to the kernel's maps of aggregations.
pub(in crate::worker) fn aggregation_maps() -> Option<&'static dyn KernelMaps> {
    Some(&AggregationMaps)
}

impl KernelMaps for AggregationMaps {
    fn watch(&self, instead: bool, snapshot: &mut dyn FnMut()) -> Watched {
        let generations = GENERATIONS.load(Ordering::Relaxed);
        let instead = instead && generations >= 0;
        WATCH.set(Some(Watch { instead, ..Watch::default() }));
        snapshot();
        WATCH.take().map_or(Watched::Nothing, |watch| watch.result(generations))
    }

    fn remove(&self, map: u32, keys: &[u8], key_size: usize) -> io::Result<()> {
        let map = bpf::map_of(map)?;
        let shape = bpf::shape(map.as_raw_fd())?;
        if !shape.is_hash() || shape.key_size() != key_size {
            return Err(io::Error::other("the map has another layout"));
        }
        // SAFETY: the map has keys of this size.
        unsafe { bpf::delete(map.as_raw_fd(), keys, key_size) }
    }
}

/// What is known of a call in which libdtrace reads its maps.
#[derive(Default)]
struct Watch {
    /// Whether to read the maps for libdtrace.
    instead: bool,
    /// Whether a map could not be read, so that libdtrace reads it and those that follow.
    failed: bool,
    /// The map that libdtrace is reading.
    current: Option<Current>,
    /// The number of maps that libdtrace has read to their ends.
    by_libdtrace: usize,
    /// Whether libdtrace could not open a map.
    interrupted: bool,
    contents: Contents,
    /// The aggregations that libdtrace has been told of.
    told: HashSet<u32>,
}

/// A map that libdtrace is reading.
struct Current {
    fd: RawFd,
    id: u32,
    /// The keys that libdtrace has not been told of yet, if the map has been read for it.
    untold: Option<std::vec::IntoIter<Vec<u8>>>,
}

impl Watch {
    fn result(mut self, generations: RawFd) -> Watched {
        match (self.contents.maps.len(), self.by_libdtrace) {
            _ if self.interrupted || self.current.is_some() => return Watched::Interrupted,
            (0, 0) => return Watched::Nothing,
            (0, _) => return Watched::ByLibdtrace,
            (_, 0) => {}
            _ => return Watched::InPart,
        }
        let current = self.told.iter().map(|aggregation| {
            // SAFETY: only a map with such keys and values is kept, and libdtrace never closes it.
            let generation = unsafe { bpf::look_up(generations, *aggregation) };
            generation.map(|generation| (*aggregation, u64::from_ne_bytes(generation)))
        });
        match current.collect::<io::Result<HashMap<_, _>>>() {
            Ok(current) => {
                self.contents.generations = current;
                Watched::Instead(self.contents)
            }
            Err(_) => Watched::InPart,
        }
    }

    /// Reads a map. Returns the keys to tell libdtrace.
    fn read(&mut self, fd: RawFd, id: u32) -> io::Result<Vec<Vec<u8>>> {
        let shape = bpf::shape(fd)?;
        let (key_size, value_size) = (shape.key_size(), shape.value_size());
        let contents = &mut self.contents;
        let has_layout = shape.is_hash()
            && key_size >= size_of::<u32>()
            && value_size >= size_of::<u64>()
            && (contents.maps.is_empty()
                || (contents.key_size, contents.value_size) == (key_size, value_size));
        if !has_layout {
            return Err(io::Error::other("the map has another layout"));
        }
        let read: usize = contents.maps.iter().map(|map| map.keys.len() + map.values.len()).sum();
        // SAFETY: the map has keys and values of these sizes.
        let (keys, values) = unsafe { bpf::elements(fd, &shape, MOST.saturating_sub(read))? };
        let mut tell = Vec::new();
        for (key, value) in keys.chunks_exact(key_size).zip(values.chunks_exact(value_size)) {
            let is_new = generation_of(value) != 0
                && aggregation_of(key).is_some_and(|aggregation| self.told.insert(aggregation));
            if is_new || tell.is_empty() {
                tell.push(key.to_vec());
            }
        }
        (contents.key_size, contents.value_size) = (key_size, value_size);
        contents.maps.push(MapContents { id, keys, values });
        Ok(tell)
    }
}

/// Returns whether a call of this thread is being watched, in which libdtrace reads its maps.
pub(super) fn is_watching() -> bool {
    watching(|_| Some(())).is_some()
}

/// Notes that libdtrace opens a map.
pub(super) fn opens(id: u32, fd: Option<RawFd>) {
    watching(|watch| {
        watch.interrupted |= watch.current.is_some() || fd.is_none();
        watch.current = fd.map(|fd| Current { fd, id, untold: None });
        Some(())
    });
}

/// Answers in the kernel's place when libdtrace asks for a key that follows another. Returns `None` if the kernel has to
/// answer.
///
/// # Safety
/// `lookup` points to the attributes of the call, or is null.
pub(super) unsafe fn next_key(lookup: *const Lookup) -> Option<Result<(), Errno>> {
    // SAFETY: the caller guarantees it.
    let lookup = unsafe { lookup.as_ref() }?;
    let key = watching(|watch| {
        let (fd, id) = watch.current.as_ref().map(|current| (current.fd, current.id))?;
        if !watch.instead || watch.failed || i32::try_from(lookup.map) != Ok(fd) {
            return None;
        }
        if watch.current.as_ref()?.untold.is_none() {
            match watch.read(fd, id) {
                Ok(keys) => watch.current.as_mut()?.untold = Some(keys.into_iter()),
                Err(_) => {
                    watch.failed = true;
                    return None;
                }
            }
        }
        let next = watch.current.as_mut()?.untold.as_mut()?.next();
        if next.is_none() {
            watch.current = None;
        }
        Some(next)
    })?;
    let Some(key) = key else { return Some(Err(Errno::ENOENT)) };
    let Ok(place) = usize::try_from(lookup.value) else { return Some(Err(Errno::EFAULT)) };
    let place = std::ptr::with_exposed_provenance_mut::<u8>(place);
    if place.is_null() {
        return Some(Err(Errno::EFAULT));
    }
    // SAFETY: the attributes point to memory for a key of this map, and this is one.
    unsafe { place.copy_from_nonoverlapping(key.as_ptr(), key.len()) };
    Some(Ok(()))
}

/// Notes that the kernel has told libdtrace of no more keys in a map.
///
/// # Safety
/// `lookup` points to the attributes of the call, or is null.
pub(super) unsafe fn has_no_more_keys(lookup: *const Lookup) {
    // SAFETY: the caller guarantees it.
    let Some(lookup) = (unsafe { lookup.as_ref() }) else { return };
    watching(|watch| {
        watch.current.take_if(|current| i32::try_from(lookup.map) == Ok(current.fd))?;
        watch.by_libdtrace += 1;
        Some(())
    });
}

/// Calls `f` if a call of this thread is being watched.
fn watching<T>(f: impl FnOnce(&mut Watch) -> Option<T>) -> Option<T> {
    WATCH.with(|watch| f(watch.try_borrow_mut().ok()?.as_mut()?))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Watches calls such as libdtrace makes.
    fn watched(instead: bool, mut calls: impl FnMut()) -> Watched {
        // Not the descriptor of a map.
        keep_generations(0);
        AggregationMaps.watch(instead, &mut calls)
    }

    /// Asks for a key as libdtrace does. Returns whether the kernel has to answer.
    fn ask(map: RawFd) -> bool {
        let mut key = [0u8; 64];
        let lookup = Lookup::of(map, &[], &mut key);
        // SAFETY: the attributes are valid.
        let passes_on = unsafe { next_key(&raw const lookup) }.is_none();
        if passes_on {
            // SAFETY: the attributes are valid.
            unsafe { has_no_more_keys(&raw const lookup) };
        }
        passes_on
    }

    #[test]
    fn a_map_that_cannot_be_read_is_left_to_libdtrace() {
        let no_map = File::open("/dev/null").expect("a file");
        for instead in [false, true] {
            let watched = watched(instead, || {
                for id in [1, 2] {
                    opens(id, Some(no_map.as_raw_fd()));
                    assert!(ask(no_map.as_raw_fd()));
                }
            });
            assert!(matches!(watched, Watched::ByLibdtrace), "{watched:?}");
        }
    }

    #[test]
    fn a_call_that_does_not_read_the_maps_to_their_ends_is_told_from_one_that_reads_none() {
        assert!(matches!(watched(true, || {}), Watched::Nothing));
        assert!(matches!(watched(true, || opens(1, None)), Watched::Interrupted));
        assert!(matches!(watched(true, || opens(1, Some(0))), Watched::Interrupted));
        let in_the_middle = || {
            opens(1, Some(0));
            opens(2, Some(1));
        };
        assert!(matches!(watched(true, in_the_middle), Watched::Interrupted));
    }

    /// The place for each key is allocated to the byte.
    #[test]
    fn keys_are_written_to_their_last_byte_and_no_further() {
        for size in [4, 5, 24, 100] {
            let keys = [vec![1; size], vec![2; size]];
            let untold = Some(Vec::from(keys.clone()).into_iter());
            let current = Some(Current { fd: 7, id: 1, untold });
            WATCH.set(Some(Watch { instead: true, current, ..Watch::default() }));
            for key in keys {
                let mut place = vec![0; size].into_boxed_slice();
                let lookup = Box::new(Lookup::of(7, &[], &mut place));
                // SAFETY: the attributes name a place for such a key.
                let answer = unsafe { next_key(&raw const *lookup) };
                assert_eq!(answer, Some(Ok(())));
                assert_eq!(*place, *key);
            }
            let lookup = Lookup::of(7, &[], &mut []);
            // SAFETY: no key is left to write.
            assert_eq!(unsafe { next_key(&raw const lookup) }, Some(Err(Errno::ENOENT)));
            WATCH.take();
        }
    }

    #[test]
    fn nothing_is_answered_while_nobody_watches() {
        opens(1, Some(0));
        assert!(ask(0));
        // SAFETY: there are no attributes.
        assert!(unsafe { next_key(std::ptr::null()) }.is_none());
        // A file that no call has opened as a map.
        assert!(matches!(watched(true, || assert!(ask(1))), Watched::Nothing));
    }
}

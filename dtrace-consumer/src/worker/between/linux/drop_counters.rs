//! Reads the kernel's own counters of drops on each CPU.
//!
//! libdtrace's BPF programs count drops in a map, which libdtrace reads when it reads a buffer, or a moment later
//! (`known_answers`). This module reads the counts that it has not read at the end; see
//! [`crate::worker::encode::ledger`].

use std::fs;
use std::io;
use std::os::fd::RawFd;

use super::bpf;
use crate::worker::encode::ledger::CpuDrops;
use crate::worker::libdtrace::{BpfMap, own_maps};

/// `struct dt_bpf_cpuinfo` of 2.0.7: its size, and the offsets of the CPU's number and the counters, in bytes. For
/// other versions, a self-check compares them.
pub(super) const SIZE: usize = 72;
const CPU: usize = 0;
const PRINCIPAL: usize = 24;
const AGGREGATION: usize = 32;

/// Reads the counters of every CPU.
///
/// # Errors
/// The map is not found, or has an unexpected layout.
pub(in crate::worker) fn dropped_by_kernel() -> io::Result<Vec<CpuDrops>> {
    let mut maps = own_maps().into_iter().filter(has_counters);
    let counters: Vec<_> = match (maps.next(), maps.next()) {
        (Some(map), None) => possible_cpus().filter_map(|cpu| counters(map.fd, cpu)).collect(),
        _ => Vec::new(),
    };
    if counters.is_empty() {
        return Err(io::Error::other("no map has their size and layout"));
    }
    Ok(counters)
}

/// Returns the numbers that a CPU can have.
fn possible_cpus() -> std::ops::Range<u32> {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<u32>().ok());
    0..last.map_or(0, |last| last.saturating_add(1))
}

/// Returns whether a map is that of the counters.
fn has_counters(map: &BpfMap) -> bool {
    have_shape(map.kind, map.key_size, map.value_size)
}

/// Returns whether the counters are in a map of this kind, and with keys and values of these sizes.
pub(super) fn have_shape(kind: u32, key_size: usize, value_size: usize) -> bool {
    const HASH: u32 = 1;
    (kind, key_size, value_size) == (HASH, size_of::<u32>(), SIZE)
}

/// Returns the counters of a CPU; `None` if the CPU does not exist.
fn counters(map: RawFd, cpu: u32) -> Option<CpuDrops> {
    // SAFETY: the map's description gives keys of 4 bytes and values of SIZE bytes. libdtrace keeps the
    // descriptor open as long as its handle, which is closed when nothing is delivered any more.
    let value = unsafe { bpf::look_up::<SIZE>(map, cpu) }.ok()?;
    let number = |at: usize| value[at..].first_chunk().map(|b| u64::from_ne_bytes(*b));
    let own = value[CPU..].first_chunk().map(|b| u32::from_ne_bytes(*b));
    (own == Some(cpu)).then_some(CpuDrops {
        cpu,
        principal: number(PRINCIPAL)?,
        aggregation: number(AGGREGATION)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_of_counters_is_told_from_others_by_its_shape() {
        let map = BpfMap { fd: 3, kind: 1, key_size: 4, value_size: 72, entries: 2 };
        assert!(has_counters(&map));
        assert!(!has_counters(&BpfMap { value_size: 32, ..map }));
        assert!(!has_counters(&BpfMap { kind: 2, ..map }));
        assert!(!has_counters(&BpfMap { key_size: 8, ..map }));
    }
}

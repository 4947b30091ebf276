//! Reads the kernel's own counters of drops on each CPU.
//!
//! libdtrace's BPF programs count drops in a map, which libdtrace reads when it reads a buffer. This module
//! reads the counts that it has not read at the end; see [`crate::worker::encode::ledger`].

use std::fs;
use std::os::fd::RawFd;

use crate::worker::encode::ledger::CpuDrops;
use crate::worker::libdtrace::{BpfMap, own_maps};

/// `struct dt_bpf_cpuinfo` of 2.0.7, the only version that is loaded: its size, and the offsets of the CPU's
/// number and the counters, in bytes.
const SIZE: usize = 72;
const CPU: usize = 0;
const PRINCIPAL: usize = 24;
const AGGREGATION: usize = 32;

/// Reads the counters of every CPU. Returns none if the map is not found or has an unexpected layout.
pub(crate) fn dropped_by_kernel() -> Vec<CpuDrops> {
    let mut maps = own_maps().into_iter().filter(has_counters);
    match (maps.next(), maps.next()) {
        (Some(map), None) => possible_cpus().filter_map(|cpu| counters(map.fd, cpu)).collect(),
        _ => Vec::new(),
    }
}

/// Returns the numbers that a CPU can have.
fn possible_cpus() -> std::ops::Range<u32> {
    let possible = fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = possible.trim().rsplit(['-', ',']).next().and_then(|n| n.parse::<u32>().ok());
    0..last.map_or(0, |last| last.saturating_add(1))
}

/// Returns whether a map is that of the counters.
fn has_counters(map: &BpfMap) -> bool {
    const HASH: u32 = 1;
    (map.kind, map.key_size, map.value_size) == (HASH, size_of::<u32>(), SIZE)
}

/// Returns the counters of a CPU; `None` if the CPU does not exist.
fn counters(map: RawFd, cpu: u32) -> Option<CpuDrops> {
    /// The argument of `BPF_MAP_LOOKUP_ELEM`.
    #[repr(C)]
    struct Lookup {
        map: u32,
        padding: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
    let mut value = [0u8; SIZE];
    let lookup = Lookup {
        map: map.cast_unsigned(),
        padding: 0,
        key: (&raw const cpu).expose_provenance() as u64,
        value: value.as_mut_ptr().expose_provenance() as u64,
        flags: 0,
    };
    // SAFETY: the map's description gives keys of 4 bytes and values of SIZE bytes, so the kernel reads `cpu`
    // and writes to `value` within their bounds, and both outlive the call. libdtrace keeps the descriptor
    // open as long as its handle, which is never closed.
    let result = unsafe {
        libc::syscall(libc::SYS_bpf, BPF_MAP_LOOKUP_ELEM, &raw const lookup, size_of::<Lookup>())
    };
    let number = |at: usize| value[at..].first_chunk().map(|b| u64::from_ne_bytes(*b));
    let own = value[CPU..].first_chunk().map(|b| u32::from_ne_bytes(*b));
    (result == 0 && own == Some(cpu)).then_some(CpuDrops {
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

//! Reads the kernel's own counters of drops on each CPU.
//!
//! libdtrace's BPF programs count drops in a map, which libdtrace reads when it reads a buffer. This module
//! reads the counts that it has not read at the end; see [`crate::worker::encode::ledger`].

use std::fs;
use std::os::fd::RawFd;

use crate::worker::encode::ledger::CpuDrops;
use crate::worker::libdtrace::places_by_cpu;

/// `struct dt_bpf_cpuinfo` of 2.0.7, the only version that is loaded: its size, and the offsets of the CPU's
/// number and the counters, in bytes.
const SIZE: usize = 72;
const CPU: usize = 0;
const PRINCIPAL: usize = 24;
const AGGREGATION: usize = 32;

/// Reads the counters of every CPU. Returns none if the map is not found or has an unexpected layout.
pub(crate) fn dropped_by_kernel() -> Vec<CpuDrops> {
    let fds = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let mut maps = fds.filter_map(|fd| fd.file_name().to_str()?.parse().ok()).filter_map(|fd| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?;
        has_counters(&info).then_some(fd)
    });
    let cpus = 0..u32::try_from(places_by_cpu()).unwrap_or(0);
    match (maps.next(), maps.next()) {
        (Some(map), None) => cpus.filter_map(|cpu| counters(map, cpu)).collect(),
        _ => Vec::new(),
    }
}

/// Returns whether a descriptor with this `fdinfo` is the map of the counters.
fn has_counters(info: &str) -> bool {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))?;
        value.trim().parse::<usize>().ok()
    };
    const HASH: usize = 1;
    field("map_type") == Some(HASH)
        && field("key_size") == Some(size_of::<u32>())
        && field("value_size") == Some(SIZE)
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
        let info = "pos:\t0\nflags:\t02000002\nmap_type:\t1\nkey_size:\t4\nvalue_size:\t72\n\
                    max_entries:\t2\nmap_flags:\t0x0\n";
        assert!(has_counters(info));
        assert!(!has_counters(&info.replace("72", "32")));
        assert!(!has_counters(&info.replace("map_type:\t1", "map_type:\t2")));
        assert!(!has_counters("pos:\t0\nflags:\t0100000\n"));
    }
}

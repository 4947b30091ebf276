//! Which BPF maps does this process have open?

use std::fs;
use std::os::fd::RawFd;
use std::path::Path;

/// An open BPF map, as its `fdinfo` in /proc describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BpfMap {
    pub(crate) fd: RawFd,
    /// A `BPF_MAP_TYPE_`.
    pub(crate) kind: u32,
    pub(crate) key_size: usize,
    pub(crate) value_size: usize,
    pub(crate) entries: usize,
}

/// Returns the BPF maps that this process has open.
pub(crate) fn own_maps() -> Vec<BpfMap> {
    let fds = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let maps = fds.filter(|fd| {
        fs::read_link(fd.path()).is_ok_and(|to| to == Path::new("anon_inode:bpf-map"))
    });
    maps.filter_map(|fd| {
        let fd = fd.file_name().to_str()?.parse().ok()?;
        described(fd, &fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).ok()?)
    })
    .collect()
}

/// Returns the map with this `fdinfo`.
fn described(fd: RawFd, info: &str) -> Option<BpfMap> {
    let field = |name: &str| {
        let value = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t"))?;
        value.trim().parse::<u32>().ok()
    };
    let size = |name| usize::try_from(field(name)?).ok();
    Some(BpfMap {
        fd,
        kind: field("map_type")?,
        key_size: size("key_size")?,
        value_size: size("value_size")?,
        entries: size("max_entries")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_described_by_its_fdinfo_and_nothing_else_is_a_map() {
        let info = "pos:\t0\nflags:\t02000002\nmap_type:\t12\nkey_size:\t4\nvalue_size:\t8\n\
                    max_entries:\t2\nmap_flags:\t0x0\nmap_extra:\t0x0\n";
        let map = BpfMap { fd: 5, kind: 12, key_size: 4, value_size: 8, entries: 2 };
        assert_eq!(described(5, info), Some(map));
        assert_eq!(described(5, &info.replace("max_entries:\t2", "max_entries:\t-2")), None);
        assert_eq!(described(5, "pos:\t0\nflags:\t0100000\n"), None);
    }
}

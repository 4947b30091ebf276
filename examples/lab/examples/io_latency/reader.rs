//! The traced command: reads a file in pieces of different sizes.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use clap::ValueEnum;

use crate::cache;

/// Where the data of a read are when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Source {
    /// In the page cache
    Cached,
    /// On the disk only
    Disk,
}

/// The sizes of the reads, as powers of two of a byte.
const SIZES: std::ops::RangeInclusive<u32> = 9..=20;

/// Returns them.
pub(crate) fn sizes() -> impl Iterator<Item = u32> {
    SIZES.map(|bits| 1 << bits)
}

/// How long the file is: twelve times the largest read.
const LENGTH: u64 = 12 << 20;

/// Writes a file and reads from it `count` times in each size.
pub(crate) fn read(path: &Path, source: Source, count: u32) -> io::Result<()> {
    let mut file = File::options().read(true).write(true).create_new(true).open(path)?;
    // Nobody else needs it, and it is gone however this ends.
    std::fs::remove_file(path)?;
    if source == Source::Disk && cache::is_in_memory(&file)? {
        return Err(io::Error::other("the file is in memory (tmpfs): name a directory on a disk"));
    }
    let block: Vec<u8> = (0..1 << 20).map(|n: u32| (n % 251) as u8).collect();
    for _ in 0..LENGTH >> 20 {
        file.write_all(&block)?;
    }
    // The kernel drops only what it has written.
    file.sync_all()?;
    cache::read_nothing_ahead(&file)?;
    let mut buffer = vec![0; 1 << SIZES.end()];
    let mut at = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..count {
        for size in sizes().map(u64::from) {
            if source == Source::Disk {
                cache::drop_pages(&file)?;
            }
            // Marsaglia's xorshift, which is random enough to be unexpected.
            at ^= at << 13;
            at ^= at >> 7;
            at ^= at << 17;
            let piece = at % (LENGTH / size);
            file.read_exact_at(&mut buffer[..size as usize], piece * size)?;
        }
    }
    Ok(())
}

//! Extracts the addresses in a record: the frames of a stack, or the argument of `sym()` and related actions.

use super::record::Action;

/// The addresses in a record, and the process that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses<'a> {
    /// The process, or 0 for the kernel.
    pub(crate) pid: u32,
    words: &'a [u8],
    /// In a stack, the first zero ends the frames. Elsewhere zero is an ordinary address.
    stack: bool,
}

impl<'a> Addresses<'a> {
    /// Returns the frames in a record of `stack()` or `ustack()` of DTrace for Linux 2.0.7, or `None` if it
    /// is too short. The header has four u32: depth, size of the strings, whether it is a user stack, pid.
    /// The frames follow.
    pub(crate) fn of_stack(bytes: &'a [u8]) -> Option<Addresses<'a>> {
        let (header, words) = bytes.split_first_chunk::<16>()?;
        let field = |i: usize| header[i..].first_chunk().map(|b| u32::from_ne_bytes(*b));
        let pid = if field(8)? == 0 { 0 } else { field(12)? };
        Some(Addresses { pid, words, stack: true })
    }

    /// Returns the address in a record of `sym()` or a related action, or `None` for other actions and short
    /// records.
    pub(crate) fn of_symbol(action: Action, bytes: &'a [u8]) -> Option<Addresses<'a>> {
        match action {
            Action::Sym | Action::Mod => {
                Some(Addresses { pid: 0, words: bytes.get(..8)?, stack: false })
            }
            Action::USym | Action::UMod | Action::UAddr => {
                let pid = u64::from_ne_bytes(*bytes.first_chunk()?);
                Some(Addresses { pid: pid as u32, words: bytes.get(8..16)?, stack: false })
            }
            _ => None,
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.words
            .chunks_exact(8)
            .map(|w| w.first_chunk().map_or(0, |w| u64::from_ne_bytes(*w)))
            .take_while(move |address| !self.stack || *address != 0)
    }
}

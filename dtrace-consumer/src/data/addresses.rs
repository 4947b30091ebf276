//! Which addresses does a record hold: a stack's frames, or the argument of `sym()` and its kin?

use super::record::Action;

/// The addresses of a record, and the process that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses<'a> {
    /// The process, or 0 for the kernel.
    pub(crate) pid: u32,
    words: &'a [u8],
    /// In a stack the first zero ends the frames; elsewhere zero is an address like any other.
    stack: bool,
}

impl<'a> Addresses<'a> {
    /// The frames in a record of `stack()` or `ustack()` of DTrace for Linux 2.0.7: u32 depth, u32 size
    /// of strings, u32 whether it is a user's, u32 pid; then the frames. `None` if it is too short.
    pub(crate) fn of_stack(bytes: &'a [u8]) -> Option<Addresses<'a>> {
        let (header, words) = bytes.split_first_chunk::<16>()?;
        let field = |i: usize| header[i..].first_chunk().map(|b| u32::from_ne_bytes(*b));
        let pid = if field(8)? == 0 { 0 } else { field(12)? };
        Some(Addresses { pid, words, stack: true })
    }

    /// The address in a record of `sym()` and its kin; `None` of other actions and shorter records.
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

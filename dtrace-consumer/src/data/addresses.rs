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
    /// Returns the frames in a record of `stack()` or `ustack()`, or `None` if it is too short. `argument` is that of its
    /// action: on FreeBSD, macOS and illumos the number of frames, with other numbers above it; 0 on Linux.
    pub(crate) fn of_stack(
        action: Action,
        argument: u64,
        bytes: &'a [u8],
    ) -> Option<Addresses<'a>> {
        match (action, (argument as u32) as usize) {
            (_, 0) => Addresses::behind_header(bytes),
            (Action::UStack, depth) => {
                let (pid, rest) = bytes.split_first_chunk()?;
                let pid = u64::from_ne_bytes(*pid) as u32;
                // Strings may follow.
                Some(Addresses { pid, words: rest.get(..depth.checked_mul(8)?)?, stack: true })
            }
            (_, depth) => {
                Some(Addresses { pid: 0, words: bytes.get(..depth.checked_mul(8)?)?, stack: true })
            }
        }
    }

    /// Returns the frames of a record of DTrace for Linux 2.0.7. The header has four u32: depth, size of the strings,
    /// whether it is a user stack, pid. The frames follow.
    fn behind_header(bytes: &'a [u8]) -> Option<Addresses<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    fn found(action: Action, argument: u64, bytes: &[u8]) -> Option<(u32, Vec<u64>)> {
        let found = Addresses::of_stack(action, argument, bytes)?;
        Some((found.pid, found.iter().collect()))
    }

    #[test]
    fn stacks_are_told_apart_by_the_argument_of_their_action() {
        let header: Vec<u8> = [3u32, 0, 1, 7].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let of_linux = [header, record(&[0x10, 0x20, 0])].concat();
        assert_eq!(found(Action::UStack, 0, &of_linux), Some((7, vec![0x10, 0x20])));
        let of_user = record(&[7, 0x10, 0x20, 0]);
        assert_eq!(found(Action::UStack, 3, &of_user), Some((7, vec![0x10, 0x20])));
        // Here a table of strings takes the place of what is no frame.
        let with_strings = (8 << 32) | 2;
        let strings = record(&[7, 0x10, 0x20, 0x30]);
        assert_eq!(found(Action::UStack, with_strings, &strings), Some((7, vec![0x10, 0x20])));
        assert_eq!(found(Action::Stack, 2, &record(&[0x10, 0x20])), Some((0, vec![0x10, 0x20])));
    }

    #[test]
    fn a_stack_that_is_shorter_than_its_depth_is_none() {
        for argument in [3, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(found(Action::Stack, argument, &record(&[1, 2])), None);
            assert_eq!(found(Action::UStack, argument, &record(&[7, 1, 2])), None);
        }
        assert_eq!(found(Action::UStack, 1, &[0; 7]), None);
        assert_eq!(found(Action::Stack, 0, &[0; 15]), None);
    }
}

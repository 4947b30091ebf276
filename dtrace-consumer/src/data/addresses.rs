//! Extracts the addresses in a record: the frames of a stack, or the argument of `sym()` and related actions.

use super::record::Action;

/// The addresses in a record, and the process that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addresses<'a> {
    /// The process, or 0 for the kernel.
    pub(crate) pid: u32,
    words: &'a [u8],
    /// How many frames there are at most.
    most: usize,
    /// In a stack, the first zero ends the frames. Elsewhere zero is an ordinary address.
    stack: bool,
}

/// What the record of a stack has besides its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StackForm {
    /// DTrace for Linux 2.0.7: before them four u32: depth, size of the strings, whether it is a user stack, pid.
    WithHeader,
    /// Elsewhere, a stack of the kernel: nothing.
    Bare,
    /// Elsewhere, a stack of a process: before them its number, and behind so many of them their names, if any.
    WithProcess(u32),
}

impl<'a> Addresses<'a> {
    /// Returns the frames in a record of `stack()`, `ustack()` or `jstack()`, or `None` if it is too short.
    pub(crate) fn of_stack(bytes: &'a [u8], form: StackForm) -> Option<Addresses<'a>> {
        let frames = |pid, words, most| Addresses { pid, words, most, stack: true };
        Some(match form {
            StackForm::WithHeader => {
                let (header, words) = bytes.split_first_chunk::<16>()?;
                let field = |i: usize| header[i..].first_chunk().map(|b| u32::from_ne_bytes(*b));
                frames(if field(8)? == 0 { 0 } else { field(12)? }, words, usize::MAX)
            }
            StackForm::Bare => frames(0, bytes, usize::MAX),
            StackForm::WithProcess(number) => {
                let (pid, words) = bytes.split_first_chunk()?;
                frames(u64::from_ne_bytes(*pid) as u32, words, number as usize)
            }
        })
    }

    /// Returns the address in a record of `sym()` or a related action, or `None` for other actions and short
    /// records.
    pub(crate) fn of_symbol(action: Action, bytes: &'a [u8]) -> Option<Addresses<'a>> {
        match action {
            Action::Sym | Action::Mod => {
                Some(Addresses { pid: 0, words: bytes.get(..8)?, most: 1, stack: false })
            }
            Action::USym | Action::UMod | Action::UAddr => {
                let pid = u64::from_ne_bytes(*bytes.first_chunk()?);
                Some(Addresses { pid: pid as u32, words: bytes.get(8..16)?, most: 1, stack: false })
            }
            _ => None,
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = u64> + 'a {
        self.words
            .chunks_exact(8)
            .take(self.most)
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

    fn found(form: StackForm, bytes: &[u8]) -> Option<(u32, Vec<u64>)> {
        let found = Addresses::of_stack(bytes, form)?;
        Some((found.pid, found.iter().collect()))
    }

    #[test]
    fn a_stack_has_the_frames_of_its_form() {
        let header: Vec<u8> = [3u32, 0, 1, 7].iter().flat_map(|word| word.to_ne_bytes()).collect();
        let of_linux = [header, record(&[0x10, 0x20, 0])].concat();
        assert_eq!(found(StackForm::WithHeader, &of_linux), Some((7, vec![0x10, 0x20])));
        let of_user = record(&[7, 0x10, 0x20, 0]);
        assert_eq!(found(StackForm::WithProcess(3), &of_user), Some((7, vec![0x10, 0x20])));
        // Here a table of strings takes the place of what is no frame.
        let strings = record(&[7, 0x10, 0x20, 0x30]);
        assert_eq!(found(StackForm::WithProcess(2), &strings), Some((7, vec![0x10, 0x20])));
        assert_eq!(found(StackForm::Bare, &record(&[0x10, 0x20])), Some((0, vec![0x10, 0x20])));
    }

    #[test]
    fn a_stack_that_is_too_short_for_what_precedes_its_frames_is_none() {
        assert_eq!(found(StackForm::WithProcess(1), &[0; 7]), None);
        assert_eq!(found(StackForm::WithHeader, &[0; 15]), None);
    }
}

//! Which names does libdtrace's text lack, and how do they get there?
//!
//! libdtrace looks up the functions of a key when it prints the key. If the process has ended by then, it prints
//! addresses. The worker has looked up most of them before that; see `CatchUp`.

use std::collections::HashMap;

use super::printed::Printed;

/// The names of addresses in processes.
#[derive(Default)]
pub(super) struct Names {
    /// `None`: two processes have different functions there, or the function of one is not known.
    by_address: HashMap<u64, Option<Box<str>>>,
}

/// How libdtrace writes an address without a name.
const HEX: &[u8] = b"0x";

impl Names {
    /// Adds the text that libdtrace made of an address.
    pub(super) fn add(&mut self, address: u64, name: &str) {
        if name.starts_with("0x") {
            // Another process may have a function of its own there.
            self.by_address.insert(address, None);
            return;
        }
        let known = self.by_address.entry(address).or_insert_with(|| Some(name.into()));
        if known.as_deref() != Some(name) {
            *known = None;
        }
    }

    /// Returns whether a text may contain an address with a name.
    pub(super) fn may_apply_to(&self, text: &[u8]) -> bool {
        self.replaced(text, |_| true).is_some()
    }

    /// Replaces addresses of functions by names in what libdtrace has printed of aggregations. Returns `None` if
    /// there is nothing to replace.
    pub(super) fn applied_to(&self, text: &[u8], printed: &Printed) -> Option<Vec<u8>> {
        self.replaced(text, |address| printed.is_function(address))
    }

    /// Replaces the addresses that `is_function` accepts.
    ///
    /// Keeps the columns: a longer name takes the place of the spaces behind the address, except the last one.
    fn replaced(&self, text: &[u8], is_function: impl Fn(u64) -> bool) -> Option<Vec<u8>> {
        let mut replaced = Vec::new();
        let mut rest = text;
        while let Some(at) = find_word(rest) {
            let (before, word) = rest.split_at(at);
            let length = word.iter().position(u8::is_ascii_whitespace).unwrap_or(word.len());
            let (word, after) = word.split_at(length);
            replaced.extend_from_slice(before);
            rest = after;
            let Some(name) = self.name_of(word, &is_function) else {
                replaced.extend_from_slice(word);
                continue;
            };
            replaced.extend_from_slice(name.as_bytes());
            let spaces = after.iter().take_while(|byte| **byte == b' ').count();
            let longer = name.len().saturating_sub(word.len()).min(spaces.saturating_sub(1));
            rest = &after[longer..];
            // Spaces behind an address fill a column. Without any, the line ends here.
            if spaces > 1 {
                let shorter = word.len().saturating_sub(name.len());
                replaced.resize(replaced.len() + shorter, b' ');
            }
        }
        let changed = !replaced.is_empty() && text.get(..replaced.len()) != Some(&replaced[..]);
        replaced.extend_from_slice(rest);
        (changed || replaced.len() != text.len()).then_some(replaced)
    }

    fn name_of(&self, word: &[u8], is_function: impl Fn(u64) -> bool) -> Option<&str> {
        let digits = word.strip_prefix(HEX).filter(|it| it.iter().all(u8::is_ascii_hexdigit))?;
        let digits = std::str::from_utf8(digits).ok()?;
        let address = u64::from_str_radix(digits, 16).ok()?;
        self.by_address.get(&address)?.as_deref().filter(|_| is_function(address))
    }
}

/// Returns where the next word starts that may be an address.
fn find_word(text: &[u8]) -> Option<usize> {
    let starts = |at: &usize| {
        text[*at..].starts_with(HEX) && (*at == 0 || text[at - 1].is_ascii_whitespace())
    };
    (0..text.len()).find(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(text: &str) -> String {
        let mut names = Names::default();
        names.add(0x10, "libc.so.6`getppid+0x7");
        names.add(0x7fff_ffff_f000, "a`b");
        names.add(0x30, "one`f");
        names.add(0x30, "other`g");
        names.add(0x40, "0x40");
        names.add(0x50, "one`f");
        names.add(0x50, "0x50");
        names.add(0x51, "0x51");
        names.add(0x51, "one`f");
        names.add(0x60, "one`f");
        let applied = names.replaced(text.as_bytes(), |address| address != 0x60);
        let applied = applied.map(|bytes| String::from_utf8(bytes).expect("it was text"));
        applied.unwrap_or_else(|| "unchanged".to_owned())
    }

    #[test]
    fn frames_of_a_stack_get_names() {
        assert_eq!(
            applied("\n      0x10\n      a`g+0x10\n      0x20\n        2\n"),
            "\n      libc.so.6`getppid+0x7\n      a`g+0x10\n      0x20\n        2\n"
        );
        assert_eq!(applied("0x10"), "libc.so.6`getppid+0x7");
    }

    #[test]
    fn columns_keep_their_width() {
        assert_eq!(applied("  0x10                        2"), "  libc.so.6`getppid+0x7       2");
        assert_eq!(applied("  0x7ffffffff000   2"), "  a`b              2");
        assert_eq!(applied("  0x10  2"), "  libc.so.6`getppid+0x7 2");
    }

    #[test]
    fn nothing_else_is_replaced() {
        for text in
            ["", "\n", "0x", "  0x20\n", "16 10\n", "x0x10\n", "0x10z\n", "0x+10\n", "0x40\n"]
        {
            assert_eq!(applied(text), "unchanged", "{text:?}");
        }
    }

    #[test]
    fn an_address_with_two_names_stays() {
        assert_eq!(applied("  0x30\n"), "unchanged");
    }

    #[test]
    fn an_address_without_a_name_in_one_process_gets_none_from_another() {
        assert_eq!(applied("  0x50\n"), "unchanged");
        assert_eq!(applied("  0x51\n"), "unchanged");
    }

    #[test]
    fn what_is_no_function_stays() {
        assert_eq!(applied("  0x60\n"), "unchanged");
    }
}

//! Under which names do processes, users, addresses, paths and hosts appear in an anonymised recording?
//!
//! Names are numbered in the order in which they appear. The same input therefore has the same output.

use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use crate::decode::kept::PLACE;

/// How often each kind of name was replaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Replaced {
    /// Numbers of processes and threads.
    pub processes: u64,
    /// Numbers of users and groups.
    pub users: u64,
    /// Addresses of code.
    pub addresses: u64,
    /// Paths of files.
    pub paths: u64,
    /// Addresses of hosts.
    pub hosts: u64,
    /// Words that the caller wants hidden.
    pub hidden: u64,
    /// Records of memory, which are zero now.
    pub memory: u64,
    /// Scripts, commands, output and reports, which are left out.
    pub texts: u64,
}

/// The names that were given.
#[derive(Debug, Default)]
pub(super) struct Renamed {
    pub(super) replaced: Replaced,
    hidden: Vec<Vec<u8>>,
    processes: HashMap<u64, u64>,
    users: HashMap<u64, u64>,
    addresses: HashMap<u64, u64>,
    paths: HashMap<Vec<u8>, u64>,
    hosts: HashMap<Vec<u8>, u64>,
    /// The size of all paths and hosts, in bytes.
    texts: usize,
}

/// Space between two addresses.
const PAGE: u64 = 0x1000;

impl Renamed {
    /// Hides `words`, besides everything else.
    pub(super) fn hiding(words: &[String]) -> Renamed {
        let words = words.iter().filter(|word| !word.is_empty());
        let mut hidden: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
        // The longer of two words that begin alike is meant.
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        Renamed { hidden, ..Renamed::default() }
    }

    /// Returns the approximate memory that the names take, in bytes.
    pub(super) fn held(&self) -> usize {
        let numbers = self.processes.len() + self.users.len() + self.addresses.len();
        PLACE * (numbers + self.paths.len() + self.hosts.len()) + self.texts
    }

    /// Renames a process or thread. 0 is the kernel's.
    pub(super) fn process(&mut self, pid: u64) -> u64 {
        self.replaced.processes += u64::from(pid != 0);
        number(&mut self.processes, pid)
    }

    /// Renames a user or group. 0 is root.
    pub(super) fn user(&mut self, uid: u64) -> u64 {
        self.replaced.users += u64::from(uid != 0);
        number(&mut self.users, uid)
    }

    pub(super) fn address(&mut self, address: u64) -> u64 {
        self.replaced.addresses += u64::from(address != 0);
        PAGE * number(&mut self.addresses, address)
    }

    /// Renames what is private in a text.
    pub(super) fn text(&mut self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    /// Renames what is private in a text that may not be UTF-8.
    pub(super) fn bytes(&mut self, text: &[u8]) -> Vec<u8> {
        let text = self.hide(text);
        let mut renamed = Vec::with_capacity(text.len());
        let mut rest = &text[..];
        while let Some(first) = rest.first() {
            let is_in_word = is_word(*first);
            let end = rest.iter().position(|b| is_word(*b) != is_in_word).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            rest = after;
            if is_in_word {
                self.word(word, &mut renamed);
            } else {
                renamed.extend_from_slice(word);
            }
        }
        renamed
    }

    /// Hides words in a text that has no other private names, such as the name of a probe.
    pub(super) fn without_hidden(&mut self, text: &str) -> String {
        String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned()
    }

    fn hide(&mut self, text: &[u8]) -> Vec<u8> {
        let mut renamed = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((first, after)) = rest.split_first() {
            match self.hidden.iter().position(|word| rest.starts_with(word)) {
                Some(n) => {
                    self.replaced.hidden += 1;
                    renamed.extend_from_slice(format!("hidden{}", n + 1).as_bytes());
                    rest = &rest[self.hidden[n].len()..];
                }
                None => {
                    renamed.push(*first);
                    rest = after;
                }
            }
        }
        renamed
    }

    fn word(&mut self, word: &[u8], renamed: &mut Vec<u8>) {
        // A full stop or colon may end a sentence.
        let bare = word.trim_ascii_end();
        let length = bare.iter().rposition(|b| !matches!(b, b'.' | b':')).map_or(0, |at| at + 1);
        let (bare, end) = word.split_at(length);
        if bare.len() > 1 && bare.contains(&b'/') {
            self.replaced.paths += 1;
            let n = name(&mut self.paths, bare, &mut self.texts);
            let root = if bare[0] == b'/' { "/" } else { "" };
            renamed.extend_from_slice(format!("{root}path{n}").as_bytes());
        } else if is_host(bare) {
            self.replaced.hosts += 1;
            let n = name(&mut self.hosts, bare, &mut self.texts);
            renamed.extend_from_slice(format!("host{n}").as_bytes());
        } else {
            renamed.extend_from_slice(bare);
        }
        renamed.extend_from_slice(end);
    }
}

/// Returns the number of a name, from 1. An empty one has 0.
fn number<K: Hash + Eq + Default>(names: &mut HashMap<K, u64>, name: K) -> u64 {
    if name == K::default() {
        return 0;
    }
    let next = names.len() as u64 + 1;
    *names.entry(name).or_insert(next)
}

/// Returns the number of a path or host, and adds its size to `size` if it is new.
fn name(names: &mut HashMap<Vec<u8>, u64>, name: &[u8], size: &mut usize) -> u64 {
    let known = names.len();
    let n = number(names, name.to_vec());
    *size += if names.len() > known { name.len() } else { 0 };
    n
}

/// Whether a byte may be part of a path, or of a host's address.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"/._-+@%~:".contains(&byte)
}

/// Returns whether a word is the address of a host: IPv4 or IPv6, with a port or without.
fn is_host(word: &[u8]) -> bool {
    let Ok(word) = std::str::from_utf8(word) else { return false };
    let is_address = |word: &str| word.parse::<std::net::IpAddr>().is_ok();
    // `::` alone names no host, and is common in D.
    word.len() > 2
        && (is_address(word)
            || word
                .rsplit_once(':')
                .is_some_and(|(host, _)| host.contains('.') && is_address(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_renamed_alike_and_others_otherwise() {
        let mut renamed = Renamed::hiding(&["alice".to_owned(), "ali".to_owned()]);
        for (text, expected) in [
            ("/home/bob/x", "/path1"),
            ("open /etc/passwd: 3", "open /path2: 3"),
            ("\"/home/bob/x\", O_RDONLY", "\"/path1\", O_RDONLY"),
            ("src/main.rs.", "path3."),
            ("10.0.0.1:80 to fe80::1, 10.0.0.1", "host1 to host2, host3"),
            ("alice and ali", "hidden1 and hidden2"),
            ("syscall::read:entry", "syscall::read:entry"),
            ("libc.so.6`malloc+0x1f", "libc.so.6`malloc+0x1f"),
            ("/", "/"),
            ("7 of 9", "7 of 9"),
            ("", ""),
        ] {
            assert_eq!(renamed.text(text), expected);
        }
        assert_eq!((renamed.process(0), renamed.process(77), renamed.process(5)), (0, 1, 2));
        assert_eq!((renamed.process(77), renamed.user(77)), (1, 1));
        assert_eq!((renamed.address(9), renamed.address(0), renamed.address(9)), (PAGE, 0, PAGE));
        let Replaced { processes, users, addresses, paths, hosts, hidden, .. } = renamed.replaced;
        assert_eq!([processes, users, addresses, paths, hosts, hidden], [3, 1, 2, 4, 3, 2]);
    }
}

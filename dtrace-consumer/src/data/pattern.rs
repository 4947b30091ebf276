//! Does a probe match a probe description of D?

/// A probe description: `provider:module:function:name`, whose parts may be patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbePattern {
    /// An empty part matches anything.
    parts: [String; 4],
}

impl ProbePattern {
    /// Parses a description; fewer than four parts are the last ones. `None` if there are more than four.
    pub(crate) fn parse(text: &str) -> Option<ProbePattern> {
        let mut parts: [String; 4] = Default::default();
        let mut places = parts.iter_mut().rev();
        for part in text.trim().rsplit(':') {
            // The process is known only at run time, and may be none of the consumer's.
            *places.next()? = part.trim().replace("$target", "*");
        }
        Some(ProbePattern { parts })
    }

    /// Returns whether a probe with these parts matches.
    pub(crate) fn matches(&self, probe: [&str; 4]) -> bool {
        self.pairs(probe).all(|(pattern, part)| {
            pattern.is_empty() || pattern == part || (is_glob(pattern) && glob(pattern, part))
        })
    }

    /// Returns whether a probe may match both this pattern and the description of a clause.
    pub(crate) fn may_meet(&self, description: [&str; 4]) -> bool {
        self.pairs(description).all(|(one, other)| {
            // A macro variable such as `$target` stands for something that is not known here.
            let any = one.is_empty() || other.is_empty() || other.contains('$');
            any || match (is_glob(one), is_glob(other)) {
                (true, true) => true,
                (false, true) => glob(other, one),
                _ => glob(one, other),
            }
        })
    }

    fn pairs<'p>(&'p self, parts: [&'p str; 4]) -> impl Iterator<Item = (&'p str, &'p str)> {
        self.parts.iter().map(String::as_str).zip(parts)
    }
}

fn is_glob(part: &str) -> bool {
    part.contains(['*', '?', '[', '\\'])
}

/// Returns whether a text matches a pattern of the shell, as libdtrace understands it: `*`, `?`, `[a-z]`,
/// `[!a-z]`, and a backslash before a character that is meant literally.
fn glob(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on if the text does not match: after the last star, which then takes one character more.
    let mut retry = None;
    loop {
        if pattern.get(p) == Some(&'*') {
            p += 1;
            retry = Some((p, t));
            continue;
        }
        let matched = match text.get(t) {
            None if p == pattern.len() => return true,
            None => return false,
            Some(c) => one(&pattern[p..], *c),
        };
        if let Some(length) = matched {
            (p, t) = (p + length, t + 1);
        } else if let Some((after, from)) = retry {
            (p, t) = (after, from + 1);
            retry = Some((p, t));
        } else {
            return false;
        }
    }
}

/// Returns the length of the pattern's first element if it matches the character.
fn one(pattern: &[char], c: char) -> Option<usize> {
    match *pattern {
        ['?', ..] => Some(1),
        ['\\', literal, ..] => (literal == c).then_some(2),
        ['[', ref set @ ..] => {
            let (negated, set) = match set {
                ['!', rest @ ..] => (true, rest),
                set => (false, set),
            };
            // A bracket right at the start is a member.
            let end = 1 + set.get(1..)?.iter().position(|c| *c == ']')?;
            let length = 1 + usize::from(negated) + end + 1;
            (contains(&set[..end], c) != negated).then_some(length)
        }
        [literal, ..] => (literal == c).then_some(1),
        [] => None,
    }
}

fn contains(mut set: &[char], c: char) -> bool {
    while let [first, rest @ ..] = set {
        let (last, rest) = match rest {
            ['-', last, rest @ ..] => (last, rest),
            rest => (first, rest),
        };
        if (*first..=*last).contains(&c) {
            return true;
        }
        set = rest;
    }
    false
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> [&str; 4] {
        text.split(':').collect::<Vec<_>>().try_into().unwrap()
    }

    fn matches(pattern: &str, probe: &str) -> bool {
        ProbePattern::parse(pattern).unwrap().matches(parts(probe))
    }

    #[test]
    fn parts_that_are_left_out_or_empty_match_anything() {
        let openat = "syscall:vmlinux:openat:entry";
        for pattern in ["", "entry", "openat:entry", "syscall:::", "syscall::openat:entry", ":::"] {
            assert!(matches(pattern, openat), "{pattern}");
        }
        for pattern in ["return", "open:entry", "fbt:::", "syscall:::return", "Entry"] {
            assert!(!matches(pattern, openat), "{pattern}");
        }
        assert_eq!(ProbePattern::parse("a:b:c:d:e"), None);
    }

    #[test]
    fn parts_may_be_patterns_of_the_shell() {
        let openat = "syscall:vmlinux:openat:entry";
        for pattern in
            ["open*:", "*:entry", "?penat:", "*a*:e*y", "[no-p]pen*:", "[!a]*:", "op\\enat:"]
        {
            assert!(matches(pattern, openat), "{pattern}");
        }
        for pattern in ["open?:", "[!o]*:", "*b:", "[o:", "[]:", "openat?:", "\\*:"] {
            assert!(!matches(pattern, openat), "{pattern}");
        }
        assert!(matches("pid$target:::entry", "pid42:a.out:main:entry"));
        assert!(!matches("pid$target:::entry", "syscall::main:entry"));
    }

    #[test]
    fn a_pattern_may_meet_a_description_unless_a_part_excludes_it() {
        let meets = |a: &str, b: &str| ProbePattern::parse(a).unwrap().may_meet(parts(b));
        assert!(meets("syscall::openat:entry", "syscall:::"));
        assert!(meets("syscall::openat:entry", "syscall::open*:entry"));
        assert!(meets("open*:", "syscall::*at:entry"));
        assert!(meets("pid1234:::entry", "pid$target:a.out::entry"));
        assert!(!meets("syscall::opneat:entry", "syscall::open*:entry"));
        assert!(!meets("syscall::openat:entry", "syscall::openat:return"));
    }

    proptest! {
        #[test]
        fn any_pattern_and_name_can_be_compared(pattern in "[a*?!:\\[\\]\\\\-]{0,12}", part in "[ab-]{0,6}") {
            let probe = [&*part, "", &part, &part];
            if let Some(pattern) = ProbePattern::parse(&pattern) {
                prop_assert!(!pattern.matches(probe) || pattern.may_meet(probe));
            }
            // A name matches itself.
            if !part.is_empty() {
                prop_assert!(glob(&part, &part));
            }
        }
    }
}

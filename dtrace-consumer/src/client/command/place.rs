//! Where is a command held until tracing is on?

use crate::data::script::Script;

/// The place where a command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Before its first instruction.
    Exec,
    /// At the entry point of its program, after the loader and the initialisers of its libraries.
    Entry,
    /// At its `main`, after the program's own initialisers; at its entry point if `main` is not found.
    Main,
}

/// Returns where to hold a command for the probes that the scripts may have in it: on its functions
/// (`pid$target:…`), or those that it defines itself (`myapp$target:…`). This only inspects the text. If it
/// is wrong, libdtrace attaches to the command needlessly.
pub(crate) fn where_to_hold(scripts: &[Script]) -> Hold {
    let mut hold = Hold::Exec;
    for script in scripts {
        let text = String::from_utf8_lossy(&script.text);
        for (at, target) in text.match_indices("$target") {
            if text[at + target.len()..].trim_start().starts_with(':') {
                let is_name = |c: char| c.is_ascii_alphanumeric() || "_-*?[]".contains(c);
                let before = &text[..at];
                let provider = &before[before.trim_end_matches(is_name).len()..];
                if provider != "pid" {
                    return Hold::Main;
                }
                hold = Hold::Entry;
            }
        }
    }
    hold
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_held_where_its_own_probes_can_be_found() {
        for (text, expected) in [
            ("pid$target:a.out:main:entry", Hold::Entry),
            ("BEGIN{}\nmyapp$target :::request {}", Hold::Main),
            ("pid$target:::entry,*$target:::request {}", Hold::Main),
            ("syscall:::entry /pid == $target/ {}", Hold::Exec),
            ("BEGIN { trace($target); }", Hold::Exec),
            ("", Hold::Exec),
        ] {
            assert_eq!(where_to_hold(&[Script::new(text)]), expected, "{text}");
        }
    }
}

//! Where is a command held until tracing is on?

use crate::data::script::Script;

/// Where a command is held, and whether libdtrace attaches to it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Hold,
    pub(crate) attach: bool,
}

impl Place {
    /// Returns the place of the command to trace.
    pub(crate) fn of_target(scripts: &[Script]) -> Place {
        let at = where_to_hold(scripts);
        Place { at, attach: at != Hold::Exec }
    }

    /// Returns the place of a created process: where libdtrace's option `evaltime` says, or at the place of
    /// the target if it `is_target` and that is later.
    pub(crate) fn of_created(
        scripts: &[Script],
        options: &[(String, Option<String>)],
        is_target: bool,
    ) -> Place {
        let set = options.iter().rev().find(|(name, _)| name == "evaltime");
        let at = match set.and_then(|(_, value)| value.as_deref()) {
            Some("exec") => Hold::Exec,
            Some("preinit" | "postinit") => Hold::Entry,
            _ => Hold::Main,
        };
        let target = if is_target { Place::of_target(scripts) } else { Place::of_target(&[]) };
        Place { at: at.max(target.at), attach: target.attach }
    }
}

/// The place where a command is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
fn where_to_hold(scripts: &[Script]) -> Hold {
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

    #[test]
    fn a_created_process_is_held_where_evaltime_says_or_later() {
        let scripts = [Script::new("pid$target:a.out:main:entry")];
        let set = |value: &str| vec![("evaltime".to_owned(), Some(value.to_owned()))];
        let at = |options: &[(String, Option<String>)], is_target| {
            let place = Place::of_created(&scripts, options, is_target);
            (place.at, place.attach)
        };
        assert_eq!(at(&[], true), (Hold::Main, true));
        assert_eq!(at(&[], false), (Hold::Main, false));
        assert_eq!(at(&set("exec"), true), (Hold::Entry, true));
        assert_eq!(at(&set("exec"), false), (Hold::Exec, false));
        assert_eq!(at(&set("postinit"), false), (Hold::Entry, false));
    }
}

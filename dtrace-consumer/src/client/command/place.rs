//! Where is a command held until tracing is on?

use crate::data::probe::Probe;
use crate::data::script::{Directives, Script, Specifier, code_of};

/// Where a command is held, and whether libdtrace attaches to it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Hold,
    pub(crate) attach: bool,
}

impl Place {
    /// Returns the place of the command to trace, whose probes need it to be held at `at`.
    pub(crate) fn of_target(at: Hold) -> Place {
        Place { at, attach: at != Hold::Exec }
    }

    /// Returns the place of a created process: where libdtrace's option `evaltime` says, or at the place of
    /// the target if it is that and that is later.
    pub(crate) fn of_created(options: &[(String, Option<String>)], target: Option<Hold>) -> Place {
        let set = options.iter().rev().find(|(name, _)| name == "evaltime");
        let at = match set.and_then(|(_, value)| value.as_deref()) {
            Some("exec") => Hold::Exec,
            Some("preinit" | "postinit") => Hold::Entry,
            _ => Hold::Main,
        };
        let target = Place::of_target(target.unwrap_or(Hold::Exec));
        Place { at: at.max(target.at), attach: target.attach }
    }
}

/// The place where a command is held. A later one suits more probes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    /// Before its first instruction.
    #[default]
    Exec,
    /// At the entry point of its program, after the loader and the initialisers of its libraries.
    Entry,
    /// At its `main`, after the program's own initialisers; at its entry point if `main` is not found.
    Main,
}

impl Hold {
    /// Returns where a command must be for probes of a provider: on its functions (`pid$target`), or those that
    /// it defines itself (`myapp$target`). The name is given without the process.
    fn of_provider(name: &str) -> Hold {
        if name == "pid" { Hold::Entry } else { Hold::Main }
    }
}

/// Returns where to hold a command for the probes that the scripts seem to have in it. This only inspects the
/// text. If that mentions too much, libdtrace attaches to the command needlessly. What it does not mention,
/// [`needed_by_probe`] and [`needed_by_message`] find.
pub(crate) fn where_to_hold(scripts: &[Script], preprocessed: bool) -> Hold {
    let places = scripts.iter().flat_map(|script| mentioned(script, preprocessed));
    places.max().unwrap_or(Hold::Exec)
}

fn mentioned(script: &Script, preprocessed: bool) -> Vec<Hold> {
    const TARGET: &str = "$target";
    let directives = if preprocessed { Directives::Keep } else { Directives::Remove };
    let code = code_of(&String::from_utf8_lossy(&script.text), directives);
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_-*?[]".contains(c);
    let mut places = Vec::new();
    for (at, target) in code.match_indices(TARGET) {
        let before = code[..at].trim_end_matches('$');
        let after = &code[at + target.len()..];
        let provider = &before[before.trim_end_matches(is_name).len()..];
        let is_whole = !after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let is_alone = script.specifier == Some(Specifier::Provider)
            && before.trim_start().len() == provider.len();
        // A macro may stand for the name of a provider alone.
        let is_macro = preprocessed && !provider.is_empty();
        if is_whole && (after.trim_start().starts_with(':') || is_alone || is_macro) {
            places.push(Hold::of_provider(provider));
        }
    }
    places
}

/// Returns where a command must be held for a clause that libdtrace has compiled, if that has probes in it.
pub(crate) fn needed_by_probe(clause: &Probe, pid: i32) -> Option<Hold> {
    clause
        .provider
        .strip_suffix(&pid.to_string())
        .filter(|name| is_provider(name))
        .map(Hold::of_provider)
}

/// Returns where a command must be held for a clause that libdtrace did not compile, according to its message:
/// `probe description pid42:::entry does not match any probes`, `failed to grab process 42`.
pub(crate) fn needed_by_message(message: &str, pid: i32) -> Option<Hold> {
    let pid = pid.to_string();
    let mut words = message.split(|c: char| !c.is_ascii_alphanumeric() && !"_-*?[]".contains(c));
    let name = words.find_map(|word| word.strip_suffix(&pid).filter(|name| is_provider(name)))?;
    // A bare number is that of the process.
    Some(if name.is_empty() { Hold::Entry } else { Hold::of_provider(name) })
}

/// Returns whether a text can be the name of a provider before the process, and not the beginning of a number.
fn is_provider(name: &str) -> bool {
    !name.ends_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_held_where_its_own_probes_can_be_found() {
        for (text, expected) in [
            ("pid$target:a.out:main:entry", Hold::Entry),
            ("pid$$target:a.out:main:entry", Hold::Entry),
            ("BEGIN{}\nmyapp$target :::request {}", Hold::Main),
            ("pid$target:::entry,*$target:::request {}", Hold::Main),
            ("pid$target/* */:::entry {}", Hold::Entry),
            ("syscall:::entry /pid == $target/ {}", Hold::Exec),
            ("BEGIN { trace($target); }", Hold::Exec),
            ("BEGIN { trace(\"pid$target:\"); } /* pid$target:::entry */", Hold::Exec),
            ("BEGIN { trace(x ? $targets : 1); }", Hold::Exec),
            ("#define T pid$target\n", Hold::Exec),
            ("", Hold::Exec),
        ] {
            assert_eq!(where_to_hold(&[Script::new(text)], false), expected, "{text}");
        }
    }

    #[test]
    fn a_provider_alone_is_a_description_and_so_is_what_a_macro_stands_for() {
        let provider = |text| Script { specifier: Some(Specifier::Provider), ..Script::new(text) };
        assert_eq!(where_to_hold(&[provider("pid$target")], false), Hold::Entry);
        assert_eq!(where_to_hold(&[provider(" shop$target /pid/ {}")], false), Hold::Main);
        let predicate = provider("syscall /pid == $target/ {}");
        assert_eq!(where_to_hold(&[predicate], false), Hold::Exec);
        let macros = Script::new("#define T pid$target\nT:::entry /pid == $target/ {}");
        assert_eq!(where_to_hold(&[macros], true), Hold::Entry);
    }

    #[test]
    fn what_libdtrace_compiled_or_refused_tells_which_probes_are_in_the_command() {
        for (message, expected) in [
            (
                "probe description pid42:a.out:main:entry does not match any probes",
                Some(Hold::Entry),
            ),
            ("probe description shop42:::sale does not match any probes", Some(Hold::Main)),
            ("failed to grab process 42", Some(Hold::Entry)),
            ("probe description pid142:::entry does not match any probes", None),
            ("probe description pid421:::entry does not match any probes", None),
            ("syntax error near \"x\"", None),
        ] {
            assert_eq!(needed_by_message(message, 42), expected, "{message}");
        }
        let clause = |provider: &str| Probe {
            id: 0,
            provider: provider.to_owned(),
            module: String::new(),
            function: String::new(),
            name: String::new(),
        };
        assert_eq!(needed_by_probe(&clause("pid42"), 42), Some(Hold::Entry));
        assert_eq!(needed_by_probe(&clause("*42"), 42), Some(Hold::Main));
        assert_eq!(needed_by_probe(&clause("pid142"), 42), None);
        assert_eq!(needed_by_probe(&clause("syscall"), 42), None);
    }

    #[test]
    fn a_created_process_is_held_where_evaltime_says_or_later() {
        let set = |value: &str| vec![("evaltime".to_owned(), Some(value.to_owned()))];
        let at = |options: &[(String, Option<String>)], is_target: bool| {
            let place = Place::of_created(options, is_target.then_some(Hold::Entry));
            (place.at, place.attach)
        };
        assert_eq!(at(&[], true), (Hold::Main, true));
        assert_eq!(at(&[], false), (Hold::Main, false));
        assert_eq!(at(&set("exec"), true), (Hold::Entry, true));
        assert_eq!(at(&set("exec"), false), (Hold::Exec, false));
        assert_eq!(at(&set("postinit"), false), (Hold::Entry, false));
    }
}

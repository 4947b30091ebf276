//! Suggests probes for a description that matches none.

use super::inquiry;
use super::settings::{Access, Settings};
use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::sentences;
use crate::error::Error;
use crate::stream::job::Purpose;

/// The maximum number of suggestions.
const AT_MOST: usize = 5;

/// Adds similar probes to the error, if it reports that a description matches none.
pub(crate) fn suggested(access: &Access, mut error: Error) -> Error {
    if let Error::Compile(error) = &mut error
        && let Some(description) = sentences::unmatched_description(&error.message)
    {
        let only_where = Settings { access: access.clone(), ..Settings::default() };
        let everything = Purpose::List { patterns: Vec::new(), describe: false };
        // If the listing fails, the error is returned without suggestions.
        if let Ok(probes) = inquiry::list(&only_where, everything) {
            error.similar = similar(description, &probes);
        }
    }
    error
}

/// Returns the probes that are nearest to a description, nearest first.
fn similar(description: &str, probes: &[ListedProbe]) -> Vec<String> {
    let parts: Vec<&str> = description.split(':').collect();
    // A description with fewer than four parts omits the first ones.
    let mut wanted = [""; 4];
    for (slot, part) in wanted.iter_mut().rev().zip(parts.iter().rev()) {
        *slot = part;
    }
    let given: usize = wanted.iter().map(|part| part.len()).sum();
    let mut found: Vec<(usize, &Probe)> = probes
        .iter()
        .filter_map(|listed| Some((distance(&wanted, &listed.probe)?, &listed.probe)))
        .filter(|(distance, _)| *distance <= given / 3)
        .collect();
    found.sort_by_key(|(distance, probe)| (*distance, probe.id));
    found.into_iter().take(AT_MOST).map(|(_, probe)| probe.to_string()).collect()
}

/// Returns how many characters are wrong; `None` if no character of a part is right.
fn distance(wanted: &[&str; 4], probe: &Probe) -> Option<usize> {
    let has = [&probe.provider, &probe.module, &probe.function, &probe.name];
    wanted.iter().zip(has).try_fold(0, |sum, (wanted, has)| {
        // An empty part matches anything. A pattern is treated as if it did.
        if wanted.is_empty() || wanted.contains(['*', '?', '[']) {
            return Some(sum);
        }
        let wrong = strsim::damerau_levenshtein(wanted, has);
        (wrong < wanted.len()).then_some(sum + wrong)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(name: &str) -> ListedProbe {
        let [provider, module, function, name]: [&str; 4] =
            name.split(':').collect::<Vec<_>>().try_into().unwrap();
        let [provider, module, function, name] =
            [provider, module, function, name].map(str::to_owned);
        ListedProbe { probe: Probe { id: 1, provider, module, function, name }, details: None }
    }

    #[test]
    fn a_misspelt_probe_finds_the_one_that_was_meant() {
        let probes = [
            probe("syscall:vmlinux:open:entry"),
            probe("syscall:vmlinux:openat:entry"),
            probe("proc:vmlinux::exit"),
        ];
        assert_eq!(similar("syscall::opne:entry", &probes)[0], "syscall:vmlinux:open:entry");
        assert_eq!(similar("sycall:::exit", &probes), Vec::<String>::new());
    }
}

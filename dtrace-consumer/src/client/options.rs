//! Which options does a session have in the end, and which must not be set?

use super::system;
use crate::error::Error;

/// What dtrace(1) sets, too: without `aggsize`, tracing cannot begin on machines with many CPUs.
const DEFAULTS: [(&str, &str); 2] = [("bufsize", "4m"), ("aggsize", "4m")];

/// Options that make libdtrace end its process, each with what it does.
const DANGEROUS: [(&str, &str); 2] = [
    ("core", "makes libdtrace abort; it is for debugging libdtrace itself"),
    ("nolibs", "makes the compiler of DTrace for Linux abort"),
];

/// The options of a session: the defaults, and after them the user's, which win.
pub(crate) fn complete(
    user: &[(String, Option<String>)],
) -> Result<Vec<(String, Option<String>)>, Error> {
    for (name, value) in user {
        let refused = |reason: String| {
            Err(Error::Option { name: name.clone(), value: value.clone(), reason })
        };
        if let Some((_, what)) = DANGEROUS.iter().find(|(dangerous, _)| dangerous == name) {
            return refused(format!("refused: it {what}"));
        }
        // What is no number the library itself refuses.
        let cpu = value.as_deref().map(str::parse);
        let usable = match cpu {
            Some(Ok(cpu)) => system::is_usable_cpu(cpu),
            Some(Err(_)) => true,
            None => false,
        };
        if name == "cpu" && !usable {
            // libdtrace would end its process when it cannot move to that CPU.
            return refused("this process cannot run on that CPU".to_owned());
        }
    }
    let defaults =
        DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    Ok(defaults.chain(user.iter().cloned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_end_the_process_are_refused() {
        for (name, value) in [("core", None), ("nolibs", None), ("cpu", Some("4095"))] {
            let option = (name.to_owned(), value.map(str::to_owned));
            assert!(matches!(complete(&[option]), Err(Error::Option { .. })), "{name}");
        }
    }

    #[test]
    fn the_users_options_come_after_the_defaults() {
        let options = complete(&[("bufsize".to_owned(), Some("64k".to_owned()))]).unwrap();
        let last = options.iter().rfind(|(name, _)| name == "bufsize").unwrap();
        assert_eq!(last.1.as_deref(), Some("64k"));
    }
}

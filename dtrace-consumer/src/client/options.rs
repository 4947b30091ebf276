//! The options of a session, and those that must not be set.

use super::system;
use crate::error::Error;

/// The defaults of dtrace(1). Without `aggsize`, tracing fails to start on machines with many CPUs.
const DEFAULTS: [(&str, &str); 2] = [("bufsize", "4m"), ("aggsize", "4m")];

/// Options that no session can have, and the reason.
const REFUSED: [(&str, &str); 2] = [
    ("core", "it makes libdtrace abort (for debugging libdtrace itself)"),
    ("nolibs", "it makes the compiler of DTrace for Linux abort"),
];

/// Returns the options of a session: the defaults, then the user's, which take precedence.
pub(crate) fn complete(
    user: &[(String, Option<String>)],
) -> Result<Vec<(String, Option<String>)>, Error> {
    for (name, value) in user {
        let refused = |reason: String| {
            Err(Error::Option { name: name.clone(), value: value.clone(), reason })
        };
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| refused == name) {
            return refused((*why).to_owned());
        }
        // The library refuses values that are not numbers.
        let cpu = value.as_deref().map(str::parse);
        let usable = match cpu {
            Some(Ok(cpu)) => system::is_usable_cpu(cpu),
            Some(Err(_)) => true,
            None => false,
        };
        if name == "cpu" && !usable {
            // libdtrace ends its process if it cannot move to that CPU.
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
    fn options_that_no_session_can_have_are_refused() {
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

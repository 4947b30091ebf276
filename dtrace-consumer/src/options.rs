//! Which options are set unless the user sets them, and which must not be set?

use crate::error::Error;

/// `DTRACE_C_ETAGS`: messages of the compiler carry their tag.
pub(crate) const ERROR_TAGS: u32 = 0x100;

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
        if name == "cpu" && !value.as_deref().is_some_and(is_usable_cpu) {
            // libdtrace would end its process when it cannot move to that CPU.
            return refused("this process cannot run on that CPU".to_owned());
        }
    }
    let defaults =
        DEFAULTS.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    Ok(defaults.chain(user.iter().cloned()).collect())
}

/// Whether this process may run on the CPU with the given number.
fn is_usable_cpu(number: &str) -> bool {
    let Ok(number) = number.parse::<u32>() else { return false };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    allowed.is_some_and(|list| {
        list.trim().split(',').any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            matches!((first.parse(), last.parse()), (Ok(first), Ok(last))
                if (first..=last).contains(&number))
        })
    })
}

/// What usually helps where libdtrace's own words mislead.
pub(crate) fn advice(call: &str, message: &str, number: i32) -> Option<&'static str> {
    match (call, number) {
        ("dtrace_go", _) if message.contains("estructive") => {
            Some("the script uses destructive actions; set the option `destructive`")
        }
        ("dtrace_go", _) if message.contains("Too big") => {
            Some("a buffer is too large for the kernel; lower bufsize or aggsize")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_would_end_the_process_are_refused() {
        for (name, value) in
            [("core", None), ("nolibs", None), ("cpu", Some("4095")), ("cpu", None)]
        {
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

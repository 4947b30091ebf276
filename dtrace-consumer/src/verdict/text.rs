//! How is a verdict written in a file?
//!
//! As lines of text. The last one shows that nothing is missing.

use super::subject::{Subject, Verdict};

const FIRST: &str = "dtrace-consumer verdict 1";
const MATCHES: &str = "matches";
const DIFFERS: &str = "differs: ";
const LAST: &str = "end";

/// Formats a verdict.
pub(super) fn format(subject: &Subject, verdict: &Verdict) -> String {
    let verdict = match verdict {
        Verdict::Matches => MATCHES.to_owned(),
        // Its lines would be taken for others.
        Verdict::Differs(what) => format!("{DIFFERS}{}", what.replace(['\n', '\r'], " ")),
    };
    let Subject { build, kernel, asker } = subject;
    format!("{FIRST}\nbuild {build}\nkernel {kernel}\ncrate {asker}\n{verdict}\n{LAST}\n")
}

/// Parses a verdict. `None` if it is damaged or about something else.
pub(super) fn parse(text: &str, subject: &Subject) -> Option<Verdict> {
    let line = text.lines().nth(4)?;
    let verdict = match line.strip_prefix(DIFFERS) {
        Some(what) => Verdict::Differs(what.to_owned()),
        None if line == MATCHES => Verdict::Matches,
        None => return None,
    };
    // Whatever is not written exactly like this is not trusted.
    (text == format(subject, &verdict)).then_some(verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(build: &str, kernel: &str, asker: &str) -> Subject {
        Subject { build: build.to_owned(), kernel: kernel.to_owned(), asker: asker.to_owned() }
    }

    #[test]
    fn a_verdict_is_read_as_it_was_written_and_for_its_subject_alone() {
        let own = subject("ab12", "6.1.0-50", "0.1.0");
        for verdict in [Verdict::Matches, Verdict::Differs("a firing: `x`, not `y`".to_owned())] {
            let text = format(&own, &verdict);
            assert_eq!(parse(&text, &own), Some(verdict));
            for other in [
                subject("ab13", "6.1.0-50", "0.1.0"),
                subject("ab12", "6.1.0-51", "0.1.0"),
                subject("ab12", "6.1.0-50", "0.1.1"),
            ] {
                assert_eq!(parse(&text, &other), None);
            }
        }
        let lines = format(&own, &Verdict::Differs("x\nmatches\nend".to_owned()));
        let one = Verdict::Differs("x matches end".to_owned());
        assert_eq!(parse(&lines, &own), Some(one));
    }

    #[test]
    fn a_damaged_verdict_is_none() {
        let own = subject("ab12", "6.1.0-50", "0.1.0");
        let text = format(&own, &Verdict::Matches);
        for length in 0..text.len() {
            assert_eq!(parse(&text[..length], &own), None, "{length} bytes");
        }
        for at in 0..text.len() {
            let mut damaged = text.clone().into_bytes();
            damaged[at] ^= 1;
            let damaged = String::from_utf8(damaged).expect("ASCII");
            assert_eq!(parse(&damaged, &own), None, "{damaged}");
        }
        assert_eq!(parse(&format!("{text}more\n"), &own), None);
    }
}

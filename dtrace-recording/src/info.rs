//! How is a recording described to a reader?

use std::fmt::Write as _;
use std::time::Duration;

use dtrace_consumer::recording::{RecordingInfo, printable};

/// Returns the description, without a newline at its end.
pub(crate) fn describe(info: &RecordingInfo) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let mut name = format!("{name}:");
        // The text of an error may have several lines.
        for part in value.lines().chain(value.is_empty().then_some("")) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{:16}{}", std::mem::take(&mut name), printable(part));
        }
    };
    line("format", info.format.to_string());
    if let Some(origin) = &info.origin {
        line("recorded by", format!("dtrace-consumer {}", origin.crate_version));
        line("began", began(origin.wall_clock));
        line("timestamp", format!("{} ns at that time", origin.monotonic.as_nanos()));
        if let Some(command) = &origin.command {
            line("command", format!("{command:?}"));
        }
    }
    for edit in &info.edits {
        line("changed", format!("{}: {}", edit.what, edit.details));
    }
    if let Some(session) = &info.session {
        let (kernel, machine, order) = (&session.kernel, &session.machine, session.byte_order);
        line("system", format!("{:?} {kernel}, {machine}, {order}", session.platform));
        let version = Some(&session.library_version).filter(|version| !version.is_empty());
        line("libdtrace", version.cloned().unwrap_or_else(|| "was not opened".to_owned()));
    }
    line("holds", info.holds.join(", "));
    line("firings", info.firings.to_string());
    line("aggregations", format!("{} entries in {} walks", info.entries, info.walks));
    if let Some(duration) = info.duration {
        line("duration", format!("{:.3} s", duration.as_secs_f64()));
    }
    line("losses", info.losses.to_string());
    for warning in &info.warnings {
        line("warning", warning.to_string());
    }
    if let Some(status) = info.exit {
        line("exit()", status.to_string());
    }
    if let Some(command) = &info.command {
        line(
            "command ended",
            format!("{} after {:.3} s", command.status, command.ran.as_secs_f64()),
        );
    }
    if let Some(failure) = &info.failure {
        line("failed", failure.clone());
    }
    for (name, value) in &info.options {
        line("option", value.as_ref().map_or(name.clone(), |value| format!("{name}={value}")));
    }
    for (name, script) in &info.scripts {
        let _ = writeln!(text, "script {}:", printable(name));
        script.lines().for_each(|code| {
            let _ = writeln!(text, "    {}", printable(code));
        });
    }
    text.truncate(text.trim_end().len());
    text
}

/// Returns a time since 1970 as a date in UTC.
fn began(since: Duration) -> String {
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // The civil calendar in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + carry;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(began(Duration::from_secs(seconds)), date);
        }
    }
}

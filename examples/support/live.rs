//! Can live tests run here?
//!
//! Where they cannot, they are skipped. A machine whose job is to run them sets
//! `DTRACE_CONSUMER_REQUIRE_LIVE=1`, and then they fail instead.

/// Whether live tests must fail, not be skipped, where they cannot run.
#[must_use]
pub fn is_required() -> bool {
    std::env::var_os("DTRACE_CONSUMER_REQUIRE_LIVE").is_some_and(|value| value == "1")
}

/// Whether tracing is possible here. If it is not, prints to standard error what is missing.
///
/// A live test begins with `if !can_trace() { return; }`.
///
/// # Panics
/// If tracing is not possible although it [is required](is_required); the message lists what is missing.
#[must_use]
pub fn can_trace() -> bool {
    let preflight = dtrace_consumer::preflight(None);
    if preflight.is_ready() {
        return true;
    }
    let reason =
        format!("a live test cannot run, because tracing is not possible here:\n{preflight}");
    assert!(!is_required(), "{reason}");
    eprintln!("{reason}");
    false
}

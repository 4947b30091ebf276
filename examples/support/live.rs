//! May a test take it that tracing is possible here?
//!
//! On a machine that is there to run the live tests, one that cannot run is a failure and not a
//! skip: such a machine sets `DTRACE_CONSUMER_REQUIRE_LIVE=1`.

/// Whether live tests are to fail where they cannot run.
#[must_use]
pub fn is_required() -> bool {
    std::env::var_os("DTRACE_CONSUMER_REQUIRE_LIVE").is_some_and(|value| value == "1")
}

/// Whether tracing is possible here; where it is not, says on standard error what is missing.
///
/// A test that needs it begins with `if !can_trace() { return; }`.
///
/// # Panics
/// With what is missing, if tracing is not possible where it [is required](is_required).
#[must_use]
pub fn can_trace() -> bool {
    let preflight = dtrace_consumer::preflight(None);
    if preflight.is_ready() {
        return true;
    }
    let reason =
        format!("a live test cannot run, since tracing is not possible here:\n{preflight}");
    assert!(!is_required(), "{reason}");
    eprintln!("{reason}");
    false
}

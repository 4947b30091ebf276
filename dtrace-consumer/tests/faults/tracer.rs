//! Does the user get a warning if a script sees the worker as the tracer?

use dtrace_consumer::session::WarningKind;
use dtrace_consumer::trace;

use crate::stage::*;

/// The stand-in does not ask for the numbers that macro variables have, as no other build of libdtrace may.
pub(crate) fn macro_variables_that_are_not_this_programs_are_warned_of() {
    let prefix = Prefix::new();
    plain_plan().put(&prefix.path);
    for (script, subjects) in [
        ("BEGIN /pid != $pid/ { trace(1); }", &["$pid"][..]),
        ("BEGIN { trace($euid); }", &["$euid"]),
        ("BEGIN { trace($target0); } /* $pid */", &[]),
    ] {
        let outcome = trace(script).prefix(&prefix.path).run().expect("it traces");
        let apart = outcome.warnings.iter().filter(|it| it.kind == WarningKind::Apart);
        assert!(apart.clone().all(|it| it.message.contains("getpid")), "{:?}", outcome.warnings);
        let warned: Vec<&str> = apart.map(|it| it.subject.as_str()).collect();
        assert_eq!(warned, subjects, "{script}");
    }
}

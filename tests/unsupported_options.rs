//! Does the example `dtrace` say why it does not take an option of dtrace(1)?

use std::process::Command;

use dtrace_test_support::programs::{example, stderr};

#[test]
fn an_option_that_is_not_supported_is_refused_with_the_reason() {
    for (option, reason) in [
        ("-B", "does not expose libdtrace's internal code"),
        ("-A", "cannot trace while the system boots"),
        ("-a", "cannot trace while the system boots"),
    ] {
        let arguments = [option, "-n", "BEGIN { exit(0); }"];
        let output = Command::new(example("dtrace")).args(arguments).output().expect("it starts");
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let begins = format!("dtrace: option {option} is not supported: ");
        assert!(said.starts_with(&begins) && said.contains(reason), "{said}");
    }
}

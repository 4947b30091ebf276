//! Do numbers and strings stay as they are where libdtrace prints functions beside them?

use dtrace_consumer::run_synchronous;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        a_number_that_is_a_functions_address_stays_a_number,
        a_number_beside_a_stack_stays_a_number,
    ],
    // Elsewhere the functions of a command that has ended have no names, unless libdtrace is attached to it.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        a_function_gets_its_name_beside_a_number,
    ],
}

/// What `printa(format, @printed[keys])` prints after the process has ended. The names of its functions are known,
/// because they are keys of another aggregation.
fn printed(keys: &str, format: &str) -> String {
    let script = format!(
        "syscall::getppid:entry /pid == $target/ {{ @known[ustack(2)] = count(); @printed[{keys}] = count(); }}
         END {{ printa(\"{format}\", @printed); }}"
    );
    let mut text = String::new();
    run_synchronous(script, traced_program("calls", 3))
        .formatted()
        .chew(|firing| {
            for output in firing.output() {
                text.push_str(&String::from_utf8_lossy(output.bytes()));
            }
            Ok(())
        })
        .run()
        .expect("it runs");
    text
}

fn is_number(text: &str) -> bool {
    let number = text.trim().strip_prefix("0x").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|it| it.is_ascii_hexdigit())
}

fn a_number_that_is_a_functions_address_stays_a_number() {
    let text = printed("uregs[R_PC]", "0x%x\\n");
    assert!(is_number(&text), "{text}");
}

fn a_number_beside_a_stack_stays_a_number() {
    let text = printed("ustack(1), uregs[R_PC]", "%k at 0x%x\\n");
    let (_, number) = text.split_once(" at ").expect("it has this word");
    assert!(is_number(number), "{text}");
}

#[cfg(target_os = "linux")]
fn a_function_gets_its_name_beside_a_number() {
    let text = printed("ustack(1), pid", "%k at 0x%x\\n");
    let (function, number) = text.split_once(" at ").expect("it has this word");
    assert!(function.contains("libc.so.6`getppid+0x") && is_number(number), "{text}");
}

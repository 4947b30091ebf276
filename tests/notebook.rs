//! Does the notebook's program do what its page shows?

use std::process::Command;

use dtrace_test_support::live_tests;
use dtrace_test_support::programs::{example, stderr, stdout};

live_tests! {
    needs: [Tracing],
    tests: [the_notebook_prints_calls_and_segments],
    needs: [],
    tests: [the_page_shows_the_code_of_the_program],
}

fn the_notebook_prints_calls_and_segments() {
    let output = Command::new(example("notebook")).output().expect("the program starts");
    let (text, complaints) = (stdout(&output), stderr(&output));
    assert!(output.status.success(), "{text}{complaints}");
    assert!(text.starts_with("## Starting "), "{text}");
    assert!(text.contains("\n## Finished "), "{text}");
    // The benchmark connects once, and its data and the end of them are received.
    assert!(text.contains("\nNumber of connect calls: 1\n"), "{text}");
    let segments = text.lines().filter(|line| line.starts_with("seq="));
    assert!(segments.filter(|line| line.ends_with("state-established")).count() > 1, "{text}");
    assert_eq!(complaints, "");
}

fn the_page_shows_the_code_of_the_program() {
    let program = include_str!("../examples/notebook/main.rs");
    let page = include_str!("../docs/from-python-dtrace.md");
    // The last block is another way to write the one before it.
    let blocks: Vec<&str> = page.split("```rust,ignore\n").skip(1).collect();
    let words = |code: &str| code.split_whitespace().collect::<Vec<_>>().join(" ");
    let program = words(program);
    for block in &blocks[..blocks.len() - 1] {
        let code = block.split("```").next().unwrap_or_default();
        for part in code.split("\n\n") {
            let part = words(part);
            assert!(program.contains(&part), "not in the program: {part}");
        }
    }
}

//! Does a C program get probes of its own from a script?

use std::fs;
use std::path::Path;
use std::process::Command;

use dtrace_consumer::session::Specifier;
use dtrace_consumer::{Error, Script, trace};
use dtrace_test_support::live_tests;
use dtrace_test_support::prefix;

live_tests! {
    needs: [Tracing],
    tests: [
        a_header_has_a_macro_for_each_probe,
        scripts_that_make_no_object_are_errors,
    ],
    needs: [Tracing, Command("cc")],
    tests: [
        an_object_file_makes_a_programs_calls_probes,
    ],
}

const PROVIDER: &str = "provider shop { probe sale(int, char *); probe two__words(); };";

fn a_header_has_a_macro_for_each_probe() {
    let header = trace(PROVIDER).header("shop.h").expect("the script defines a provider");
    let header = String::from_utf8(header).expect("C is text");
    for text in ["#ifndef\t_SHOP_H", "SHOP_SALE(arg0, arg1)", "SHOP_TWO_WORDS_ENABLED()"] {
        assert!(header.contains(text), "no {text} in:\n{header}");
    }
}

fn an_object_file_makes_a_programs_calls_probes() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = |name: &str| dir.path().join(name);
    let header = trace(PROVIDER).header("shop.h").expect("the script defines a provider");
    fs::write(file("shop.h"), header).expect("it can be written");
    let main = "#include \"shop.h\"\nint main(void) { SHOP_SALE(1, \"a\"); return 0; }\n";
    fs::write(file("main.c"), main).expect("it can be written");
    let include = prefix::used().syslibdir.expect("it has D libraries").join("include");
    let cc = |words: &[&str]| {
        let status = Command::new("cc").current_dir(dir.path()).args(words).status();
        assert!(status.expect("a C compiler is there").success());
    };
    cc(&["-c", "main.c", "-I", include.to_str().expect("a path in UTF-8")]);
    trace(PROVIDER).link(file("shop.o"), [file("main.o")]).expect("it can be linked");
    cc(&["-o", "shop", "main.o", "shop.o"]);
    // The probe's name is in the note that dtprobed reads.
    let program = fs::read(file("shop")).expect("it was linked");
    for text in [&b".note.usdt\0"[..], b"shop\0sale\0"] {
        assert!(program.windows(text.len()).any(|part| part == text));
    }
}

fn scripts_that_make_no_object_are_errors() {
    let nowhere = || Path::new("/nonexistent/shop.o");
    let none: [&str; 0] = [];
    let error = trace("provider").header("a.h").expect_err("it does not compile");
    assert!(matches!(error, Error::Compile(_)), "{error}");
    let error = trace(PROVIDER).header("a\0.h").expect_err("no file has that name");
    assert!(error.to_string().contains("NUL"), "{error}");
    let [begin, end] = ["BEGIN", "END"].map(|name| Script::probes(Specifier::Name, name));
    let two = trace(begin).script(end);
    let error = two.link(nowhere(), none).expect_err("there are two");
    assert!(matches!(error, Error::Script { .. }), "{error}");
    let error = trace(PROVIDER).link(nowhere(), none).expect_err("it cannot be written");
    assert!(error.to_string().contains("dtrace_program_link"), "{error}");
}

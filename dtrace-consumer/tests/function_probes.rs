//! Do probes on functions fire wherever the linker has placed the code?
//!
//! The programs are linked so that the code's offset in the file is not its distance from the program's
//! start, as LLD does, and so that it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use dtrace_consumer::run_synchronous;
use dtrace_test_support::leftovers::one_at_a_time;
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        functions_of_a_program_fire_wherever_its_code_is,
        probes_in_systemtap_notes_fire_wherever_the_code_is,
    ],
    long: [
        functions_of_a_library_fire_wherever_its_code_is,
    ],
    needs: [Tracing, Root, Command("cc"), Command("unshare")],
    tests: [functions_of_a_program_in_another_mount_namespace_fire],
}

/// What `cc` is told, in addition, to place the code.
const LAYOUTS: &[&[&str]] = &[
    &["-pie"],
    &["-no-pie"],
    &["-pie", "-Wl,--section-start=.text=0x3000"],
    &["-no-pie", "-Wl,--section-start=.text=0x600000"],
    &["-Wl,-z,noseparate-code"],
];

const FUNCTIONS: &str = "
    __attribute__((noinline)) long product(int number, int factor)
    {
        volatile long result = (long)number * factor;
        return result;
    }
    __attribute__((noinline)) long sum(int number, int other)
    {
        volatile long result = (long)number + other;
        return result;
    }
";

const MAIN: &str = "
    long product(int, int);
    long sum(int, int);
    int main(void)
    {
        long all = 0;
        for (int number = 1; number <= 3; number++)
            all += product(number, 7) + sum(number, 1);
        return all == 51 ? 42 : 1;
    }
";

/// What the clauses of [`script`] record.
const FIRED: [&str; 9] = [
    "entry 1",
    "return 7",
    "sum 1",
    "entry 2",
    "return 14",
    "sum 2",
    "entry 3",
    "return 21",
    "sum 3",
];

fn script(module: &str) -> String {
    format!(
        r#"pid$target:{module}:product:entry {{ printf("entry %d", (int)arg0); }}
           pid$target:{module}:product:return {{ printf("return %d", (int)arg1); }}
           pid$target:{module}:sum:0 {{ printf("sum %d", (int)arg0); }}"#
    )
}

fn cc(directory: &Path, words: &[&str]) {
    let status = Command::new("cc").current_dir(directory).args(["-O1"]).args(words).status();
    assert!(status.expect("a C compiler is there").success(), "{words:?}");
}

/// Writes sources, each with its name, to a directory.
fn sources(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        fs::write(directory.path().join(name), text).expect("it can be written");
    }
    directory
}

/// Traces a program that ends with 42 if it computed correctly. Returns the text of each firing.
fn trace(script: &str, program: PathBuf) -> Vec<String> {
    let mut texts = Vec::new();
    let outcome = run_synchronous(script, [program])
        .out(|output| {
            texts.push(output.text().into_owned());
            Ok(())
        })
        .run()
        .expect("the script is right");
    let command = outcome.command.expect("it has ended");
    assert_eq!(command.status.code(), Some(42), "the program computes as it does untraced");
    assert_eq!(outcome.warnings, []);
    texts.retain(|text| !text.is_empty());
    texts
}

fn functions_of_a_program_fire_wherever_its_code_is() {
    let _lock = one_at_a_time();
    let directory = sources(&[("main.c", MAIN), ("functions.c", FUNCTIONS)]);
    for layout in LAYOUTS {
        cc(directory.path(), &[layout, &["-o", "it", "main.c", "functions.c"][..]].concat());
        let fired = trace(&script("a.out"), directory.path().join("it"));
        assert_eq!(fired, FIRED, "{layout:?}");
    }
}

fn functions_of_a_library_fire_wherever_its_code_is() {
    let _lock = one_at_a_time();
    let directory = sources(&[("main.c", MAIN), ("functions.c", FUNCTIONS)]);
    for layout in [&[][..], &["-Wl,--section-start=.text=0x100000"]] {
        let library = ["-shared", "-fPIC", "-Wl,-soname,libit.so", "-o", "libit.so", "functions.c"];
        cc(directory.path(), &[&library[..], layout].concat());
        cc(directory.path(), &["-o", "it", "main.c", "./libit.so", "-Wl,-rpath,$ORIGIN"]);
        let fired = trace(&script("libit.so"), directory.path().join("it"));
        assert_eq!(fired, FIRED, "{layout:?}");
    }
}

/// libdtrace computes the offsets of such probes correctly.
fn probes_in_systemtap_notes_fire_wherever_the_code_is() {
    let _lock = one_at_a_time();
    let main = r#"
        __attribute__((noinline)) void sell(void)
        {
            __asm__ volatile(
                "990: nop\n"
                ".pushsection .note.stapsdt,\"\",\"note\"\n"
                ".balign 4\n"
                ".4byte 992f-991f, 994f-993f, 3\n"
                "991: .asciz \"stapsdt\"\n"
                "992: .balign 4\n"
                "993: .8byte 990b, 0, 0\n"
                ".asciz \"shop\"\n"
                ".asciz \"sale\"\n"
                ".asciz \"\"\n"
                "994: .balign 4\n"
                ".popsection\n");
        }
        int main(void) { sell(); sell(); return 42; }
    "#;
    let directory = sources(&[("main.c", main)]);
    for layout in LAYOUTS {
        cc(directory.path(), &[layout, &["-o", "it", "main.c"][..]].concat());
        let both = r#"shop$target:::sale { printf("sale"); }
                      pid$target:a.out:sell:entry { printf("sell"); }"#;
        let fired = trace(both, directory.path().join("it"));
        assert_eq!(fired, ["sell", "sale", "sell", "sale"], "{layout:?}");
    }
}

/// As in a container: here, the program's path is that of another file.
fn functions_of_a_program_in_another_mount_namespace_fire() {
    let _lock = one_at_a_time();
    let waiting = MAIN.replace("long all = 0;", "long all = 0; getchar();");
    let main = format!("#include <stdio.h>\n{waiting}");
    let directory = sources(&[("main.c", &main), ("functions.c", FUNCTIONS)]);
    for (name, layout) in [("it", LAYOUTS[0]), ("theirs", LAYOUTS[2])] {
        cc(directory.path(), &[layout, &["-o", name, "main.c", "functions.c"][..]].concat());
    }
    let mut container = Command::new("unshare")
        .args(["--mount", "sh", "-c", "mount --bind theirs it && exec \"$PWD/it\""])
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .spawn()
        .expect("unshare is there");
    let executable = format!("/proc/{}/exe", container.id());
    while !fs::read_link(&executable).is_ok_and(|path| path.ends_with("it")) {
        thread::sleep(Duration::from_millis(10));
    }
    let mut input = container.stdin.take();
    let mut texts = Vec::new();
    dtrace_consumer::trace(script("a.out"))
        .grab(i32::try_from(container.id()).expect("a pid"))
        .on_start(|_| {
            input.take();
            Ok(())
        })
        .out(|output| {
            texts.push(output.text().into_owned());
            Ok(())
        })
        .run()
        .expect("the script is right");
    assert_eq!(container.wait().expect("it ends").code(), Some(42));
    texts.retain(|text| !text.is_empty());
    assert_eq!(texts, FIRED);
}

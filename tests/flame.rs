//! Flame graphs, drawn as their users draw them: of a command, of a process that runs, and of a recording.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dtrace_test_support::live_tests;
use dtrace_test_support::programs::{as_nobody, example, stderr};
use quick_xml::Reader;
use quick_xml::events::Event;
use tempfile::TempDir;

live_tests! {
    needs: [Tracing, Command("cc")],
    tests: [
        a_command_is_drawn_with_its_functions_and_their_callers,
        a_recording_is_drawn_as_the_session_was,
    ],
    long: [
        a_running_process_is_drawn_and_goes_on,
    ],
    needs: [Tracing],
    tests: [
        a_program_that_does_not_exist_is_an_error,
    ],
    needs: [],
    tests: [
        an_ordinary_user_is_told_what_is_missing,
        a_file_that_is_no_recording_is_an_error,
        a_command_line_that_is_not_understood_exits_with_ex_usage,
    ],
}

/// Spends a second or, with an argument, a minute of CPU time in one function. One of the callers has the
/// name of a function of C++. Without optimisation, every function has a frame pointer.
const PROGRAM: &str = r#"
#include <time.h>
static volatile unsigned long sink;
void spin_in_named_function(double seconds) {
    while ((double)clock() / CLOCKS_PER_SEC < seconds)
        for (int i = 0; i < 1000000; i++) sink += i;
}
void caller_of_spin(double seconds) __asm__("_ZN4demo14caller_of_spinEd");
void caller_of_spin(double seconds) { spin_in_named_function(seconds); }
int main(int argc, char **argv) { (void)argv; caller_of_spin(argc > 1 ? 60 : 1); return 0; }
"#;

/// A directory with the program.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        let place = Place(tempfile::tempdir().expect("a directory"));
        fs::write(place.path("spinner.c"), PROGRAM).expect("it is written");
        let built = Command::new("cc")
            .args(["-O0", "-fno-omit-frame-pointer", "-o"])
            .args([place.path("spinner"), place.path("spinner.c")])
            .status();
        assert!(built.expect("a C compiler").success());
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs the example, which draws `NAME.svg` and writes `NAME.folded`.
    fn flame(&self, name: &str, configure: impl FnOnce(&mut Command) -> &mut Command) -> Drawn {
        let (svg, folded) =
            (self.path(&format!("{name}.svg")), self.path(&format!("{name}.folded")));
        let mut command = Command::new(example("flame"));
        command.arg("-o").arg(&svg).arg("--folded").arg(&folded);
        let output = configure(&mut command).output().expect("the program starts");
        assert!(output.status.success(), "{}", stderr(&output));
        Drawn {
            stacks: fs::read_to_string(folded).expect("the folded stacks"),
            titles: titles(&svg),
            said: stderr(&output),
        }
    }
}

struct Drawn {
    stacks: String,
    titles: BTreeSet<String>,
    said: String,
}

impl Drawn {
    /// Returns how many samples have these frames next to each other, and how many there are.
    fn count(&self, frames: &str) -> (u64, u64) {
        let samples = self.stacks.lines().map(|line| {
            let (stack, count) = line.rsplit_once(' ').expect("a count");
            (format!(";{stack};"), count.parse::<u64>().expect("a number"))
        });
        samples.fold((0, 0), |(found, all), (stack, count)| {
            let has = stack.contains(&format!(";{frames};"));
            (found + if has { count } else { 0 }, all + count)
        })
    }
}

/// Returns the functions that the titles of an SVG name. Fails unless it is well-formed.
fn titles(svg: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(svg).expect("the graph");
    let (mut reader, mut titles, mut is_title) = (Reader::from_str(&text), BTreeSet::new(), false);
    loop {
        match reader.read_event().expect("XML") {
            Event::Eof => return titles,
            Event::Start(tag) => is_title = tag.name().as_ref() == b"title",
            Event::Text(text) if is_title => {
                let text = String::from_utf8_lossy(&text).into_owned();
                let (name, _) = text.rsplit_once(" (").unwrap_or((&text, ""));
                titles.insert(name.to_owned());
            }
            _ => is_title = false,
        }
    }
}

const STACK: &str = "main;demo::caller_of_spin;spin_in_named_function";

fn assert_is_the_program(drawn: &Drawn) {
    let (found, all) = drawn.count(STACK);
    assert!(found * 2 > all, "{found} of {all}: {}", drawn.stacks);
    for name in STACK.split(';').chain(["spinner"]) {
        assert!(drawn.titles.contains(name), "{name}: {:?}", drawn.titles);
    }
    assert!(drawn.said.starts_with(&format!("{all} samples, ")), "{}", drawn.said);
}

fn a_command_is_drawn_with_its_functions_and_their_callers() {
    let place = Place::new();
    let drawn =
        place.flame("command", |flame| flame.args(["--rate", "499"]).arg(place.path("spinner")));
    assert_is_the_program(&drawn);
    let (found, _) = drawn.count("spinner");
    // A sample that meets the command in the kernel may have no frames.
    assert!(drawn.stacks.lines().all(|line| line.starts_with("spinner")), "{}", drawn.stacks);
    assert!(found > 0, "{}", drawn.stacks);
}

fn a_running_process_is_drawn_and_goes_on() {
    let place = Place::new();
    let mut running = Command::new(place.path("spinner")).arg("on").spawn().expect("it starts");
    let pid = running.id().to_string();
    let drawn =
        place.flame("process", |flame| flame.args(["--seconds", "2", "-r", "499", "-p", &pid]));
    let goes_on = running.try_wait().expect("it is a child").is_none();
    running.kill().expect("it can be killed");
    running.wait().expect("its status");
    assert!(goes_on, "it was ended");
    assert_is_the_program(&drawn);
}

fn a_recording_is_drawn_as_the_session_was() {
    let place = Place::new();
    let recording = place.path("recording");
    let live = place.flame("live", |flame| {
        flame.args(["--kernel", "--record"]).arg(&recording).arg(place.path("spinner"))
    });
    let again = place.flame("again", |flame| flame.arg("--replay").arg(&recording));
    assert_eq!((again.stacks, again.titles), (live.stacks, live.titles));
}

fn run(arguments: &[&str]) -> Output {
    Command::new(example("flame")).args(arguments).output().expect("the program starts")
}

fn a_program_that_does_not_exist_is_an_error() {
    let output = run(&["/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/no/such/program"), "{}", stderr(&output));
}

fn an_ordinary_user_is_told_what_is_missing() {
    let output = as_nobody("flame", &["true"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("missing  privilege"), "{}", stderr(&output));
}

fn a_file_that_is_no_recording_is_an_error() {
    for file in ["/dev/null", "/no/such/file"] {
        let output = run(&["--replay", file]);
        assert_eq!(output.status.code(), Some(1), "{file}: {}", stderr(&output));
    }
}

fn a_command_line_that_is_not_understood_exits_with_ex_usage() {
    for arguments in [&[][..], &["-p", "1", "true"], &["--rate", "0", "true"], &["-p", "me"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", stderr(&output));
    }
}

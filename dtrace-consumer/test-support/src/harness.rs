//! How are tests run, so that one that cannot run here is told from one that passed?
//!
//! The command line is that of Rust's own harness. A test that lacks something is shown as ignored, with the
//! reason, and the reasons are repeated at the end with the number of their tests.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::panic;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use parking_lot::Mutex;

use crate::need::{Missing, Need};

/// `all` runs the tests that take long, too; `by-hand` runs those as well that take minutes.
pub const SWITCH: &str = "DTRACE_CONSUMER_TESTS";

/// Whether tests that take long are to run.
#[must_use]
pub fn all_are_wanted() -> bool {
    is_wanted(ALL)
}

/// Values of the switch.
const ALL: &str = "all";
const BY_HAND: &str = "by-hand";

/// Whether tests that this value runs are to run.
fn is_wanted(value: &str) -> bool {
    std::env::var_os(SWITCH).is_some_and(|set| set == value || set == BY_HAND)
}

type Run = Box<dyn FnOnce() -> Result<(), Failed> + Send>;

/// A test.
pub struct Test {
    name: String,
    needs: Vec<Need>,
    /// The value of [`SWITCH`] without which it is left out, if any.
    switch: Option<&'static str>,
    run: Run,
}

impl Test {
    /// A function that passes if it returns.
    #[must_use]
    pub fn of(name: &str, run: fn()) -> Test {
        Test::new(name, move || {
            run();
            Ok(())
        })
    }

    /// What passes if it returns without an error.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        run: impl FnOnce() -> Result<(), Failed> + Send + 'static,
    ) -> Test {
        Test { name: name.into(), needs: Vec::new(), switch: None, run: Box::new(run) }
    }

    /// Runs it only where all of this is there.
    #[must_use]
    pub fn needs(mut self, needs: &[Need]) -> Test {
        self.needs.extend(needs);
        self
    }

    /// Runs it only where long tests are wanted.
    #[must_use]
    pub fn long(mut self) -> Test {
        self.switch = Some(ALL);
        self
    }

    /// Runs it only where it is asked for, because it takes minutes.
    #[must_use]
    pub fn by_hand(mut self) -> Test {
        self.switch = Some(BY_HAND);
        self
    }
}

/// Ends the running test as one that cannot run here, which only the test itself could find out.
pub fn ignore(reason: impl Into<String>) -> ! {
    // Nothing is wrong, so the panic hook stays silent.
    panic::resume_unwind(Box::new(Missing::new(reason)))
}

/// Runs the tests that the command line asks for.
#[must_use]
pub fn run(tests: Vec<Test>) -> ExitCode {
    become_the_program();
    let (mut arguments, filters) = Filters::split(std::env::args_os());
    let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|n| n.parse().ok());
    arguments.test_threads = arguments.test_threads.or(threads);
    run_with(&arguments, &filters, tests)
}

/// As [`run`], one after the other.
#[must_use]
pub fn run_serially(tests: Vec<Test>) -> ExitCode {
    become_the_program();
    let (mut arguments, filters) = Filters::split(std::env::args_os());
    arguments.test_threads = Some(1);
    run_with(&arguments, &filters, tests)
}

/// Becomes the traced program that the command line asks for. On Linux an initialiser has done that, and this ends it.
fn become_the_program() {
    #[cfg(target_os = "linux")]
    crate::modes::end_the_traced_program();
    #[cfg(not(target_os = "linux"))]
    crate::modes::become_the_traced_program();
}

fn run_with(arguments: &Arguments, filters: &Filters, tests: Vec<Test>) -> ExitCode {
    keep_panics_of_tests();
    let reasons: Arc<Mutex<Reasons>> = Arc::default();
    let ignored_too = arguments.ignored || arguments.include_ignored;
    let trials = tests.into_iter().filter(|test| filters.take(&test.name, arguments.exact));
    let trials = trials.map(|test| {
        let reasons = Arc::clone(&reasons);
        let left_out = test.switch.filter(|value| !ignored_too && !is_wanted(value));
        let is_ignored = test.switch.is_some() && arguments.ignored;
        Trial::ignorable_test(test.name.clone(), move || conduct(test, left_out, &reasons))
            .with_ignored_flag(is_ignored)
    });
    let conclusion = libtest_mimic::run(arguments, trials.collect());
    reasons.lock().print();
    conclusion.exit_code()
}

/// What is missing and what became of the tests for it: how many these are, and the first one's details.
#[derive(Default)]
struct Reasons(BTreeMap<(String, &'static str), (u32, String)>);

impl Reasons {
    fn add(&mut self, missing: Missing, came_to: &'static str) {
        let (count, details) = self.0.entry((missing.what, came_to)).or_default();
        *count += 1;
        if details.is_empty() {
            *details = missing.details;
        }
    }

    fn print(&self) {
        for ((what, came_to), (count, details)) in &self.0 {
            let tests = if *count == 1 { "test" } else { "tests" };
            println!("{count} {tests} {came_to}: {what}");
            for line in details.lines() {
                println!("    {line}");
            }
        }
        if !self.0.is_empty() {
            println!();
        }
    }
}

fn conduct(
    test: Test,
    left_out: Option<&str>,
    reasons: &Mutex<Reasons>,
) -> Result<Completion, Failed> {
    let ignored = |missing: Missing| {
        let completion = Completion::ignored_with(&missing.what);
        reasons.lock().add(missing, "ignored");
        Ok(completion)
    };
    if let Some(value) = left_out {
        return ignored(Missing::new(format!("takes long; {SWITCH}={value} runs it")));
    }
    for need in &test.needs {
        if let Err(missing) = need.check() {
            let Some(variable) = need.required_by() else { return ignored(missing) };
            let message = format!("{variable} is set, but {}", missing.what);
            reasons.lock().add(missing, "failed");
            return Err(message.into());
        }
    }
    // A thread with the test's name, as Rust's own harness has it.
    let thread = std::thread::Builder::new().name(test.name).spawn(|| in_test(test.run))?;
    match thread.join().unwrap_or_else(Err) {
        Ok(result) => result.map(|()| Completion::Completed),
        Err(payload) => match payload.downcast::<Missing>() {
            Ok(missing) => ignored(*missing),
            Err(payload) => Err(words_of(&*payload).into()),
        },
    }
}

thread_local! {
    static IS_TEST: Cell<bool> = const { Cell::new(false) };
    /// The last panic of this thread, with its place.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What a test came to: its own result, or what it panicked with.
type Ended = Result<Result<(), Failed>, Box<dyn Any + Send>>;

fn in_test(run: Run) -> Ended {
    IS_TEST.set(true);
    panic::catch_unwind(panic::AssertUnwindSafe(run)).map_err(|payload| {
        if payload.is::<Missing>() {
            return payload;
        }
        let told = LAST_PANIC.take();
        told.map_or(payload, |words| Box::new(words) as Box<dyn Any + Send>)
    })
}

/// Keeps panics of tests for the list of failures; a test may also provoke one. Others are printed.
fn keep_panics_of_tests() {
    let usual = panic::take_hook();
    let backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    panic::set_hook(Box::new(move |panic| {
        if IS_TEST.get() {
            LAST_PANIC.set(Some(panic.to_string()));
        }
        if backtrace || !IS_TEST.get() {
            usual(panic);
        }
    }));
}

fn words_of(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

/// Names on the command line, of which a test's name must contain one. libtest-mimic takes only one.
struct Filters(Vec<String>);

impl Filters {
    /// Separates them from the options.
    fn split(words: impl Iterator<Item = OsString>) -> (Arguments, Filters) {
        const WITH_VALUE: [&str; 6] =
            ["--test-threads", "--logfile", "--skip", "--color", "--format", "-Z"];
        let (mut options, mut filters) = (Vec::new(), Vec::new());
        let (mut is_value, mut is_option) = (true, true);
        for word in words {
            let text = word.to_string_lossy().into_owned();
            if is_value {
                options.push(word);
                is_value = false;
            } else if is_option && text == "--" {
                is_option = false;
            } else if is_option && text.starts_with('-') {
                is_value = WITH_VALUE.contains(&text.as_str());
                options.push(word);
            } else {
                filters.push(text);
            }
        }
        // A single one is left to libtest-mimic, which counts what it filters out.
        if let [_] = &filters[..] {
            options.extend(filters.drain(..).flat_map(|it| ["--".into(), OsString::from(it)]));
        }
        (Arguments::from_iter(options), Filters(filters))
    }

    fn take(&self, name: &str, exact: bool) -> bool {
        let wanted = |it: &String| if exact { name == it } else { name.contains(it.as_str()) };
        self.0.is_empty() || self.0.iter().any(wanted)
    }
}

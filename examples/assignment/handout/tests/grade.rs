//! How many points do the answers get? Given: you need not change this file.
//!
//! ```text
//! cargo test              # all questions
//! cargo test -- states    # those with this word in their names
//! ```
//!
//! The right answers are in a file beside the recording. `LAB_RECORDING=FILE` grades with another recording.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use lab::questions::{QUESTIONS, Question};
use lab::trace::{self, Trace};

/// The parts of an answer by their names.
type Answer = BTreeMap<String, String>;

fn main() -> ExitCode {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/recordings/lab.dtrace");
    let recording = env::var_os("LAB_RECORDING").map_or(PathBuf::from(file), PathBuf::from);
    let read = trace::read(&recording).and_then(|trace| Ok((trace, right_answers(&recording)?)));
    let (trace, mut right) = match read {
        Ok(read) => read,
        Err(message) => {
            eprintln!("No points, because there is nothing to grade with:\n{message}");
            return ExitCode::FAILURE;
        }
    };
    let wanted: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_wanted = |it: &&Question| {
        wanted.is_empty() || wanted.iter().any(|word| it.name.contains(word.as_str()))
    };
    if !QUESTIONS.iter().any(|it| is_wanted(&it)) {
        eprintln!("no question has one of these words in its name: {}", wanted.join(", "));
        return ExitCode::FAILURE;
    }
    let (mut points, mut most) = (0, 0);
    for question in QUESTIONS.iter().filter(is_wanted) {
        let complaints = grade(question, &trace, &right.remove(question.name).unwrap_or_default());
        let given = if complaints.is_empty() { question.points } else { 0 };
        points += given;
        most += question.points;
        let mark = if complaints.is_empty() { "right" } else { "WRONG" };
        println!("{mark}  {:16} {given} of {} points", question.name, question.points);
        for complaint in complaints {
            println!("       {complaint}");
        }
    }
    println!("\n{points} of {most} points");
    match points < most {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Reads the right answers: lines of question, part and answer, as `cargo run` prints them.
fn right_answers(recording: &Path) -> Result<BTreeMap<String, Answer>, String> {
    let file = recording.with_extension("answers");
    let name = file.display();
    let again = "copy recordings/ again from the handout";
    let text = fs::read_to_string(&file)
        .map_err(|cause| format!("cannot read the right answers from {name}: {cause} ({again})"))?;
    let mut answers: BTreeMap<String, Answer> = BTreeMap::new();
    for line in text.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [question, part, answer] = parts[..] else {
            return Err(format!(
                "cannot use {name}: not a line of three parts: {line:?} ({again})"
            ));
        };
        answers.entry(question.to_owned()).or_default().insert(part.to_owned(), answer.to_owned());
    }
    match QUESTIONS.iter().find(|question| !answers.contains_key(question.name)) {
        Some(question) => {
            Err(format!("cannot use {name}: no answer to `{}` ({again})", question.name))
        }
        None => Ok(answers),
    }
}

/// Returns what is wrong with the answer to a question.
fn grade(question: &Question, trace: &Trace, right: &Answer) -> Vec<String> {
    let mut complaints = match caught(|| (question.answer)(trace)) {
        Ok(answer) => differences(&answer, right),
        Err(message) => vec![message],
    };
    if !complaints.is_empty() {
        complaints.insert(0, format!("asked: {}", question.asked));
        complaints.push(format!("see:   fn {} in src/answers.rs", question.name));
        complaints.push(format!("hint:  {}", question.hint));
    }
    complaints
}

fn differences(answer: &Answer, right: &Answer) -> Vec<String> {
    let mut all = Vec::new();
    for (part, right) in right {
        match answer.get(part) {
            Some(got) if got == right => {}
            Some(got) => all.push(format!("{part}: got {got}; right is {right}")),
            None => all.push(format!("{part}: not in the answer; right is {right}")),
        }
    }
    let unasked = answer.keys().filter(|part| !right.contains_key(*part));
    all.extend(unasked.map(|part| format!("{part}: in the answer, but it was not asked for")));
    all
}

thread_local! {
    /// Where the last panic happened.
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Calls a function. If it panics, returns where and why.
fn caught<T>(function: impl FnOnce() -> T) -> Result<T, String> {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        PLACE.with(|it| *it.borrow_mut() = place);
    }));
    let result = panic::catch_unwind(AssertUnwindSafe(function));
    panic::set_hook(usual);
    result.map_err(|payload| {
        let (place, why) = (PLACE.with(RefCell::take), reason(&*payload));
        match why.strip_prefix("not yet implemented") {
            Some(_) => format!("got:   no answer yet, there is a todo!() at {place}"),
            None => format!("got:   a panic at {place}: {why}"),
        }
    })
}

fn reason(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

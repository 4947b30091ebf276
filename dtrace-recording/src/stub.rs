//! Which Rust program reads a recording?
//!
//! [`Shapes`] collects what a replay delivers: the values of each clause, the keys of each aggregation. This
//! module writes the program. Texts of the recording, which may come from anybody, get into it only as escaped
//! literals, in comments, and as names of which only ASCII letters and digits are kept.

mod names;
mod shapes;

use std::path::Path;

use dtrace_consumer::loss::LossPolicy;
use dtrace_consumer::replay;

use names::{Names, literal, shown};
use shapes::{Counted, Place, Row, Shapes};

/// How many probes of a clause a comment names.
const MOST_PROBES: usize = 4;

/// Returns the program for a recording, without a newline at its end.
pub(crate) fn of(recording: &Path) -> Result<String, String> {
    let mut shapes = Shapes::default();
    let session = replay(recording).losses(LossPolicy::Count).consumer(&mut shapes);
    session.run().map_err(|failure| failure.error.to_string())?;
    let (rows, counted) = shapes.found();
    if rows.is_empty() && counted.is_empty() {
        let name = recording.display();
        return Err(format!(
            "{name} has neither values nor aggregations: there is nothing to read (let the script record some, as \
             in `printf(\"bytes=%d\", arg2)` or `@[execname] = count()`)"
        ));
    }
    Ok(program(&recording.to_string_lossy(), &rows, &counted))
}

fn program(recording: &str, rows: &[Row], counted: &[Counted]) -> String {
    let mut structures = String::new();
    let mut names = Names::of_structures();
    let mut arms = Vec::new();
    for row in rows {
        let name = names.unique(&row.structure_name());
        structures += &structure(row, &name);
        arms.push((row, filled(row, &name)));
    }
    let handlers = firing_handler(&arms) + &walk_handler(counted);
    let mut imports = vec!["Failure", "replay"];
    if rows.iter().any(Row::has_undecoded) || counted.iter().any(Counted::has_undecoded) {
        imports.insert(1, "Value");
    }
    format!(
        "{}\n#![allow(dead_code)] // until you use every field\n\nuse dtrace_consumer::{{{}}};\n{structures}\n\
         fn main() -> Result<(), Failure> {{\n    let outcome = replay({})\n{handlers}        .run()?;\n    \
         println!(\"{{}}\", outcome.losses);\n    Ok(())\n}}",
        heading(recording),
        imports.join(", "),
        literal(recording),
    )
}

fn heading(recording: &str) -> String {
    format!(
        "//! Reads {}. Replace each `todo!`.\n//!\n\
         //! Cargo.toml needs only this:\n//!\n//! ```toml\n//! [dependencies]\n\
         //! dtrace-consumer = {{ git = \"{}\", default-features = false }}\n//! ```\n//!\n\
         //! Firings arrive CPU by CPU. Where order matters, record `timestamp` and sort by it.",
        shown(recording),
        env!("CARGO_PKG_REPOSITORY"),
    )
}

/// Returns the structure for a row.
fn structure(row: &Row, name: &str) -> String {
    let probes: Vec<String> = row.probes.iter().take(MOST_PROBES).map(|it| shown(it)).collect();
    let others = row.probes.len() - probes.len();
    let more = if others > 0 { format!(", and {others} others") } else { String::new() };
    let mut text = format!("\n/// Recorded by {}{more}", probes.join(", "));
    if let Some(format) = &row.format {
        text += &format!(" with the format {}", shown(format));
    }
    text += &format!(".\n#[derive(Debug, Clone, PartialEq)]\nstruct {name} {{\n");
    for (field, value) in row.fields().iter().zip(&row.values) {
        text += &example("    ///", value);
        text += &format!("    {field}: {},\n", value.kind.rust());
    }
    text + "}\n"
}

/// Returns the statement that fills the structure.
fn filled(row: &Row, name: &str) -> String {
    let mut text = format!("let row = {name} {{\n");
    for (index, (field, value)) in row.fields().iter().zip(&row.values).enumerate() {
        let key = match &value.name {
            Some(name) if row.is_unique(name) => literal(name),
            _ => index.to_string(),
        };
        text += &format!("    {field}: firing.get({key})?,\n");
    }
    text + "};\ntodo!(\"use {row:?}\")"
}

/// Returns the closure for all firings. Clauses that record the same kinds of values share a structure. There is
/// an arm for all others even if there is one structure only: a clause with nothing but `exit()` fires, too.
fn firing_handler(arms: &[(&Row, String)]) -> String {
    if arms.is_empty() {
        return String::new();
    }
    let mut text = "match firing.statement() {\n".to_owned();
    for (row, body) in arms {
        let statements: Vec<String> = row.statements.iter().map(u32::to_string).collect();
        let body = indented(body, 2);
        text += &format!("    {} => {{\n{body}    }}\n", statements.join(" | "));
    }
    text += "    _ => Ok(()),\n}\n";
    format!("        .chew(|firing| {{\n{}        }})\n", indented(&text, 3))
}

/// Returns the closure for all entries of aggregations.
fn walk_handler(counted: &[Counted]) -> String {
    if counted.is_empty() {
        return String::new();
    }
    let mut text = "match entry.name() {\n".to_owned();
    for aggregation in counted {
        let function = aggregation.function;
        text += &format!("    // {}()\n    {} => {{\n", function, literal(&aggregation.name));
        let mut printed = Vec::new();
        for (index, key) in aggregation.keys.iter().enumerate() {
            text += &example("        //", key);
            text +=
                &format!("        let key{index}: {} = entry.key({index})?;\n", key.kind.rust());
            printed.push(match key.kind.displays() {
                true => format!("{{key{index}}}"),
                false => format!("{{key{index}:?}}"),
            });
        }
        text += match aggregation.is_distribution {
            Some(true) => "        let value = entry.value().distribution();\n",
            Some(false) => "        let value: i64 = entry.number()?;\n",
            None => "        let value = entry.value();\n",
        };
        printed.push("{value:?}".to_owned());
        text += &format!("        todo!(\"use {}\")\n    }}\n", printed.join(" "));
    }
    text += "    _ => Ok(()),\n}\n";
    format!("        .walk(|entry| {{\n{}        }})\n", indented(&text, 3))
}

/// Returns a comment with what was recorded first.
fn example(comment: &str, place: &Place) -> String {
    match place.example.as_str() {
        "" => String::new(),
        text => format!("{comment} Such as {}.\n", shown(text)),
    }
}

/// Returns the lines, each with its newline, further to the right.
fn indented(text: &str, levels: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", "    ".repeat(levels))).collect()
}

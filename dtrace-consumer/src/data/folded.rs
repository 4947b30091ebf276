//! How do stacks become lines of the folded format, from which flame graphs are drawn?

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use super::from_value::TypeError;
use super::stack::{Stack, StackRef};
use super::symbol::SymbolRef;
use super::value::ValueRef;

/// What a frame without a name, and a stack without frames, is called.
const UNKNOWN: &str = "[unknown]";

/// What names frames; see [`Folded::named_by`].
type NamedBy<'a> = dyn Fn(&SymbolRef<'_>) -> Option<String> + 'a;

/// Stacks as one line of the folded format: the frames, outermost first, joined by `;`.
///
/// The format is that of Brendan Gregg's flamegraph.pl, the crate `inferno` and speedscope: such a line per
/// stack, followed by a space and a count. [`FoldedStacks`] collects lines.
///
/// A frame is the name of its function. By default that is the symbol as it is in the program, without
/// module and offset: an offset would split a function into as many frames as it has call sites. A frame is
/// `[module]` if only its module is known, and `[unknown]` if nothing is known.
///
/// If there are several values, as in `@[ustack(), stack(), execname]`, numbers and strings come first, in
/// their order. Then come the user stacks, and the kernel stacks last, because a process calls the kernel.
///
/// Readers of the format do not unescape anything. So a `;` in a name becomes `:`, as it does in the
/// programs that come with flamegraph.pl, and control characters become spaces. Where a name ends in a space
/// and a number, that space becomes `_`, because readers would take the number for a second count. Other
/// spaces remain.
///
/// ```no_run
/// let script = "profile-99 /pid == $target/ { ustack(); stack(); }";
/// dtrace_consumer::run_synchronous(script, ["target/debug/parser"])
///     .chew(|firing| Ok(println!("{} 1", firing.folded().demangled())))
///     .run()?;
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
#[derive(Clone)]
pub struct Folded<'a> {
    values: Vec<ValueRef<'a>>,
    names: Option<&'a NamedBy<'a>>,
    is_demangled: bool,
    has_modules: bool,
    marks_kernel: bool,
}

impl<'a> Folded<'a> {
    /// Folds values, such as the keys of an aggregation, into one line.
    pub fn of(values: impl IntoIterator<Item = ValueRef<'a>>) -> Folded<'a> {
        let mut values: Vec<_> = values
            .into_iter()
            .filter(|value| !matches!(value, ValueRef::Nothing | ValueRef::Aggregation(_)))
            .collect();
        // Stable: values of the same place keep their order.
        values.sort_by_key(place);
        let (names, is_demangled, has_modules, marks_kernel) = (None, false, false, false);
        Folded { values, names, is_demangled, has_modules, marks_kernel }
    }

    /// Puts the module before the name of each function, as in ``libc.so.6`read``.
    #[must_use]
    pub fn with_modules(self) -> Self {
        Folded { has_modules: true, ..self }
    }

    /// Demangles the names of Rust functions; see [`SymbolRef::demangled`].
    #[must_use]
    pub fn demangled(self) -> Self {
        Folded { is_demangled: true, ..self }
    }

    /// Appends `_[k]` to frames of the kernel. Some palettes give frames with this mark their own colour, such
    /// as `java` of flamegraph.pl and of the crate `inferno`.
    #[must_use]
    pub fn with_kernel_mark(self) -> Self {
        Folded { marks_kernel: true, ..self }
    }

    /// Calls `names` to name the frames, for example to demangle C++. A frame for which it returns `None` gets
    /// its default name.
    ///
    /// ```no_run
    /// use dtrace_consumer::value::SymbolRef;
    ///
    /// // Stacks that differ in the call sites within functions stay apart.
    /// let with_offset = |frame: &SymbolRef<'_>| Some(format!("{}+{:#x}", frame.symbol()?, frame.offset()?));
    /// dtrace_consumer::trace("profile-99 { stack(); } tick-1s { exit(0); }")
    ///     .chew(|firing| Ok(println!("{} 1", firing.folded().named_by(&with_offset))))
    ///     .run()?;
    /// # Ok::<(), dtrace_consumer::Failure>(())
    /// ```
    #[must_use]
    pub fn named_by(self, names: &'a dyn Fn(&SymbolRef<'_>) -> Option<String>) -> Self {
        Folded { names: Some(names), ..self }
    }

    /// Returns the frames, outermost first, escaped as in the line. There is at least one.
    #[must_use]
    pub fn frames(&self) -> Vec<String> {
        let mut frames = Vec::new();
        for value in &self.values {
            match value {
                ValueRef::Stack(stack) => {
                    let outermost_last: Vec<_> = stack.frames().collect();
                    frames.extend(outermost_last.iter().rev().map(|frame| self.name(frame)));
                }
                ValueRef::Symbol(symbol) if !symbol.is_module() => frames.push(self.name(symbol)),
                other => frames.push(escaped(&other.to_string())),
            }
        }
        if frames.is_empty() {
            // Readers ignore a line without frames, and its count would be missing from their total.
            frames.push(UNKNOWN.to_owned());
        }
        frames
    }

    fn name(&self, frame: &SymbolRef<'_>) -> String {
        let given = self.names.and_then(|names| names(frame));
        let name = given.or_else(|| match self.is_demangled {
            true => frame.demangled(),
            false => frame.symbol().map(str::to_owned),
        });
        let name = match (name, frame.module()) {
            (Some(name), Some(module)) if self.has_modules => format!("{module}`{name}"),
            (Some(name), _) => name,
            (None, Some(module)) => format!("[{module}]"),
            (None, None) => UNKNOWN.to_owned(),
        };
        let mark = if self.marks_kernel && frame.pid().is_none() { "_[k]" } else { "" };
        escaped(&name) + mark
    }
}

/// Returns where in the line a value goes.
fn place(value: &ValueRef<'_>) -> u8 {
    match value {
        ValueRef::Stack(stack) if stack.pid().is_none() => 2,
        ValueRef::Stack(_) => 1,
        _ => 0,
    }
}

/// Replaces what readers would take for the end of a frame, of the line, or for a count.
fn escaped(name: &str) -> String {
    let replaced = |c: char| match c {
        ';' => ':',
        c if c.is_control() => ' ',
        c => c,
    };
    let name: String = name.trim().chars().map(replaced).collect();
    let is_number = |word: &str| word.chars().all(|c| c.is_ascii_digit() || c == '.');
    match name.rsplit_once(' ') {
        _ if name.is_empty() => UNKNOWN.to_owned(),
        Some((before, last)) if is_number(last) => format!("{before}_{last}"),
        _ => name,
    }
}

/// Formats the line without a count.
impl fmt::Display for Folded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.frames().join(";"))
    }
}

impl fmt::Debug for Folded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.frames()).finish()
    }
}

impl<'a> StackRef<'a> {
    /// Returns the frames as a line of the folded format, from which flame graphs are drawn: outermost first,
    /// joined by `;`.
    #[must_use]
    pub fn folded(&self) -> Folded<'a> {
        Folded::of([ValueRef::Stack(*self)])
    }
}

impl Stack {
    /// Returns the frames as a line of the folded format; see [`StackRef::folded`].
    #[must_use]
    pub fn folded(&self) -> Folded<'_> {
        self.as_ref().folded()
    }
}

/// Counts of stacks by their folded line: the input of a flame graph.
///
/// Stacks that differ only in addresses within the same functions are one line. Formats as text in the
/// folded format, sorted by line.
///
/// ```no_run
/// use dtrace_consumer::value::FoldedStacks;
///
/// let mut stacks = FoldedStacks::default();
/// dtrace_consumer::trace("profile-99 /arg1/ { @[execname, ustack()] = count(); } tick-10s { exit(0); }")
///     .walk(|entry| Ok(stacks.add(&entry.folded(), entry.number()?)?))
///     .run()?;
/// std::fs::write("stacks.folded", stacks.to_string())?; // bash;main;read_command 42
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Counts are added. If a session walks more than once, use [`Mode::Delta`](crate::aggregation::Mode::Delta)
/// or [`Mode::Drain`](crate::aggregation::Mode::Drain): in the default mode each walk would add the totals
/// again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoldedStacks(BTreeMap<String, u64>);

impl FoldedStacks {
    /// Adds `count` to the line of `stack`.
    ///
    /// # Errors
    /// [`TypeError`] if `count` is negative, as a `sum()` may be: the format has no such counts.
    pub fn add(&mut self, stack: &Folded<'_>, count: i64) -> Result<(), TypeError> {
        let Ok(count) = u64::try_from(count) else {
            let expected = "a count of at least zero";
            return Err(TypeError::new(expected, format!("integer {count}")));
        };
        let total = self.0.entry(stack.to_string()).or_default();
        *total = total.saturating_add(count);
        Ok(())
    }

    /// Returns the lines with their counts, sorted by line.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, u64)> {
        self.0.iter().map(|(line, count)| (line.as_str(), *count))
    }

    /// Returns the sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.values().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Returns whether there are no lines.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Formats each line with its count. The last one, too, ends in a line feed.
impl fmt::Display for FoldedStacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|(line, count)| writeln!(f, "{line} {count}"))
    }
}

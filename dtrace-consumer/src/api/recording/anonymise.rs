//! How is a recording prepared for sharing?

use std::collections::HashMap;
use std::io::{Read, Write};

use super::renamed::Renamed;
use super::source::Frames;
use super::target::Target;
use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::record::{Action, RecordDescription};
use crate::data::recording::{Compression, Edit};
use crate::data::session_info::{ByteOrder, SessionInfo};
use crate::error::Error;
use crate::records::layout::{self, Field};
use crate::stream::contents::{ContentsFrame, SessionFailure};
use crate::stream::frame::Frame;
use crate::stream::packed::{Packing, Unpacked, is_text};
use crate::stream::payload::{EntryFrame, FiringFrame};

pub use super::renamed::Replaced;

/// Renames what is private in a recording. The guide `docs/recordings.md` has a table of what is renamed, what is
/// left out, and what is not touched.
///
/// ```no_run
/// use dtrace_consumer::recording::Anonymise;
/// use std::fs::File;
///
/// let replaced = Anonymise::new()
///     .hide("alice")
///     .apply(File::open("mine.dtrace")?, File::create_new("public.dtrace")?)?;
/// println!("{} paths", replaced.paths);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Anonymise {
    hidden: Vec<String>,
    compression: Compression,
}

impl Anonymise {
    /// Creates an `Anonymise` that hides no particular words.
    #[must_use]
    pub fn new() -> Anonymise {
        Anonymise::default()
    }

    /// Hides a word wherever it is in a text: the name of a host, a user, a program.
    #[must_use]
    pub fn hide(mut self, word: impl Into<String>) -> Anonymise {
        self.hidden.push(word.into());
        self
    }

    /// Sets how the new recording is compressed.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Anonymise {
        self.compression = compression;
        self
    }

    /// Reads a recording and writes the anonymised one. After an error, what was written is incomplete.
    ///
    /// # Errors
    /// Errors of a damaged recording, of one of the other byte order, and of the system.
    pub fn apply(&self, source: impl Read, target: impl Write) -> Result<Replaced, Error> {
        let mut frames = Frames::of(source, "the input")?;
        let details = "names are numbers now; scripts, command and output are left out".to_owned();
        let edit = Edit { what: "anonymised".to_owned(), details };
        let mut target = Target::new(target, self.compression, edit);
        let mut anonymising = Anonymising {
            renamed: Renamed::hiding(&self.hidden),
            unpacked: Unpacked::default(),
            clauses: HashMap::new(),
            aggregations: HashMap::new(),
        };
        while let Some((frame, position)) = frames.next()? {
            anonymising.frame(frame, position, &mut target)?;
        }
        target.flush()?;
        Ok(anonymising.renamed.replaced)
    }
}

/// The records of a clause or the keys of an aggregation.
struct Records {
    fields: Vec<Field>,
    packing: Packing,
}

struct Anonymising {
    renamed: Renamed,
    unpacked: Unpacked,
    clauses: HashMap<u32, Records>,
    aggregations: HashMap<u32, Records>,
}

impl Anonymising {
    fn frame(
        &mut self,
        frame: Frame<'_>,
        position: u64,
        target: &mut Target<impl Write>,
    ) -> Result<(), Error> {
        let frame = match frame {
            Frame::Firing(firing) => {
                self.renamed.replaced.texts += u64::from(!firing.text.is_empty());
                let data = self.records(Kind::Clause(firing.clause), firing.data, position)?;
                let (text, text_ends): (&[u8], &[u8]) = (&[], &[]);
                let firing = FiringFrame { data: &data, text, text_ends, ..firing };
                return target.put(&Frame::Firing(firing));
            }
            Frame::Entry(entry) => {
                let keys =
                    self.records(Kind::Aggregation(entry.aggregation), entry.keys, position)?;
                return target.put(&Frame::Entry(EntryFrame { keys: &keys, ..entry }));
            }
            Frame::Report(_) => {
                self.renamed.replaced.texts += 1;
                return Ok(());
            }
            Frame::Begin(info) if info.byte_order != ByteOrder::OWN => {
                let name = "the input".to_owned();
                return Err(Error::RecordingByteOrder { name, found: info.byte_order });
            }
            other => self.description(other),
        };
        target.put(&frame)
    }

    /// Renames in a frame that has no traced data, and remembers the descriptions of those that have.
    fn description<'f>(&mut self, mut frame: Frame<'f>) -> Frame<'f> {
        match &mut frame {
            Frame::Begin(info) => self.session(info),
            Frame::Contents(contents) => self.contents(contents),
            Frame::Origin(origin) => {
                self.renamed.replaced.texts += u64::from(origin.command.take().is_some());
            }
            Frame::Edited(edit) => edit.details = self.renamed.text(&edit.details),
            Frame::Probe(probe) => self.probe(probe),
            Frame::Clause(clause) => {
                self.formats(&mut clause.records);
                let packing = Packing::of(&clause.records);
                let fields = layout::of_clause(clause.records.clone());
                self.clauses.insert(clause.key, Records { fields, packing });
            }
            Frame::Aggregation(aggregation) => {
                let packing = Packing::of(&aggregation.keys);
                let fields = layout::of_keys(aggregation.keys.clone());
                self.aggregations.insert(aggregation.key, Records { fields, packing });
            }
            Frame::Symbol(symbol) => {
                symbol.pid = self.renamed.process(symbol.pid.into()) as u32;
                symbol.address = self.renamed.address(symbol.address);
                symbol.text = self.symbol(&symbol.text, symbol.address);
            }
            Frame::Drop(report) => report.message = self.renamed.text(&report.message),
            Frame::Fault(fault) => {
                fault.probe.iter_mut().for_each(|probe| self.probe(probe));
                fault.address = self.renamed.address(fault.address);
                // It has the address in it.
                fault.message.clone_from(&fault.kind);
            }
            Frame::Process(event) => {
                event.pid = self.renamed.process(event.pid.unsigned_abs().into()) as i32;
                event.message = None;
            }
            Frame::Program(program) => {
                program.clauses.iter_mut().for_each(|clause| self.listed(clause));
            }
            Frame::Listed(listed) => self.listed(listed),
            Frame::Warning(warning) => {
                warning.subject = self.renamed.text(&warning.subject);
                warning.message = self.renamed.text(&warning.message);
            }
            Frame::Failure(failure) => {
                failure.attempt = without_digits(&self.renamed.text(&failure.attempt));
                failure.message = without_digits(&self.renamed.text(&failure.message));
                failure.needed.iter_mut().for_each(|file| *file = self.renamed.text(file));
            }
            Frame::SessionFailed(
                SessionFailure::WorkerDied { last_words, .. }
                | SessionFailure::WorkerSilent { last_words },
            ) => last_words.clear(),
            _ => {}
        }
        frame
    }

    fn session(&mut self, info: &mut SessionInfo) {
        info.library = self.renamed.text(&info.library);
        for omitted in &mut info.omitted_libraries {
            omitted.file = self.renamed.text(&omitted.file);
            omitted.reason = self.renamed.text(&omitted.reason);
        }
    }

    fn contents(&mut self, contents: &mut ContentsFrame) {
        contents.text = false;
        contents.report = false;
        for (n, (name, text)) in contents.scripts.iter_mut().enumerate() {
            self.renamed.replaced.texts += 1;
            *name = format!("script {}", n + 1);
            text.clear();
        }
        // Aggregations are not warned of as unknown, since nobody can tell.
        contents.preprocessed = true;
        for (_, value) in &mut contents.options {
            *value = value.as_deref().map(|value| self.renamed.text(value));
        }
    }

    fn listed(&mut self, listed: &mut ListedProbe) {
        self.probe(&mut listed.probe);
    }

    /// Renames the process in the name of a provider such as `pid1234`, and paths in the name of a module.
    fn probe(&mut self, probe: &mut Probe) {
        let name = probe.provider.trim_end_matches(|c: char| c.is_ascii_digit());
        if let Ok(pid) = probe.provider[name.len()..].parse() {
            probe.provider = format!("{name}{}", self.renamed.process(pid));
        }
        for part in [&mut probe.module, &mut probe.function] {
            *part = self.renamed.text(part);
        }
    }

    fn formats(&mut self, records: &mut [RecordDescription]) {
        for record in records {
            record.format = record.format.as_deref().map(|format| self.renamed.text(format));
        }
    }

    /// Renames a symbol's module. `address` replaces the one that it has if it has no name.
    fn symbol(&mut self, text: &str, address: u64) -> String {
        match text.rsplit_once('`') {
            Some((module, name)) if name.starts_with("0x") => {
                format!("{}`{address:#x}", self.renamed.text(module))
            }
            None if text.starts_with("0x") => format!("{address:#x}"),
            _ => self.renamed.text(text),
        }
    }

    /// Renames in packed records.
    fn records(&mut self, kind: Kind, packed: &[u8], position: u64) -> Result<Vec<u8>, Error> {
        let described = match kind {
            Kind::Clause(key) => self.clauses.get(&key),
            Kind::Aggregation(key) => self.aggregations.get(&key),
        };
        let missing =
            crate::stream::wire::Malformed::new("frame", "refers to what is not described");
        let malformed = |cause| Error::Stream { position, cause };
        let records = described.ok_or_else(|| malformed(missing))?;
        let data = self.unpacked.unpack(&records.packing, packed).map_err(malformed)?;
        let mut data = data.to_vec();
        for field in &records.fields {
            let start = field.description.offset as usize;
            if let Some(bytes) = data.get_mut(start..start + field.description.size as usize) {
                record(&mut self.renamed, field, bytes);
            }
        }
        let mut renamed = Vec::new();
        records.packing.pack(&data, &mut renamed);
        Ok(renamed)
    }
}

/// Which description holds.
enum Kind {
    Clause(u32),
    Aggregation(u32),
}

/// Renames in the bytes of one record.
fn record(renamed: &mut Renamed, field: &Field, bytes: &mut [u8]) {
    use Action::{Mod, Pcap, Print, Sym, Tracemem};
    let action = field.description.action;
    let name = field.name.as_deref().unwrap_or_default();
    match (action, bytes.len()) {
        // Instructions to libdtrace, and the lengths of memory.
        _ if !field.is_data() => {}
        (Sym | Mod, 8) => word(bytes, 0, |address| renamed.address(address)),
        (Action::USym | Action::UMod | Action::UAddr, 16) => {
            word(bytes, 0, |pid| renamed.process(pid));
            word(bytes, 8, |address| renamed.address(address));
        }
        (_, 16..) if field.has_addresses() => stack(renamed, bytes),
        _ if is_text(&field.description) => {
            let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
            let text = renamed.bytes(&bytes[..end]);
            let length = text.len().min(bytes.len());
            bytes[..length].copy_from_slice(&text[..length]);
            bytes[length..].fill(0);
        }
        (Print, 8) if field.description.argument != 0 => {
            word(bytes, 0, |address| renamed.address(address))
        }
        (Tracemem | Print | Pcap, _) => clear(renamed, bytes),
        (_, 1 | 2 | 4 | 8) => match name {
            "pid" | "ppid" | "tid" | "tgid" => integer(bytes, |pid| renamed.process(pid)),
            "uid" | "gid" | "euid" | "egid" => integer(bytes, |uid| renamed.user(uid)),
            _ => {}
        },
        _ => clear(renamed, bytes),
    }
}

/// Clears memory, which may hold anything.
fn clear(renamed: &mut Renamed, bytes: &mut [u8]) {
    renamed.replaced.memory += u64::from(bytes.iter().any(|b| *b != 0));
    bytes.fill(0);
}

/// Renames the process and the addresses of a stack.
fn stack(renamed: &mut Renamed, bytes: &mut [u8]) {
    let (header, frames) = bytes.split_at_mut(16);
    if header[8..12] != [0; 4] {
        integer(&mut header[12..], |pid| renamed.process(pid));
    }
    // What follows the first zero is no frame, and may be anything.
    let mut is_over = false;
    for frame in frames.chunks_mut(8) {
        is_over |= *frame == [0; 8];
        if is_over {
            frame.fill(0);
        }
        word(frame, 0, |address| renamed.address(address));
    }
}

fn word(bytes: &mut [u8], at: usize, rename: impl FnOnce(u64) -> u64) {
    if let Some(word) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
        *word = rename(u64::from_ne_bytes(*word)).to_ne_bytes();
    }
}

/// Renames a number of any width, in the byte order of this machine.
fn integer(bytes: &mut [u8], rename: impl FnOnce(u64) -> u64) {
    let mut whole = [0; 8];
    let length = bytes.len().min(8);
    let place = if cfg!(target_endian = "little") { 0..length } else { 8 - length..8 };
    whole[place.clone()].copy_from_slice(&bytes[..length]);
    let number = rename(u64::from_ne_bytes(whole)).to_ne_bytes();
    bytes[..length].copy_from_slice(&number[place]);
}

/// Replaces numbers, which may be those of processes.
fn without_digits(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::integer::{Integer, Sign};
    use crate::data::symbol::Symbols;
    use crate::data::value::ValueRef;

    /// Renames in one record, and returns its bytes.
    fn renamed(description: RecordDescription, bytes: &[u8]) -> (Vec<u8>, Replaced) {
        let mut renamed = Renamed::hiding(&["alice".to_owned()]);
        let fields = layout::of_clause(vec![description]);
        let mut bytes = bytes.to_vec();
        record(&mut renamed, &fields[0], &mut bytes);
        (bytes, renamed.replaced)
    }

    fn description(action: Action, size: usize, alignment: u16) -> RecordDescription {
        let size = size as u32;
        RecordDescription { action, offset: 0, size, alignment, argument: 0, format: None }
    }

    #[test]
    fn memory_is_cleared_whatever_its_size() {
        for action in [Action::Tracemem, Action::Print, Action::Pcap] {
            for size in [1, 2, 4, 8, 16, 40] {
                let (bytes, replaced) = renamed(description(action, size, 1), &vec![7; size]);
                assert_eq!((bytes, replaced.memory), (vec![0; size], 1), "{action:?} {size}");
            }
        }
        // A structure is no string, because its alignment is not one.
        assert_eq!(renamed(description(Action::Trace, 24, 8), &[7; 24]).0, [0; 24]);
    }

    #[test]
    fn numbers_are_renamed_if_their_name_says_what_they_are() {
        for (format, expected) in [
            ("pid=%d", 1),
            ("\"tid\":%d", 1),
            ("uid=%d", 1),
            ("%d", 77),
            ("port=%d", 77),
            ("pids=%d", 77),
        ] {
            for size in [2, 4, 8] {
                let printf = RecordDescription {
                    format: Some(format.to_owned()),
                    ..description(Action::Printf, size, size as u16)
                };
                let mut bytes = [0; 8];
                integer(&mut bytes[..size], |_| 77);
                let (bytes, _) = renamed(printf, &bytes[..size]);
                let number = Integer::from_bytes(&bytes, Sign::Unsigned).expect("a number");
                assert_eq!(number.as_u64(), expected, "{format} {size}");
            }
        }
        let (bytes, _) = renamed(description(Action::Exit, 4, 4), &[9; 4]);
        assert_eq!(bytes, [9; 4]);
    }

    #[test]
    fn a_string_stays_one_of_its_size() {
        let string = |text: &[u8]| {
            let description = description(Action::Trace, 12, 1);
            let mut bytes = text.to_vec();
            bytes.resize(12, 0);
            let (bytes, _) = renamed(description.clone(), &bytes);
            assert_eq!(bytes.len(), 12);
            let fields = layout::of_keys(vec![description]);
            let symbols = Symbols::new();
            match fields[0].value(&bytes, &symbols) {
                ValueRef::String(text) => String::from_utf8_lossy(text).into_owned(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(string(b"/etc/passwd"), "/path1");
        assert_eq!(string(b"a/b c/d e/f"), "path1 path2 ");
        assert_eq!(string(b"alice\0/tail"), "hidden1");
        assert_eq!(string(b"cat"), "cat");
    }

    #[test]
    fn stacks_and_symbols_have_other_addresses_and_processes() {
        let words = |words: &[u64]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        let header = [[2u32, 0, 1, 77].map(u32::to_ne_bytes).concat(), words(&[500, 600, 0, 9])];
        let stack = header.concat();
        let (bytes, _) = renamed(description(Action::UStack, stack.len(), 8), &stack);
        let header = [2u32, 0, 1, 1].map(u32::to_ne_bytes).concat();
        assert_eq!(bytes, [header, words(&[0x1000, 0x2000, 0, 0])].concat());
        let (bytes, _) = renamed(description(Action::USym, 16, 8), &words(&[77, 500]));
        assert_eq!(bytes, words(&[1, 0x1000]));
        let (bytes, _) = renamed(description(Action::Sym, 8, 8), &words(&[500]));
        assert_eq!(bytes, words(&[0x1000]));
    }
}

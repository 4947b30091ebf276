//! How is a recording prepared for sharing?

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::Path;

use super::renamed::Renamed;
use super::renamed_data::record;
use super::target::Target;
use crate::api::frames::Frames;
use crate::data::listing::ListedProbe;
use crate::data::probe::Probe;
use crate::data::record::RecordDescription;
use crate::data::recording::{Compression, Edit};
use crate::data::session_info::{ProgramInfo, SessionInfo};
use crate::decode::kept;
use crate::error::Error;
use crate::records::format;
use crate::records::layout::{self, Field};
use crate::stream::contents::{ContentsFrame, SessionFailure};
use crate::stream::frame::Frame;
use crate::stream::packed::{Packing, Unpacked};
use crate::stream::payload::{EntryFrame, FailureFrame, FiringFrame};
use crate::stream::wire::Malformed;

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
        self.anonymise(Frames::of(source)?, target)
    }

    /// Reads a file and writes the anonymised recording, like [`apply`](Anonymise::apply). Errors name the file.
    ///
    /// # Errors
    /// Those of `apply`, and [`Error::Recording`] if the file cannot be opened.
    pub fn apply_file(
        &self,
        path: impl AsRef<Path>,
        target: impl Write,
    ) -> Result<Replaced, Error> {
        self.anonymise(Frames::of_file(path.as_ref())?, target)
    }

    pub(super) fn anonymise(
        &self,
        frames: Frames<impl Read>,
        target: impl Write,
    ) -> Result<Replaced, Error> {
        let mut frames = frames.requiring_own_byte_order();
        let details = "names are numbers now; scripts, command and output are left out".to_owned();
        let edit = Edit { what: "anonymised".to_owned(), details };
        let mut target = Target::new(target, self.compression, edit);
        let mut anonymising = Anonymising {
            renamed: Renamed::hiding(&self.hidden),
            unpacked: Unpacked::default(),
            data: Vec::new(),
            described: HashMap::new(),
        };
        while let Some((frame, position)) = frames.next(anonymising.renamed.held())? {
            let renamed = anonymising.frame(frame, position, &mut target);
            renamed.map_err(|error| frames.named(error))?;
        }
        target.flush()?;
        Ok(anonymising.renamed.replaced)
    }
}

/// What describes data. Each kind has its own numbers.
#[derive(PartialEq, Eq, Hash)]
enum Kind {
    Clause,
    Aggregation,
}

/// The records of a clause or the keys of an aggregation.
struct Records {
    fields: Vec<Field>,
    packing: Packing,
}

impl Records {
    /// Prepares for the data of `records`. `fields` tells how to decode these.
    fn of(
        records: &[RecordDescription],
        fields: fn(Vec<RecordDescription>) -> Vec<Field>,
    ) -> Result<Records, Malformed> {
        Ok(Records { packing: kept::packing_of(records)?, fields: fields(records.to_vec()) })
    }
}

struct Anonymising {
    renamed: Renamed,
    unpacked: Unpacked,
    /// The records of one firing or entry, in their places.
    data: Vec<u8>,
    described: HashMap<(Kind, u32), Records>,
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
                let data = self.records((Kind::Clause, firing.clause), firing.data, position)?;
                let (text, text_ends): (&[u8], &[u8]) = (&[], &[]);
                let firing = FiringFrame { data: &data, text, text_ends, ..firing };
                return target.put(&Frame::Firing(firing));
            }
            Frame::Entry(entry) => {
                let aggregation = (Kind::Aggregation, entry.aggregation);
                let keys = self.records(aggregation, entry.keys, position)?;
                return target.put(&Frame::Entry(EntryFrame { keys: &keys, ..entry }));
            }
            Frame::Report(_) => {
                self.renamed.replaced.texts += 1;
                return Ok(());
            }
            other => {
                self.remember(&other).map_err(|cause| Error::damage(position, cause))?;
                self.rename(other)
            }
        };
        target.put(&frame)
    }

    /// Remembers the descriptions of data as they were recorded: a new name in a format must not change how a record
    /// is read.
    fn remember(&mut self, frame: &Frame<'_>) -> Result<(), Malformed> {
        match frame {
            Frame::Clause(clause) => {
                let records = Records::of(&clause.records, layout::of_clause)?;
                self.described.insert((Kind::Clause, clause.key), records);
            }
            Frame::Aggregation(aggregation) => {
                let keys = Records::of(&aggregation.keys, layout::of_keys)?;
                self.described.insert((Kind::Aggregation, aggregation.key), keys);
            }
            _ => {}
        }
        Ok(())
    }

    /// Renames in a frame that has no traced data.
    fn rename<'f>(&mut self, mut frame: Frame<'f>) -> Frame<'f> {
        match &mut frame {
            Frame::Begin(info) => self.session(info),
            Frame::Contents(contents) => self.contents(contents),
            Frame::Origin(origin) => {
                self.renamed.replaced.texts += u64::from(origin.command.take().is_some());
                origin.crate_version = self.renamed.without_hidden(&origin.crate_version);
            }
            Frame::Edited(edit) => {
                edit.what = self.renamed.text(&edit.what);
                edit.details = self.renamed.text(&edit.details);
            }
            Frame::Probe(probe) => self.probe(probe),
            Frame::Clause(clause) => self.formats(&mut clause.records),
            Frame::Aggregation(aggregation) => {
                aggregation.name = self.renamed.without_hidden(&aggregation.name);
                self.formats(&mut aggregation.keys);
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
                fault.kind = self.renamed.without_hidden(&fault.kind);
                // The message has the address in it.
                fault.message.clone_from(&fault.kind);
            }
            Frame::Process(event) => {
                event.pid = self.renamed.process(event.pid.unsigned_abs().into()) as i32;
                event.message = None;
            }
            Frame::Program(program) => self.program(program),
            Frame::Listed(listed) => self.listed(listed),
            Frame::Warning(warning) => {
                warning.subject = self.renamed.text(&warning.subject);
                warning.message = self.renamed.text(&warning.message);
            }
            Frame::Failure(failure) => self.failure(failure),
            Frame::SessionFailed(SessionFailure::WorkerDied { status, last_words }) => {
                *status = self.renamed.text(status);
                last_words.clear();
            }
            Frame::SessionFailed(SessionFailure::WorkerSilent { last_words }) => last_words.clear(),
            _ => {}
        }
        frame
    }

    fn session(&mut self, info: &mut SessionInfo) {
        info.library = self.renamed.text(&info.library);
        for part in [&mut info.library_version, &mut info.kernel, &mut info.machine] {
            *part = self.renamed.without_hidden(part);
        }
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

    fn program(&mut self, program: &mut ProgramInfo) {
        program.clauses.iter_mut().for_each(|clause| self.listed(clause));
    }

    fn listed(&mut self, listed: &mut ListedProbe) {
        self.probe(&mut listed.probe);
        let arguments = listed.details.iter_mut().flat_map(|details| &mut details.arguments);
        for argument in arguments.flatten() {
            *argument = self.renamed.without_hidden(argument);
        }
    }

    fn failure(&mut self, failure: &mut FailureFrame) {
        failure.attempt = without_digits(&self.renamed.text(&failure.attempt));
        failure.message = without_digits(&self.renamed.text(&failure.message));
        failure.needed.iter_mut().for_each(|file| *file = self.renamed.text(file));
    }

    /// Renames the process in the name of a provider such as `pid1234`, and paths in the name of a module.
    fn probe(&mut self, probe: &mut Probe) {
        let name = probe.provider.trim_end_matches(|c: char| c.is_ascii_digit());
        let pid = probe.provider[name.len()..].parse().ok();
        let provider = match pid.map(|pid| self.renamed.process(pid)) {
            Some(pid) => format!("{}{pid}", self.renamed.without_hidden(name)),
            None => self.renamed.without_hidden(&probe.provider),
        };
        probe.provider = provider;
        probe.name = self.renamed.without_hidden(&probe.name);
        for part in [&mut probe.module, &mut probe.function] {
            *part = self.renamed.text(part);
        }
    }

    fn formats(&mut self, records: &mut [RecordDescription]) {
        for record in records {
            let format = record.format.as_deref();
            // The conversions stay: they say how the values are read.
            record.format =
                format.map(|format| format::with_texts(format, |text| self.renamed.text(text)));
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
    fn records(
        &mut self,
        described_by: (Kind, u32),
        packed: &[u8],
        position: u64,
    ) -> Result<Vec<u8>, Error> {
        let missing = Malformed::new("frame", "refers to what is not described");
        let malformed = |cause| Error::damage(position, cause);
        let records = self.described.get(&described_by).ok_or_else(|| malformed(missing))?;
        let data = self.unpacked.unpack(&records.packing, packed).map_err(malformed)?;
        self.data.clear();
        self.data.extend_from_slice(data);
        for field in &records.fields {
            let start = field.description.offset as usize;
            if let Some(bytes) = self.data.get_mut(start..start + field.description.size as usize) {
                record(&mut self.renamed, field, bytes);
            }
        }
        let mut renamed = Vec::new();
        records.packing.pack(&self.data, &mut renamed);
        Ok(renamed)
    }
}

/// Replaces numbers, which may be those of processes.
fn without_digits(text: &str) -> String {
    text.replace(|c: char| c.is_ascii_digit(), "#")
}

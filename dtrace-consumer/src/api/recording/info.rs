//! How was a recording made, and what does it contain?

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::api::frames::Frames;
use crate::data::loss::Losses;
use crate::data::outcome::CommandOutcome;
use crate::data::recording::{Edit, Origin};
use crate::data::script::Script;
use crate::data::session_info::{ProgramInfo, SessionInfo};
use crate::data::warning::Warning;
use crate::decode::kept::{PLACE, probe_weight};
use crate::error::Error;
use crate::error::explain::{Session, explain, explain_recorded};
use crate::stream::contents::ContentsFrame;
use crate::stream::frame::{FORMAT_VERSION, Frame};
use crate::stream::payload::FailureFrame;

/// Describes a recording: how it was made, and what it contains.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct RecordingInfo {
    /// The version of its format.
    pub format: u16,
    /// Which program recorded it, and when; `None` if that is not recorded.
    pub origin: Option<Origin>,
    /// How it was changed, in order.
    pub edits: Vec<Edit>,
    /// The library, the kernel and the machine.
    pub session: Option<SessionInfo>,
    /// What it can hold: `firings`, `text`, `printed_entries`, `report`.
    pub holds: Vec<&'static str>,
    /// The name and the text of each script.
    pub scripts: Vec<(String, String)>,
    /// The options that were set.
    pub options: Vec<(String, Option<String>)>,
    /// The number of firings.
    pub firings: u64,
    /// The number of walks over the aggregations.
    pub walks: u64,
    /// The number of entries in these walks.
    pub entries: u64,
    /// The time from the beginning to the last delivery.
    pub duration: Option<Duration>,
    /// What was lost.
    pub losses: Losses,
    /// What the session could not do.
    pub warnings: Vec<Warning>,
    /// The status that the script passed to `exit()`.
    pub exit: Option<i32>,
    /// How the traced command ended.
    pub command: Option<CommandOutcome>,
    /// Why the session failed: the text of the error that a replay returns.
    pub failure: Option<String>,
    /// The damage, if there is any. The other fields describe what precedes it.
    pub damage: Option<String>,
}

impl RecordingInfo {
    /// Reads a recording to its end. Damage is noted in the result.
    ///
    /// ```no_run
    /// use dtrace_consumer::recording::RecordingInfo;
    ///
    /// let info = RecordingInfo::read(std::fs::File::open("segments.dtrace")?)?;
    /// println!("{} firings of {:?}", info.firings, info.scripts);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotARecording`] and [`Error::RecordingVersion`] if this version of the crate cannot read it at all.
    pub fn read(source: impl Read) -> Result<RecordingInfo, Error> {
        Frames::of(source).map(RecordingInfo::of)
    }

    /// Reads a file to its end, and names it in errors.
    ///
    /// # Errors
    /// The same as those of [`read`](RecordingInfo::read), and [`Error::Recording`] if the file cannot be opened.
    pub fn read_file(path: impl AsRef<Path>) -> Result<RecordingInfo, Error> {
        Frames::of_file(path.as_ref()).map(RecordingInfo::of)
    }

    pub(super) fn of(mut frames: Frames<impl Read>) -> RecordingInfo {
        let mut info = RecordingInfo { format: FORMAT_VERSION, ..RecordingInfo::default() };
        let mut printing = false;
        let mut held = 0;
        let mut programs = Vec::new();
        loop {
            match frames.next(held) {
                Ok(Some((Frame::PrintaBegin, _))) => printing = true,
                Ok(Some((Frame::SnapshotEnd, _))) => printing = false,
                Ok(Some((Frame::Entry(_), _))) if printing => {}
                Ok(Some((Frame::Program(program), _))) => programs.push(program),
                Ok(Some((frame, _))) => held += info.note(frame, &programs),
                Ok(None) => return info,
                Err(error) => {
                    info.damage = Some(error.to_string());
                    return info;
                }
            }
        }
    }

    /// Notes a frame. Returns what is kept of it besides descriptions, in bytes. `programs` are those that came before.
    fn note(&mut self, frame: Frame<'_>, programs: &[ProgramInfo]) -> usize {
        match frame {
            Frame::Begin(session) => self.session = Some(session),
            Frame::Contents(contents) => self.note_contents(contents),
            Frame::Origin(origin) => self.origin = Some(origin),
            Frame::Edited(edit) => {
                let size = PLACE + edit.what.len() + edit.details.len();
                self.edits.push(edit);
                return size;
            }
            Frame::Arrived(time) => {
                let began = self.origin.as_ref().map(|origin| origin.monotonic);
                self.duration =
                    began.and_then(|began| Duration::from_nanos(time).checked_sub(began));
            }
            Frame::Firing(_) => self.firings += 1,
            Frame::SnapshotBegin => self.walks += 1,
            Frame::Entry(_) => self.entries += 1,
            Frame::Drop(report) => return PLACE * usize::from(self.losses.count_drop(&report)),
            Frame::Fault(fault) if self.losses.count_fault(&fault) => {
                return fault.probe.as_ref().map_or(PLACE, probe_weight);
            }
            Frame::Warning(warning) => self.warnings.push(warning),
            Frame::Exit(status) => self.exit = Some(status),
            Frame::CommandEnd(end) => self.command = Some(end),
            // A replay ends with the first.
            Frame::Failure(_) | Frame::SessionFailed(_) if self.failure.is_some() => {}
            Frame::Failure(failure) => {
                self.failure = Some(self.explain(failure, programs).to_string());
            }
            Frame::SessionFailed(failure) => {
                self.failure = Some(explain_recorded(failure, &self.losses).to_string());
            }
            _ => {}
        }
        0
    }

    /// Returns the error of a session whose worker failed.
    fn explain(&self, failure: FailureFrame, programs: &[ProgramInfo]) -> Error {
        let scripts: Vec<Script> = self
            .scripts
            .iter()
            .map(|(name, text)| Script::new(text.as_bytes()).named(name))
            .collect();
        let omitted = self.session.as_ref().map(|it| &it.omitted_libraries[..]);
        let (scripts, options, omitted) = (&scripts, &self.options, omitted.unwrap_or_default());
        explain(failure, Session { scripts, options, omitted, programs })
    }

    fn note_contents(&mut self, contents: ContentsFrame) {
        let held = [
            (contents.firings, "firings"),
            (contents.text, "text"),
            (contents.printed, "printed_entries"),
            (contents.report, "report"),
        ];
        self.holds = held.into_iter().filter_map(|(held, what)| held.then_some(what)).collect();
        let scripts = contents.scripts.into_iter();
        self.scripts = scripts
            .map(|(name, text)| (name, String::from_utf8_lossy(&text).into_owned()))
            .collect();
        self.options = contents.options;
    }
}

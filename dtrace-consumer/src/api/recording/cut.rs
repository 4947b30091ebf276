//! How is a part of a recording copied to a new recording?

use std::collections::HashSet;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::target::Target;
use crate::api::frames::Frames;
use crate::data::pattern::ProbePattern;
use crate::data::recording::{Compression, Edit};
use crate::error::Error;
use crate::stream::frame::Frame;

/// Which part of a recording to keep. What is kept meets all conditions that are set.
///
/// ```no_run
/// use dtrace_consumer::recording::Cut;
/// use std::fs::File;
/// use std::time::Duration;
///
/// let cut = Cut::new().until(Duration::from_secs(5)).probe("syscall::write:entry");
/// let kept = cut.apply(File::open("long.dtrace")?, File::create_new("short.dtrace")?)?;
/// println!("{} of {} firings", kept.firings, kept.of);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Cut {
    from: Option<Duration>,
    until: Option<Duration>,
    probes: Vec<String>,
    skip: u64,
    take: Option<u64>,
    compression: Compression,
}

/// How much of a recording was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Kept {
    /// The number of firings that were kept.
    pub firings: u64,
    /// The number of firings that there were.
    pub of: u64,
}

impl Cut {
    /// Creates a `Cut` that keeps everything.
    #[must_use]
    pub fn new() -> Cut {
        Cut::default()
    }

    /// Keeps what arrived no earlier than this time after the recording began. The worker delivers in intervals
    /// (the option `switchrate`); the cut is no more precise than these.
    #[must_use]
    pub fn from(mut self, time: Duration) -> Cut {
        self.from = Some(time);
        self
    }

    /// Keeps what arrived before this time.
    #[must_use]
    pub fn until(mut self, time: Duration) -> Cut {
        self.until = Some(time);
        self
    }

    /// Keeps the firings of the probes that match a description of D, such as `syscall::open*:entry`. Several
    /// descriptions add up.
    #[must_use]
    pub fn probe(mut self, description: impl Into<String>) -> Cut {
        self.probes.push(description.into());
        self
    }

    /// Leaves out the first `n` of the firings that meet the other conditions.
    #[must_use]
    pub fn skip(mut self, n: u64) -> Cut {
        self.skip = n;
        self
    }

    /// Keeps at most `n` firings.
    #[must_use]
    pub fn take(mut self, n: u64) -> Cut {
        self.take = Some(n);
        self
    }

    /// Sets how the new recording is compressed.
    #[must_use]
    pub fn compression(mut self, compression: Compression) -> Cut {
        self.compression = compression;
        self
    }

    /// Reads a recording and writes the part. After an error, what was written is incomplete.
    ///
    /// # Errors
    /// Errors of a damaged recording and of the system, [`Error::Setting`] for an invalid probe description, and
    /// [`Error::NotRecorded`] if a time is set and the recording has no times of arrival.
    pub fn apply(&self, source: impl Read, target: impl Write) -> Result<Kept, Error> {
        self.cut(Frames::of(source)?, target)
    }

    /// Reads a file and writes the part, like [`apply`](Cut::apply). Errors name the file.
    ///
    /// # Errors
    /// Those of `apply`, and [`Error::Recording`] if the file cannot be opened.
    pub fn apply_file(&self, path: impl AsRef<Path>, target: impl Write) -> Result<Kept, Error> {
        self.cut(Frames::of_file(path.as_ref())?, target)
    }

    pub(super) fn cut(
        &self,
        mut frames: Frames<impl Read>,
        target: impl Write,
    ) -> Result<Kept, Error> {
        let mut patterns = Vec::new();
        for text in &self.probes {
            patterns.push(ProbePattern::parse(text).ok_or_else(|| Error::Setting {
                setting: format!("probe({text:?})"),
                reason: "a probe description has at most four parts",
            })?);
        }
        let edit = Edit { what: "cut".to_owned(), details: self.to_string() };
        let mut target = Target::new(target, self.compression, edit);
        let mut cutting = Cutting {
            cut: self,
            patterns,
            others: HashSet::new(),
            began: None,
            now: None,
            group: Group::None,
            printed: Vec::new(),
            matching: 0,
            kept: Kept::default(),
        };
        while let Some((frame, _)) = frames.next(cutting.printed.len())? {
            cutting.frame(frame, &mut target).map_err(|error| frames.named(error))?;
        }
        target.flush()?;
        Ok(cutting.kept)
    }
}

/// Formats the conditions.
impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.from.map(|time| format!("from {time:?}")));
        parts.extend(self.until.map(|time| format!("until {time:?}")));
        if !self.probes.is_empty() {
            parts.push(format!("probes {}", self.probes.join(" ")));
        }
        if self.skip > 0 {
            parts.push(format!("without the first {} firings", self.skip));
        }
        parts.extend(self.take.map(|n| format!("at most {n} firings")));
        f.write_str(&if parts.is_empty() { "everything".to_owned() } else { parts.join(", ") })
    }
}

/// What the entries that follow belong to.
enum Group {
    None,
    /// To the next firing's `printa()`.
    Printed,
    Walk {
        is_kept: bool,
    },
}

struct Cutting<'c> {
    cut: &'c Cut,
    patterns: Vec<ProbePattern>,
    /// The numbers of the probes that do not match.
    others: HashSet<u32>,
    /// When the recording began.
    began: Option<Duration>,
    /// When what follows arrived.
    now: Option<Duration>,
    group: Group,
    /// The entries that the next firing prints, encoded.
    printed: Vec<u8>,
    matching: u64,
    kept: Kept,
}

impl Cutting<'_> {
    fn frame(&mut self, frame: Frame<'_>, target: &mut Target<impl Write>) -> Result<(), Error> {
        match frame {
            Frame::Origin(ref origin) => self.began = Some(origin.monotonic),
            Frame::Arrived(time) => {
                self.now = self.began.map(|began| Duration::from_nanos(time).saturating_sub(began));
                if !self.is_in_time()? {
                    return Ok(());
                }
            }
            Frame::Contents(mut contents) => {
                // The report is about the whole session.
                contents.report &= !self.has_time();
                return target.put(&Frame::Contents(contents));
            }
            Frame::Report(_) if self.has_time() => return Ok(()),
            Frame::Probe(ref probe) => {
                let matches = self.patterns.iter().any(|pattern| pattern.matches(probe.parts()));
                let is_other = !self.patterns.is_empty() && !matches;
                let _ = match is_other {
                    true => self.others.insert(probe.id),
                    false => self.others.remove(&probe.id),
                };
            }
            Frame::Firing(ref firing) => {
                let printed = std::mem::take(&mut self.printed);
                if !self.keeps(firing.probe)? {
                    return Ok(());
                }
                target.put_encoded(&printed);
            }
            Frame::PrintaBegin => self.group = Group::Printed,
            Frame::SnapshotBegin => self.group = Group::Walk { is_kept: self.is_in_time()? },
            Frame::Drop(_) | Frame::Fault(_) if !self.is_in_time()? => return Ok(()),
            Frame::Alive => return Ok(()),
            _ => {}
        }
        let is_grouped = matches!(
            frame,
            Frame::PrintaBegin | Frame::SnapshotBegin | Frame::Entry(_) | Frame::SnapshotEnd
        );
        match self.group {
            Group::Printed if is_grouped => frame.encode(&mut self.printed),
            Group::Walk { is_kept: false } if is_grouped => {}
            _ => target.put(&frame)?,
        }
        if matches!(frame, Frame::SnapshotEnd) {
            self.group = Group::None;
        }
        Ok(())
    }

    fn has_time(&self) -> bool {
        self.cut.from.is_some() || self.cut.until.is_some()
    }

    fn is_in_time(&self) -> Result<bool, Error> {
        if !self.has_time() {
            return Ok(true);
        }
        let now = self.now.ok_or(Error::NotRecorded {
            name: None,
            what: "times of arrival",
            wanted_by: "a cut by time",
            remedy: "cut by probes or by the number of firings",
        })?;
        Ok(self.cut.from.is_none_or(|from| from <= now)
            && self.cut.until.is_none_or(|until| now < until))
    }

    /// Returns whether to keep a firing of a probe, and counts it.
    fn keeps(&mut self, probe: u32) -> Result<bool, Error> {
        self.kept.of += 1;
        if self.others.contains(&probe) || !self.is_in_time()? {
            return Ok(false);
        }
        self.matching += 1;
        let is_kept = self.matching > self.cut.skip
            && self.cut.take.is_none_or(|most| self.kept.firings < most);
        self.kept.firings += u64::from(is_kept);
        Ok(is_kept)
    }
}

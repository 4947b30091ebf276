//! The settings of a session, apart from its handlers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dtrace_locate::locate::Libdtrace;

use super::command::created::Created;
use super::elevation::Elevation;
use crate::data::recording::Compression;
use crate::data::script::Script;
use crate::decode::delivery::Delivery;
use crate::decode::stop::Ending;

/// Everything that is set before a live session starts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub(crate) access: Access,
    pub(crate) scripts: Vec<Script>,
    pub(crate) options: Vec<(String, Option<String>)>,
    pub(crate) compile_flags: u32,
    pub(crate) read_options: Vec<String>,
    /// The processes to create; see [`Created`] about clones.
    pub(crate) created: Created,
    /// The processes to grab.
    pub(crate) grabbed: Vec<i32>,
    pub(crate) delivery: Delivery,
    /// How often to walk the aggregations while tracing.
    pub(crate) interval: Option<Duration>,
    /// Whether to leave the commands of `system()` to the handlers.
    pub(crate) keep_system: bool,
    pub(crate) recording: Option<PathBuf>,
    pub(crate) compression: Compression,
    /// The traced command and its arguments, for the recording.
    pub(crate) command_line: Option<Vec<String>>,
    pub(crate) frame_limit: Option<usize>,
    pub(crate) silence_limit: Option<Duration>,
    pub(crate) max_delay: Option<Duration>,
    pub(crate) inherit_stderr: bool,
}

/// Where to look for libdtrace, and which program becomes the worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) prefix: Option<PathBuf>,
    pub(crate) worker: Option<PathBuf>,
    pub(crate) elevation: Elevation,
    /// The library to load, instead of one that is searched for.
    pub(crate) admitted: Option<Arc<Libdtrace>>,
    /// Set if the session is a part of the library's self-check, which ends with it.
    pub(crate) under_check: Option<Arc<Ending>>,
}

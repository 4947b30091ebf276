//! What the user's process sends to the worker.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dtrace_locate::locate::{Libdtrace, Standing};
use dtrace_sys::abi::KNOWN_VERSIONS;
use dtrace_sys::{ParseVersionError, Version};

use super::wire::{Malformed, Put, Take, Wire};
use crate::data::aggregation::Order;
use crate::data::script::{Script, Specifier};
use crate::data::session_info::OmittedLibrary;

/// A process whose end the session waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Process {
    /// The user's process has started it for the session, as `dtrace -c` does, and holds it.
    Created(Target),
    /// It is already running, as for `dtrace -p`.
    Grab(i32),
}

/// The purpose of a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Purpose {
    /// Trace.
    #[default]
    Trace,
    /// Check whether the scripts compile, and what they match.
    Check,
    /// List probes: those that match a pattern, or those of the scripts if there are any.
    List { patterns: Vec<String>, describe: bool },
    /// Look up kernel symbols, by name or by address.
    Lookup { names: Vec<String>, addresses: Vec<u64> },
    /// Look up types.
    Types { names: Vec<String> },
    /// Write the C header of the scripts' providers. The file name determines its include guard.
    Header { name: String },
    /// Write the object file for the script, and modify the object files of its program.
    Link { output: PathBuf, objects: Vec<PathBuf> },
}

/// Permission to load a library whose version is not known. Whoever gives it has evidence that the library has the
/// structures of the known ones, or lets the session find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// The only such version that may be loaded. `None` where versions do not tell structures, so that any may be.
    pub(crate) version: Option<Version>,
    /// Whether the session is a part of a self-check: nothing is verified yet.
    pub(crate) under_check: bool,
}

impl Unknown {
    /// Returns the permission to load this library, if it needs one.
    ///
    /// # Errors
    /// The library was neither verified nor is it `under_check`, or it has no version that could be permitted.
    pub(crate) fn permission(
        library: &Libdtrace,
        under_check: bool,
    ) -> Result<Option<Unknown>, String> {
        match library.standing {
            _ if under_check => {}
            Standing::Known => return Ok(None),
            Standing::Verified => {}
            _ => return Err("no self-check has admitted it".to_owned()),
        }
        let version = match KNOWN_VERSIONS {
            [] => None,
            _ => {
                let found = library.version.as_deref().unwrap_or_default();
                Some(version(found).map_err(|error| error.to_string())?)
            }
        };
        Ok(Some(Unknown { version, under_check }))
    }
}

/// Parses the numbers of a version, such as `2.0.7`.
fn version(numbers: &str) -> Result<Version, ParseVersionError> {
    // After a space, what comes before it would pass for the name of the maker.
    format!("D {}", numbers.replace(' ', "_")).parse()
}

/// The longest time that records may wait: as long as libdtrace's own wait lasts by default.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// Everything that a worker needs to run one session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) purpose: Purpose,
    pub(crate) library: PathBuf,
    /// Without it, only a known version is loaded.
    pub(crate) unknown: Option<Unknown>,
    pub(crate) syslibdir: Option<PathBuf>,
    pub(crate) omit: Vec<OmittedLibrary>,
    pub(crate) options: Vec<(String, Option<String>)>,
    /// Whether to give the script every D library, or only those that it seems to need.
    pub(crate) all_libraries: bool,
    pub(crate) compile_flags: u32,
    pub(crate) scripts: Vec<Script>,
    /// A held process that becomes `$target`.
    pub(crate) target: Option<Target>,
    /// The session ends with the last of these processes. Without a target the first one is `$target`.
    pub(crate) processes: Vec<Process>,
    /// Whether to send firings.
    pub(crate) firings: bool,
    /// Whether to format each record.
    pub(crate) text: bool,
    /// Whether to send the entries that each `printa()` prints.
    pub(crate) printed: bool,
    /// The order in which to walk aggregations.
    pub(crate) order: Order,
    /// Whether a walk removes the entries that it delivers.
    pub(crate) drain: bool,
    /// Whether to send the text that dtrace(1) would print of the aggregations at the end.
    pub(crate) report: bool,
    /// The options whose values to send when tracing begins.
    pub(crate) read_options: Vec<String>,
    /// How often to send the aggregations while tracing. They are always sent at the end.
    pub(crate) snapshot_interval: Option<Duration>,
    /// How long records may wait in the kernel's buffers while many come.
    pub(crate) max_delay: Duration,
}

impl Job {
    /// Returns the processes that are held until tracing is on.
    pub(crate) fn held(&self) -> impl Iterator<Item = &Target> {
        let created = self.processes.iter().filter_map(|process| match process {
            Process::Created(held) => Some(held),
            Process::Grab(_) => None,
        });
        self.target.iter().chain(created)
    }

    /// Returns whether a libdtrace that was opened for another job can serve this one. These options say where
    /// libdtrace reads what it reads once.
    pub(crate) fn takes_any_libdtrace(&self) -> bool {
        const READ_ONCE: [&str; 3] = ["ctfpath", "modpath", "procfspath"];
        let is_set = self.options.iter().any(|(name, _)| READ_ONCE.contains(&name.as_str()));
        let under_check = self.unknown.as_ref().is_some_and(|it| it.under_check);
        !is_set && !under_check && !self.scripts.iter().any(|script| script.mentions(&READ_ONCE))
    }

    /// Returns whether libdtrace will probably read the kernel's types for this job.
    pub(crate) fn seems_to_need_types(&self) -> bool {
        self.scripts.iter().any(Script::seems_to_need_types)
    }
}

/// A command that is held until tracing is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) pid: i32,
    /// The gate that it waits at, if libdtrace is to attach to it.
    pub(crate) gate: Option<Gate>,
}

/// What to write where in a process to release it; see `client/command/linux/gate.rs`. On FreeBSD there is nothing to
/// write: the process is stopped at this address, and libdtrace continues it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) address: u64,
    pub(crate) opening: Vec<u8>,
}

/// A message to the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Begin. The first message.
    Job(Box<Job>),
    /// Stop tracing, deliver everything recorded, and finish.
    Stop,
    /// Deliver everything recorded, with the symbols of all addresses, including those in aggregations. The
    /// worker then sends [`Frame::CaughtUp`](super::frame::Frame::CaughtUp).
    CatchUp,
}

impl Wire<'_> for Purpose {
    fn put(&self, b: &mut Vec<u8>) {
        match self {
            Purpose::Trace => b.put_u8(0),
            Purpose::Check => b.put_u8(1),
            Purpose::List { patterns, describe } => {
                b.put_u8(2);
                b.put_list(patterns.iter(), |b, p| b.put_str(p));
                b.put_bool(*describe);
            }
            Purpose::Lookup { names, addresses } => {
                b.put_u8(3);
                b.put_list(names.iter(), |b, n| b.put_str(n));
                b.put_list(addresses.iter(), |b, a| b.put_u64(*a));
            }
            Purpose::Types { names } => {
                b.put_u8(4);
                b.put_list(names.iter(), |b, n| b.put_str(n));
            }
            Purpose::Header { name } => {
                b.put_u8(5);
                b.put_str(name);
            }
            Purpose::Link { output, objects } => {
                b.put_u8(6);
                put_path(b, output);
                b.put_list(objects.iter(), |b, o| put_path(b, o));
            }
        }
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(match t.u8("purpose")? {
            0 => Purpose::Trace,
            1 => Purpose::Check,
            2 => Purpose::List {
                patterns: t.list("patterns", |t| t.string("pattern"))?,
                describe: t.bool("describe")?,
            },
            3 => Purpose::Lookup {
                names: t.list("names", |t| t.string("name"))?,
                addresses: t.list("addresses", |t| t.u64("address"))?,
            },
            4 => Purpose::Types { names: t.list("names", |t| t.string("name"))? },
            5 => Purpose::Header { name: t.string("name")? },
            6 => Purpose::Link {
                output: take_path(t, "output")?,
                objects: t.list("objects", |t| take_path(t, "object"))?,
            },
            _ => return Err(Malformed::new("purpose", "unknown to this version")),
        })
    }
}

impl Wire<'_> for Script {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_str(&self.name);
        b.put_str(&self.argument_zero);
        b.put_bytes(&self.text);
        b.put_list(self.arguments.iter(), |b, a| b.put_str(a));
        b.put_option(self.specifier, |b, s| b.put_u8(s as u8));
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Script {
            name: t.string("script name")?,
            argument_zero: t.string("$0")?,
            text: t.bytes("script")?.to_vec(),
            arguments: t.list("arguments", |t| t.string("argument"))?,
            specifier: t.option("specifier", |t| {
                let n = usize::from(t.u8("specifier")?);
                let none = Malformed::new("specifier", "unknown to this version");
                Specifier::ALL.get(n).copied().ok_or(none)
            })?,
        })
    }
}

impl Wire<'_> for Process {
    fn put(&self, b: &mut Vec<u8>) {
        match self {
            Process::Created(held) => {
                b.put_u8(1);
                held.put(b);
            }
            Process::Grab(pid) => {
                b.put_u8(2);
                b.put_i32(*pid);
            }
        }
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        match t.u8("process")? {
            1 => Ok(Process::Created(Target::take(t)?)),
            2 => Ok(Process::Grab(t.i32("pid")?)),
            _ => Err(Malformed::new("process", "neither created nor grabbed")),
        }
    }
}

impl Wire<'_> for Target {
    fn put(&self, b: &mut Vec<u8>) {
        b.put_i32(self.pid);
        b.put_option(self.gate.as_ref(), |b, gate| {
            b.put_u64(gate.address);
            b.put_bytes(&gate.opening);
        });
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Target {
            pid: t.i32("target")?,
            gate: t.option("gate", |t| {
                Ok(Gate { address: t.u64("address")?, opening: t.bytes("gate opening")?.to_vec() })
            })?,
        })
    }
}

impl Wire<'_> for Job {
    fn put(&self, b: &mut Vec<u8>) {
        self.purpose.put(b);
        put_path(b, &self.library);
        b.put_option(self.unknown.as_ref(), |b, unknown| {
            b.put_option(unknown.version.as_ref(), |b, version| b.put_str(&version.to_string()));
            b.put_bool(unknown.under_check);
        });
        b.put_option(self.syslibdir.as_ref(), |b, p| put_path(b, p));
        b.put_list(self.omit.iter(), |b, o| o.put(b));
        b.put_list(self.options.iter(), |b, (name, value)| {
            b.put_str(name);
            b.put_option(value.as_deref(), |b, v| b.put_str(v));
        });
        b.put_bool(self.all_libraries);
        b.put_u32(self.compile_flags);
        b.put_list(self.scripts.iter(), |b, s| s.put(b));
        b.put_option(self.target.as_ref(), |b, target| target.put(b));
        b.put_list(self.processes.iter(), |b, process| process.put(b));
        b.put_bool(self.firings);
        b.put_bool(self.text);
        b.put_bool(self.printed);
        b.put_u8(self.order as u8);
        b.put_bool(self.drain);
        b.put_bool(self.report);
        b.put_list(self.read_options.iter(), |b, o| b.put_str(o));
        b.put_option(self.snapshot_interval, put_duration);
        put_duration(b, self.max_delay);
    }

    fn take(t: &mut Take<'_>) -> Result<Self, Malformed> {
        Ok(Job {
            purpose: Purpose::take(t)?,
            library: take_path(t, "library")?,
            unknown: t.option("unknown version", |t| {
                let version = t.option("version", |t| {
                    version(&t.string("version")?)
                        .map_err(|_| Malformed::new("version", "not a version of libdtrace"))
                })?;
                Ok(Unknown { version, under_check: t.bool("under check")? })
            })?,
            syslibdir: t.option("syslibdir", |t| take_path(t, "syslibdir"))?,
            omit: t.list("omitted libraries", OmittedLibrary::take)?,
            options: t.list("options", |t| {
                Ok((t.string("option")?, t.option("value", |t| t.string("value"))?))
            })?,
            all_libraries: t.bool("all libraries")?,
            compile_flags: t.u32("compile flags")?,
            scripts: t.list("scripts", Script::take)?,
            target: t.option("target", Target::take)?,
            processes: t.list("processes", Process::take)?,
            firings: t.bool("firings wanted")?,
            text: t.bool("text wanted")?,
            printed: t.bool("printed wanted")?,
            order: Order::from_number(t.u8("order")?)
                .ok_or(Malformed::new("order", "unknown to this version"))?,
            drain: t.bool("drain")?,
            report: t.bool("report wanted")?,
            read_options: t.list("options to read", |t| t.string("option"))?,
            snapshot_interval: t
                .option("interval", |t| t.u64("interval").map(Duration::from_nanos))?,
            max_delay: Duration::from_nanos(t.u64("delay")?),
        })
    }
}

fn put_duration(b: &mut Vec<u8>, duration: Duration) {
    b.put_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

fn put_path(b: &mut Vec<u8>, path: &Path) {
    b.put_bytes(path.as_os_str().as_bytes());
}

fn take_path(t: &mut Take<'_>, field: &'static str) -> Result<PathBuf, Malformed> {
    Ok(OsStr::from_bytes(t.bytes(field)?).into())
}

impl Command {
    /// Encodes the message in an envelope like a frame's: `u32 length, u8 kind, payload`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut b = vec![0; 4];
        match self {
            Command::Job(job) => {
                b.put_u8(1);
                job.put(&mut b);
            }
            Command::Stop => b.put_u8(2),
            Command::CatchUp => b.put_u8(3),
        }
        let length = u32::try_from(b.len() - 4).unwrap_or(u32::MAX);
        b[..4].copy_from_slice(&length.to_le_bytes());
        b
    }

    pub(crate) fn decode(body: &[u8]) -> Result<Command, Malformed> {
        let t = &mut Take::new(body);
        match t.u8("command")? {
            1 => Job::take(t).map(|job| Command::Job(Box::new(job))),
            2 => Ok(Command::Stop),
            3 => Ok(Command::CatchUp),
            _ => Err(Malformed::new("command", "unknown to this version")),
        }
    }
}

#[cfg(test)]
mod tests;

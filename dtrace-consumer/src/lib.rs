//! Runs D scripts with libdtrace, and delivers what they record to closures, as Rust types.
//!
//! ```no_run
//! let mut writes: Vec<(i32, u64)> = Vec::new();
//! let outcome = dtrace_consumer::run_synchronous(
//!     r#"syscall::write:entry /pid == $target/ { printf("%d %d", (int)arg0, arg2); }"#,
//!     ["date", "-u"],
//! )
//! .rows(|write| {
//!     writes.push(write); // file descriptor and bytes
//!     Ok(())
//! })
//! .run()?;
//! println!("{writes:?}; {}", outcome.losses);
//! # Ok::<(), dtrace_consumer::Failure>(())
//! ```
//!
//! Live tracing needs Linux, libdtrace 2.0.7 (or a version that passes a self-check), and root or a worker
//! that is [elevated](Session::elevation). [`preflight()`] lists what is missing and how to get it. Recordings
//! can be replayed on any Unix system, without privilege and without libdtrace.
//!
//! # Sessions
//! A [`Session`] is set up, and then it runs. Its type says where its data come from. A setting that makes
//! no sense for that source does not compile:
//!
//! ```text
//!  trace(script) ──────────────> Session<Live> ─────┐
//!                                  │ .command(c)    │              .run()     on this thread
//!                                  v                ├─ handlers ─> .spawn()   ConsumerThread
//!  run_synchronous(script, c) ─> Session<Traced> ───┤              .events(n) Events, a channel
//!                                                   │              .stream(n) EventStream, if async
//!  replay(file) ───────────────> Session<Recorded> ─┘
//! ```
//!
//! | | ends with |
//! |---|---|
//! | [`trace`] | `exit()` in the script, a [`StopHandle`] or the [`deadline`](Session::deadline) |
//! | [`run_synchronous`] | the command, which is `$target` and is held until tracing is on; or as `trace` |
//! | [`replay()`], [`replay_from`] | the recording, a [`StopHandle`] or the [`deadline`](Session::deadline) |
//!
//! [`run`](Session::run) calls the handlers on the calling thread, so that they may borrow.
//! [`spawn`](Session::spawn) and [`events`](Session::events) need handlers that are `Send + 'static`;
//! both return when tracing is on. [`stop`](ConsumerThread::stop) ends the session, and returns when
//! everything that was recorded by then has been delivered.
//!
//! A session that is stopped or reaches its deadline delivers everything recorded by then, and ends its
//! command. [`StopHandle::abort`] discards what is left instead. [`Outcome::ended_by`] says what ended the
//! session.
//!
//! A live session [compiles](Session::check) its scripts, enables their probes and turns tracing on. These
//! steps report all errors in scripts and options. [`Outcome`] has the losses, the timings, and how the
//! command ended.
//!
//! # Handlers
//! Four closures have the names that python-dtrace gave them:
//!
//! - [`chew`](Session::chew) is called for each firing of a clause, with a [`Firing`]: probe, CPU,
//!   records.
//! - [`chewrec`](Session::chewrec) is called for each [`Record`] of the firing, after `chew`.
//! - [`out`](Session::out) is called with the text that dtrace(1) would print for each record. libdtrace
//!   formats records only if this text is wanted.
//! - [`walk`](Session::walk) is called for each entry of the aggregations: at the end, and every
//!   [`walk_every`](Session::walk_every) while tracing.
//!
//! [`rows`](Session::rows) and [`walk_rows`](Session::walk_rows) deliver the same data as your own types.
//! [`on_start`](Session::on_start), [`on_drop`](Session::on_drop), [`on_fault`](Session::on_fault),
//! [`on_option`](Session::on_option), [`on_process`](Session::on_process) and
//! [`on_stop`](Session::on_stop) report other events.
//!
//! To share state among handlers, write them as methods of a [`Consumer`]:
//!
//! ```no_run
//! use dtrace_consumer::{Aggregated, CallbackResult, Consumer, trace};
//! use std::time::Duration;
//!
//! #[derive(Default)]
//! struct Top(Vec<(i64, String)>);
//!
//! impl Consumer for Top {
//!     fn walk(&mut self, entry: &Aggregated<'_>) -> CallbackResult {
//!         self.0.push((entry.number()?, entry.key(0)?));
//!         Ok(())
//!     }
//!
//!     fn walked(&mut self) -> CallbackResult {
//!         self.0.sort();
//!         println!("{:?}", self.0.pop());
//!         Ok(self.0.clear())
//!     }
//! }
//!
//! trace("syscall:::entry { @[execname] = count(); } tick-10s { exit(0); }")
//!     .walk_every(Duration::from_secs(1))
//!     .consumer(Top::default())
//!     .run()?;
//! # Ok::<(), dtrace_consumer::Failure>(())
//! ```
//!
//! Handlers borrow their arguments; [`ValueRef::to_owned`] makes a copy to keep. They return a
//! [`CallbackResult`], so `?` works in them. An error or a panic ends the session, which returns it as
//! [`Error::Callback`] or [`Error::Panicked`]. Each CPU has its own buffer, and firings arrive buffer by
//! buffer. Where order matters, record `timestamp` and sort by it.
//!
//! # In async programs
//! With the feature `futures`, `Session::stream` delivers events as a `futures::Stream`, under any runtime.
//! The session has its own thread, so no task is blocked while tracing starts, waits or ends.
//!
//! ```no_run
//! # #[cfg(feature = "futures")]
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use dtrace_consumer::{Event, trace};
//! use futures::StreamExt;
//!
//! let script = r#"syscall::openat:entry { printf("%d %s", pid, copyinstr(arg1)); }"#;
//! let mut events = trace(script).stream(1024).await?; // tracing is on
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::Firing(firing) => println!("{:?}", firing.row::<(i32, String)>()?),
//!         Event::Drop(report) => eprintln!("{}", report.message),
//!         _ => {}
//!     }
//! }
//! let outcome = events.finish().await?; // or why the session failed
//! # Ok(())
//! # }
//! ```
//!
//! If a task polls too slowly, the stream fills. Then the session waits, the kernel's buffers fill, and DTrace
//! drops and counts data, as with any slow consumer. A full stream does not keep the session from ending.
//!
//! # Values and rows
//! ```no_run
//! use dtrace_consumer::ValueRef;
//! use serde::Deserialize;
//!
//! #[derive(Debug, Deserialize)]
//! struct Open {
//!     pid: i32,
//!     path: String,
//! }
//!
//! dtrace_consumer::trace(
//!     r#"syscall::openat:entry { printf("%d %s", pid, copyinstr(arg1)); } tick-5s { exit(0); }"#,
//! )
//! .chew(|firing| {
//!     for value in firing.values() {
//!         match value {
//!             ValueRef::Integer(n) => println!("{} bytes wide: {n}", n.width()),
//!             other => println!("{}: {other}", other.kind()),
//!         }
//!     }
//!     Ok(())
//! })
//! .rows(|open: Open| Ok(println!("{open:?}")))
//! .run()?;
//! # Ok::<(), dtrace_consumer::Failure>(())
//! ```
//! A row takes the values of a firing: printf arguments, traced expressions, stacks. It is a tuple, a
//! structure that implements `Deserialize`, or a single scalar. A structure takes values by name if the format
//! names them, as in `pid=%d`, and by position otherwise. Maps, untagged enumerations and flattened structures
//! take named values, too; [`Firing::row`] has the rules. If the clauses of a script record different values,
//! [`rows_for`](Session::rows_for) adds a closure for some of its probes, and
//! [`walk_rows_for`](Session::walk_rows_for) one for an aggregation. [`misfits`](Session::misfits) decides
//! what happens to a row that does not fit its type.
//!
//! Integers keep the width that they have in D. Their sign is that of the printf conversion or of the
//! traced expression. Where libdtrace does not record the sign, as in keys of aggregations, the target
//! type decides; without one, they read as dtrace(1) prints them. A number that does not fit is an error; it is
//! never truncated. A record of a kind that this crate does not decode arrives as [`ValueRef::Opaque`].
//!
//! `arg0` to `arg9` are registers of 64 bits, whatever the type of the argument. An `int` of -1 arrives as
//! 4294967295, which does not fit an `i32`. Cast it in the script: `(int)arg0`.
//!
//! Values, firings, records, text, entries, events, losses and outcomes implement `serde::Serialize`. Firings,
//! entries and events also implement `Display`. The module [`ndjson`] writes a session as lines of JSON for other
//! programs.
//!
//! # Aggregations
//! ```no_run
//! use dtrace_consumer::{ConsumerThread, aggregation::Mode};
//! use std::time::Duration;
//!
//! let thread = ConsumerThread::builder(
//!     "syscall::read:return /arg1 > 0/ { @bytes[execname] = sum(arg1); @sizes = quantize(arg1); }",
//! )
//! .mode(Mode::Delta)
//! .walk_every(Duration::from_secs(1))
//! .walk(|entry| {
//!     match entry.value().distribution() {
//!         Some(sizes) => println!("median {:?}, within {:?}", sizes.median_estimate(), sizes.percentile(50.0)),
//!         None => println!("{}: {} bytes", entry.key::<String>(0)?, entry.number()?),
//!     }
//!     Ok(())
//! })
//! .spawn()?; // tracing is on
//! std::thread::sleep(Duration::from_secs(10));
//! thread.stop()?; // everything up to now has been delivered
//! # Ok::<(), dtrace_consumer::Failure>(())
//! ```
//! [`Mode::Cumulative`](aggregation::Mode::Cumulative), the default, delivers totals since tracing
//! began. [`Mode::Delta`](aggregation::Mode::Delta) delivers what was added since the previous walk. Both
//! leave the kernel's data untouched, so `printa()`, `clear()` and `trunc()` of the script mean what
//! they mean under dtrace(1). [`Mode::Drain`](aggregation::Mode::Drain) removes what it delivers.
//!
//! All nine aggregating functions are decoded; see [`aggregation::AggregationValue`].
//! [`order`](Session::order) sets the order of a walk, one of those that libdtrace offers.
//! [`walk_joined`](Session::walk_joined) combines the values of several aggregations by key.
//!
//! # Stacks
//! ```no_run
//! use dtrace_consumer::value::FoldedStacks;
//!
//! let script = "profile-99 { @[execname, ustack(), stack()] = count(); } tick-10s { exit(0); }";
//! let mut stacks = FoldedStacks::default();
//! dtrace_consumer::trace(script)
//!     .walk(|entry| Ok(stacks.add(&entry.folded().demangled(), entry.number()?)?))
//!     .run()?;
//! std::fs::write("stacks.folded", stacks.to_string())?; // for inferno, flamegraph.pl or speedscope
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//! Stacks arrive with the names of their functions. User stacks follow frame pointers; `docs/stacks.md` in the
//! repository says how to compile a program with them.
//!
//! # Losses
//! DTrace drops data rather than block the system. [`Outcome::losses`] counts drops by kind and CPU,
//! and run-time faults by probe. A [`LossPolicy`](loss::LossPolicy) decides what else happens: a warning
//! (the default), nothing, or the end of the session with [`Error::Lost`]. Warnings go through the
//! `tracing` crate if the program has a subscriber, otherwise to standard error.
//!
//! # Errors
//! ```no_run
//! use dtrace_consumer::{Error, trace};
//!
//! let failure = trace("BEGIN\n{\n    trace(foo(1));\n}").run().unwrap_err();
//! match &failure.error {
//!     Error::Compile(error) => eprintln!("{error}"), // with the line, and a caret under `foo`
//!     Error::Unavailable(unavailable) => eprintln!("{unavailable}"), // what is missing, and remedies
//!     other => eprintln!("{other}"),
//! }
//! println!("{} firings were delivered before", failure.outcome.firings);
//! ```
//! A session that fails returns a [`Failure`]: the [`Error`], and the [`Outcome`] up to that point. `{:?}`
//! formats the text of an error, so `main` can return it; `{:#?}` formats its structure. A traced command
//! that fails is not an error; see [`Outcome::command`]. Clauses that libdtrace accepts, but that can never
//! fire, are not errors either; [`Outcome::warnings`] names them.
//!
//! # Recordings
//! [`record`](Session::record) writes what a session delivers to a file. [`replay()`] delivers it again, on
//! any machine with the same byte order; elsewhere it fails with [`Error::RecordingByteOrder`]. A recording
//! always holds firings and aggregations. It holds text if the session had an `out` handler or was
//! [`formatted`](Session::formatted). A replay fails with [`Error::NotRecorded`] if the recording lacks what a
//! handler needs. The replay of a session that failed fails with the same error. Commands of `system()` are not run on replay. `docs/stream.md` in the repository describes the format.
//!
//! A program that only replays can turn off the default feature `live`. Then there is no worker, no
//! libdtrace, and fewer than two thirds of the dependencies.
//!
//! # The worker
//! ```text
//!  your process                                  worker: your executable, started again
//! +-------------------------------------+       +---------------------------------------+
//! | Session: script, options, handlers  |  job  | libdtrace, loaded at run time         |
//! |                                     | ----> |   open, compile, enable, go           |
//! |   walk  out  chew  chewrec  rows    | <---- |   records with their descriptions     |
//! |   Outcome: losses, timings, status  | frames|   everything delivered, then the end  |
//! +-------------------------------------+       +---------------------------------------+
//!            |          ^                                         ^
//!     record |          | replay                                  | BPF programs, buffers
//!            v          |                                         v
//!         a file of the same frames                            the kernel
//! ```
//! libdtrace on Linux runs one session per process, aborts in places where other libraries return
//! errors, and takes seconds to close. So each session has its own process, the worker. Your process never
//! loads libdtrace; it decodes what the worker forwards. Several sessions can run at once.
//!
//! A session starts your executable again, with a marker in its environment. A function of this crate
//! runs before `main`, finds the marker, runs the session and ends the process. The consequences:
//!
//! - You need not call or install anything. Command-line arguments are not passed on, and the worker's `main`
//!   never runs.
//! - Constructors of other crates (code that runs before `main`) run in workers, too.
//! - A worker has the privileges, environment and working directory of your process. Standard input is
//!   its channel, and what libdtrace writes to standard error ends up in [`Error::WorkerDied`].
//! - It has its own process group, so Ctrl-C reaches only your process. It ends when your process does.
//! - A set-uid program ignores the marker. Name another program as its worker.
//! - If this crate is not part of the executable, as in a `cdylib` in an interpreter, starting the
//!   executable again would start the interpreter. A static executable (musl) cannot load a shared
//!   library. In both cases [`worker`](Session::worker) names a program that is a worker:
//!   `dtrace-worker`, or any dynamically linked program with the same version of this crate in it.
//!
//! # Where libdtrace is looked for
//! [`locate`] has the rules. In short, the search order is: the [`prefix`](Session::prefix), the
//! environment variable `DTRACE_CONSUMER_PREFIX`, the system, a directory `libdtrace` beside the program or
//! above it, and the user's data directory. On Debian and Ubuntu releases without a supported libdtrace,
//! `dtrace-worker install`, a program of this crate, unpacks a private one into the user's data
//! directory; [`install`] does the same from Rust.
//!
//! # What else can be asked
//! [`Session::check`] compiles without tracing. [`query`] lists probes, and looks up symbols and types of
//! the kernel. [`Session::header`] and [`Session::link`] make the C header and the object file
//! that a C program with its own probes is built with. [`mod@option`] has the options of tracing, with the
//! types of their values.
#![deny(unsafe_code)]
// Tests signal their own children.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]
#![cfg_attr(
    not(feature = "live"),
    allow(
        dead_code,
        unreachable_pub,
        reason = "live sessions need more of the lower layers than replay does"
    )
)]

mod api;
#[cfg(feature = "live")]
mod client;
mod data;
mod decode;
pub mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(all(feature = "live", target_os = "freebsd"))]
#[expect(unsafe_code, reason = "a system call without a safe wrapper")]
mod kinfo;
mod records;
#[cfg(feature = "live")]
#[expect(unsafe_code, reason = "it runs before main")]
mod start_up;
mod stream;
#[cfg(feature = "live")]
mod verdict;
#[cfg(feature = "live")]
mod worker;

pub use api::events::Events;
#[doc(inline)]
pub use api::ndjson;
pub use api::replay::{replay, replay_from};
pub use api::session::Session;
#[cfg(feature = "futures")]
pub use api::stream::EventStream;
pub use api::thread::ConsumerThread;
pub use data::outcome::Outcome;
pub use data::value::{Value, ValueRef};
pub use decode::aggregated::Aggregated;
pub use decode::consumer::{Consumer, Wants};
pub use decode::event::Event;
pub use decode::firing::{Firing, Output, Record};
pub use decode::stop::StopHandle;
#[cfg(feature = "live")]
#[doc(inline)]
pub use dtrace_locate::{install, locate};
pub use error::{CallbackResult, Error, Failure};
#[cfg(feature = "live")]
pub use {
    api::{live::trace, serve, traced::run_synchronous, verify},
    client::preflight::{Preflight, preflight},
    client::template::cool_down,
    data::script::Script,
};

/// Aggregations: modes and orders of walks, joined entries, and values.
pub mod aggregation {
    pub use crate::data::aggregation::{
        AggregationFunction, AggregationValue, Average, Bucket, BucketRange, CombineError,
        Deviation, Distribution, DistributionParameters, Extreme, Linear, LogLinear, Mode, Order,
        ParameterEncoding, Scalar,
    };
    pub use crate::decode::joined::Joined;
}

/// How a worker gets the privilege that the program does not have, and what a privileged worker does.
#[cfg(feature = "live")]
pub mod elevation {
    pub use crate::client::elevation::Elevation;
    pub use crate::client::preflight::preflight_elevated;
    pub use crate::stream::elevated::INSTALLED_WORKERS;
}

/// Events of [`Session::events`], which own their data.
pub mod event {
    pub use crate::decode::event::{
        AggregatedEvent, CommandLine, FiringEvent, FlowEvent, OutputEvent,
    };
}

/// Losses: what DTrace dropped, and which clauses failed at run time.
pub mod loss {
    pub use crate::data::loss::{DropKind, DropReport, Fault, LossPolicy, Losses};
}

#[cfg(feature = "live")]
pub mod option {
    //! Which options does tracing have, with which kinds of values?
    pub use crate::api::option::*;
}

/// Questions to libdtrace that need no tracing: probes, symbols and types.
#[cfg(feature = "live")]
pub mod query {
    pub use crate::api::query::{
        ProbeQuery, Probes, Query, SymbolQuery, Symbols, TypeQuery, Types,
    };
    pub use crate::data::kernel_symbol::KernelSymbol;
    pub use crate::data::kernel_type::{Enumerator, KernelType, TypeKind, TypeMember};
    pub use crate::data::listing::{
        Attributes, DependencyClass, ListedProbe, ProbeDetails, Stability,
    };
}

/// Records: their probes, actions and layout.
pub mod record {
    pub use crate::data::probe::Probe;
    pub use crate::data::record::{Action, RecordDescription};
    pub use crate::decode::firing::{Flow, FlowKind};
}

/// Kinds of sessions, and what is known of one.
pub mod session {
    pub use crate::api::replay::Recorded;
    pub use crate::api::session::Source;
    #[cfg(feature = "live")]
    pub use crate::api::{command::IntoCommand, live::Live, settings::Traces, traced::Traced};
    pub use crate::data::outcome::{
        CommandOutcome, CommandOutput, CommandStream, EndedBy, Timings,
    };
    #[cfg(feature = "live")]
    pub use crate::data::script::Specifier;
    pub use crate::data::session_info::{
        Admission, ByteOrder, OmittedLibrary, OptionChange, Platform, ProcessEvent, ProgramInfo,
        SessionInfo,
    };
    pub use crate::data::warning::{Warning, WarningKind};
}

/// Descriptions of recordings, and tools that cut and anonymise them.
pub mod recording {
    pub use crate::api::recording::anonymise::{Anonymise, Replaced};
    pub use crate::api::recording::cut::{Cut, Kept};
    pub use crate::api::recording::info::RecordingInfo;
    pub use crate::data::printable::printable;
    pub use crate::data::recording::{Compression, Edit, Origin};
}

/// Values, and how they become types of the program.
pub mod value {
    pub use crate::data::folded::{Folded, FoldedStacks};
    pub use crate::data::from_value::{FromValue, TypeError};
    pub use crate::data::integer::{Integer, Sign};
    pub use crate::data::misfit::MisfitPolicy;
    pub use crate::data::stack::{Stack, StackRef};
    pub use crate::data::symbol::{Symbol, SymbolRef};
    pub use crate::data::value::ValueKey;
    pub use crate::records::row_error::RowError;
}

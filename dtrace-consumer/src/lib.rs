//! Runs D scripts with libdtrace, and delivers what they record to closures, as Rust types.
//!
//! ```no_run
//! let mut writes: Vec<(i32, u64)> = Vec::new();
//! let outcome = dtrace_consumer::run_synchronous(
//!     r#"syscall::write:entry /pid == $target/ { printf("%d %d", arg0, arg2); }"#,
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
//! Live tracing needs Linux, libdtrace 2.0.7 and root, or a worker that is
//! [elevated](Builder::elevation); [`preflight()`] says what is missing and how to get it. Recordings are
//! replayed anywhere.
//!
//! # What runs where
//! ```text
//!  your process                                  worker: your executable, started again
//! +-------------------------------------+       +---------------------------------------+
//! | run_synchronous, ConsumerThread, …  |  job  | libdtrace, loaded at run time         |
//! |   script, options, closures         | ----> |   open, compile, enable, go           |
//! |                                     |       |   own mount namespace, with debugfs   |
//! |   walk  out  chew  chewrec  rows    | <---- |   records with their descriptions     |
//! |   outcome: losses, timings, status  | frames|   everything delivered, then the end  |
//! +-------------------------------------+       +---------------------------------------+
//!            |          ^                                         ^
//!     record |          | replay                                  | BPF programs, buffers
//!            v          |                                         v
//!         a file of the same frames                            the kernel
//! ```
//! libdtrace on Linux runs one session in a process's life, aborts in places where other libraries
//! return errors, and takes seconds to close. So each session has a process of its own, the worker.
//! Your process never loads libdtrace; it decodes what the worker forwards. Several sessions can run
//! at once.
//!
//! # The phases of a session
//! 1. **Set up**: a [`Builder`] takes scripts, options and closures. Nothing has been started.
//! 2. **Start**: a worker is launched, compiles the scripts and enables their probes. Where a script
//!    fails because a D library of libdtrace does not compile on this kernel, a further worker leaves
//!    that library out; see [`SessionInfo::omitted_libraries`]. All errors of scripts and options come
//!    from here.
//! 3. **Trace**: tracing is on; [`on_start`](Builder::on_start) has been called, a traced command runs,
//!    closures are called as data arrive.
//! 4. **End**: by `exit()` in the script, the end of the command or of the processes that libdtrace
//!    controls, or a [`StopHandle`]. What was recorded up to then is delivered, `END` clauses and
//!    aggregations included. Then the [`Outcome`] is returned. The worker leaves on its own.
//!
//! # Which function to begin with
//! | | runs on | ends with | closures |
//! |---|---|---|---|
//! | [`run_synchronous`] | the calling thread | the command, which is held until tracing is on and is `$target` | may borrow |
//! | [`trace`] | the calling thread | `exit()` or a [`StopHandle`] | may borrow |
//! | [`session`] | the calling thread | as `trace`; scripts are added by [`script_file`](Builder::script_file), [`probes`](Builder::probes), [`script`](Builder::script) | may borrow |
//! | [`ConsumerThread`] | a thread of its own | [`stop`](ConsumerThread::stop), drop, or `exit()` | `Send + 'static` |
//! | [`Builder::events`] | a thread of its own | dropping [`Events`], or `exit()` | none: a channel and an iterator |
//! | [`replay()`] | the calling thread | the recording | may borrow |
//!
//! [`Builder::check`] compiles without tracing; [`Builder::header`] and [`Builder::link`] make what C
//! programs with probes of their own are built with; [`ProbeQuery`] lists probes; [`SymbolQuery`] and
//! [`TypeQuery`] look up symbols and types of the kernel. [`mod@option`] has the options of tracing with the types of their values.
//!
//! # Closures
//! Four closures have the names that python-dtrace gave them:
//!
//! - [`chew`](Builder::chew) is called for each firing of a clause, with a [`Firing`]: probe, CPU,
//!   records.
//! - [`chewrec`](Builder::chewrec) is called for each [`Record`] of the firing, after `chew`.
//! - [`out`](Builder::out) is called with the text that dtrace(1) would print for each record. libdtrace
//!   formats only where this closure is set.
//! - [`walk`](Builder::walk) is called for each entry of the aggregations: at the end, and every
//!   [`walk_every`](Builder::walk_every) while tracing.
//!
//! [`rows`](Builder::rows) is `chew` with the values of a firing as a type of yours. Others are for what
//! happens besides: [`on_drop`](Builder::on_drop), [`on_fault`](Builder::on_fault),
//! [`on_option`](Builder::on_option), [`on_process`](Builder::on_process).
//!
//! Closures borrow what they are shown; [`ValueRef::to_owned`] keeps a value. They return a
//! [`CallbackResult`], so `?` works in them. An error or a panic ends the session and is what it
//! returns: [`Error::Callback`], [`Error::Panicked`]. Firings come buffer by buffer, and each CPU has a
//! buffer: record `timestamp` and sort by it where order matters.
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
//! .rows(|open: Open| {
//!     println!("{open:?}");
//!     Ok(())
//! })
//! .run()?;
//! # Ok::<(), dtrace_consumer::Failure>(())
//! ```
//! A row takes the values of a firing by position: printf arguments, traced expressions, stacks. A
//! tuple, a structure with `Deserialize` or a single scalar will do. Integers keep the width that they
//! have in D. Their sign is that of the printf conversion or of the traced expression; where libdtrace
//! does not record it, as in keys of aggregations, the target type decides. A number that does not fit
//! is an error, never a truncation. A record of a kind that is not decoded arrives as
//! [`ValueRef::Opaque`].
//!
//! # Aggregations
//! ```no_run
//! use dtrace_consumer::{ConsumerThread, aggregation::Mode};
//! use std::time::Duration;
//!
//! let thread = ConsumerThread::builder(
//!     "syscall::read:return { @bytes[execname] = sum(arg1); @sizes = quantize(arg1); }",
//! )
//! .mode(Mode::Delta)
//! .walk_every(Duration::from_secs(1))
//! .walk(|entry| {
//!     match entry.value().distribution() {
//!         Some(sizes) => println!("median within {:?}", sizes.percentile(50.0)),
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
//! began. [`Mode::Delta`](aggregation::Mode::Delta) delivers what was added since the walk before. Both
//! leave the kernel's data untouched, so `printa()`, `clear()` and `trunc()` of the script mean what
//! they mean under dtrace(1). [`Mode::Drain`](aggregation::Mode::Drain) takes out what it delivers.
//!
//! All nine aggregating functions are decoded; see [`aggregation::AggregationValue`].
//! [`order`](Builder::order) chooses among libdtrace's orders of a walk, and
//! [`walk_joined`](Builder::walk_joined) sets values of several aggregations side by side.
//!
//! # Losses
//! DTrace drops data rather than block the system. [`Outcome::losses`] counts drops by kind and CPU,
//! and run-time faults by probe. [`LossPolicy`] says what else happens: a warning through the `tracing`
//! crate (the default), nothing, or the end of the session with [`Error::Lost`].
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
//! A session that fails returns a [`Failure`]: the [`Error`], and the [`Outcome`] up to then. That a
//! traced command fails is no error; see [`Outcome::command`].
//!
//! # Recordings
//! [`Builder::record`] keeps what a session delivers in a file; [`replay()`] and [`replay_from`] deliver
//! it to the same kinds of closures, on any machine, without privilege. A recording holds what the session's closures
//! asked for: firings if `chew`, `chewrec`, `rows` or `out` was set, text if `out` was set or
//! [`formatted`](Builder::formatted) was called; aggregations always. Commands of `system()` are not
//! run on replay. `docs/stream.md` in the repository describes the format.
//!
//! # Where libdtrace is looked for
//! [`locate`] has the rules. In short: [`Builder::prefix`], the environment variable
//! `DTRACE_CONSUMER_PREFIX`, the system, a directory `libdtrace` beside the program or above it, the
//! user's data directory. On Debian and Ubuntu releases that have no supported libdtrace,
//! `dtrace-worker install`, a program of this crate, unpacks a private one into the latter;
//! [`install`] does the same from Rust.
//!
//! # The worker, and what it means for your program
//! A session starts your executable again, with a marker in its environment. A function of this crate
//! that runs before `main` sees the marker, runs the session and ends the process: the worker's `main`
//! never runs. What follows from that:
//!
//! - Nothing has to be called or installed for it. Command-line arguments are not passed on.
//! - Constructors of other crates (code that runs before `main`) run in workers, too.
//! - A worker has the privileges, environment and working directory of your process. Standard input is
//!   its channel, and what libdtrace writes to standard error ends up in [`Error::WorkerDied`].
//! - It is in a process group of its own: Ctrl-C reaches your process alone. It ends when your process
//!   does.
//! - In a set-uid program the marker is refused. Name another program as worker there.
//! - Where this crate is not part of the executable, as in a `cdylib` in an interpreter, starting the
//!   executable again would start the interpreter. A static executable (musl) cannot load a shared
//!   library. For both, [`Builder::worker`] names a program that is a worker: `dtrace-worker`, or any
//!   dynamically linked program with this crate of the same version in it.
//!
//! # Platforms
//! Sessions run on Linux. On FreeBSD, macOS and illumos there are bindings (`dtrace-sys`) that are
//! checked at compile time and have not been run; sessions return [`Error::Unavailable`], and recordings
//! are replayed.
#![deny(unsafe_code)]
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
mod records;
#[cfg(feature = "live")]
#[expect(unsafe_code, reason = "it runs before main")]
mod start_up;
mod stream;
#[cfg(all(feature = "live", target_os = "linux"))]
mod worker;

pub use api::events::Events;
#[cfg(feature = "live")]
pub use api::live::trace;
pub use api::replay::{replay, replay_from};
#[cfg(feature = "live")]
pub use api::serve;
pub use api::session::Session;
pub use api::thread::ConsumerThread;
#[cfg(feature = "live")]
pub use api::traced::run_synchronous;
#[cfg(feature = "live")]
pub use client::preflight::{Preflight, preflight};
pub use data::outcome::Outcome;
#[cfg(feature = "live")]
pub use data::script::Script;
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
    pub use crate::decode::event::{AggregatedEvent, FiringEvent, OutputEvent};
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
    #[cfg(feature = "live")]
    pub use crate::api::live::Live;
    pub use crate::api::replay::Recorded;
    pub use crate::api::session::Source;
    #[cfg(feature = "live")]
    pub use crate::api::settings::Traces;
    #[cfg(feature = "live")]
    pub use crate::api::traced::Traced;
    pub use crate::data::outcome::{CommandOutcome, Timings};
    #[cfg(feature = "live")]
    pub use crate::data::script::Specifier;
    pub use crate::data::session_info::{
        OmittedLibrary, OptionChange, Platform, ProcessEvent, ProgramInfo, SessionInfo,
    };
}

/// Values, and how they become types of the program.
pub mod value {
    pub use crate::data::from_value::{FromValue, TypeError};
    pub use crate::data::integer::{Integer, Sign};
    pub use crate::data::stack::{Stack, StackRef};
    pub use crate::data::symbol::{Symbol, SymbolRef};
    pub use crate::records::rows::RowError;
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

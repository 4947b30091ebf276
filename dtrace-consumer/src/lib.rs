//! DTrace for Rust programs.
#![deny(unsafe_code)]

pub mod aggregation;
#[allow(unsafe_code)]
mod boundary;
mod builder;
mod consumer_thread;
mod description;
mod dispatch;
mod error;
mod events;
mod firing;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod install;
mod launch;
mod layout;
mod listing;
pub mod locate;
mod lookup;
mod loss;
mod near;
pub mod option;
mod outcome;
mod preflight;
mod probe;
mod record;
mod replay;
mod row;
mod session;
mod stack;
mod stream;
mod symbol;
mod synchronous;
mod value;
#[cfg(target_os = "linux")]
mod worker;

pub use builder::Builder;
pub use consumer_thread::{ConsumerThread, ConsumerThreadBuilder, SendClosures};
pub use description::{
    OmittedLibrary, OptionChange, Platform, ProcessEvent, ProgramInfo, SessionInfo,
};
pub use dispatch::{Closures, LossPolicy};
pub use error::{CallbackError, CallbackResult, CompileError, Error, Failure};
pub use events::{AggregatedEvent, Event, Events, FiringEvent};
pub use firing::{Firing, Flow, FlowKind, Output, Record};
pub use listing::{Attributes, DependencyClass, ListedProbe, ProbeDetails, ProbeQuery, Stability};
pub use lookup::{KernelSymbol, SymbolQuery};
pub use loss::{DropKind, DropReport, Fault, Losses};
pub use outcome::{CommandOutcome, EX_USAGE, Outcome, Timings};
pub use preflight::{Check, Preflight, Unavailable, preflight};
pub use probe::Probe;
pub use record::{Action, RecordDescription};
pub use replay::{Replay, replay, replay_from};
pub use row::RowError;
pub use session::StopHandle;
pub use stream::job::Specifier;
pub use stream::wire::Malformed;
pub use symbol::{StackRef, SymbolRef};
pub use synchronous::{Synchronous, run_synchronous, session, trace};
pub use value::{FromValue, Integer, Sign, TypeError, Value, ValueRef};

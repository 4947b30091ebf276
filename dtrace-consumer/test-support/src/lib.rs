//! What do the tests and benches of this workspace share?
//!
//! A test file begins with the list of its tests, in groups with the same [`Need`]s:
//!
//! ```ignore
//! dtrace_test_support::live_tests! {
//!     needs: [Tracing],
//!     tests: [a_firing_arrives, a_walk_arrives],
//!     long: [every_kind_of_loss_is_counted],
//!     needs: [Tracing, Command("cc")],
//!     tests: [a_c_program_has_probes],
//! }
//! ```
//!
//! Tests are plain functions `fn name()`. One that is not in the list is dead code, which the compiler reports.
//! The file has `harness = false` in `Cargo.toml`, since the macro defines `main`.

pub mod answering;
pub mod beginner;
pub mod consumer;
pub mod dtrace1;
mod family;
pub mod harness;
#[cfg(target_os = "linux")]
pub mod inherited;
pub mod kernel;
pub mod leftovers;
mod libraries;
mod modes;
pub mod mount_namespace;
mod need;
#[cfg(target_os = "freebsd")]
mod own_probes;
pub mod prefix;
pub mod printed;
pub mod processes;
pub mod programs;
pub mod scratch_disk;
pub mod sessions;
#[cfg(target_os = "linux")]
pub mod surroundings;
mod system;
pub mod traced;
pub mod unverified;
pub mod user;

pub use need::{Missing, Need, stock_kernel, usdt_program};

/// Defines `main`, which runs the named functions as tests; see the top of this crate.
///
/// The word `serial` before the groups lets one test run after the other: where one counts the children of its
/// process, no other test may have any.
///
/// Before a group may stand for which systems it is: `#[cfg(target_os = "linux")]`.
///
/// Tests under `long` run only with `DTRACE_CONSUMER_TESTS=all`, or when ignored tests are asked for
/// (`-- --ignored`, `-- --include-ignored`).
#[macro_export]
macro_rules! live_tests {
    (serial, $($groups:tt)+) => {
        $crate::live_tests! { @ $crate::harness::run_serially, $($groups)+ }
    };
    (@ $run:path, $(
        $(#[$condition:meta])*
        needs: [$($need:ident $(($argument:expr))?),* $(,)?],
        $(tests: [$($test:ident),* $(,)?] $(,)?)?
        $(long: [$($long:ident),* $(,)?] $(,)?)?
        $(by_hand: [$($by_hand:ident),* $(,)?] $(,)?)?
    )+) => {
        fn main() -> ::std::process::ExitCode {
            let mut tests = ::std::vec::Vec::new();
            $(
                $(#[$condition])*
                {
                let needs: &[$crate::Need] = &[$($crate::Need::$need $(($argument))?),*];
                $($(tests.push($crate::harness::Test::of(stringify!($test), $test).needs(needs));)*)?
                $($(tests.push($crate::harness::Test::of(stringify!($long), $long).needs(needs).long());)*)?
                $($(tests.push($crate::harness::Test::of(stringify!($by_hand), $by_hand).needs(needs).by_hand());)*)?
                }
            )+
            $run(tests)
        }
    };
    ($($groups:tt)+) => {
        $crate::live_tests! { @ $crate::harness::run, $($groups)+ }
    };
}

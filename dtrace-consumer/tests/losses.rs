//! Is everything that the kernel emits delivered or counted as lost?
//!
//! The truth is the number of calls that the traced program makes, or an aggregation that the same
//! clause counts. It needs no room in the buffer on Linux; elsewhere, a clause that finds no room does nothing.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dtrace_consumer::loss::{DropKind, DropReport, LossPolicy};
use dtrace_consumer::session::Traced;
use dtrace_consumer::{Error, Failure, Outcome, Session, run_synchronous};
use dtrace_test_support::kernel::IS_LINUX;
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::traced_program;

live_tests! {
    needs: [Tracing],
    tests: [
        records_beyond_the_principal_buffer_are_counted_exactly,
        keys_beyond_the_aggregations_space_are_counted,
        dynamic_variables_beyond_their_space_are_counted,
        speculations_that_cannot_be_had_are_counted,
        losses_are_warned_of_unless_they_are_only_to_be_counted,
    ],
    long: [
        records_dropped_while_the_last_buffer_is_read_are_counted,
        speculative_records_beyond_their_space_are_counted_once,
        a_string_that_is_too_long_is_cut_and_that_is_no_loss,
        losses_of_every_kind_end_the_session_where_that_is_asked_for,
    ],
    needs: [Tracing, Faults],
    tests: [a_fault_is_told_though_the_scripts_own_clause_for_faults_fails],
    long: [
        faults_beyond_the_principal_buffer_are_counted,
        a_fault_ends_the_session_where_that_is_asked_for,
    ],
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    long: [speculations_that_are_still_busy_are_counted],
}

const EVERY_CALL: &str = "syscall::getppid:entry /pid == $target/";

/// A script about a program that makes so many calls, with too little space for something.
struct Lossy {
    kind: DropKind,
    script: String,
    calls: u64,
    option: (&'static str, &'static str),
}

impl Lossy {
    fn new(
        kind: DropKind,
        script: &str,
        calls: u64,
        option: (&'static str, &'static str),
    ) -> Lossy {
        Lossy { kind, script: script.replace("CALL", EVERY_CALL), calls, option }
    }

    fn session(&self) -> Session<Traced> {
        let (name, value) = self.option;
        run_synchronous(&self.script, traced_program("calls", self.calls)).option(name, value)
    }

    /// Runs it with the losses counted: the outcome, how many firings there were, and the sum of what
    /// was walked.
    fn count(&self) -> (Outcome, u64, u64) {
        let (mut firings, mut walked) = (0, 0);
        let mut told: Vec<DropReport> = Vec::new();
        let outcome = self
            .session()
            .losses(LossPolicy::Count)
            .chew(|_| {
                firings += 1;
                Ok(())
            })
            .walk(|entry| {
                walked += u64::try_from(entry.number()?)?;
                Ok(())
            })
            .on_drop(|report| {
                told.push(report.clone());
                Ok(())
            })
            .run()
            .expect("losses are no error unless that is asked for");
        let dropped: u64 = told.iter().map(|report| report.drops).sum();
        assert_eq!(dropped, outcome.losses.total_drops(), "{told:?}");
        (outcome, firings, walked)
    }
}

fn principal() -> Lossy {
    // The ring of one page holds far fewer, however fast it is read.
    let script = "CALL { trace(execname); trace(execname); @ = count(); }";
    Lossy::new(DropKind::Principal, script, 20_000, ("bufsize", "4k"))
}

fn aggregation() -> Lossy {
    let script = "CALL { @[n++] = count(); }";
    Lossy::new(DropKind::Aggregation, script, 20_000, ("aggsize", "64k"))
}

fn dynamic() -> Lossy {
    let script = "CALL { seen[n++] = 1; }
        syscall::getppid:return /pid == $target && seen[n - 1]/ { trace(1); }";
    Lossy::new(DropKind::Dynamic, script, 5000, ("dynvarsize", "16k"))
}

fn speculation() -> Lossy {
    let script = "BEGIN { s = speculation(); }
        CALL { speculate(s); trace(1); }
        CALL { @ = count(); }
        END { commit(s); }";
    Lossy::new(DropKind::Speculation, script, 20_000, ("specsize", "8k"))
}

fn no_speculation() -> Lossy {
    // The first is never given back.
    let script = "CALL { self->s = speculation(); }
        syscall::getppid:return /pid == $target && self->s/ { trace(1); }";
    Lossy::new(DropKind::SpeculationUnavailable, script, 1000, ("nspec", "1"))
}

#[cfg(target_os = "linux")]
fn busy_speculation() -> Lossy {
    // Each is given back, but is free only when the consumer has seen that.
    let script = "CALL { self->s = speculation(); }
        syscall::getppid:return /pid == $target && self->s/ { speculate(self->s); trace(1); }
        syscall::getppid:return /pid == $target && self->s/ { commit(self->s); self->s = 0; }";
    Lossy::new(DropKind::SpeculationBusy, script, 20_000, ("nspec", "1"))
}

fn records_beyond_the_principal_buffer_are_counted_exactly() {
    let (outcome, firings, walked) = principal().count();
    let dropped = outcome.losses.dropped(DropKind::Principal);
    assert!(dropped > 0, "{}", outcome.losses);
    assert_eq!(firings + dropped, 20_000, "{}", outcome.losses);
    assert_eq!(walked, if IS_LINUX { 20_000 } else { firings }, "{}", outcome.losses);
    assert_eq!(outcome.losses.total_drops(), dropped);
}

/// libdtrace looks at the kernel's counter of a CPU before it reads the CPU's buffer, and then not
/// again unless there is more to read. The program stays on one CPU, because each has a buffer of its own.
fn records_dropped_while_the_last_buffer_is_read_are_counted() {
    const BURST: u64 = 1000;
    let (theirs, ours) = std::io::pipe().expect("a pipe");
    let (mut answers, answered) = std::io::pipe().expect("a pipe");
    let mut calls = move |bursts: usize, ours: &mut std::io::PipeWriter| -> std::io::Result<()> {
        ours.write_all(&vec![b'x'; bursts])?;
        answers.read_exact(&mut vec![0; bursts])
    };
    let mut ours = Some(ours);
    ours.as_mut().expect("a pipe").write_all(b"x").expect("it is open");
    let (mut firings, mut walked) = (0, 0);
    let outcome = run_synchronous(
        format!("{EVERY_CALL} {{ trace(1); @ = count(); }}"),
        traced_program("answer-on-one-cpu", BURST),
    )
    .option("bufsize", "512k")
    .losses(LossPolicy::Count)
    .configure_command(|command| {
        command.stdin(theirs).stdout(answered);
    })
    .chew(|_| {
        firings += 1;
        match (firings, &mut ours) {
            // The worker cannot go on while this closure is away: the buffer fills, and more is lost.
            (1, Some(pipe)) => calls(41, pipe)?,
            // The worker is reading what filled the buffer, which is free again only after that. The
            // program makes its last calls, none of which finds room.
            (5_000, pipe) => {
                if let Some(mut pipe) = pipe.take() {
                    calls(20, &mut pipe)?;
                }
            }
            _ => {}
        }
        Ok(())
    })
    .walk(|entry| {
        walked += u64::try_from(entry.number()?)?;
        Ok(())
    })
    .run()
    .expect("losses are no error unless that is asked for");
    // The first answer was to the first byte.
    let emitted = 62 * BURST;
    let dropped = outcome.losses.dropped(DropKind::Principal);
    assert!(dropped >= if IS_LINUX { 20 * BURST } else { 1 }, "{}", outcome.losses);
    assert_eq!(firings + dropped, emitted, "{}", outcome.losses);
    assert_eq!(walked, if IS_LINUX { emitted } else { firings }, "{}", outcome.losses);
}

fn keys_beyond_the_aggregations_space_are_counted() {
    let (outcome, _, walked) = aggregation().count();
    let dropped = outcome.losses.dropped(DropKind::Aggregation);
    assert!(dropped > 0 && walked > 0, "{}", outcome.losses);
    assert_eq!(walked + dropped, 20_000, "{}", outcome.losses);
    assert_eq!(outcome.losses.total_drops(), dropped);
}

fn dynamic_variables_beyond_their_space_are_counted() {
    let (outcome, kept, _) = dynamic().count();
    let dropped = outcome.losses.dropped(DropKind::Dynamic);
    assert!(dropped > 0 && kept > 0, "{}", outcome.losses);
    assert_eq!(kept + dropped, 5000, "{}", outcome.losses);
}

fn speculative_records_beyond_their_space_are_counted_once() {
    let (outcome, committed, walked) = speculation().count();
    let dropped = outcome.losses.dropped(DropKind::Speculation);
    assert!(dropped > 0 && committed > 0, "{}", outcome.losses);
    let lost = dropped + outcome.losses.dropped(DropKind::Principal);
    assert_eq!((committed + lost, walked), (20_000, 20_000), "{}", outcome.losses);
}

fn speculations_that_cannot_be_had_are_counted() {
    let (outcome, had, _) = no_speculation().count();
    let unavailable = outcome.losses.dropped(DropKind::SpeculationUnavailable);
    // Having one, the thread goes on with it, whatever speculation() says later.
    assert!(had > 0, "{}", outcome.losses);
    assert_eq!(unavailable, 999, "{}", outcome.losses);
}

/// Elsewhere one that is given back on the only CPU that used it is free at once.
#[cfg(target_os = "linux")]
fn speculations_that_are_still_busy_are_counted() {
    let (outcome, committed, _) = busy_speculation().count();
    let losses = &outcome.losses;
    assert!(losses.dropped(DropKind::SpeculationBusy) > 0 && committed > 0, "{losses}");
    assert_eq!(committed + losses.total_drops(), 20_000, "{losses}");
}

fn faults_beyond_the_principal_buffer_are_counted() {
    let script = "CALL { trace(*(int *)0); } CALL { @ = count(); }";
    let lossy = Lossy::new(DropKind::Principal, script, 20_000, ("bufsize", "4k"));
    let (outcome, firings, walked) = lossy.count();
    let losses = &outcome.losses;
    let (faults, dropped) = (losses.total_faults(), losses.dropped(DropKind::Principal));
    assert!(faults > 0 && dropped > 0, "{losses}");
    // Elsewhere the second clause finds no room, either, which is counted for itself.
    let counted = if IS_LINUX { faults + dropped } else { (faults + walked + dropped) / 2 };
    assert_eq!((firings, counted), (0, 20_000), "{losses}");
    assert!(!IS_LINUX || walked == 20_000, "{losses}");
}

fn a_fault_is_told_though_the_scripts_own_clause_for_faults_fails() {
    let script = "CALL { trace(*(int *)0); } ERROR { trace(*(int *)8); }";
    let (outcome, ..) = Lossy::new(DropKind::DoubleError, script, 100, ("bufsize", "4m")).count();
    assert_eq!(outcome.losses.total_faults(), 100, "{}", outcome.losses);
    // libdtrace 2.0.7 does not count the second ones.
    let second = if IS_LINUX { 0 } else { 100 };
    assert_eq!(outcome.losses.total_drops(), second, "{}", outcome.losses);
}

fn a_string_that_is_too_long_is_cut_and_that_is_no_loss() {
    // Elsewhere strjoin() gives nothing in that case.
    let script = match IS_LINUX {
        true => r#"BEGIN { trace(strjoin("0123456789", "0123456789")); }"#,
        false => r#"BEGIN { trace("01234567890123456789"); }"#,
    };
    let mut text = String::new();
    let outcome = run_synchronous(script, ["true"])
        .option("strsize", "12")
        .chewrec(|record| {
            text = record.get()?;
            Ok(())
        })
        .run()
        .expect("the session comes to its end");
    let most = if IS_LINUX { 11 } else { 12 };
    assert_eq!(text, "012345678901"[..most]);
    assert!(outcome.losses.is_empty(), "{}", outcome.losses);
}

fn losses_of_every_kind_end_the_session_where_that_is_asked_for() {
    for lossy in [
        principal(),
        aggregation(),
        dynamic(),
        speculation(),
        no_speculation(),
        #[cfg(target_os = "linux")]
        busy_speculation(),
    ] {
        let result = lossy.session().losses(LossPolicy::Fail).chew(|_| Ok(())).run();
        let Err(Failure { error: Error::Lost(losses), outcome }) = result else {
            panic!("{:?}: {result:?}", lossy.kind)
        };
        assert!(losses.dropped(lossy.kind) > 0, "{:?}: {losses}", lossy.kind);
        assert_eq!(outcome.losses, losses);
    }
}

fn a_fault_ends_the_session_where_that_is_asked_for() {
    let result =
        run_synchronous("BEGIN { trace(*(int *)0); }", ["true"]).losses(LossPolicy::Fail).run();
    let Err(Failure { error: Error::Lost(losses), .. }) = result else { panic!("{result:?}") };
    assert_eq!((losses.total_faults(), losses.total_drops()), (1, 0));
}

/// Counts warnings.
struct Warnings(Arc<AtomicU64>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

fn losses_are_warned_of_unless_they_are_only_to_be_counted() {
    for policy in [LossPolicy::Warn, LossPolicy::Count] {
        let warnings = Arc::new(AtomicU64::new(0));
        let mut reports = 0;
        let outcome = tracing::subscriber::with_default(Warnings(warnings.clone()), || {
            aggregation()
                .session()
                .losses(policy)
                .on_drop(|_| {
                    reports += 1;
                    Ok(())
                })
                .run()
                .expect("losses are no error unless that is asked for")
        });
        assert!(outcome.losses.dropped(DropKind::Aggregation) > 0, "{}", outcome.losses);
        let expected = if policy == LossPolicy::Warn { reports } else { 0 };
        assert_eq!(warnings.load(Ordering::Relaxed), expected);
    }
}

//! Do walks that read the kernel's maps deliver exactly what libdtrace's own snapshots do?
//!
//! With the option `aggrate`, a walk delivers what libdtrace has read, because libdtrace decides when to read.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use dtrace_consumer::aggregation::{Mode, Order};
use dtrace_consumer::{ConsumerThread, Script, ValueRef, run_synchronous};
use dtrace_test_support::live_tests;
use dtrace_test_support::traced::{call_on_each_cpu, traced_program};
use parking_lot::Mutex;

live_tests! {
    needs: [Tracing],
    tests: [
        all_functions_on_several_cpus_are_merged_as_libdtrace_merges_them,
        what_a_script_prints_after_walks_has_all_keys,
        a_walk_after_walks_has_what_end_left,
        a_drained_entry_is_delivered_once,
    ],
    long: [
        what_a_script_clears_truncates_and_normalises_is_as_libdtrace_has_it,
        entries_are_sorted_as_libdtrace_sorts_them_in_every_order,
        differences_between_walks_add_up,
        walks_follow_an_aggrate_that_the_script_sets,
    ],
    needs: [Tracing, Command("setarch")],
    tests: [],
    long: [keys_of_every_kind_are_as_libdtrace_has_them],
}

const ORDERS: [Order; 9] = [
    Order::Unsorted,
    Order::Key,
    Order::KeyReversed,
    Order::KeyAcross,
    Order::KeyAcrossReversed,
    Order::Value,
    Order::ValueReversed,
    Order::ValueAcross,
    Order::ValueAcrossReversed,
];

/// The same functions with keys and without, for calls on several CPUs.
const SPREAD: &str = "syscall::getpgid:entry /pid == $target/ {
    this->n = (int)arg0;
    @count[arg0] = count(); @sum[this->n % 7] = sum(this->n - 50);
    @min[this->n % 5] = min(50 - this->n); @max[this->n % 5] = max(this->n - 50);
    @avg[this->n % 3, cpu] = avg(this->n - 70); @stddev[this->n % 3] = stddev(this->n * (cpu + 1));
    @quantize[this->n % 4] = quantize(this->n - 20);
    @lquantize[this->n % 4] = lquantize(this->n, 10, 90, 10);
    @llquantize[this->n % 4] = llquantize(this->n, 10, 0, 2, 10);
    @all = count(); @[cpu] = sum(this->n);
}";

fn spread(numbers: i32) -> Vec<OsString> {
    traced_program("calls-on-each-cpu", numbers)
}

/// At the end of a script: the command makes its calls when the data of `BEGIN` have been consumed.
const BEGUN: &str = r#"BEGIN { printf("begun"); }"#;

/// For sh(1): waits until there is a file of this name, and executes the rest.
const AWAIT: &str = r#"until [ -e "$1" ]; do sleep .01; done; shift; exec "$@""#;

/// Everything that the last walk of a session delivers, in its order.
fn walked(
    script: &str,
    command: Vec<OsString>,
    order: Order,
    options: &[(&str, &str)],
) -> Vec<String> {
    let mut entries = Vec::new();
    let scratch = tempfile::tempdir().expect("a directory");
    let begun = scratch.path().join("begun");
    let mut words: Vec<OsString> = ["sh", "-c", AWAIT, "sh"].map(OsString::from).into();
    words.push(begun.clone().into());
    let command = if script.contains(BEGUN) { [words, command].concat() } else { command };
    let session = run_synchronous(script, command).order(order).out(|output| {
        if output.text().contains("begun") {
            std::fs::write(&begun, "")?;
        }
        Ok(())
    });
    let mut session = session.walk(|entry| {
        let keys: Vec<_> = entry.keys().map(|key| key.to_owned()).collect();
        let by_cpu: Vec<_> = entry.per_cpu().collect();
        entries.push(format!("{} {keys:?} {:?} {by_cpu:?}", entry.name(), entry.value()));
        Ok(())
    });
    for (name, value) in options {
        session =
            if value.is_empty() { session.flag(*name) } else { session.option(*name, *value) };
    }
    session.run().unwrap_or_else(|failure| panic!("{script}: {failure}"));
    entries
}

/// Fails unless a walk delivers what libdtrace has read. Returns it.
fn compared(script: &str, command: &[OsString], order: Order) -> Vec<String> {
    let mut own = walked(script, command.to_vec(), order, &[]);
    let mut libdtraces = walked(script, command.to_vec(), order, &[("aggrate", "1ns")]);
    // The kernel stores keys in another order each time.
    if order == Order::Unsorted {
        own.sort();
        libdtraces.sort();
    }
    let difference = own.iter().zip(&libdtraces).find(|(own, libdtraces)| own != libdtraces);
    assert_eq!(difference, None, "{order:?}: {script}");
    assert_eq!(own.len(), libdtraces.len(), "{order:?}: {script}");
    own
}

fn all_functions_on_several_cpus_are_merged_as_libdtrace_merges_them() {
    // Without `llquantize`, whose order by value is left to libdtrace.
    let script: String = SPREAD.lines().filter(|line| !line.contains("@llquantize")).collect();
    for order in [Order::Value, Order::Unsorted] {
        assert!(compared(&script, &spread(100), order).len() > 100);
    }
    assert!(compared(SPREAD, &spread(100), Order::Key).len() > 100);
}

fn entries_are_sorted_as_libdtrace_sorts_them_in_every_order() {
    let script: String = SPREAD.lines().filter(|line| !line.contains("@llquantize")).collect();
    for order in ORDERS {
        for script in [SPREAD, &script] {
            assert!(compared(script, &spread(30), order).len() > 30);
        }
    }
    // Sums that libdtrace's floating-point numbers do not hold exactly.
    let huge = "BEGIN {
        this->many = 0x7fffffffffffffff;
        @q[1] = quantize(this->many, this->many); @q[1] = quantize(1, 3);
        @q[2] = quantize(this->many, this->many); @q[2] = quantize(1, 2);
        @l[1] = lquantize(9, 0, 10, 1, this->many); @l[2] = lquantize(9, 0, 10, 1, this->many);
        @s[1] = sum(this->many); @s[1] = sum(this->many); @s[2] = sum(1);
        @d[1] = stddev(this->many); @d[2] = stddev(-this->many); @d[3] = stddev(1); @d[3] = stddev(9);
    }";
    for order in ORDERS {
        assert_eq!(compared(huge, &["true".into()], order).len(), 9);
    }
}

fn keys_of_every_kind_are_as_libdtrace_has_them() {
    let call = "syscall::getpgid:entry /pid == $target/";
    let later = "syscall::getpgid:entry /pid == $target && arg0 > 20/";
    let scripts = [
        r#"BEGIN {
            @a[(int8_t)-1, (uint16_t)65533, -3, (int64_t)-4] = count(); @a[(int8_t)1, (uint16_t)2, -3, -4] = count();
            @["b", 1, "a"] = sum(1); @["a", 2, "b"] = sum(1); @["a", 1, ""] = sum(1); @long["a", "b"] = max(3);
            @none = count(); @c[curthread->signal->rlim[3]] = count(); @char['a', (char)-1] = count();
        }"#,
        "CALL { @[stack(), arg0 % 3] = count(); @k[stack(3)] = count(); @f[func(caller)] = count(); }",
        "CALL { @[ustack(), arg0 % 3] = count(); @u[uaddr(uregs[R_PC])] = count(); }",
        "CALL { @[usym(uregs[R_PC])] = count(); @m[umod(uregs[R_PC])] = count(); @n[arg0] = count(); }",
        "CALL { @[sym(caller)] = count(); @m[mod(caller)] = count(); @n[arg0] = count(); }",
        // Some keys only on some CPUs, and one in several aggregations.
        "CALL { @a[arg0, cpu] = count(); @b[arg0, cpu] = sum(arg0); @c[cpu, arg0] = count(); @d[arg0] = count(); }
        LATER { @e[arg0] = min(cpu); @f[execname, probefunc] = max(arg0); }",
    ];
    // Without it, addresses differ from run to run.
    let command: Vec<OsString> =
        [vec!["setarch".into(), "-R".into()], spread(40)].into_iter().flatten().collect();
    for script in scripts {
        let script = script.replace("LATER", later).replace("CALL", call);
        for order in [Order::Value, Order::KeyAcross] {
            let entries = compared(&script, &command, order);
            assert!(entries.len() >= 2, "{entries:?}");
        }
    }
    let by_cpu = |options: &[(&str, &str)]| walked(SPREAD, spread(20), Order::Key, options);
    let expected = by_cpu(&[("aggpercpu", ""), ("aggrate", "1ns")]);
    assert_eq!(by_cpu(&[("aggpercpu", "")]), expected);
    assert!(expected.iter().all(|entry| !entry.ends_with("[]")), "{expected:?}");
}

fn what_a_script_clears_truncates_and_normalises_is_as_libdtrace_has_it() {
    let call = "syscall::getpgid:entry /pid == $target/ { CALLS }";
    let calls = "@s[arg0 % 10] = sum(arg0); @m[arg0 % 3] = min(arg0); @x = max(arg0); @q[cpu] = quantize(arg0);";
    let first =
        "BEGIN { @s[1] = sum(1000); @m[1] = min(-1); @x = max(5000); @q[0] = quantize(-1); }";
    // What a clear() during the calls leaves would depend on when libdtrace consumes its record.
    let endings = [
        "END { clear(@s); clear(@m); clear(@x); clear(@q); }",
        "END { clear(@s); @s[1] = sum(5); @m[7] = min(7); }",
        "END { trunc(@s, 3); trunc(@m, -1); trunc(@q); }",
        "END { normalize(@s, 7); normalize(@q, 2); trunc(@s, 5); } END { denormalize(@q); }",
        r#"END { printa(@s); printa("%d %@d\n", @m); trunc(@m, 1); clear(@q); }"#,
        &format!("BEGIN {{ clear(@s); clear(@x); trunc(@q); normalize(@m, 3); }} {BEGUN}"),
    ];
    for ending in endings {
        let script = format!("{first} {} {ending}", call.replace("CALLS", calls));
        compared(&script, &spread(40), Order::ValueAcross);
    }
}

/// An entry by name and first key, and its value.
type Entry = ((String, i64), i64);

/// A session with walks while the test makes calls.
struct Walks {
    thread: ConsumerThread,
    walks: Receiver<Vec<Entry>>,
    /// All walks so far.
    seen: Vec<Vec<Entry>>,
    printed: Arc<Mutex<String>>,
}

impl Walks {
    /// Starts one. In the script, `CALL` is the probe for calls of this thread.
    fn start(script: &str, mode: Mode, options: &[(&str, &str)]) -> Walks {
        let script = script.replace("CALL", "syscall::getpgid:entry /pid == $1 && tid == $2/");
        let of_this_thread = [nix::unistd::getpid().to_string(), nix::unistd::gettid().to_string()];
        let (send, walks) = unbounded();
        let current = Arc::new(Mutex::new(Vec::new()));
        let (adding, printed) = (Arc::clone(&current), Arc::new(Mutex::new(String::new())));
        let printing = Arc::clone(&printed);
        let mut builder = ConsumerThread::builder(Script::new(script).args(of_this_thread))
            .mode(mode)
            .walk_every(Duration::from_millis(20))
            .out(move |output| {
                printing.lock().push_str(&output.text());
                Ok(())
            })
            .walk(move |entry| {
                let key = match entry.keys().next() {
                    Some(ValueRef::Integer(number)) => number.as_i64(),
                    _ => -1,
                };
                adding.lock().push(((entry.name().to_owned(), key), entry.number()?));
                Ok(())
            })
            .walked(move || {
                let _ = send.send(std::mem::take(&mut *current.lock()));
                Ok(())
            });
        for (name, value) in options {
            builder = builder.option(*name, *value);
        }
        let thread = builder.spawn().expect("tracing starts");
        let mut walks = Walks { thread, walks, seen: Vec::new(), printed };
        walks.next();
        walks
    }

    /// Returns a walk that begins after this call.
    fn next(&mut self) -> Vec<Entry> {
        self.seen.extend(self.walks.try_iter());
        // The first may have begun before.
        for _ in 0..2 {
            self.seen.push(self.walks.recv().expect("there are walks"));
        }
        self.seen.last().cloned().unwrap_or_default()
    }

    /// Ends the session. Returns all walks, and what the script has printed.
    fn stop(mut self) -> (Vec<Vec<Entry>>, String) {
        self.thread.stop().expect("the session comes to its end");
        self.seen.extend(self.walks.try_iter());
        (self.seen, std::mem::take(&mut *self.printed.lock()))
    }
}

fn what_a_script_prints_after_walks_has_all_keys() {
    let mut walks = Walks::start(
        r#"CALL { @a[arg0] = count(); @b[arg0] = sum(2); } END { printa("%d %@d %@d|", @a, @b); }"#,
        Mode::Cumulative,
        &[],
    );
    call_on_each_cpu(60);
    assert_eq!(walks.next().len(), 120);
    call_on_each_cpu(60);
    walks.next();
    let (walks, printed) = walks.stop();
    let last = walks.last().expect("there is a last one");
    assert_eq!(last.len(), 120);
    let calls = last[0].1;
    let lines: BTreeSet<_> = printed.split('|').filter(|line| !line.is_empty()).collect();
    assert_eq!(lines.len(), 60, "{printed}");
    assert!(lines.contains(format!("59 {calls} {}", 2 * calls).as_str()), "{printed}");
}

fn a_walk_after_walks_has_what_end_left() {
    let mut walks = Walks::start(
        "CALL { @t[arg0] = sum(arg0); @c[arg0] = count(); @n[arg0] = count(); }
        END { trunc(@t, 3); clear(@c); normalize(@n, 1000); }",
        Mode::Cumulative,
        &[],
    );
    call_on_each_cpu(30);
    assert_eq!(walks.next().len(), 90);
    let (walks, _) = walks.stop();
    let last = walks.last().expect("there is a last one");
    let of = |name: &str| {
        let entries = last.iter().filter(move |((of, _), _)| of == name);
        entries.map(|((_, key), value)| (*key, *value)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(of("t").into_keys().collect::<Vec<_>>(), [27, 28, 29]);
    let zeros: BTreeMap<i64, i64> = (0..30).map(|key| (key, 0)).collect();
    assert_eq!((of("c"), of("n")), (zeros.clone(), zeros));
}

/// What has been delivered of each entry in all walks.
fn totals(walks: &[Vec<Entry>]) -> BTreeMap<(String, i64), i64> {
    let mut totals = BTreeMap::new();
    for (entry, value) in walks.iter().flatten() {
        *totals.entry(entry.clone()).or_default() += value;
    }
    totals
}

fn a_drained_entry_is_delivered_once() {
    let mut walks = Walks::start("CALL { @a[arg0] = count(); @b = count(); }", Mode::Drain, &[]);
    for _ in 0..3 {
        call_on_each_cpu(50);
        walks.next();
        assert_eq!(walks.next(), []);
    }
    let totals = totals(&walks.stop().0);
    assert_eq!(totals.len(), 51);
    // A walk may come during the calls. What is added to an entry between reading and removing it is lost.
    let calls = totals[&("b".to_owned(), -1)];
    let most = totals[&("a".to_owned(), 7)] * 50;
    assert!(calls <= most && calls > most / 2, "{totals:?}");
}

fn differences_between_walks_add_up() {
    for options in [&[][..], &[("aggrate", "1ns")]] {
        let script = "CALL { @a[arg0] = count(); @b = sum(arg0); @c[arg0, cpu] = count(); }";
        let mut walks = Walks::start(script, Mode::Delta, options);
        for _ in 0..3 {
            call_on_each_cpu(40);
            walks.next();
        }
        let totals = totals(&walks.stop().0);
        let calls = totals[&("a".to_owned(), 0)];
        for key in 0..40 {
            assert_eq!(totals[&("a".to_owned(), key)], calls);
            assert_eq!(totals[&("c".to_owned(), key)], calls);
        }
        assert_eq!(totals[&("b".to_owned(), -1)], calls * (0..40).sum::<i64>());
    }
}

fn walks_follow_an_aggrate_that_the_script_sets() {
    let mut walks = Walks::start(
        r#"CALL { @a[arg0] = count(); self->n = arg0; } syscall::getpgid:return /self->n == 9/ { setopt("aggrate", "1h"); }"#,
        Mode::Cumulative,
        &[],
    );
    call_on_each_cpu(10);
    walks.next();
    let before = walks.next();
    assert_eq!(before.len(), 10);
    call_on_each_cpu(20);
    assert_eq!(walks.next(), before);
    // At the end, libdtrace reads once more.
    assert_eq!(walks.stop().0.last().map(Vec::len), Some(20));
}

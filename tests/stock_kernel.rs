//! What only a kernel with function tracing can show: `fbt`, and what libdtrace builds upon it.
//!
//! `vm/lane test` runs this on Debian's kernels and sets `DTRACE_STOCK_KERNEL`. Elsewhere, where the
//! kernel has no such probes, the tests are ignored.

#[path = "stock_kernel/benchmark.rs"]
mod benchmark;

use std::collections::{BTreeMap, BTreeSet};

use benchmark::{Benchmark, spawn_words};

use dtrace_consumer::{Error, ValueRef, run_synchronous, trace};
use dtrace_test_support::harness::ignore;
use dtrace_test_support::scratch_disk::ScratchDisk;
use dtrace_test_support::{live_tests, stock_kernel};
use serde::Deserialize;

live_tests! {
    needs: [Tracing, FunctionTracing],
    tests: [
        tcp_probes_show_every_segment_that_the_benchmark_sent,
        tcp_state_changes_follow_the_protocol,
        the_function_that_receives_segments_shows_each_of_them_through_its_arguments,
        entry_and_return_of_a_kernel_function_show_arguments_and_result,
        profile_probes_have_kernel_stacks_with_symbols,
        proc_and_sched_probes_tell_of_a_commands_life,
        speculations_are_delivered_only_if_committed,
        a_probe_that_does_not_exist_is_named_by_the_error,
        what_small_buffers_cannot_hold_is_counted,
        a_pattern_that_matches_what_the_kernel_refuses_is_an_error_that_names_the_probe,
    ],
    needs: [Tracing, ScratchDisk],
    tests: [
        writes_to_a_disk_are_seen_by_the_io_provider,
    ],
}

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// A segment as `tcp:::send` or `tcp:::receive` sees it. The length is that of the data alone: what
/// the socket buffer holds, less the header, whose length is in the high half of its byte 12.
#[derive(Debug, Clone, Deserialize)]
struct Segment {
    probe: String,
    from: u16,
    to: u16,
    sequence: u32,
    acknowledged: u32,
    flags: u8,
    data: u32,
    state: String,
}

const SEGMENTS: &str = r#"
tcp:::send, tcp:::receive
{
    printf("%s %d %d %u %u %d %d %s", probename, args[4]->tcp_sport, args[4]->tcp_dport,
        args[4]->tcp_seq, args[4]->tcp_ack, args[4]->tcp_flags,
        (uint32_t)(((struct sk_buff *)args[0]->pkt_addr)->len -
            (*((uint8_t *)args[4]->tcp_hdr + 12) >> 4) * 4),
        tcp_state_string[args[3]->tcps_state]);
}
"#;

impl Segment {
    /// How far the segment moves the sequence: by its data, and by one for each of SYN and FIN.
    fn next(&self) -> u32 {
        let marks = u32::from(self.flags & SYN != 0) + u32::from(self.flags & FIN != 0);
        self.sequence.wrapping_add(self.data + marks)
    }
}

/// Every segment that arrived from `from`, repetitions left out.
fn stream<'s>(segments: &'s [Segment], probe: &str, from: u16) -> Vec<&'s Segment> {
    segments.iter().filter(|s| s.probe == probe && s.from == from).collect()
}

#[track_caller]
fn assert_continuous(stream: &[&Segment]) {
    for pair in stream.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].next(), "{:?} after {:?}", pair[1], pair[0]);
    }
}

fn data(stream: &[&Segment]) -> u64 {
    stream.iter().map(|s| u64::from(s.data)).sum()
}

fn tcp_probes_show_every_segment_that_the_benchmark_sent() {
    let mut benchmark = Benchmark::new("-i tcp -b 64 -t 1024 2thread");
    let mut segments = Vec::new();
    let outcome = run_synchronous(SEGMENTS, benchmark.words())
        .configure_command(|command| benchmark.capture(command))
        .rows(|segment: Segment| {
            segments.push(segment);
            Ok(())
        })
        .run()
        .unwrap();
    assert!(outcome.losses.is_empty(), "{}", outcome.losses);
    let (client, server) = benchmark.ports();
    let between =
        |s: &Segment| (s.from == client && s.to == server) || (s.from == server && s.to == client);
    segments.retain(between);
    assert!(segments.iter().all(|s| s.flags & RST == 0), "{segments:#?}");

    let to_server = stream(&segments, "receive", client);
    let to_client = stream(&segments, "receive", server);
    assert_continuous(&to_server);
    assert_continuous(&to_client);
    assert_eq!((data(&to_server), data(&to_client)), (1024, 0));
    // Nagle's algorithm is off: what one write(2) gave leaves as one segment.
    assert!(to_server.iter().all(|s| matches!(s.data, 0 | 64)), "{to_server:#?}");
    // What was sent is what arrived.
    let sequences = |stream: &[&Segment]| -> Vec<(u32, u32, u8)> {
        stream.iter().map(|s| (s.sequence, s.data, s.flags)).collect()
    };
    let sent = stream(&segments, "send", client);
    assert_eq!(sequences(&sent), sequences(&to_server));

    // Handshake: SYN to a listener, SYN and ACK to the one who asked, ACK.
    let (syn, established) = (to_server[0], to_server[1]);
    let answer = to_client[0];
    assert_eq!((syn.flags & (SYN | ACK), syn.state.as_str()), (SYN, "state-listen"));
    assert_eq!((answer.flags & (SYN | ACK), answer.state.as_str()), (SYN | ACK, "state-syn-sent"));
    assert_eq!(answer.acknowledged, syn.next());
    assert_eq!((established.flags, established.data), (ACK, 0));
    assert_eq!(
        (established.state.as_str(), established.acknowledged),
        ("state-syn-received", answer.next())
    );
    for segment in to_server.iter().filter(|s| s.data > 0) {
        assert_eq!(segment.state, "state-established", "{segment:?}");
    }
    // Close: the sender's FIN comes after all data, the receiver's FIN acknowledges all of it.
    let fin = to_server.iter().find(|s| s.flags & FIN != 0).expect("the sender's FIN");
    assert_eq!(fin.sequence.wrapping_sub(syn.next()), 1024);
    assert_eq!(fin.state, "state-established");
    let last = to_client.iter().find(|s| s.flags & FIN != 0).expect("the receiver's FIN");
    assert_eq!(last.acknowledged, fin.next());
    assert!(matches!(last.state.as_str(), "state-fin-wait-1" | "state-fin-wait-2"), "{last:?}");
    let end = to_server.last().expect("the last segment");
    assert_eq!((end.state.as_str(), end.acknowledged), ("state-last-ack", last.next()));
}

/// The transitions of a connection that is opened and closed in an orderly way, as Linux makes them:
/// the socket that waits in TIME-WAIT is another one, and the first is closed then.
const TRANSITIONS: &[(&str, &str)] = &[
    ("closed", "listen"),
    ("closed", "syn-sent"),
    ("listen", "syn-received"),
    // A request is no full socket yet; it has no state before.
    ("<unknown>", "syn-received"),
    ("syn-sent", "established"),
    ("syn-received", "established"),
    ("established", "fin-wait-1"),
    ("established", "close-wait"),
    ("fin-wait-1", "fin-wait-2"),
    ("fin-wait-1", "closing"),
    ("fin-wait-1", "time-wait"),
    ("closing", "time-wait"),
    ("fin-wait-2", "time-wait"),
    ("fin-wait-2", "closed"),
    ("fin-wait-1", "closed"),
    ("closing", "closed"),
    ("close-wait", "last-ack"),
    ("last-ack", "closed"),
    ("listen", "closed"),
];

fn tcp_state_changes_follow_the_protocol() {
    let mut benchmark = Benchmark::new("-i tcp -b 4096 -t 8192 2thread");
    let mut changes: Vec<(String, String, u16)> = Vec::new();
    run_synchronous(
        r#"tcp:::state-change
        {
            printf("%s %s %d", tcp_state_string[args[5]->tcps_state],
                tcp_state_string[args[3]->tcps_state], args[3]->tcps_lport);
        }"#,
        benchmark.words(),
    )
    .configure_command(|command| benchmark.capture(command))
    .rows(|change| {
        changes.push(change);
        Ok(())
    })
    .run()
    .unwrap();
    let (client, server) = benchmark.ports();
    let name = |state: &str| state.trim_start_matches("state-").to_owned();
    let mut of: BTreeMap<u16, BTreeSet<(String, String)>> = BTreeMap::new();
    for (before, after, port) in &changes {
        let change = (name(before), name(after));
        let legal = TRANSITIONS.iter().any(|(b, a)| (*b, *a) == (&change.0, &change.1));
        assert!(legal, "{change:?} is no transition of TCP; all: {changes:#?}");
        of.entry(*port).or_default().insert(change);
    }
    let has = |port: u16, before: &str, after: &str| {
        of.get(&port).is_some_and(|set| set.contains(&(before.to_owned(), after.to_owned())))
    };
    for (before, after) in [("syn-sent", "established"), ("established", "fin-wait-1")] {
        assert!(has(client, before, after), "{before} -> {after} of {client} in {changes:#?}");
    }
    for (before, after) in [
        ("closed", "listen"),
        ("established", "close-wait"),
        ("close-wait", "last-ack"),
        ("last-ack", "closed"),
    ] {
        assert!(has(server, before, after), "{before} -> {after} of {server} in {changes:#?}");
    }
}

fn the_function_that_receives_segments_shows_each_of_them_through_its_arguments() {
    let mut benchmark = Benchmark::new("-i tcp -b 64 -t 1024 2thread");
    let mut segments = Vec::new();
    run_synchronous(
        r#"fbt::tcp_rcv_established:entry
        {
            this->sock = (struct sock *)arg0;
            this->buffer = (struct sk_buff *)arg1;
            this->bytes = (uint8_t *)this->buffer->data;
            this->header = (struct tcphdr *)this->bytes;
            printf("%s %d %d %u %u %d %d %s", "receive", ntohs(this->header->source),
                this->sock->__sk_common.skc_num, ntohl(this->header->seq),
                ntohl(this->header->ack_seq), this->bytes[13],
                this->buffer->len - ((this->bytes[12] >> 4) << 2),
                tcp_state_string[this->sock->__sk_common.skc_state]);
        }"#,
        benchmark.words(),
    )
    .configure_command(|command| benchmark.capture(command))
    .rows(|segment: Segment| {
        segments.push(segment);
        Ok(())
    })
    .run()
    .unwrap();
    let (client, server) = benchmark.ports();
    segments.retain(|s| (s.from, s.to) == (client, server) || (s.from, s.to) == (server, client));
    assert!(segments.iter().all(|s| s.state == "state-established"), "{segments:#?}");

    let to_server = stream(&segments, "receive", client);
    assert_continuous(&to_server);
    assert_eq!(data(&to_server), 1024);
    assert!(to_server.iter().all(|s| s.data <= 64), "{to_server:#?}");
    let first = to_server[0].sequence;
    // The other end sends no data: all its segments begin where the first one did, and acknowledge
    // more and more of what was sent.
    let to_client = stream(&segments, "receive", server);
    assert_eq!(data(&to_client), 0);
    let own = to_server[0].acknowledged;
    assert!(to_client.iter().all(|s| s.sequence == own), "{to_client:#?}");
    let acknowledged: Vec<u32> =
        to_client.iter().map(|s| s.acknowledged.wrapping_sub(first)).collect();
    assert!(acknowledged.is_sorted(), "{acknowledged:?}");
    assert!(acknowledged.iter().all(|bytes| *bytes <= 1024), "{acknowledged:?}");
}

/// Returns whether libdtrace uses kprobes for functions of the kernel. They have no types, and are not refused where
/// the kernel's list of functions is wrong.
fn is_6_1_for_arm64() -> bool {
    cfg!(target_arch = "aarch64") && kernel() == "6.1"
}

fn entry_and_return_of_a_kernel_function_show_arguments_and_result() {
    let mut calls: Vec<(String, i64)> = Vec::new();
    run_synchronous(
        format!(
            r#"fbt::vfs_write:entry /pid == $target/ {{ printf("%s %d", probename, {}); }}
               fbt::vfs_write:return /pid == $target/ {{ printf("%s %d", probename, arg1); }}"#,
            if is_6_1_for_arm64() { "arg2" } else { "args[2]" }
        ),
        spawn_words("sh -c"),
    )
    .configure_command(|command| {
        command.arg("printf twelve-bytes > /dev/null");
    })
    .rows(|call| {
        calls.push(call);
        Ok(())
    })
    .run()
    .unwrap();
    assert_eq!(calls, [("entry".to_owned(), 12), ("return".to_owned(), 12)]);
}

fn profile_probes_have_kernel_stacks_with_symbols() {
    let mut frames: BTreeMap<String, usize> = BTreeMap::new();
    trace("profile-99 { @[stack()] = count(); n++; } profile-99 /n >= 20/ { exit(0); }")
        .walk(|entry| {
            let Some(ValueRef::Stack(stack)) = entry.keys().next() else {
                return Err("the key is no stack".into());
            };
            for frame in stack.frames() {
                if let (Some("vmlinux"), Some(symbol)) = (frame.module(), frame.symbol()) {
                    *frames.entry(symbol.to_owned()).or_default() += 1;
                }
            }
            Ok(())
        })
        .run()
        .unwrap();
    assert!(!frames.is_empty(), "no frame of the kernel has a name");
}

/// The stock kernel's series, as `vm/lane` names it.
fn kernel() -> String {
    stock_kernel().unwrap_or_default()
}

fn writes_to_a_disk_are_seen_by_the_io_provider() {
    // Writing to a disk destroys what is on it: only a disk that is said to be for that will do.
    let scratch = ScratchDisk::take();
    let disk = scratch.path();
    let mut started: BTreeMap<String, u64> = BTreeMap::new();
    let outcome = run_synchronous(
        r#"io:::start { printf("%s %d", args[1]->dev_statname, args[0]->b_bcount); }"#,
        // The kernel first reads the rest of a page that is written only in part. Pages have up to 64 KiB.
        spawn_words(&format!("dd if=/dev/zero of={disk} bs=64k count=1 conv=fsync")),
    )
    .rows(|(device, bytes): (String, u64)| {
        *started.entry(device).or_default() += bytes;
        Ok(())
    })
    .run();
    let outcome = match outcome {
        Ok(outcome) => outcome,
        // The types of the arguments are in a library that does not compile on Linux 7, and on 6.1 for arm64.
        Err(failure) if !kernel().starts_with('6') || is_6_1_for_arm64() => {
            assert!(matches!(failure.error, Error::Compile(_)), "{failure}");
            let session = failure.outcome.session.expect("it was begun");
            let omitted = session.omitted_libraries;
            assert!(omitted.iter().any(|library| library.file == "io.d"), "{omitted:?}");
            ignore("io.d does not compile on this kernel");
        }
        Err(failure) => panic!("{failure}"),
    };
    assert!(outcome.command.is_some_and(|c| c.finished()));
    let name = disk.rsplit('/').next().unwrap_or_default();
    assert_eq!(started.get(name), Some(&65536), "{started:?}");
}

fn proc_and_sched_probes_tell_of_a_commands_life() {
    let mut seen = BTreeSet::new();
    run_synchronous(
        r#"proc:::exec-success /ppid == $target/ { printf("%s %s", probename, execname); }
           proc:::exit /ppid == $target/ { printf("%s %s", probename, execname); }
           sched:::on-cpu /execname == "expr"/ { printf("%s %s", probename, execname); }"#,
        spawn_words("sh -c"),
    )
    .configure_command(|command| {
        command.arg("/usr/bin/expr 3 '*' 4 > /dev/null; true");
    })
    .rows(|row: (String, String)| {
        seen.insert(row);
        Ok(())
    })
    .run()
    .unwrap();
    for probe in ["exec-success", "exit", "on-cpu"] {
        assert!(seen.contains(&(probe.to_owned(), "expr".to_owned())), "{probe} in {seen:?}");
    }
}

fn speculations_are_delivered_only_if_committed() {
    // Speculate at entry; only what wrote 7 bytes is of interest at return.
    let mut committed = Vec::new();
    run_synchronous(
        r#"fbt::vfs_write:entry /pid == $target/ { self->s = speculation(); }
           fbt::vfs_write:entry /self->s/ { speculate(self->s); printf("%d", arg2); }
           fbt::vfs_write:return /self->s && arg1 == 7/ { commit(self->s); self->s = 0; }
           fbt::vfs_write:return /self->s/ { discard(self->s); self->s = 0; }"#,
        spawn_words("sh -c"),
    )
    .option("nspec", "16")
    .configure_command(|command| {
        command
            .arg("for text in four-1 seven-7 eight--8 seven.7; do printf $text > /dev/null; done");
    })
    .rows(|(bytes,): (u64,)| {
        committed.push(bytes);
        Ok(())
    })
    .run()
    .unwrap();
    assert_eq!(committed, [7, 7]);
}

fn a_probe_that_does_not_exist_is_named_by_the_error() {
    let failure = trace("fbt::no_such_function_here:entry { exit(0); }").run().unwrap_err();
    assert!(matches!(failure.error, Error::Compile(_)), "{failure}");
    assert!(failure.to_string().contains("fbt::no_such_function_here:entry"), "{failure}");
}

fn what_small_buffers_cannot_hold_is_counted() {
    const WRITES: u64 = 20_000;
    let mut delivered = 0u64;
    let outcome = run_synchronous(
        r#"fbt::vfs_write:entry /pid == $target && arg2 == 1/ { trace(arg2); }"#,
        spawn_words(&format!("dd if=/dev/zero of=/dev/null bs=1 count={WRITES} status=none")),
    )
    .option("bufsize", "16k")
    .configure_command(|command| {
        command.stderr(std::process::Stdio::null());
    })
    .chew(|_| {
        // Slower than the command.
        if delivered == 0 {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        delivered += 1;
        Ok(())
    })
    .run()
    .unwrap();
    let lost = outcome.losses.total_drops();
    assert!(lost > 0, "{}", outcome.losses);
    assert_eq!(delivered + lost, WRITES, "{}", outcome.losses);
}

fn a_pattern_that_matches_what_the_kernel_refuses_is_an_error_that_names_the_probe() {
    // Of 6.1 for x86_64 it is known: early_printk() is listed there, and cannot be probed.
    let script = "fbt::*printk*:entry { @ = count(); }";
    let result = run_synchronous(script, ["true"]).run();
    if result.is_ok() && (kernel() != "6.1" || is_6_1_for_arm64()) {
        ignore(format!("this kernel refuses none of {script}"));
    }
    let failure = result.unwrap_err();
    let Error::Enable { probe, .. } = &failure.error else { panic!("{failure}") };
    assert!(probe.starts_with("fbt:vmlinux:") && probe.contains("printk"), "{probe}");
    assert!(failure.to_string().contains(probe.as_str()), "{failure}");
}

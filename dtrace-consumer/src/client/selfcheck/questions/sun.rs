//! What is a libdtrace of FreeBSD, macOS or illumos asked? The answers are those of FreeBSD 12.1 and 15.1, the only ones that were
//! asked. The others come from the same source.
//!
//! What differs from Linux: `trace()` prints small integers without a sign, and the text of a format has `%i` or `%u` for
//! `%d`, which tells the sign of its value.

use super::question::{Questions, question};
use super::shared::*;

/// The module that is the kernel itself.
#[cfg(dtrace_abi = "freebsd")]
macro_rules! kernel {
    () => {
        "kernel"
    };
}
#[cfg(dtrace_abi = "macos")]
macro_rules! kernel {
    () => {
        "mach_kernel"
    };
}
#[cfg(dtrace_abi = "illumos")]
macro_rules! kernel {
    () => {
        "genunix"
    };
}

/// What precedes the offset in the message of a fault.
pub(in super::super) const OFFSET: &str = "DIF offset";

/// Whether a fault tells its clause. It tells the action in its clause.
pub(in super::super) const FAULTS_TELL_CLAUSES: bool = false;

/// What arrives in place of two faults. libdtrace learns of a fault from the `ERROR` probe, whose sixth argument the kernel of
/// FreeBSD 15.1 on arm64 cannot read. So that is another fault, which is only counted.
const LOST_FAULTS: &[&str] = if cfg!(all(target_os = "freebsd", target_arch = "aarch64")) {
    &["drop DoubleError on no CPU: 2 of 2; its message agrees"]
} else {
    &[]
};

/// The questions.
pub(in super::super) const QUESTIONS: Questions = Questions {
    options: OPTIONS,
    declarations: DECLARATIONS,
    clauses: &[
        question(
            "records of integers and strings",
            "BEGIN { trace((char)101); trace((int8_t)-7); trace((short)-300); \
             trace((int64_t)0x0123456789abcdef); trace(\"text\"); }",
            &["firing 0 dtrace:::BEGIN: Trace 101; Trace 249; Trace 65236; \
               Trace 81985529216486895; Trace text; prints \"1012496523681985529216486895text\""],
        ),
        STRUCTURE,
        question(
            "records of two printf()",
            "BEGIN { printf(\"first=%d second=%s\\n\", 17, \"word\"); \
             printf(\"third %x %lld\\n\", (char)5, (long long)-6); }",
            &["firing 2 dtrace:::BEGIN: Printf(\"first=%i second=%s\\n\") 17; Printf word; \
               Printf(\"third %x %lld\\n\") 5; Printf -6; \
               prints \"first=17 second=word\\nthird 5 -6\\n\""],
        ),
        question(
            "CPU, probe, stacks and memory of a firing",
            "BEGIN { printf(\"cpu=%d id=%d pid=%d\", cpu, (int)id, (int)pid); ustack(3); stack(2); \
             this->q = (char *)alloca(4); this->q[0] = 9; this->q[1] = 8; this->q[2] = 7; \
             this->q[3] = 6; tracemem(this->q, 4); }",
            &["firing 3 dtrace:::BEGIN: Printf(\"cpu=%i id=%i pid=%i\") cpu agrees; \
               Printf id agrees; Printf pid agrees; UStack of pid with frames; Stack with frames; \
               Tracemem 09080706"],
        ),
        COUNT,
        SUMS,
        DISTRIBUTIONS,
        NORMALIZE,
        question(
            "the faults of an invalid address and of a division by zero",
            "BEGIN { trace(*(int *)8); } BEGIN { trace(7 / zero); }",
            &[
                "fault in action 1 of dtrace:::BEGIN: 1 invalid address at 0x8; its message agrees",
                "fault in action 1 of dtrace:::BEGIN: 4 divide-by-zero at 0x0; its message agrees",
            ],
        )
        .or(LOST_FAULTS),
        SETOPT,
        SPECULATIONS,
        EXIT,
        question(
            "printa() at the end",
            "END { printa(\"%d %s %@d\\n\", @counts); trace((int)909); }",
            &["firing 14 dtrace:::END: Printa(\"%i %s %@llu\\n\"); Trace 909; \
               prints \"-2 other 1\\n1 a key of many words 2\\n909\""],
        ),
    ],
    session: &[COMPILED, FLOW, END],
    probes: &[OWN_PROBES],
    types: &[question(
        "the type of a structure",
        "struct timespec",
        &[concat!("type ", kernel!(), "`struct timespec of 16 bytes: tv_sec at 0, tv_nsec at 64")],
    )],
    symbols: &[question(
        "the symbol of a function",
        "vn_open",
        &[concat!("symbol ", kernel!(), "`vn_open; its address agrees")],
    )],
    mistakes: &[MISTAKE],
};

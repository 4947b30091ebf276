//! What is a libdtrace of Linux asked? The answers are those of 2.0.7.

use super::question::{Questions, question};
use super::shared::*;

/// What precedes the offset in the message of a fault.
pub(in super::super) const OFFSET: &str = "pc";

/// Whether a fault tells its clause.
pub(in super::super) const FAULTS_TELL_CLAUSES: bool = true;

/// The questions.
pub(in super::super) const QUESTIONS: Questions = Questions {
    options: OPTIONS,
    declarations: DECLARATIONS,
    clauses: &[
        question(
            "records of integers and strings",
            "BEGIN { trace((char)101); trace((int8_t)-7); trace((short)-300); \
             trace((int64_t)0x0123456789abcdef); trace(\"text\"); }",
            &["firing 0 dtrace:::BEGIN: Trace 101; Trace -7; Trace -300; \
               Trace 81985529216486895; Trace text; prints \"101-7-30081985529216486895text\""],
        ),
        STRUCTURE,
        question(
            "records of two printf()",
            "BEGIN { printf(\"first=%d second=%s\\n\", 17, \"word\"); \
             printf(\"third %x %lld\\n\", (char)5, (long long)-6); }",
            &["firing 2 dtrace:::BEGIN: Printf(\"first=%d second=%s\\n\") 17; Printf word; \
               Printf(\"third %x %lld\\n\") 5; Printf -6; \
               prints \"first=17 second=word\\nthird 5 -6\\n\""],
        ),
        question(
            "CPU, probe and stack of a firing",
            "BEGIN { printf(\"cpu=%d id=%d tid=%d\", cpu, (int)id, (int)tid); ustack(3); }",
            &["firing 3 dtrace:::BEGIN: Printf(\"cpu=%d id=%d tid=%d\") cpu agrees; \
               Printf id agrees; Printf tid agrees; UStack of tid with frames"],
        ),
        COUNT,
        SUMS,
        DISTRIBUTIONS,
        NORMALIZE,
        question(
            "the fault of an invalid address",
            "BEGIN { trace(*(int *)8); }",
            &["fault 8 dtrace:::BEGIN: 1 invalid address at 0x8; its message agrees"],
        ),
        question(
            "the fault of a division by zero",
            "BEGIN { trace(7 / zero); }",
            &["fault 9 dtrace:::BEGIN: 4 divide-by-zero at 0x0; its message agrees"],
        ),
        SETOPT,
        SPECULATIONS,
        EXIT,
        question(
            "printa() at the end",
            "END { printa(\"%d %s %@d\\n\", @counts); trace((int)909); }",
            &["firing 14 dtrace:::END: Printa(\"%d %s %@llu\\n\"); Trace 909; \
               prints \"-2 other 1\\n1 a key of many words 2\\n909\""],
        ),
    ],
    session: &[COMPILED, FLOW, END],
    probes: &[
        OWN_PROBES,
        question(
            "the arguments of a probe",
            "syscall::write:entry",
            &["probe syscall::write:entry Private/Private/Unknown with 3 arguments"],
        ),
    ],
    types: &[question(
        "the type of a structure",
        "struct list_head",
        &["type vmlinux`struct list_head of 16 bytes: next at 0, prev at 64"],
    )],
    symbols: &[question(
        "the symbol of a function",
        "vfs_read",
        &["symbol vmlinux`vfs_read; its address agrees"],
    )],
    mistakes: &[MISTAKE],
};

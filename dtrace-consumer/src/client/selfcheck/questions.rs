//! What does a self-check ask a libdtrace, and which answers does it predict?
//!
//! This is data, so that another platform's libdtrace gets its own. Answers are lines, as
//! [`answers`](super::answers) writes them. The order of lines does not matter: firings arrive buffer by buffer.

/// What a self-check asks.
#[derive(Debug)]
pub(super) struct Questions {
    /// The options of the tracing session.
    pub(super) options: &'static [(&'static str, Option<&'static str>)],
    /// What precedes the clauses of its script.
    pub(super) declarations: &'static str,
    /// The clauses, with the lines that each one causes.
    pub(super) clauses: &'static [Question],
    /// Lines about the session as a whole.
    pub(super) session: &'static [Question],
    /// Probes to list.
    pub(super) probes: &'static [Question],
    /// Types to look up.
    pub(super) types: &'static [Question],
    /// Kernel symbols to look up.
    pub(super) symbols: &'static [Question],
    /// Scripts that do not compile.
    pub(super) mistakes: &'static [Question],
}

/// One question.
#[derive(Debug)]
pub(super) struct Question {
    /// What it is about, for a message.
    pub(super) about: &'static str,
    /// A clause, pattern, name or script; empty for the session as a whole.
    pub(super) ask: &'static str,
    /// The predicted lines.
    pub(super) answers: &'static [&'static str],
}

const fn question(
    about: &'static str,
    ask: &'static str,
    answers: &'static [&'static str],
) -> Question {
    Question { about, ask, answers }
}

/// The questions to libdtrace on Linux. The answers are those of 2.0.7.
pub(super) const LINUX: Questions = Questions {
    options: &[
        ("quiet", None),
        ("flowindent", None),
        // With one speculation at most, a second one is a drop.
        ("nspec", Some("1")),
        ("aggpercpu", None),
    ],
    declarations: "struct shape { long long a; int b; short c; char d; char e; };\nint zero;\n",
    clauses: &[
        question(
            "records of integers and strings",
            "BEGIN { trace((char)101); trace((char)-7); trace((short)-300); \
             trace((int64_t)0x0123456789abcdef); trace(\"text\"); }",
            &["firing 0 dtrace:::BEGIN: Trace 101; Trace -7; Trace -300; \
               Trace 81985529216486895; Trace text; prints \"101-7-30081985529216486895text\""],
        ),
        question(
            "the record of a structure",
            // Without zeros, which would end a string.
            "BEGIN { this->p = (struct shape *)alloca(sizeof (struct shape)); this->p->a = -4; \
             this->p->b = 0x03050709; this->p->c = -2; this->p->d = 1; this->p->e = 2; \
             trace(*this->p); }",
            &["firing 1 dtrace:::BEGIN: Trace fcffffffffffffff09070503feff0102; prints \"\
               \\n             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef\
               \\n         0: fc ff ff ff ff ff ff ff 09 07 05 03 fe ff 01 02  ................\\n\""],
        ),
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
        question(
            "count() with keys",
            // One key is longer than its record's offset, so that the two are told apart.
            "BEGIN { @counts[1, \"a key of many words\"] = count(); \
             @counts[1, \"a key of many words\"] = count(); @counts[-2, \"other\"] = count(); }",
            &[
                "aggregation count @counts[1, a key of many words]: 2; by CPU agrees",
                "aggregation count @counts[-2, other]: 1; by CPU agrees",
            ],
        ),
        question(
            "sum(), avg(), min(), max() and stddev()",
            "BEGIN { @sums = sum(-7); @avgs = avg(3); @mins = min(-9); @maxs = max(12); \
             @devs = stddev(4); @sums = sum(27); @avgs = avg(8); @mins = min(5); @maxs = max(-1); \
             @devs = stddev(10); }",
            &[
                "aggregation sum @sums: 20; by CPU agrees",
                "aggregation avg @avgs: 5; by CPU agrees",
                "aggregation min @mins: -9; by CPU agrees",
                "aggregation max @maxs: 12; by CPU agrees",
                "aggregation stddev @devs: 3; by CPU agrees",
            ],
        ),
        question(
            "quantize(), lquantize() and llquantize()",
            "BEGIN { @powers = quantize(100, 3); @linear = lquantize(25, 0, 100, 10); \
             @mixed = llquantize(1234, 10, 1, 5, 10); }",
            &[
                "aggregation quantize @powers: {64..=127: 3}; by CPU agrees",
                "aggregation lquantize @linear: {20..=29: 1}; by CPU agrees",
                "aggregation llquantize @mixed: {1000..=1999: 1}; by CPU agrees",
            ],
        ),
        question(
            "normalize()",
            "BEGIN { @normal = sum(100); normalize(@normal, 4); }",
            &[
                "firing 7 dtrace:::BEGIN:",
                "aggregation sum @normal: 25; normalized by 4; by CPU agrees",
            ],
        ),
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
        question(
            "setopt()",
            "BEGIN { setopt(\"stackindent\", \"9\"); }",
            &["firing 10 dtrace:::BEGIN:", "option stackindent: unset -> 9"],
        ),
        question(
            "drops of speculations",
            "BEGIN { this->one = speculation(); this->two = speculation(); speculate(this->one); \
             trace((int)606); } BEGIN { this->three = speculation(); }",
            &["drop SpeculationUnavailable on no CPU: 2 of 2; its message agrees"],
        ),
        question(
            "exit()",
            "BEGIN { exit(42); }",
            &["firing 13 dtrace:::BEGIN: Exit 42", "exit 42"],
        ),
        question(
            "printa() at the end",
            "END { printa(\"%d %s %@d\\n\", @counts); trace((int)909); }",
            &["firing 14 dtrace:::END: Printa(\"%d %s %@llu\\n\"); Trace 909; \
               prints \"-2 other 1\\n1 a key of many words 2\\n909\""],
        ),
    ],
    session: &[
        question(
            "the compiled script",
            "",
            &[
                "program of 15 clauses with 15 matches, Unstable/Unstable/Common and \
                 Stable/Stable/Common",
                "14 clauses of :::BEGIN",
                "1 clauses of :::END",
            ],
        ),
        question("flow indentation", "", &["flow None 0 \"| \""]),
        question("the end", "", &["ended by Script"]),
    ],
    probes: &[
        question(
            "the listed probes",
            "dtrace:::",
            &[
                "probe dtrace:::BEGIN Stable/Stable/Common with 0 arguments",
                "probe dtrace:::END Stable/Stable/Common with 0 arguments",
                "probe dtrace:::ERROR Stable/Stable/Common with 0 arguments",
            ],
        ),
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
    mistakes: &[question(
        "the message for a script that does not compile",
        "BEGIN\n{\n\ttrace(1;\n}\n",
        &["error in line 3, D_SYNTAX"],
    )],
};

//! Which questions are the same to all libdtraces, with the same answers?
//!
//! The number in an answer is that of the clause in the script, so the scripts have these at the same places.

use super::question::{Question, question};

/// The options of the tracing session.
pub(super) const OPTIONS: &[(&str, Option<&str>)] = &[
    ("quiet", None),
    ("flowindent", None),
    // With one speculation at most, a second one is a drop.
    ("nspec", Some("1")),
    ("aggpercpu", None),
];

/// What precedes the clauses.
pub(super) const DECLARATIONS: &str =
    "struct shape { long long a; int b; short c; char d; char e; };\nint zero;\n";

pub(super) const COMPILED: Question = question(
    "the compiled script",
    "",
    &[
        "program of 15 clauses with 15 matches, Unstable/Unstable/Common and Stable/Stable/Common",
        "14 clauses of :::BEGIN",
        "1 clauses of :::END",
    ],
);

pub(super) const STRUCTURE: Question = question(
    "the record of a structure",
    // Without zeros, which would end a string.
    "BEGIN { this->p = (struct shape *)alloca(sizeof (struct shape)); this->p->a = -4; \
     this->p->b = 0x03050709; this->p->c = -2; this->p->d = 1; this->p->e = 2; \
     trace(*this->p); }",
    &["firing 1 dtrace:::BEGIN: Trace fcffffffffffffff09070503feff0102; prints \"\
       \\n             0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f  0123456789abcdef\
       \\n         0: fc ff ff ff ff ff ff ff 09 07 05 03 fe ff 01 02  ................\\n\""],
);

pub(super) const COUNT: Question = question(
    "count() with keys",
    // One key is longer than its record's offset, so that the two are told apart.
    "BEGIN { @counts[1, \"a key of many words\"] = count(); \
     @counts[1, \"a key of many words\"] = count(); @counts[-2, \"other\"] = count(); }",
    &[
        "aggregation count @counts[1, a key of many words]: 2; by CPU agrees",
        "aggregation count @counts[-2, other]: 1; by CPU agrees",
    ],
);

pub(super) const SUMS: Question = question(
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
);

pub(super) const DISTRIBUTIONS: Question = question(
    "quantize(), lquantize() and llquantize()",
    "BEGIN { @powers = quantize(100, 3); @linear = lquantize(25, 0, 100, 10); \
     @mixed = llquantize(1234, 10, 1, 5, 10); }",
    &[
        "aggregation quantize @powers: {64..=127: 3}; by CPU agrees",
        "aggregation lquantize @linear: {20..=29: 1}; by CPU agrees",
        "aggregation llquantize @mixed: {1000..=1999: 1}; by CPU agrees",
    ],
);

pub(super) const NORMALIZE: Question = question(
    "normalize()",
    "BEGIN { @normal = sum(100); normalize(@normal, 4); }",
    &["firing 7 dtrace:::BEGIN:", "aggregation sum @normal: 25; normalized by 4; by CPU agrees"],
);

pub(super) const SETOPT: Question = question(
    "setopt()",
    "BEGIN { setopt(\"stackindent\", \"9\"); }",
    &["firing 10 dtrace:::BEGIN:", "option stackindent: unset -> 9"],
);

pub(super) const SPECULATIONS: Question = question(
    "drops of speculations",
    "BEGIN { this->one = speculation(); this->two = speculation(); speculate(this->one); \
     trace((int)606); } BEGIN { this->three = speculation(); }",
    &["drop SpeculationUnavailable on no CPU: 2 of 2; its message agrees"],
);

pub(super) const EXIT: Question =
    question("exit()", "BEGIN { exit(42); }", &["firing 13 dtrace:::BEGIN: Exit 42", "exit 42"]);

pub(super) const OWN_PROBES: Question = question(
    "the listed probes",
    "dtrace:::",
    &[
        "probe dtrace:::BEGIN Stable/Stable/Common with 0 arguments",
        "probe dtrace:::END Stable/Stable/Common with 0 arguments",
        "probe dtrace:::ERROR Stable/Stable/Common with 0 arguments",
    ],
);

pub(super) const MISTAKE: Question = question(
    "the message for a script that does not compile",
    "BEGIN\n{\n\ttrace(1;\n}\n",
    &["error in line 3, D_SYNTAX"],
);

pub(super) const FLOW: Question = question("flow indentation", "", &["flow None 0 \"| \""]);

pub(super) const END: Question = question("the end", "", &["ended by Script"]);

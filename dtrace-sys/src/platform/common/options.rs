//! Numbers of options that are the same everywhere (0 to 26).
//!
//! `dtrace_setopt` and `dtrace_getopt` take names. The numbers are positions inside the library.

macro_rules! options {
    ($($number:literal $name:ident $option:literal;)*) => {$(
        #[doc = concat!("Number of the option `", $option, "`.")]
        pub const $name: u32 = $number;
    )*};
}
pub(crate) use options;

options! {
    0 DTRACEOPT_BUFSIZE "bufsize";
    1 DTRACEOPT_BUFPOLICY "bufpolicy";
    2 DTRACEOPT_DYNVARSIZE "dynvarsize";
    3 DTRACEOPT_AGGSIZE "aggsize";
    4 DTRACEOPT_SPECSIZE "specsize";
    5 DTRACEOPT_NSPEC "nspec";
    6 DTRACEOPT_STRSIZE "strsize";
    7 DTRACEOPT_CLEANRATE "cleanrate";
    8 DTRACEOPT_CPU "cpu";
    9 DTRACEOPT_BUFRESIZE "bufresize";
    10 DTRACEOPT_GRABANON "grabanon";
    11 DTRACEOPT_FLOWINDENT "flowindent";
    12 DTRACEOPT_QUIET "quiet";
    13 DTRACEOPT_STACKFRAMES "stackframes";
    14 DTRACEOPT_USTACKFRAMES "ustackframes";
    15 DTRACEOPT_AGGRATE "aggrate";
    16 DTRACEOPT_SWITCHRATE "switchrate";
    17 DTRACEOPT_STATUSRATE "statusrate";
    18 DTRACEOPT_DESTRUCTIVE "destructive";
    19 DTRACEOPT_STACKINDENT "stackindent";
    20 DTRACEOPT_RAWBYTES "rawbytes";
    21 DTRACEOPT_JSTACKFRAMES "jstackframes";
    22 DTRACEOPT_JSTACKSTRSIZE "jstackstrsize";
    23 DTRACEOPT_AGGSORTKEY "aggsortkey";
    24 DTRACEOPT_AGGSORTREV "aggsortrev";
    25 DTRACEOPT_AGGSORTPOS "aggsortpos";
    26 DTRACEOPT_AGGSORTKEYPOS "aggsortkeypos";
}

/// Value of `bufpolicy`: overwrite the oldest data.
pub const DTRACEOPT_BUFPOLICY_RING: u32 = 0;
/// Value of `bufpolicy`: stop when a buffer is full.
pub const DTRACEOPT_BUFPOLICY_FILL: u32 = 1;
/// Value of `bufpolicy`: two buffers that are switched (the default).
pub const DTRACEOPT_BUFPOLICY_SWITCH: u32 = 2;
/// Value of `bufresize`: shrink buffers until they can be allocated.
pub const DTRACEOPT_BUFRESIZE_AUTO: u32 = 0;
/// Value of `bufresize`: fail if a buffer cannot be allocated.
pub const DTRACEOPT_BUFRESIZE_MANUAL: u32 = 1;

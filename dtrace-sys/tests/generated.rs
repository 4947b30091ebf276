//! Are the committed Linux bindings what the installed headers say?
//!
//! `check-bindings.sh` fetches the headers and runs this.
#![cfg(dtrace_abi = "linux")]

use dtrace_sys::platform::linux;
use dtrace_sys::{Api, generated};
use std::mem::{align_of, offset_of, size_of, size_of_val};

const GENERATED: &str = include_str!(concat!(env!("OUT_DIR"), "/generated.rs"));

fn zeros<T: Copy>() -> T {
    // SAFETY: only used for structures of integers, pointers and optional functions: zeros are
    // values.
    unsafe { std::mem::zeroed() }
}

/// Both sides are taken apart field by field, so that a field missing on either does not compile.
macro_rules! structures {
    ($($name:ident { $($field:ident)* })*) => {
        #[test]
        fn structures_have_the_headers_layout() {$({
            let name = stringify!($name);
            assert_eq!(size_of::<linux::$name>(), size_of::<generated::$name>(), "size of {name}");
            assert_eq!(align_of::<linux::$name>(), align_of::<generated::$name>(), "{name}");
            let (ours, theirs) = (zeros::<linux::$name>(), zeros::<generated::$name>());
            let linux::$name { $($field: _),* } = ours;
            let generated::$name { $($field: _),* } = theirs;
            $(
                let field = concat!(stringify!($name), ".", stringify!($field));
                assert_eq!(
                    offset_of!(linux::$name, $field),
                    offset_of!(generated::$name, $field),
                    "offset of {field}"
                );
                let sizes = (size_of_val(&ours.$field), size_of_val(&theirs.$field));
                assert_eq!(sizes.0, sizes.1, "size of {field}");
            )*
        })*}
    };
}

structures! {
    GElf_Sym { st_name st_info st_other st_shndx st_value st_size }
    dtrace_recdesc_t { dtrd_action dtrd_size dtrd_offset dtrd_alignment dtrd_format dtrd_arg }
    dtrace_datadesc_t { dtdd_uarg dtdd_size dtdd_nrecs dtdd_recs dtdd_refcnt }
    dtrace_aggdesc_t {
        dtagd_name dtagd_varid dtagd_flags dtagd_sig dtagd_normal dtagd_ksize
        dtagd_dsize dtagd_nkrecs dtagd_keyidx dtagd_krecs dtagd_drecs
    }
    dtrace_fmtdesc_t { dtfd_string dtfd_length dtfd_format }
    dtrace_probedesc_t { id prv r#mod fun prb }
    dtrace_ecbdesc_t { dted_probe dted_refcnt }
    dtrace_attribute_t { dtat_name dtat_data dtat_class }
    dtrace_proginfo_t {
        dpi_descattr dpi_stmtattr dpi_aggregates dpi_recgens dpi_matches
        dpi_speculations
    }
    dtrace_stmtdesc_t {
        dtsd_ecbdesc dtsd_clause dtsd_fmtdata dtsd_descattr dtsd_stmtattr
        dtsd_clauseflags dtsd_id
    }
    dtrace_probedata_t {
        dtpda_handle dtpda_stid dtpda_ddesc dtpda_pdesc dtpda_cpu dtpda_data dtpda_flow
        dtpda_prefix dtpda_indent
    }
    dtrace_errdata_t {
        dteda_handle dteda_ddesc dteda_pdesc dteda_cpu dteda_action dteda_offset
        dteda_fault dteda_addr dteda_msg
    }
    dtrace_dropdata_t { dtdda_handle dtdda_cpu dtdda_kind dtdda_drops dtdda_total dtdda_msg }
    dtrace_bufdata_t {
        dtbda_handle dtbda_buffered dtbda_probe dtbda_recdesc dtbda_aggdata dtbda_flags
    }
    dtrace_setoptdata_t { dtsda_handle dtsda_probe dtsda_option dtsda_oldval dtsda_newval }
    dtrace_aggdata_t { dtada_hdl dtada_desc dtada_key dtada_data dtada_percpu }
    dtrace_print_aggdata_t { dtpa_dtp dtpa_id dtpa_fp dtpa_allunprint }
    dtrace_addr_range_t { dar_va dar_size }
    dtrace_objinfo_t {
        dto_name dto_file dto_flags dto_text_addrs dto_text_addrs_size dto_data_addrs
        dto_data_addrs_size
    }
    dtrace_syminfo_t { object name id }
    dtrace_typeinfo_t { dtt_object dtt_ctfp dtt_type }
    dtrace_probeinfo_t { dtp_attr dtp_arga dtp_argv dtp_argc }
    dtrace_argdesc_t { dtargd_id dtargd_ndx dtargd_mapping dtargd_native dtargd_xlate }
    dtrace_vector_t { dtv_ioctl dtv_lookup_by_addr dtv_cpu_status dtv_sysconf }
}

macro_rules! constants {
    ($($name:ident)*) => {
        const COMPARED_CONSTANTS: &[&str] = &[$(stringify!($name)),*];

        #[test]
        fn constants_have_the_headers_values() {
            $(assert_eq!(linux::$name as i128, generated::$name as i128, stringify!($name));)*
        }
    };
}

constants! {
    DTRACEACT_AGGREGATION DTRACEACT_BREAKPOINT DTRACEACT_CHILL DTRACEACT_COMMIT
    DTRACEACT_DIFEXPR DTRACEACT_DISCARD DTRACEACT_EXIT DTRACEACT_FREOPEN DTRACEACT_JSTACK
    DTRACEACT_KERNEL DTRACEACT_KERNEL_DESTRUCTIVE DTRACEACT_LIBACT DTRACEACT_MOD
    DTRACEACT_NONE DTRACEACT_PANIC DTRACEACT_PCAP DTRACEACT_PRINT DTRACEACT_PRINTA
    DTRACEACT_PRINTF DTRACEACT_PROC DTRACEACT_PROC_CONTROL DTRACEACT_PROC_DESTRUCTIVE
    DTRACEACT_RAISE DTRACEACT_RETURN DTRACEACT_SPECULATE DTRACEACT_SPECULATIVE
    DTRACEACT_STACK DTRACEACT_STOP DTRACEACT_SYM DTRACEACT_SYSTEM DTRACEACT_TRACEMEM
    DTRACEACT_UADDR DTRACEACT_UMOD DTRACEACT_USTACK DTRACEACT_USYM DTRACEDROP_AGGREGATION
    DTRACEDROP_DBLERROR DTRACEDROP_DYNAMIC DTRACEDROP_DYNDIRTY DTRACEDROP_DYNRINSE
    DTRACEDROP_PRINCIPAL DTRACEDROP_SPEC DTRACEDROP_SPECBUSY DTRACEDROP_SPECUNAVAIL
    DTRACEDROP_STKSTROVERFLOW DTRACEFLOW_ENTRY DTRACEFLOW_NONE DTRACEFLOW_RETURN
    DTRACEFLT_BADADDR DTRACEFLT_BADALIGN DTRACEFLT_BADINDEX DTRACEFLT_BADSIZE
    DTRACEFLT_BADSTACK DTRACEFLT_DIVZERO DTRACEFLT_ILLOP DTRACEFLT_KPRIV DTRACEFLT_LIBRARY
    DTRACEFLT_NOSCRATCH DTRACEFLT_TUPOFLOW DTRACEFLT_UNKNOWN DTRACEFLT_UPRIV
    DTRACEOPT_AGGRATE DTRACEOPT_AGGSIZE DTRACEOPT_AGGSORTKEY DTRACEOPT_AGGSORTKEYPOS
    DTRACEOPT_AGGSORTPOS DTRACEOPT_AGGSORTREV DTRACEOPT_BPFLOG DTRACEOPT_BPFLOGSIZE
    DTRACEOPT_BUFPOLICY DTRACEOPT_BUFPOLICY_FILL DTRACEOPT_BUFPOLICY_RING
    DTRACEOPT_BUFPOLICY_SWITCH DTRACEOPT_BUFRESIZE DTRACEOPT_BUFRESIZE_AUTO
    DTRACEOPT_BUFRESIZE_MANUAL DTRACEOPT_BUFSIZE DTRACEOPT_CLEANRATE DTRACEOPT_CPU
    DTRACEOPT_DESTRUCTIVE DTRACEOPT_DYNVARSIZE DTRACEOPT_FLOWINDENT DTRACEOPT_GRABANON
    DTRACEOPT_JSTACKFRAMES DTRACEOPT_JSTACKSTRSIZE DTRACEOPT_LOCKMEM DTRACEOPT_MAX
    DTRACEOPT_MAXFRAMES DTRACEOPT_NORESOLVE DTRACEOPT_NSPEC DTRACEOPT_NUSDTPROBES
    DTRACEOPT_PCAPSIZE DTRACEOPT_PRINTSIZE DTRACEOPT_QUIET DTRACEOPT_QUIETRESIZE
    DTRACEOPT_RAWBYTES DTRACEOPT_SCRATCHSIZE DTRACEOPT_SPECSIZE DTRACEOPT_STACKFRAMES
    DTRACEOPT_STACKINDENT DTRACEOPT_STATUSRATE DTRACEOPT_STRSIZE DTRACEOPT_SWITCHRATE
    DTRACEOPT_USTACKFRAMES DTRACE_AGD_PRINTED DTRACE_AGGIDNONE DTRACE_AGGWALK_ABORT
    DTRACE_AGGWALK_ERROR DTRACE_AGGWALK_NEXT DTRACE_AGGWALK_NORMALIZE DTRACE_AGGWALK_REMOVE
    DTRACE_ARGNONE DTRACE_ARGTYPELEN DTRACE_ATTR2STR_MAX DTRACE_A_ANONYMOUS
    DTRACE_A_KEEPDELTA DTRACE_A_PERCPU DTRACE_A_VALID DTRACE_BUFDATA_AGGFORMAT
    DTRACE_BUFDATA_AGGKEY DTRACE_BUFDATA_AGGLAST DTRACE_BUFDATA_AGGVAL DTRACE_CLASS_COMMON
    DTRACE_CLASS_CPU DTRACE_CLASS_GROUP DTRACE_CLASS_ISA DTRACE_CLASS_MAX
    DTRACE_CLASS_PLATFORM DTRACE_CLASS_UNKNOWN DTRACE_CONSUME_ABORT DTRACE_CONSUME_DONE
    DTRACE_CONSUME_ERROR DTRACE_CONSUME_NEXT DTRACE_CONSUME_THIS DTRACE_CPUALL
    DTRACE_C_ARGREF DTRACE_C_CPP DTRACE_C_CTL DTRACE_C_DEFARG DTRACE_C_DIFV DTRACE_C_DLIB
    DTRACE_C_EATTR DTRACE_C_EMPTY DTRACE_C_EPROBE DTRACE_C_ETAGS DTRACE_C_KNODEF
    DTRACE_C_MASK DTRACE_C_NOLIBS DTRACE_C_PSPEC DTRACE_C_UNODEF DTRACE_C_ZDEFS
    DTRACE_DESC2STR_MAX DTRACE_D_MASK DTRACE_D_PROBES DTRACE_D_STRIP DTRACE_FULLNAMELEN
    DTRACE_FUNCNAMELEN DTRACE_HANDLE_ABORT DTRACE_HANDLE_OK DTRACE_IDNONE DTRACE_MODNAMELEN
    DTRACE_NAMELEN DTRACE_OBJ_F_KERNEL DTRACE_O_ILP32 DTRACE_O_LP64 DTRACE_O_MASK
    DTRACE_PROBESPEC_FUNC DTRACE_PROBESPEC_MOD DTRACE_PROBESPEC_NAME DTRACE_PROBESPEC_NONE
    DTRACE_PROBESPEC_PROVIDER DTRACE_PROC_SHORTLIVED DTRACE_PROC_WAITING DTRACE_PROVNAMELEN
    DTRACE_STABILITY_EVOLVING DTRACE_STABILITY_EXTERNAL DTRACE_STABILITY_INTERNAL
    DTRACE_STABILITY_MAX DTRACE_STABILITY_OBSOLETE DTRACE_STABILITY_PRIVATE
    DTRACE_STABILITY_STABLE DTRACE_STABILITY_STANDARD DTRACE_STABILITY_UNSTABLE
    DTRACE_STATUS_ERROR DTRACE_STATUS_EXITED DTRACE_STATUS_FILLED DTRACE_STATUS_NONE
    DTRACE_STATUS_OKAY DTRACE_STATUS_STOPPED DTRACE_TRACEMEM_DYNAMIC DTRACE_TRACEMEM_SIZE
    DTRACE_TRACEMEM_SSIZE DTRACE_TRACEMEM_STATIC DTRACE_VERSION DTRACE_WORKSTATUS_DONE
    DTRACE_WORKSTATUS_ERROR DTRACE_WORKSTATUS_OKAY DT_CLSFLAG_AGGREGATION DT_CLSFLAG_COMMIT
    DT_CLSFLAG_COMMIT_DISCARD DT_CLSFLAG_DATAREC DT_CLSFLAG_DESTRUCT DT_CLSFLAG_EXIT
    DT_CLSFLAG_RETURN DT_CLSFLAG_SPECULATE
}

/// Sizes of a function's arguments and of what it returns. The closures give the function's type;
/// they are never called, hence nothing is linked.
macro_rules! shapes {
    ($($shape:ident($($argument:ident)*);)*) => {$(
        fn $shape<$($argument,)* Z>(
            _: impl FnOnce() -> unsafe extern "C" fn($($argument),*) -> Z,
        ) -> Vec<usize> {
            vec![$(size_of::<$argument>(),)* size_of::<Z>()]
        }
    )*};
}

shapes! {
    shape1(A);
    shape2(A B);
    shape3(A B C);
    shape4(A B C D);
    shape5(A B C D E);
    shape6(A B C D E F);
    shape8(A B C D E F G H);
}

fn api() -> &'static Api {
    unreachable!("only its type is needed")
}

macro_rules! functions {
    (
        every library { $($shape:ident { $($name:ident)* })* }
        some libraries { $($optional_shape:ident { $($optional:ident)* })* }
    ) => {
        const COMPARED_FUNCTIONS: &[&str] =
            &[$($(stringify!($name),)*)* $($(stringify!($optional),)*)*];

        #[test]
        fn functions_have_the_headers_arguments() {
            $($(assert_eq!(
                $shape(|| api().$name), $shape(|| generated::$name), stringify!($name)
            );)*)*
            $($(assert_eq!(
                $optional_shape(|| api().$optional.expect("not called")),
                $optional_shape(|| generated::$optional),
                stringify!($optional)
            );)*)*
        }
    };
}

functions! {
    every library {
        shape1 {
            dtrace_aggregate_clear dtrace_aggregate_snap dtrace_class_name dtrace_close
            dtrace_ctlfd dtrace_errno dtrace_geterr_dof dtrace_getopt_dof
            dtrace_stability_name dtrace_status dtrace_stop dtrace_update
        }
        shape2 {
            dtrace_dof_destroy dtrace_errmsg dtrace_faultstr dtrace_go dtrace_printa_create
            dtrace_printf_create dtrace_proc_continue dtrace_proc_release dtrace_stmt_create
            dtrace_stmt_destroy dtrace_str2attr
        }
        shape3 {
            dtrace_aggregate_print dtrace_aggregate_walk dtrace_aggregate_walk_keyrevsorted
            dtrace_aggregate_walk_keysorted dtrace_aggregate_walk_keyvarrevsorted
            dtrace_aggregate_walk_keyvarsorted dtrace_aggregate_walk_valrevsorted
            dtrace_aggregate_walk_valsorted dtrace_aggregate_walk_valvarrevsorted
            dtrace_aggregate_walk_valvarsorted dtrace_attr2str dtrace_desc2str
            dtrace_dof_create dtrace_getopt dtrace_handle_buffered dtrace_handle_drop
            dtrace_handle_err dtrace_handle_proc dtrace_handle_setopt dtrace_id2desc
            dtrace_object_info dtrace_object_iter dtrace_open dtrace_probe_info
            dtrace_program_exec dtrace_program_header dtrace_program_info dtrace_setopt
            dtrace_stmt_add dtrace_type_fcompile dtrace_type_strcompile
        }
        shape4 {
            dtrace_addr2str dtrace_lookup_by_addr dtrace_lookup_by_type dtrace_printf_format
            dtrace_probe_iter dtrace_proc_create dtrace_stmt_iter dtrace_str2desc
            dtrace_symbol_type
        }
        shape5 {
            dtrace_aggregate_walk_joined dtrace_consume dtrace_lookup_by_name
            dtrace_program_fcompile dtrace_uaddr2str dtrace_vopen dtrace_work
        }
        shape6 {
            dtrace_program_strcompile dtrace_xstr2desc
        }
        shape8 {
            dtrace_fprinta dtrace_fprintf
        }
    }
    some libraries {
        shape1 {
            dtrace_debug_set_dump_sig dtrace_init dtrace_set_internal_signal
        }
        shape2 {
            dtrace_proc_getpid dtrace_setoptenv dtrace_subrstr
        }
        shape3 {
            dtrace_aggregate_walk_sorted dtrace_proc_grab_pid dtrace_provider_modules
        }
        shape6 {
            dtrace_program_link
        }
    }
}

/// Declared in the headers, but not exported by 2.0.7, or not for consumers.
const NOT_BOUND: &[&str] = &["dtrace_addr_range_cmp", "dtrace_freopen", "dtrace_system"];

/// What only makes sense inside a macro, or only for the kernel.
const NOT_COMPARED: &[&str] = &[
    "DTRACEHIOC",
    "DTRACE_AGGVARIDNONE",
    "DTRACE_CACHEIDNONE",
    "DTRACE_LLQUANTIZE_FACTORMASK",
    "DTRACE_LLQUANTIZE_FACTORSHIFT",
    "DTRACE_LLQUANTIZE_HMAGSHIFT",
    "DTRACE_LLQUANTIZE_LMAGSHIFT",
    "DTRACE_LLQUANTIZE_STEPSSHIFT",
    "DTRACE_LQUANTIZE_BASEMASK",
    "DTRACE_LQUANTIZE_BASESHIFT",
    "DTRACE_LQUANTIZE_LEVELSHIFT",
    "DTRACE_LQUANTIZE_STEPSHIFT",
    "DTRACE_METAPROVNONE",
    "DTRACE_PRIV_ALL",
    "DTRACE_PRIV_KERNEL",
    "DTRACE_PRIV_NONE",
    "DTRACE_PRIV_OWNER",
    "DTRACE_PRIV_PROC",
    "DTRACE_PRIV_USER",
    "DTRACE_PROVNONE",
];

#[test]
fn nothing_of_the_headers_is_left_out_unnoticed() {
    let names = |start: &str, end: char| -> Vec<&str> {
        let declared = GENERATED.lines().filter_map(|line| line.trim().strip_prefix(start));
        declared.filter_map(|rest| rest.split(end).next()).collect()
    };
    for name in names("pub fn ", '(').into_iter().filter(|name| name.starts_with("dtrace_")) {
        assert!(COMPARED_FUNCTIONS.contains(&name) || NOT_BOUND.contains(&name), "{name}");
    }
    for name in names("pub const ", ':').into_iter().filter(|name| name.starts_with('D')) {
        assert!(COMPARED_CONSTANTS.contains(&name) || NOT_COMPARED.contains(&name), "{name}");
    }
}

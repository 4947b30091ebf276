//! libdtrace's functions and their types.
//!
//! The list of the functions that every library has is here, that of the others in [`some`]. The macros in
//! [`table`] turn both into a structure of function pointers and the code that fills it.

use crate::abi::*;
use crate::platform::common::opaque;
use core::ffi::{c_char, c_int, c_uint, c_void};

mod some;
mod table;
use some::with_functions_of_some;
pub(crate) use table::Symbols;
use table::{api, find, function_type};

opaque! {
    /// A key as `dtrace_aggregate_keys` fills it in, on Linux after 2.0.7. Its layout is not final.
    dtrace_aggkey_t;
    /// A value as `dtrace_aggregate_value` fills it in, on Linux after 2.0.7. Its layout is not final.
    dtrace_aggvalue_t;
}

with_functions_of_some! {
    every library {
        /// Opens a session: `DTRACE_VERSION`, `DTRACE_O_` flags (0 by default). Returns NULL on failure, with
        /// the reason in `errp`. On Linux it succeeds without privileges, takes over a real-time signal and
        /// raises the soft limit of open files.
        fn dtrace_open(version: c_int, flags: c_int, errp: *mut c_int) -> *mut dtrace_hdl_t;
        /// Opens a session with functions in place of the kernel's.
        fn dtrace_vopen(
            version: c_int,
            flags: c_int,
            errp: *mut c_int,
            vector: *const dtrace_vector_t,
            arg: *mut c_void
        ) -> *mut dtrace_hdl_t;
        /// Stops tracing. The last data and the END clause come with the next `dtrace_work`.
        fn dtrace_stop(dtp: *mut dtrace_hdl_t) -> c_int;
        /// Frees the session and kills the processes that it created. On Linux it can take many seconds, and
        /// it aborts if the heap has overflowed (see `dtrace_program_exec`).
        fn dtrace_close(dtp: *mut dtrace_hdl_t);
        /// Returns the last error of the session: `errno` below `EDT_BASE`, libdtrace's own from there.
        fn dtrace_errno(dtp: *mut dtrace_hdl_t) -> c_int;
        /// Returns an error's text; the handle may be NULL. Copy it at once: it may point into the handle.
        fn dtrace_errmsg(dtp: *mut dtrace_hdl_t, error: c_int) -> *const c_char;
        /// Returns a fault's text (`DTRACEFLT_`).
        fn dtrace_faultstr(dtp: *mut dtrace_hdl_t, fault: c_int) -> *const c_char;
        /// Sets an option. On Linux some values end the process: `nolibs`, `core`, and a `cpu` that is not
        /// usable.
        fn dtrace_setopt(dtp: *mut dtrace_hdl_t, opt: *const c_char, val: *const c_char) -> c_int;
        /// Reads a run-time or dynamic option (not a compile-time one).
        fn dtrace_getopt(
            dtp: *mut dtrace_hdl_t,
            opt: *const c_char,
            val: *mut dtrace_optval_t
        ) -> c_int;
        /// Returns the file descriptor of the DTrace device; -1 on Linux.
        fn dtrace_ctlfd(dtp: *mut dtrace_hdl_t) -> c_int;
        /// Compiles a program; NULL on failure. Two threads must not compile at the same time, even for
        /// different handles: the process aborts. On Linux, never call it after the first
        /// `dtrace_program_exec` of the handle.
        fn dtrace_program_strcompile(
            dtp: *mut dtrace_hdl_t,
            s: *const c_char,
            spec: dtrace_probespec_t,
            cflags: c_uint,
            argc: c_int,
            argv: *const *mut c_char
        ) -> *mut dtrace_prog_t;
        /// Compiles a program from a file, with line numbers in its messages; otherwise like
        /// `dtrace_program_strcompile`.
        fn dtrace_program_fcompile(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            cflags: c_uint,
            argc: c_int,
            argv: *const *mut c_char
        ) -> *mut dtrace_prog_t;
        /// Enables a program's probes. On Linux the first call fixes the number of statements: compiling more
        /// and enabling them **overflows the heap**. Compile everything first.
        fn dtrace_program_exec(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            pip: *mut dtrace_proginfo_t
        ) -> c_int;
        /// Returns information about a program without enabling it.
        fn dtrace_program_info(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            pip: *mut dtrace_proginfo_t
        );
        /// Writes a C header for the providers of a program.
        fn dtrace_program_header(
            dtp: *mut dtrace_hdl_t,
            out: *mut FILE,
            fname: *const c_char
        ) -> c_int;
        /// Calls a function for each statement of a program.
        fn dtrace_stmt_iter(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            func: Option<dtrace_stmt_f>,
            data: *mut c_void
        ) -> c_int;
        /// Creates a statement.
        fn dtrace_stmt_create(
            dtp: *mut dtrace_hdl_t,
            edp: *mut dtrace_ecbdesc_t
        ) -> *mut dtrace_stmtdesc_t;
        /// Adds a statement to a program.
        fn dtrace_stmt_add(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            sdp: *mut dtrace_stmtdesc_t
        ) -> c_int;
        /// Frees a statement.
        fn dtrace_stmt_destroy(dtp: *mut dtrace_hdl_t, sdp: *mut dtrace_stmtdesc_t);
        /// Compiles a program to DOF, to be freed with `dtrace_dof_destroy`.
        fn dtrace_dof_create(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            flags: c_uint
        ) -> *mut c_void;
        /// Frees what `dtrace_dof_create` made.
        fn dtrace_dof_destroy(dtp: *mut dtrace_hdl_t, dof: *mut c_void);
        /// Returns the options as DOF.
        fn dtrace_getopt_dof(dtp: *mut dtrace_hdl_t) -> *mut c_void;
        /// Returns the ERROR clause as DOF.
        fn dtrace_geterr_dof(dtp: *mut dtrace_hdl_t) -> *mut c_void;
        /// Delivers data to the callbacks. NULL callbacks accept everything and print nothing.
        fn dtrace_consume(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            pf: Option<dtrace_consume_probe_f>,
            rf: Option<dtrace_consume_rec_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Checks the status and delivers data. On Linux it waits by itself (up to 1 s, or `switchrate`), and
        /// EINTR makes it return -1 without harm. Always pass a `FILE`: with NULL, text is lost on Linux and
        /// may crash elsewhere.
        fn dtrace_work(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            pf: Option<dtrace_consume_probe_f>,
            rf: Option<dtrace_consume_rec_f>,
            arg: *mut c_void
        ) -> dtrace_workstatus_t;
        /// Returns whether tracing continues: `DTRACE_STATUS_`.
        fn dtrace_status(dtp: *mut dtrace_hdl_t) -> c_int;
        /// Installs the error handler, once. Without one the first fault ends the session or, on Linux, calls
        /// address 0. On Linux it **compiles and enables** a clause: call it after all programs are compiled.
        fn dtrace_handle_err(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_handle_err_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Installs the drop handler, once. Without one the first drop ends the session.
        fn dtrace_handle_drop(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_handle_drop_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Installs the handler of text, once. It is called if no `FILE` was given.
        fn dtrace_handle_buffered(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_handle_buffered_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Installs the handler of options that the program sets, once.
        fn dtrace_handle_setopt(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_handle_setopt_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Installs the handler of process events, once. Its callback's type depends on the platform.
        fn dtrace_handle_proc(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_handle_proc_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Takes a snapshot of the aggregations. On Linux it does nothing (0) within `aggrate`, or while the
        /// last snapshot has not been used.
        fn dtrace_aggregate_snap(dtp: *mut dtrace_hdl_t) -> c_int;
        /// Clears the aggregations. On Linux it clears only the copy, and the next snapshot restores the
        /// data; elsewhere it breaks `lquantize`.
        fn dtrace_aggregate_clear(dtp: *mut dtrace_hdl_t);
        /// Prints the aggregations, walked by the given function or by default sorted by value.
        fn dtrace_aggregate_print(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            func: Option<dtrace_aggregate_walk_f>
        ) -> c_int;
        /// Calls a function for each entry, in no order.
        fn dtrace_aggregate_walk(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each entry, sorted by key.
        fn dtrace_aggregate_walk_keysorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each entry, sorted by value.
        fn dtrace_aggregate_walk_valsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each entry, sorted by aggregation, then key.
        fn dtrace_aggregate_walk_keyvarsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each entry, sorted by aggregation, then value.
        fn dtrace_aggregate_walk_valvarsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Like `dtrace_aggregate_walk_keysorted`, in reverse.
        fn dtrace_aggregate_walk_keyrevsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Like `dtrace_aggregate_walk_valsorted`, in reverse.
        fn dtrace_aggregate_walk_valrevsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Like `dtrace_aggregate_walk_keyvarsorted`, in reverse.
        fn dtrace_aggregate_walk_keyvarrevsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Like `dtrace_aggregate_walk_valvarsorted`, in reverse.
        fn dtrace_aggregate_walk_valvarrevsorted(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each key of several aggregations. The width of the identifiers depends on the
        /// platform.
        fn dtrace_aggregate_walk_joined(
            dtp: *mut dtrace_hdl_t,
            ids: *mut dtrace_aggvarid_t,
            nids: c_int,
            func: Option<dtrace_aggregate_walk_joined_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Calls a function for each probe that matches. A NULL description matches all; on Linux a **NULL
        /// member crashes**.
        fn dtrace_probe_iter(
            dtp: *mut dtrace_hdl_t,
            pdp: *const dtrace_probedesc_t,
            func: Option<dtrace_probe_f>,
            arg: *mut c_void
        ) -> c_int;
        /// Returns information about the one probe that matches.
        fn dtrace_probe_info(
            dtp: *mut dtrace_hdl_t,
            pdp: *const dtrace_probedesc_t,
            pip: *mut dtrace_probeinfo_t
        ) -> c_int;
        /// Finds a symbol by name, in an object or a `DTRACE_OBJ_` scope.
        fn dtrace_lookup_by_name(
            dtp: *mut dtrace_hdl_t,
            object: *const c_char,
            name: *const c_char,
            symp: *mut GElf_Sym,
            sip: *mut dtrace_syminfo_t
        ) -> c_int;
        /// Finds a type by name.
        fn dtrace_lookup_by_type(
            dtp: *mut dtrace_hdl_t,
            object: *const c_char,
            name: *const c_char,
            tip: *mut dtrace_typeinfo_t
        ) -> c_int;
        /// Returns the type of a symbol.
        fn dtrace_symbol_type(
            dtp: *mut dtrace_hdl_t,
            symp: *const GElf_Sym,
            sip: *const dtrace_syminfo_t,
            tip: *mut dtrace_typeinfo_t
        ) -> c_int;
        /// Compiles a type from a string.
        fn dtrace_type_strcompile(
            dtp: *mut dtrace_hdl_t,
            s: *const c_char,
            tip: *mut dtrace_typeinfo_t
        ) -> c_int;
        /// Compiles a type from a file.
        fn dtrace_type_fcompile(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            tip: *mut dtrace_typeinfo_t
        ) -> c_int;
        /// Returns information about an object.
        fn dtrace_object_info(
            dtp: *mut dtrace_hdl_t,
            object: *const c_char,
            dto: *mut dtrace_objinfo_t
        ) -> c_int;
        /// Calls a function for each object.
        fn dtrace_object_iter(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_obj_f>,
            data: *mut c_void
        ) -> c_int;
        /// Formats a kernel address as a symbol. Returns the whole length even if the text was truncated.
        fn dtrace_addr2str(
            dtp: *mut dtrace_hdl_t,
            addr: u64,
            str: *mut c_char,
            nbytes: c_int
        ) -> c_int;
        /// Formats an address of a process as a symbol, which may stop the process. Returns the whole length
        /// even if the text was truncated.
        fn dtrace_uaddr2str(
            dtp: *mut dtrace_hdl_t,
            pid: pid_t,
            addr: u64,
            str: *mut c_char,
            nbytes: c_int
        ) -> c_int;
        /// Releases a process and frees its handle. A created process that has not been continued is killed.
        fn dtrace_proc_release(dtp: *mut dtrace_hdl_t, proc_: *mut dtrace_proc_handle_t);
        /// Continues a created or grabbed process. On Linux **once only**: the second call leaves a lock
        /// held.
        fn dtrace_proc_continue(dtp: *mut dtrace_hdl_t, proc_: *mut dtrace_proc_handle_t);
        /// Compiles a `printf` format; NULL on failure.
        fn dtrace_printf_create(dtp: *mut dtrace_hdl_t, s: *const c_char) -> *mut c_void;
        /// Compiles a `printa` format; NULL on failure.
        fn dtrace_printa_create(dtp: *mut dtrace_hdl_t, s: *const c_char) -> *mut c_void;
        /// Converts a compiled format back to a string. Returns the whole length.
        fn dtrace_printf_format(
            dtp: *mut dtrace_hdl_t,
            fmtdata: *mut c_void,
            s: *mut c_char,
            len: usize
        ) -> usize;
        /// Parses a probe description from a string. On Linux the caller must free its strings.
        fn dtrace_str2desc(
            dtp: *mut dtrace_hdl_t,
            spec: dtrace_probespec_t,
            s: *const c_char,
            pdp: *mut dtrace_probedesc_t
        ) -> c_int;
        /// Like `dtrace_str2desc`, with macro arguments.
        fn dtrace_xstr2desc(
            dtp: *mut dtrace_hdl_t,
            spec: dtrace_probespec_t,
            s: *const c_char,
            argc: c_int,
            argv: *const *mut c_char,
            pdp: *mut dtrace_probedesc_t
        ) -> c_int;
        /// Returns the description of a probe by number. On Linux the library owns its strings.
        fn dtrace_id2desc(
            dtp: *mut dtrace_hdl_t,
            id: dtrace_id_t,
            pdp: *mut dtrace_probedesc_t
        ) -> c_int;
        /// Formats a description as `provider:module:function:name`.
        fn dtrace_desc2str(
            pdp: *const dtrace_probedesc_t,
            buf: *mut c_char,
            len: usize
        ) -> *mut c_char;
        /// Formats an attribute as `name/data/class`.
        fn dtrace_attr2str(attr: dtrace_attribute_t, buf: *mut c_char, len: usize) -> *mut c_char;
        /// Parses an attribute.
        fn dtrace_str2attr(s: *const c_char, attr: *mut dtrace_attribute_t) -> c_int;
        /// Returns a stability's name, or NULL.
        fn dtrace_stability_name(s: dtrace_stability_t) -> *const c_char;
        /// Returns a class's name, or NULL.
        fn dtrace_class_name(c: dtrace_class_t) -> *const c_char;
    }
    every library by its type {
        /// Starts tracing. On Linux **once in the life of a process**: a second session fails. Only Linux has
        /// flags, hence the type.
        fn dtrace_go: dtrace_go_fn;
        /// Reads the kernel's modules again. Strings returned before become invalid.
        fn dtrace_update: dtrace_update_fn;
        /// Finds a symbol by address.
        fn dtrace_lookup_by_addr: dtrace_lookup_by_addr_fn;
        /// Creates a process and holds it before its first instruction; NULL on failure.
        fn dtrace_proc_create: dtrace_proc_create_fn;
        /// Formats a record as `printf` does.
        fn dtrace_fprintf: dtrace_printer;
        /// Formats a record as `printa` does.
        fn dtrace_fprinta: dtrace_printer;
    }
}

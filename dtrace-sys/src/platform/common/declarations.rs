//! Structures and function types whose C text is the same everywhere, over types that differ.

/// Declarations whose C text is the same everywhere, over types that depend on the platform.
///
/// Expects in scope: `processorid_t`, `dtrace_optval_t`, `dtrace_probedesc_t`,
/// `dtrace_probedata_t`, `dtrace_recdesc_t`, `dtrace_aggdata_t`, `dtrace_stmtdesc_t`,
/// `dtrace_objinfo_t`, `dtrace_typeinfo_t`, `dtrace_errdata_t`.
macro_rules! declarations_over_platform_types {
    () => {
        /// Information from `dtrace_probe_info` about a probe.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_probeinfo_t {
            /// Stability of the probe's name.
            pub dtp_attr: dtrace_attribute_t,
            /// Stability of its arguments.
            pub dtp_arga: dtrace_attribute_t,
            /// Types of its arguments: `dtp_argc` entries.
            pub dtp_argv: *const dtrace_typeinfo_t,
            /// Number of arguments.
            pub dtp_argc: c_int,
        }
        layout!(dtrace_probeinfo_t, size 24, align 8, {
            dtp_attr @ 0, dtp_arga @ 3, dtp_argv @ 8, dtp_argc @ 16,
        });

        /// Lost data, as passed to the drop handler. Valid only during the call.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_dropdata_t {
            /// The session.
            pub dtdda_handle: *mut dtrace_hdl_t,
            /// The CPU; all bits set if it is no particular one.
            pub dtdda_cpu: processorid_t,
            /// The kind of data.
            pub dtdda_kind: dtrace_dropkind_t,
            /// Number since the previous report.
            pub dtdda_drops: u64,
            /// Total number.
            pub dtdda_total: u64,
            /// A message. It ends with a newline except on Linux.
            pub dtdda_msg: *const c_char,
        }
        layout!(dtrace_dropdata_t, size 40, align 8, {
            dtdda_handle @ 0, dtdda_cpu @ 8, dtdda_kind @ 12, dtdda_drops @ 16, dtdda_total @ 24,
            dtdda_msg @ 32,
        });

        /// Text for the buffered handler. Valid only during the call.
        /// On Linux the handler never receives the text of probe records, only of aggregations: pass a `FILE`
        /// to the library instead.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_bufdata_t {
            /// The session.
            pub dtbda_handle: *mut dtrace_hdl_t,
            /// The text.
            pub dtbda_buffered: *const c_char,
            /// The firing that it comes from; NULL for aggregations.
            pub dtbda_probe: *mut dtrace_probedata_t,
            /// The record that it comes from.
            pub dtbda_recdesc: *const dtrace_recdesc_t,
            /// The aggregation that it comes from; NULL for firings.
            pub dtbda_aggdata: *const dtrace_aggdata_t,
            /// `DTRACE_BUFDATA_` flags.
            pub dtbda_flags: u32,
        }
        layout!(dtrace_bufdata_t, size 48, align 8, {
            dtbda_handle @ 0, dtbda_buffered @ 8, dtbda_probe @ 16, dtbda_recdesc @ 24,
            dtbda_aggdata @ 32, dtbda_flags @ 40,
        });

        /// An option that the D program set. Valid only during the call.
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct dtrace_setoptdata_t {
            /// The session.
            pub dtsda_handle: *mut dtrace_hdl_t,
            /// The firing that set it.
            pub dtsda_probe: *const dtrace_probedata_t,
            /// The option's name.
            pub dtsda_option: *const c_char,
            /// Its value before.
            pub dtsda_oldval: dtrace_optval_t,
            /// Its value from now on.
            pub dtsda_newval: dtrace_optval_t,
        }
        layout!(dtrace_setoptdata_t, size 40, align 8, {
            dtsda_handle @ 0, dtsda_probe @ 8, dtsda_option @ 16, dtsda_oldval @ 24,
            dtsda_newval @ 32,
        });

        /// "chew": called once for each firing of a clause. Returns `DTRACE_CONSUME_`; must not unwind.
        pub type dtrace_consume_probe_f =
            unsafe extern "C" fn(data: *const dtrace_probedata_t, arg: *mut c_void) -> c_int;
        /// "chewrec": called for each record of a firing, then once with a NULL record, where its result is
        /// ignored. Returns `DTRACE_CONSUME_`; must not unwind.
        pub type dtrace_consume_rec_f = unsafe extern "C" fn(
            data: *const dtrace_probedata_t,
            rec: *const dtrace_recdesc_t,
            arg: *mut c_void,
        ) -> c_int;
        /// Called for each statement of a program. Any result but 0 ends the iteration.
        pub type dtrace_stmt_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            pgp: *mut dtrace_prog_t,
            sdp: *mut dtrace_stmtdesc_t,
            data: *mut c_void,
        ) -> c_int;
        /// Called for each probe. Any result but 0 ends the iteration. The library owns the description's
        /// strings.
        pub type dtrace_probe_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            pdp: *const dtrace_probedesc_t,
            arg: *mut c_void,
        ) -> c_int;
        /// Called for each object (kernel module). Any result but 0 ends the iteration.
        pub type dtrace_obj_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            object: *const dtrace_objinfo_t,
            data: *mut c_void,
        ) -> c_int;
        /// Called when a probe faulted. Returns `DTRACE_HANDLE_`; must not unwind.
        pub type dtrace_handle_err_f =
            unsafe extern "C" fn(err: *const dtrace_errdata_t, arg: *mut c_void) -> c_int;
        /// Called when data were lost. Returns `DTRACE_HANDLE_`; must not unwind.
        pub type dtrace_handle_drop_f =
            unsafe extern "C" fn(drop: *const dtrace_dropdata_t, arg: *mut c_void) -> c_int;
        /// Called with text when the library was given no `FILE`. Returns `DTRACE_HANDLE_`, on Linux only
        /// `DTRACE_HANDLE_OK`: anything else leaves a lock held. It must not call anything that prints.
        pub type dtrace_handle_buffered_f =
            unsafe extern "C" fn(data: *const dtrace_bufdata_t, arg: *mut c_void) -> c_int;
        /// Called when the D program set an option. Returns `DTRACE_HANDLE_`.
        pub type dtrace_handle_setopt_f =
            unsafe extern "C" fn(data: *const dtrace_setoptdata_t, arg: *mut c_void) -> c_int;
        /// Called for each entry of the aggregations. Returns `DTRACE_AGGWALK_`; must not take a snapshot,
        /// clear or print.
        pub type dtrace_aggregate_f =
            unsafe extern "C" fn(agg: *const dtrace_aggdata_t, arg: *mut c_void) -> c_int;
        /// One of the walk functions themselves, as `dtrace_aggregate_print` takes it.
        pub type dtrace_aggregate_walk_f = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            func: Option<dtrace_aggregate_f>,
            arg: *mut c_void,
        ) -> c_int;
        /// Called with the entries of several aggregations that have the same key.
        pub type dtrace_aggregate_walk_joined_f = unsafe extern "C" fn(
            aggs: *mut *const dtrace_aggdata_t,
            naggs: c_int,
            arg: *mut c_void,
        ) -> c_int;
        /// Formats records into a file: the type of `dtrace_fprintf` and its relatives.
        pub type dtrace_printer = unsafe extern "C" fn(
            dtp: *mut dtrace_hdl_t,
            fp: *mut FILE,
            fmtdata: *mut c_void,
            data: *const dtrace_probedata_t,
            recs: *const dtrace_recdesc_t,
            nrecs: c_uint,
            buf: *const c_void,
            len: usize,
        ) -> c_int;
    };
}
pub(crate) use declarations_over_platform_types;

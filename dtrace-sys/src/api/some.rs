//! Functions that are missing on a platform or in a version, and their types.

/// Calls `api` of the parent with the given list, followed by the list here.
macro_rules! with_functions_of_some {
    ($($functions_of_every_library:tt)*) => {
        api! {
            $($functions_of_every_library)*

            some libraries {
                /// libctf, which comes with Linux's libdtrace: writes the name of a type; NULL on failure.
                fn ctf_type_name(
                    ctfp: *mut ctf_file_t,
                    id: ctf_id_t,
                    buf: *mut c_char,
                    len: usize
                ) -> *mut c_char;
                /// libctf: resolves typedefs and qualifiers; -1 on failure.
                fn ctf_type_resolve(ctfp: *mut ctf_file_t, id: ctf_id_t) -> ctf_id_t;
                /// libctf: returns the type's kind, a `CTF_K_`; -1 on failure.
                fn ctf_type_kind(ctfp: *mut ctf_file_t, id: ctf_id_t) -> c_int;
                /// libctf: returns the type's size in bytes; -1 on failure, such as for a type that is only
                /// declared.
                fn ctf_type_size(ctfp: *mut ctf_file_t, id: ctf_id_t) -> isize;
                /// libctf: returns the layout of an integer or floating type, or a bit field; -1 on failure.
                fn ctf_type_encoding(
                    ctfp: *mut ctf_file_t,
                    id: ctf_id_t,
                    encoding: *mut ctf_encoding_t
                ) -> c_int;
                /// libctf: calls a function for each member of a structure or union, in order of declaration,
                /// until it returns anything but 0; -1 on failure.
                fn ctf_member_iter(
                    ctfp: *mut ctf_file_t,
                    id: ctf_id_t,
                    func: Option<ctf_member_f>,
                    arg: *mut c_void
                ) -> c_int;
                /// libctf: calls a function for each constant of an enumeration, until it returns anything
                /// but 0; -1 on failure.
                fn ctf_enum_iter(
                    ctfp: *mut ctf_file_t,
                    id: ctf_id_t,
                    func: Option<ctf_enum_f>,
                    arg: *mut c_void
                ) -> c_int;
                /// Linux: must be called between setting options and compiling.
                fn dtrace_init(dtp: *mut dtrace_hdl_t) -> c_int;
                /// Linux: sets options from environment variables with this prefix.
                fn dtrace_setoptenv(dtp: *mut dtrace_hdl_t, prefix: *const c_char);
                /// Linux: sets the real-time signal (counted from `SIGRTMIN`) that the library uses. Call it
                /// before the first `dtrace_open`; -1 on failure.
                fn dtrace_set_internal_signal(sig: c_uint) -> c_int;
                /// Linux: sets the signal on which debugging messages are written.
                fn dtrace_debug_set_dump_sig(signal: c_int);
                /// Linux: grabs a running process; NULL on failure.
                fn dtrace_proc_grab_pid(
                    dtp: *mut dtrace_hdl_t,
                    pid: pid_t,
                    flags: c_int
                ) -> *mut dtrace_proc_handle_t;
                /// Linux: returns the process's pid.
                fn dtrace_proc_getpid(dtp: *mut dtrace_hdl_t, proc_: *mut dtrace_proc_handle_t) -> pid_t;
                /// Linux after 2.0.7: decodes an aggregation's keys.
                fn dtrace_aggregate_keys(
                    agg: *const dtrace_aggdata_t,
                    keys: *mut dtrace_aggkey_t,
                    nkeys: usize
                ) -> c_int;
                /// Linux after 2.0.7: frees the keys of `dtrace_aggregate_keys`.
                fn dtrace_aggregate_key_free(key: *mut dtrace_aggkey_t);
                /// Linux after 2.0.7: decodes an aggregation's value.
                fn dtrace_aggregate_value(
                    agg: *const dtrace_aggdata_t,
                    value: *mut dtrace_aggvalue_t
                ) -> c_int;
                /// Not macOS: links a program into an object file.
                fn dtrace_program_link(
                    dtp: *mut dtrace_hdl_t,
                    pgp: *mut dtrace_prog_t,
                    dflags: c_uint,
                    file: *const c_char,
                    objc: c_int,
                    objv: *const *mut c_char
                ) -> c_int;
                /// Not Linux: grabs a running process; NULL on failure.
                fn dtrace_proc_grab(
                    dtp: *mut dtrace_hdl_t,
                    pid: pid_t,
                    flags: c_int
                ) -> *mut dtrace_proc_handle_t;
                /// Not Linux: waits until there may be something to do, and calls the handler of processes.
                fn dtrace_sleep(dtp: *mut dtrace_hdl_t);
                /// macOS: ends a `dtrace_sleep`.
                fn dtrace_signal(dtp: *mut dtrace_hdl_t) -> c_int;
                /// illumos, where exported: prepares options.
                fn dtrace_setopts(dtp: *mut dtrace_hdl_t) -> c_int;
                /// Returns a subroutine's name; missing from Linux's 2.0.7.
                fn dtrace_subrstr(dtp: *mut dtrace_hdl_t, subr: c_int) -> *const c_char;
                /// Returns the modules that a provider may name; missing from Linux's 2.0.7.
                fn dtrace_provider_modules(
                    dtp: *mut dtrace_hdl_t,
                    mods: *mut *const c_char,
                    nmods: c_int
                ) -> c_int;
                /// Calls a function for each entry in the order of the options, where exported.
                fn dtrace_aggregate_walk_sorted(
                    dtp: *mut dtrace_hdl_t,
                    func: Option<dtrace_aggregate_f>,
                    arg: *mut c_void
                ) -> c_int;
                /// FreeBSD since 2024: prepares structured output.
                fn dtrace_oformat_configure(dtp: *mut dtrace_hdl_t) -> c_int;
                /// FreeBSD since 2024: returns whether output is structured. If it exists,
                /// `dtrace_probedata_t` has a time.
                fn dtrace_oformat(dtp: *mut dtrace_hdl_t) -> c_int;
                /// FreeBSD since 2024: sets where the values of `print()` go, in all sessions of the process. At first
                /// that is standard output, wherever the text around them goes.
                fn dtrace_set_outfp(ofp: *const FILE);
            }
        }
    };
}
pub(super) use with_functions_of_some;

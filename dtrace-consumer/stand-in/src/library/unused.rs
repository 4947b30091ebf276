//! Which functions does every libdtrace have that the worker never calls? A call aborts the process.

macro_rules! unused {
    ($($name:ident)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name() {
            eprintln!("the stand-in has no {}", stringify!($name));
            std::process::abort();
        }
    )*};
}

unused! {
    dtrace_vopen dtrace_ctlfd dtrace_stmt_create dtrace_stmt_add
    dtrace_stmt_destroy dtrace_dof_create dtrace_dof_destroy dtrace_getopt_dof dtrace_geterr_dof
    dtrace_consume dtrace_status dtrace_handle_buffered dtrace_aggregate_clear
    dtrace_aggregate_walk_joined dtrace_symbol_type dtrace_type_strcompile dtrace_type_fcompile
    dtrace_object_info dtrace_object_iter dtrace_proc_release dtrace_printf_create
    dtrace_printa_create dtrace_xstr2desc dtrace_id2desc dtrace_desc2str dtrace_attr2str
    dtrace_str2attr dtrace_stability_name dtrace_class_name dtrace_update dtrace_fprinta
}

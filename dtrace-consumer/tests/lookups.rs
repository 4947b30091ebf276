//! What does the crate say of the kernel's probes, symbols and types?

use dtrace_consumer::query::{SymbolQuery, TypeKind, TypeQuery};
use dtrace_test_support::live_tests;

live_tests! {
    needs: [Tracing],
    tests: [
        types_of_d_libraries_are_found,
        names_that_no_type_can_have_are_not_found,
    ],
    // They ask for what is in every Linux kernel.
    #[cfg(target_os = "linux")]
    needs: [Tracing],
    tests: [
        types_of_the_kernel_have_kinds_sizes_and_members,
        members_of_unnamed_members_stand_in_their_place,
        bit_fields_tell_their_bits,
        symbols_are_found_by_name_and_by_an_address_inside_them,
    ],
    #[cfg(target_os = "freebsd")]
    needs: [Tracing],
    tests: [types_and_symbols_of_the_freebsd_kernel_are_found],
}

#[cfg(target_os = "linux")]
fn types_of_the_kernel_have_kinds_sizes_and_members() {
    let names = ["struct list_head", "pid_t", "struct task_struct *", "enum pid_type", "nothing_t"];
    let query = names.iter().fold(TypeQuery::new(), |query, name| query.name(*name));
    let found = query.look_up().expect("libdtrace answers");
    let [Some(list), Some(pid), Some(pointer), Some(which), None] = &found[..] else {
        panic!("{found:#?}");
    };

    assert_eq!((list.kind, list.size), (TypeKind::Struct, Some(16)));
    assert_eq!(list.module, "vmlinux");
    let members: Vec<_> = list
        .members
        .iter()
        .map(|m| (m.name.as_str(), m.type_name.as_str(), m.kind, m.offset, m.width))
        .collect();
    let of_both = "struct list_head *";
    let kind = TypeKind::Pointer;
    assert_eq!(members, [("next", of_both, kind, 0, 64), ("prev", of_both, kind, 64, 64)]);

    assert_eq!(pid.name, "pid_t");
    assert_eq!((pid.kind, pid.size), (TypeKind::Integer { signed: true }, Some(4)));
    assert_eq!((pointer.kind, pointer.size), (TypeKind::Pointer, Some(8)));
    assert!(which.enumerators.iter().any(|e| e.name == "PIDTYPE_PID" && e.value == 0), "{which:?}");
}

#[cfg(target_os = "linux")]
fn members_of_unnamed_members_stand_in_their_place() {
    // Its first member is a union without a name on every kernel with BTF.
    let found = TypeQuery::new().name("struct page").look_up().expect("libdtrace answers");
    let page = found[0].as_ref().expect("every kernel has it");
    let mapping = page.member("mapping").expect("a member of a structure in the union");
    assert!(mapping.offset >= 64, "behind the flags: {mapping:?}");
    assert!(page.members.iter().all(|member| !member.name.is_empty()), "{page:#?}");
}

#[cfg(target_os = "linux")]
fn bit_fields_tell_their_bits() {
    let found = TypeQuery::new().name("struct iphdr").look_up().expect("libdtrace answers");
    let header = found[0].as_ref().expect("every kernel has it");
    let part = |name| header.member(name).map(|m| (m.offset, m.width));
    assert_eq!(part("ihl"), Some((0, 4)));
    assert_eq!(part("version"), Some((4, 4)));
    assert_eq!(part("tos"), Some((8, 8)));
}

fn types_of_d_libraries_are_found() {
    let query = TypeQuery::new().name("psinfo_t").name("tcpinfo_t");
    let found = query.look_up().expect("libdtrace answers");
    let [Some(process), Some(tcp)] = &found[..] else { panic!("{found:#?}") };
    assert!(process.member("pr_psargs").is_some(), "{process:#?}");
    let sequence = tcp.member("tcp_seq").expect("translated from the header");
    assert_eq!((sequence.kind, sequence.width), (TypeKind::Integer { signed: false }, 32));
}

#[cfg(target_os = "linux")]
fn symbols_are_found_by_name_and_by_an_address_inside_them() {
    let found = SymbolQuery::new().name("vfs_read").name("no_such_symbol").look_up();
    let found = found.expect("libdtrace answers");
    let [Some(read), None] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((read.name.as_str(), read.module.as_str()), ("vfs_read", "vmlinux"));
    let inside = SymbolQuery::new().address(read.address + 1).look_up().expect("libdtrace answers");
    assert_eq!(inside[0].as_ref().map(|s| s.name.as_str()), Some("vfs_read"));
}

fn names_that_no_type_can_have_are_not_found() {
    let long = "struct ".to_owned() + &"x".repeat(10_000);
    let names =
        ["", "struct ", "`", "no_module`pid_t", "struct no_module`x", "\0", "*", "union *", &long];
    let query = names.iter().fold(TypeQuery::new(), |query, name| query.name(*name));
    let found = query.look_up().expect("libdtrace answers");
    assert_eq!(found.len(), names.len());
    assert!(found.iter().all(Option::is_none), "{found:?}");
}

#[cfg(target_os = "freebsd")]
fn types_and_symbols_of_the_freebsd_kernel_are_found() {
    let names = ["struct timeval", "struct thread *", "no_such_type"];
    let query = names.iter().fold(TypeQuery::new(), |query, name| query.name(*name));
    let found = query.look_up().expect("libdtrace answers");
    let [Some(time), Some(thread), None] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((time.kind, time.size), (TypeKind::Struct, Some(16)));
    let microseconds = time.member("tv_usec").expect("a member");
    assert_eq!((microseconds.offset, microseconds.width), (64, 64));
    assert_eq!((thread.kind, thread.size), (TypeKind::Pointer, Some(8)));

    let found = SymbolQuery::new().name("tcp_do_segment").name("no_such_symbol").look_up();
    let found = found.expect("libdtrace answers");
    let [Some(symbol), None] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((symbol.name.as_str(), symbol.module.as_str()), ("tcp_do_segment", "kernel"));
    let inside =
        SymbolQuery::new().address(symbol.address + 1).look_up().expect("libdtrace answers");
    assert_eq!(inside[0].as_ref().map(|s| s.name.as_str()), Some("tcp_do_segment"));
}

//! Probes that a program registers itself, as the crate `usdt` does it on FreeBSD.
//!
//! That crate's macros follow the system that compiles them, so that programs which were compiled elsewhere register nothing.

use std::collections::BTreeMap;
use std::ffi::{CString, c_char};
use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;

use dof::dof_bindings::dof_helper;
use dof::{Probe, Provider, Section};

/// Registers the probe `sale` of a provider. Its arguments are a number and a string.
///
/// # Panics
/// If this process may not.
pub(crate) fn register(provider: &str) {
    let probe = Probe {
        name: "sale".to_owned(),
        function: "sale".to_owned(),
        address: sale as *const () as u64,
        offsets: vec![0],
        enabled_offsets: Vec::new(),
        arguments: vec!["int".to_owned(), "char *".to_owned()],
    };
    let probes = BTreeMap::from([(probe.name.clone(), probe)]);
    let provider = Provider { name: provider.to_owned(), probes };
    let providers = BTreeMap::from([(provider.name.clone(), provider)]);
    let section = Section { providers, ..Section::default() }.as_bytes();
    let mut request = dof_helper {
        dofhp_dof: section.as_ptr() as u64,
        dofhp_pid: std::process::id().cast_signed(),
        ..dof_helper::default()
    };
    let helper = File::options().read(true).write(true).open("/dev/dtrace/helper");
    let helper = helper.expect("it may register probes");
    // SAFETY: the structure is that of the request, and what it points to has the length that it says itself.
    let added = unsafe { libc::ioctl(helper.as_raw_fd(), ADD, &raw mut request) };
    assert_eq!(added, 0, "{}", std::io::Error::last_os_error());
}

/// `DTRACEHIOC_ADDDOF`: `_IOWR('z', 3, dof_helper_t)`.
const ADD: libc::c_ulong = 0xc058_7a03;

/// Fires the probe.
pub(crate) fn sell(number: i32) {
    let item = CString::new(format!("item {number}")).expect("no null byte");
    sale(number, item.as_ptr());
}

/// Its first instruction is the probe, so the arguments are where the kernel looks for them.
#[inline(never)]
extern "C" fn sale(number: i32, item: *const c_char) {
    black_box((number, item));
}

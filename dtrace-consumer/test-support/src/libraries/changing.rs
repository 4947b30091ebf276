//! How does a traced program change the dynamic linker's list of libraries while libdtrace reads it?

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::time::Duration;

/// The public part of an element of the list, `struct link_map`. What follows it is private to the dynamic linker.
#[repr(C)]
struct Library {
    address: usize,
    name: *const libc::c_char,
    dynamic: usize,
    next: AtomicPtr<Library>,
    previous: *mut Library,
    private: [u8; 4096],
}

/// How many elements are added to the list: at least one more than the first number, at most the second.
const MORE: [usize; 2] = [1000, 2000];

/// How long it stays as it is: about as long as libdtrace needs to read it.
const UNCHANGED: Duration = Duration::from_millis(15);

/// Calls `meanwhile` while the list of this process's libraries grows and shrinks all the time. Nothing may load or
/// unload a library meanwhile.
///
/// # Panics
/// If the dynamic linker does not give the list.
pub(crate) fn with_changing_list(meanwhile: impl FnOnce()) {
    let more: Vec<Library> = (0..MORE[1]).map(|_| Library::default()).collect();
    let address_of = |element: usize| ptr::from_ref(&more[element]).cast_mut();
    for (element, next) in more.iter().zip(1..MORE[1]) {
        element.next.store(address_of(next), Ordering::Relaxed);
    }
    let last = last_library();
    last.store(address_of(0), Ordering::Release);
    let changing = &more[MORE[0]].next;
    let other = AtomicPtr::default();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::thread::sleep(UNCHANGED);
                other.store(
                    changing.swap(other.load(Ordering::Relaxed), Ordering::Relaxed),
                    Ordering::Relaxed,
                );
            }
        });
        let _set = SetLater(&done);
        meanwhile();
    });
    last.store(ptr::null_mut(), Ordering::Release);
}

/// Returns where the last library of this process's list leads.
fn last_library() -> &'static AtomicPtr<Library> {
    let mut library: *mut Library = ptr::null_mut();
    // SAFETY: a handle that dlopen(3) returns is that of this program; the request writes one pointer. The elements
    // of the list are those of loaded libraries, none of which is unloaded.
    unsafe {
        let program = libc::dlopen(ptr::null(), libc::RTLD_NOW);
        let asked = libc::dlinfo(program, libc::RTLD_DI_LINKMAP, (&raw mut library).cast());
        assert_eq!(asked, 0, "the list of libraries");
        loop {
            let next = (*library).next.load(Ordering::Relaxed);
            if next.is_null() {
                return &(*library).next;
            }
            library = next;
        }
    }
}

/// Sets it when dropped.
struct SetLater<'a>(&'a AtomicBool);

impl Drop for SetLater<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Default for Library {
    fn default() -> Library {
        Library {
            address: 0,
            name: ptr::null(),
            dynamic: 0,
            next: AtomicPtr::default(),
            previous: ptr::null_mut(),
            private: [0; 4096],
        }
    }
}

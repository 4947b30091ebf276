//! What happens to directories, without a mirror.

use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

struct Directory(PathBuf);

impl Directory {
    fn new() -> Directory {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("install-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary directory");
        Directory(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest() -> Manifest {
    Manifest {
        version: "2.0.7".into(),
        architecture: "amd64".into(),
        suite: "Debian forky".into(),
        installed: SystemTime::UNIX_EPOCH,
        directory: "usr/lib/some-triplet".into(),
        packages: Vec::new(),
    }
}

#[test]
fn a_directory_of_something_else_is_neither_replaced_nor_removed() {
    let directory = Directory::new();
    let file = directory.0.join("precious");
    fs::write(&file, "data").expect("a file");
    let installed = Installer::new(&directory.0).install(&mut |_| {});
    assert!(matches!(installed, Err(InstallError::NotOurs { .. })), "{installed:?}");
    let removed = uninstall(&directory.0);
    assert!(matches!(removed, Err(InstallError::NotInstalled { .. })), "{removed:?}");
    assert!(file.exists());
}

#[test]
fn a_prefix_that_lost_its_library_is_damaged_and_can_be_removed() {
    let directory = Directory::new();
    let prefix = directory.0.join("prefix");
    fs::create_dir(&prefix).expect("a directory");
    fs::write(prefix.join(MANIFEST_NAME), manifest().to_text()).expect("a manifest");
    let damaged = status(&prefix);
    assert!(matches!(damaged, Err(InstallError::Damaged { .. })), "{damaged:?}");
    uninstall(&prefix).expect("it carries the manifest");
    let left = fs::read_dir(&directory.0).expect("the parent").count();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn the_first_of_two_installations_at_once_stays() {
    let directory = Directory::new();
    let prefix = directory.0.join("prefix");
    let installer = Installer::new(&prefix);
    // A finished tree takes the place of an outdated prefix, and only of that.
    fs::create_dir(&prefix).expect("a directory");
    fs::write(prefix.join(MANIFEST_NAME), "format 0\n").expect("an outdated manifest");
    let tree = directory.0.join("tree");
    fs::create_dir(&tree).expect("a directory");
    fs::write(tree.join(MANIFEST_NAME), manifest().to_text()).expect("a manifest");
    let done = installer.publish(&tree, &prefix, manifest(), &mut |_| {}).expect("published");
    assert!(done.fresh);
    assert_eq!(read_manifest(&prefix).expect("a manifest"), manifest());

    fs::remove_file(prefix.join(MANIFEST_NAME)).expect("removed");
    fs::write(prefix.join("precious"), "data").expect("a file");
    fs::create_dir(&tree).expect("a directory");
    let refused = installer.publish(&tree, &prefix, manifest(), &mut |_| {});
    assert!(matches!(refused, Err(InstallError::NotOurs { .. })), "{refused:?}");
    assert!(prefix.join("precious").exists());
}

#[test]
fn what_a_killed_installation_left_is_swept_and_a_running_one_is_not() {
    let directory = Directory::new();
    let prefix = directory.0.join("prefix");
    let [old, new] = ["old", "new"].map(|it| directory.0.join(format!(".prefix.installing-{it}")));
    for path in [&old, &new] {
        fs::create_dir(path).expect("a directory");
    }
    let file = fs::File::open(&old).expect("open");
    file.set_modified(SystemTime::now() - 2 * ABANDONED).expect("a time");
    let work = Workplace::beside(&prefix).expect("a workplace");
    assert!(work.path.exists() && new.exists() && !old.exists());
    let path = work.path.clone();
    drop(work);
    assert!(!path.exists());
}

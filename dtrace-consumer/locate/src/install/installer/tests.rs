//! How does an installation treat directories that exist? These tests need no mirror.

use super::*;

fn manifest() -> Manifest {
    Manifest {
        version: "2.0.7".into(),
        architecture: "amd64".into(),
        suite: "Debian forky".into(),
        directory: "usr/lib/some-triplet".into(),
        parents: Vec::new(),
        packages: Vec::new(),
    }
}

#[test]
fn a_directory_of_something_else_is_not_replaced() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("precious");
    fs::write(&file, "data").expect("a file");
    let installed = Installer::new(directory.path()).install(&mut |_| {});
    assert!(matches!(installed, Err(InstallError::NotOurs { .. })), "{installed:?}");
    assert!(file.exists());
}

#[test]
fn nothing_is_installed_where_libdtrace_would_not_work() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    for (name, expected) in [("a blank", ' '), ("a:colon", ':')] {
        let prefix = directory.path().join(name).join("libdtrace");
        let error = Installer::new(&prefix).install(&mut |_| {}).expect_err("refused");
        let InstallError::UnusablePath { problem, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*problem, crate::path::PathProblem::Character(expected));
        assert!(error.to_string().contains("choose another prefix"), "{error}");
        assert!(!directory.path().join(name).exists());
    }
}

#[test]
fn the_first_of_two_installations_at_once_stays() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let prefix = directory.path().join("prefix");
    let installer = Installer::new(&prefix);
    // A finished tree takes the place of an outdated prefix, and only of that.
    fs::create_dir(&prefix).expect("a directory");
    fs::write(prefix.join(MANIFEST_NAME), "format 0\n").expect("an outdated manifest");
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
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
fn a_new_prefix_remembers_the_directories_that_were_created_for_the_old_one() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (prefix, tree) = (directory.path().join("prefix"), directory.path().join("tree"));
    let outdated = Manifest { parents: vec!["/created/before".into()], ..manifest() };
    for path in [&prefix, &tree] {
        fs::create_dir(path).expect("a directory");
    }
    fs::write(prefix.join(MANIFEST_NAME), outdated.to_text()).expect("a manifest");
    let installer = Installer::new(&prefix);
    installer.publish(&tree, &prefix, manifest(), &mut |_| {}).expect("published");
    assert_eq!(read_manifest(&prefix).expect("a manifest"), outdated);
}

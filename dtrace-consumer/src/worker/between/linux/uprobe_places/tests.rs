use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::*;

/// Two copies of the shell, in a directory that is removed at the end.
struct Shells {
    directory: PathBuf,
    first: PathBuf,
    second: PathBuf,
}

impl Shells {
    fn new(name: &str) -> Shells {
        let name = format!("dtrace-places-{name}-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        let (first, second) = (directory.join("first"), directory.join("second"));
        fs::create_dir(&directory).expect("a new directory");
        for copy in [&first, &second] {
            fs::copy("/bin/sh", copy).expect("there is a shell");
        }
        Shells { directory, first, second }
    }
}

impl Drop for Shells {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A process that runs the first shell, and executes the second one on request. Where that is
/// permitted, both are at the same addresses.
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn start(shells: &Shells) -> Process {
        let script = "echo ready; read it; exec \"$0\" -c 'echo ready; read it'";
        let mut child = Command::new("sh")
            .args([
                "-c",
                "setarch -R true 2> /dev/null && exec setarch -R \"$@\"; exec \"$@\"",
                "sh",
            ])
            .arg(&shells.first)
            .args(["-c", script])
            .arg(&shells.second)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut process = Process { child, said };
        process.wait();
        process
    }

    fn wait(&mut self) {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("text");
        assert_eq!(line, "ready\n");
    }

    fn execute_the_second(&mut self) {
        self.child.stdin.as_mut().expect("a pipe").write_all(b"\n").expect("it reads");
        self.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn inode(file: Option<File>) -> Option<u64> {
    file.map(|file| file.metadata().expect("it is open").ino())
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn a_process_that_executes_another_program_leads_to_no_other_file() {
    let shells = Shells::new("exec");
    let [first, second] =
        [&shells.first, &shells.second].map(|it| fs::metadata(it).expect("a file").ino());
    let mut process = Process::start(&shells);
    let pid = i32::try_from(process.child.id()).expect("a pid");
    let mappings = Mappings::read(pid, &shells.first).expect("it exists");
    // The whole text segment of a shell is farther than a page from its start.
    let place = (0..256).find_map(|page| mappings.at_distance(page * 4096)).expect("it has code");
    let given = Given { pid, path: &shells.first, offset: 0, has_semaphore: false };
    assert_eq!(inode(given.file_of(&place)), Some(first));

    process.execute_the_second();
    // The addresses that were read belong to another file now, or to none.
    assert_eq!(inode(given.file_of(&place)), Some(first));
    fs::rename(&shells.second, &shells.first).expect("own");
    assert_eq!(inode(given.file_of(&place)), None, "the path leads to {second}");
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn a_replaced_program_is_still_found() {
    let shells = Shells::new("replaced");
    let first = fs::metadata(&shells.first).expect("a file").ino();
    let process = Process::start(&shells);
    let pid = i32::try_from(process.child.id()).expect("a pid");
    let mappings = Mappings::read(pid, &shells.first).expect("it exists");
    let place = (0..256).find_map(|page| mappings.at_distance(page * 4096)).expect("it has code");
    fs::rename(&shells.second, &shells.first).expect("own");
    let given = Given { pid, path: &shells.first, offset: 0, has_semaphore: false };
    let found = inode(given.file_of(&place));
    // Only who may follow the link finds it. Nobody finds the new file.
    let may_follow = fs::metadata(&place.link).is_ok();
    assert_eq!(found, may_follow.then_some(first));
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn a_place_of_which_nothing_is_known_is_passed_on_only_to_the_same_user() {
    const UPROBE: u32 = 9;
    let attributes = Attributes {
        kind: UPROBE,
        length: 144,
        config: 0,
        others: [0; 5],
        path: c"/bin/sh".as_ptr(),
        offset: 0x1000,
        more: [0; 9],
    };
    let own = i32::try_from(std::process::id()).expect("a pid");
    for pid in [-1, own, i32::MAX] {
        for only_known in [true, false] {
            let rules = Rules { uprobe: UPROBE, only_known };
            // SAFETY: the attributes are complete, and their path is a C string.
            let corrected = unsafe { corrected(&raw const attributes, pid, rules) };
            let refused = matches!(corrected, Some(Corrected::Refused));
            assert_eq!((refused, corrected.is_none()), (only_known, !only_known), "{pid}");
        }
    }
    // Other calls are none of this module's business.
    let rules = Rules { uprobe: UPROBE + 1, only_known: true };
    // SAFETY: as above.
    assert!(unsafe { corrected(&raw const attributes, -1, rules) }.is_none());
}

/// Attributes that are not those of a uprobe, or not of its version, are read no further than every version reaches.
#[test]
#[cfg_attr(miri, ignore = "the pointer is that of a longer structure")]
fn shorter_attributes_are_not_read_beyond_their_length() {
    const UPROBE: u32 = 9;
    let rules = Rules { uprobe: UPROBE, only_known: true };
    for (kind, length) in [(UPROBE, 8), (UPROBE, 64), (UPROBE, 143), (UPROBE, 145), (1, 144)] {
        // Both numbers in one word, for the alignment.
        let mut beginning = Box::new([0u64; 1]);
        let words = beginning.as_mut_ptr().cast::<u32>();
        // SAFETY: a word has room for two halves.
        unsafe {
            words.write(kind);
            words.add(1).write(length);
        }
        let given = (&raw const *beginning).cast::<Attributes>();
        // SAFETY: so much of the attributes is there as is read.
        assert!(unsafe { corrected(given, -1, rules) }.is_none(), "{kind} {length}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "files, and processes")]
fn attributes_and_path_are_read_to_their_ends() {
    const UPROBE: u32 = 9;
    let path = CString::new("/no/such/file").expect("no NUL").into_boxed_c_str();
    let attributes = Box::new(Attributes {
        kind: UPROBE,
        length: 144,
        config: 0,
        others: [0; 5],
        path: path.as_ptr(),
        offset: 0x1000,
        more: [0; 9],
    });
    let rules = Rules { uprobe: UPROBE, only_known: true };
    let own = i32::try_from(std::process::id()).expect("a pid");
    // SAFETY: the attributes are complete, and their path is a C string.
    let found = unsafe { corrected(&raw const *attributes, own, rules) };
    assert!(matches!(found, Some(Corrected::Refused)));
}

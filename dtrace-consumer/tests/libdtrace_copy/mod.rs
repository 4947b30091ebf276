//! How does a test get a libdtrace that lacks the calls of the functions which fire `BEGIN` and `END`?

use std::fs;
use std::path::{Path, PathBuf};

use dtrace_consumer::locate::locate;
use dtrace_test_support::Missing;
use dtrace_test_support::prefix::Prefix;
use elf::ElfBytes;
use elf::endian::NativeEndian;

/// A call that link-time optimisation removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Begin,
    End,
}

impl Call {
    fn function(self) -> &'static str {
        match self {
            Call::Begin => "BEGIN_probe",
            Call::End => "END_probe",
        }
    }
}

/// `endbr64`, `push %rbp`, `mov %rsp,%rbp`, `pop %rbp`, `ret`: an empty function of a compiler that keeps frame pointers.
pub(crate) const FRAMED: &[u8] = b"\xf3\x0f\x1e\xfa\x55\x48\x89\xe5\x5d\xc3";

/// `endbr64`, `mov $1,%eax`, `ret`: a function that is not empty.
pub(crate) const RETURNS_ONE: &[u8] = b"\xf3\x0f\x1e\xfa\xb8\x01\x00\x00\x00\xc3";

/// The space that the linker leaves for a function.
const SPACE: u64 = 16;

/// A prefix with a changed copy of the libdtrace that is used here.
pub(crate) struct Copy {
    prefix: Prefix,
    library: PathBuf,
    bytes: Vec<u8>,
}

impl Copy {
    /// Copies libdtrace, and replaces these calls by instructions that do nothing.
    pub(crate) fn without(name: &str, calls: &[Call]) -> Copy {
        let prefix = Prefix::new(&format!("begin-and-end-{name}"));
        let library = library_of(prefix.path());
        let bytes = fs::read(&library).expect("libdtrace can be read");
        let mut copy = Copy { prefix, library, bytes };
        for call in calls {
            copy.remove(*call);
        }
        copy.write();
        copy
    }

    pub(crate) fn prefix(&self) -> &Path {
        self.prefix.path()
    }

    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// Replaces the code of the function.
    pub(crate) fn replace(&mut self, call: Call, code: &[u8]) {
        let at = usize::try_from(place(&self.bytes, call).expect("the function has a name"));
        let at = at.expect("an offset");
        self.bytes[at..at + code.len()].copy_from_slice(code);
        self.write();
    }

    /// Gives the BPF map in which the programs keep the state of tracing another name.
    #[allow(dead_code, reason = "not every test that includes this file needs it")]
    pub(crate) fn rename_state(&mut self) {
        // The name is the end of a message.
        rename(&mut self.bytes, b"No anonymous tracing state\0");
        self.write();
        let object = self.library.with_file_name("dtrace").join("bpf_dlib.o");
        let mut bytes = fs::read(&object).expect("libdtrace's own functions in BPF");
        rename(&mut bytes, b"\0state\0");
        fs::remove_file(&object).and_then(|()| fs::write(&object, bytes)).expect("a link");
    }

    fn remove(&mut self, call: Call) {
        /// The opcode of a call, whose operand is the distance of the function.
        const NEAR_CALL: u8 = 0xe8;
        let function = place(&self.bytes, call).expect("the function has a name");
        let is_call = |at: &usize| {
            let Some([NEAR_CALL, distance @ ..]) = self.bytes[*at..].first_chunk::<5>() else {
                return false;
            };
            let next = i64::try_from(at + 5).expect("a file is not that long");
            next + i64::from(i32::from_le_bytes(*distance)) == i64::try_from(function).expect("so")
        };
        let places: Vec<usize> = (0..self.bytes.len()).filter(is_call).collect();
        // One for a session on all CPUs, one for a session on one CPU.
        assert_eq!(places.len(), 2, "the calls of {}", call.function());
        for place in places {
            self.bytes[place..place + 5].fill(0x90);
        }
    }

    fn write(&self) {
        // It is a link to the file that is used elsewhere.
        fs::remove_file(&self.library).expect("a link, or a copy");
        fs::write(&self.library, &self.bytes).expect("a file can be written");
    }
}

/// Changes the last letter of a text that occurs once.
fn rename(bytes: &mut [u8], text: &[u8]) {
    let places = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text)).collect::<Vec<_>>();
    let [place] = places[..] else { panic!("{}: {places:?}", String::from_utf8_lossy(text)) };
    bytes[place + text.len() - 2] = b'x';
}

fn library_of(prefix: &Path) -> PathBuf {
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    prefix.join("usr/lib").join(triplet).join("libdtrace.so.2")
}

/// Returns where a function is in libdtrace. The linker has placed code at equal offsets in file and memory.
fn place(library: &[u8], call: Call) -> Option<u64> {
    let elf = ElfBytes::<NativeEndian>::minimal_parse(library).ok()?;
    let (symbols, names) = elf.symbol_table().ok()??;
    let mut symbols = symbols.iter().filter(|symbol| {
        names.get(symbol.st_name as usize).is_ok_and(|name| name == call.function())
    });
    symbols.next().map(|symbol| symbol.st_value).filter(|place| place % SPACE == 0)
}

/// Whether the tests can change the libdtrace that is used here.
pub(crate) fn can_be_changed() -> Result<(), Missing> {
    if cfg!(not(target_arch = "x86_64")) {
        return Err(Missing::new("the test changes code of x86-64 only"));
    }
    let library = locate(None).map_err(|error| Missing::new(error.to_string()))?.library;
    let bytes = fs::read(&library).map_err(|error| Missing::new(error.to_string()))?;
    let known = [Call::Begin, Call::End].iter().all(|call| place(&bytes, *call).is_some());
    if known {
        Ok(())
    } else {
        Err(Missing::new("libdtrace lacks the symbols of BEGIN_probe and END_probe"))
    }
}

//! Files without a name: no other user can open them, and they are gone when they are closed.

use std::fs::File;
use std::io;

/// Makes one.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file() -> io::Result<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    Ok(memfd_create(c"dtrace-consumer", MFdFlags::MFD_CLOEXEC).map(File::from)?)
}

/// Makes one. It has a name for a moment, under which only this user can open it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file() -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    const ATTEMPTS: u32 = 100;
    let directory = std::env::temp_dir();
    let mut attempt = 0;
    loop {
        let path = directory.join(format!("dtrace-consumer-{}-{attempt}", std::process::id()));
        // Whoever had made a file with this name before would read what is written to it.
        match File::options().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return std::fs::remove_file(&path).map(|()| file),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => {
                attempt += 1;
            }
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn what_is_written_can_be_read() {
        let mut files = [(); 2].map(|()| unnamed_file().expect("a file"));
        for (file, text) in files.iter_mut().zip(["one", "two"]) {
            file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("written");
        }
        for (file, text) in files.iter_mut().zip(["one", "two"]) {
            let mut read = String::new();
            file.read_to_string(&mut read).expect("read");
            assert_eq!(read, text);
        }
    }
}

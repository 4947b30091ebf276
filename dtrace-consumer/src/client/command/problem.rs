//! Why can a program not be started, where the system's error leaves it open?

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;

use crate::client::system::{LET_CHILDREN_GO, own_tracer};

/// The longest first line that the kernel reads.
const FIRST_LINE: u64 = 256;

/// Returns the error for a command without a program.
pub(crate) fn none_given() -> io::Error {
    let reason = "no command given (name a program and its arguments)";
    io::Error::new(ErrorKind::InvalidInput, reason)
}

/// Returns the error of a start that is sure to fail because of the program's file, as the system would have it.
pub(in crate::client) fn expected(command: &Command) -> Option<io::Error> {
    let program = command.get_program();
    let file = Path::new(program);
    let number = if program.as_encoded_bytes().contains(&b'/') {
        let file = command.get_current_dir().map_or_else(|| file.to_owned(), |it| it.join(file));
        match fs::metadata(&file) {
            Err(error) => Errno::from_raw(error.raw_os_error()?),
            Ok(metadata) if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 => {
                Errno::EACCES
            }
            Ok(_) if !Path::new(&interpreter(&file)?).exists() => Errno::ENOENT,
            Ok(_) => return None,
        }
    } else {
        // Where the C library looks without PATH, which the command may lack.
        let default = ["/bin", "/usr/bin"].map(PathBuf::from);
        let path = path_of(command);
        let directory = command.get_current_dir().unwrap_or(Path::new("."));
        let mut directories = std::env::split_paths(&path).chain(default);
        if directories.any(|it| directory.join(it).join(file).symlink_metadata().is_ok()) {
            return None;
        }
        Errno::ENOENT
    };
    Some(number.into())
}

/// Returns the PATH that decides which program is started.
fn path_of(command: &Command) -> OsString {
    let own = || std::env::var_os("PATH");
    let set = command.get_envs().find(|(name, _)| *name == "PATH");
    set.map_or_else(own, |(_, value)| value.map(OsString::from)).unwrap_or_default()
}

/// Adds the cause to the system's error, if it is known.
pub(super) fn explained(error: io::Error, command: &Command) -> io::Error {
    // A NUL byte, or a setting that makes no sense: the error names it.
    if error.kind() == ErrorKind::InvalidInput {
        return error;
    }
    if error.kind() == ErrorKind::PermissionDenied
        && let Some(tracer) = own_tracer()
    {
        return io::Error::new(
            error.kind(),
            format!(
                "{error}: {tracer} already traces this program and its children, and a process can have \
                 only one tracer ({LET_CHILDREN_GO})"
            ),
        );
    }
    match problem(command) {
        Some(why) => io::Error::new(error.kind(), format!("{error}: {why}")),
        None => error,
    }
}

/// Returns what is wrong with a program that did not start.
fn problem(command: &Command) -> Option<String> {
    let (program, directory) = (command.get_program(), command.get_current_dir());
    if !program.as_encoded_bytes().contains(&b'/') {
        let path = path_of(command);
        let found = std::env::split_paths(&path).any(|it| it.join(program).is_file());
        return (!found).then(|| "it is in no directory of PATH".to_owned());
    }
    let file = directory.map_or_else(|| PathBuf::from(program), |it| it.join(program));
    let metadata = match fs::metadata(&file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let target = fs::read_link(&file).ok()?;
            return Some(format!(
                "it is a symbolic link to {}, which does not exist",
                target.display()
            ));
        }
        Err(_) => return None,
    };
    if metadata.is_dir() {
        return Some("it is a directory".to_owned());
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Some("the file is not executable (chmod +x)".to_owned());
    }
    let interpreter = interpreter(&file)?;
    (!Path::new(&interpreter).exists()).then(|| {
        format!("its first line names the interpreter {interpreter}, which does not exist")
    })
}

/// Returns the interpreter that the first line of a script names.
fn interpreter(script: &Path) -> Option<String> {
    let mut start = Vec::new();
    fs::File::open(script).ok()?.take(FIRST_LINE).read_to_end(&mut start).ok()?;
    let line = start.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    String::from_utf8_lossy(line).split_ascii_whitespace().next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_cause_is_found_in_the_file() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        fs::write(path("plain"), "data").expect("a file");
        fs::write(path("script"), "#!/no/such/interpreter -x\n").expect("a file");
        fs::set_permissions(path("script"), fs::Permissions::from_mode(0o755)).expect("a mode");
        symlink("/no/such/file", path("link")).expect("a link");
        let of = |program: &str| {
            let mut command = Command::new(program);
            problem(command.current_dir(directory.path())).unwrap_or_default()
        };
        assert!(of("./plain").contains("not executable"));
        assert!(of("./script").contains("interpreter /no/such/interpreter, which"));
        assert!(of("./link").contains("symbolic link to /no/such/file"));
        assert!(of("./").contains("is a directory"));
        assert!(of("no-such-program").contains("PATH"));
        assert_eq!(of("./missing"), "");
        assert_eq!(of("/bin/sh"), "");
    }
    #[test]
    #[cfg_attr(miri, ignore = "files")]
    fn the_path_of_the_command_decides() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join("program-of-a-test"), "").expect("a file");
        let mut command = Command::new("program-of-a-test");
        assert_eq!(expected(&command).and_then(|e| e.raw_os_error()), Some(libc::ENOENT));
        assert!(problem(&command).is_some());
        command.env("PATH", directory.path());
        assert!(expected(&command).is_none() && problem(&command).is_none());
    }

    #[test]
    #[cfg_attr(miri, ignore = "processes")]
    fn what_is_expected_is_what_the_system_says() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = |name: &str, contents: &str, mode| {
            let path = directory.path().join(name);
            fs::write(&path, contents).expect("a file");
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
        };
        file("plain", "data", 0o644);
        file("script", "#!/no/such/interpreter\n", 0o755);
        symlink("/no/such/file", directory.path().join("link")).expect("a link");
        for program in ["./plain", "./script", "./link", "./", "./plain/x", "no-such-program"] {
            let mut command = Command::new(program);
            command.current_dir(directory.path());
            let error = command.spawn().expect_err("it cannot be started");
            let expected = expected(&command).and_then(|e| e.raw_os_error());
            assert_eq!(expected, error.raw_os_error(), "{program}");
        }
        assert!(expected(&Command::new("true")).is_none());
        assert!(expected(&Command::new("/bin/true")).is_none());
    }
}

//! Why can a program not be started, where the system's error leaves it open?

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::client::system::tracer_of;

/// The longest first line that the kernel reads.
const FIRST_LINE: u64 = 256;

/// Returns the error for a command without a program.
pub(crate) fn none_given() -> io::Error {
    let reason = "no command given (name a program and its arguments)";
    io::Error::new(ErrorKind::InvalidInput, reason)
}

/// Adds the cause to the system's error, if it is known. `directory` is where the command is started.
pub(super) fn explained(error: io::Error, program: &str, directory: Option<&Path>) -> io::Error {
    // A NUL byte, or a setting that makes no sense: the error names it.
    if error.kind() == ErrorKind::InvalidInput {
        return error;
    }
    if error.kind() == ErrorKind::PermissionDenied
        && let Some(tracer) = tracer_of(std::process::id())
    {
        let name = fs::read_to_string(format!("/proc/{tracer}/comm")).unwrap_or_default();
        return io::Error::new(
            error.kind(),
            format!(
                "{error}: process {tracer} ({}) already traces this program and its children, \
                 and a process can have only one tracer (detach it, or do not let it \
                 follow children)",
                name.trim()
            ),
        );
    }
    match problem(program, directory) {
        Some(why) => io::Error::new(error.kind(), format!("{error}: {why}")),
        None => error,
    }
}

/// Returns what is wrong with a program that did not start.
fn problem(program: &str, directory: Option<&Path>) -> Option<String> {
    if !program.contains('/') {
        let path = std::env::var_os("PATH").unwrap_or_default();
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
        let of = |program: &str| problem(program, Some(directory.path())).unwrap_or_default();
        assert!(of("./plain").contains("not executable"));
        assert!(of("./script").contains("interpreter /no/such/interpreter, which"));
        assert!(of("./link").contains("symbolic link to /no/such/file"));
        assert!(of("./").contains("is a directory"));
        assert!(of("no-such-program").contains("PATH"));
        assert_eq!(of("./missing"), "");
        assert_eq!(of("/bin/sh"), "");
    }
}

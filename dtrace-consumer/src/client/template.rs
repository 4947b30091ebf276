//! Does this process have a template, of which its next worker can be a copy?
//!
//! The first worker leaves one behind: an idle process with an open libdtrace ([`crate::stream::template`]).
//! Opening libdtrace takes longer than all other steps of most starts. A copy must be what a new worker would be. So
//! the template serves only while what a new worker would inherit from this process, and what libdtrace has read of
//! the system, are the same as when it began.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dtrace_locate::locate::Libdtrace;
use nix::fcntl::FcntlArg;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use parking_lot::Mutex;

use super::descriptors::above_standard;
use super::system::{ProcessHandle, circumstances};
use crate::decode::stop::Ending;
use crate::stream::passing;
use crate::stream::template::{LONGEST, copy, stay};

/// How long a template may take to fork a worker. It may have to read the kernel's types first.
const BIRTH: Duration = Duration::from_secs(10);

/// How often to look whether the session that needs it has been aborted.
const GLANCE: Duration = Duration::from_millis(100);

/// This process's template.
static TEMPLATE: Mutex<Option<Template>> = Mutex::new(None);

/// How often it was to end.
static COOLINGS: AtomicU64 = AtomicU64::new(0);

/// How many templates there have been.
static BEGUN: AtomicU64 = AtomicU64::new(0);

struct Template {
    kind: Kind,
    requests: Arc<OwnedFd>,
    /// How many there were before it.
    number: u64,
}

/// What a worker is. Copies of one serve for another that is equal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kind {
    /// A process that was forked off this one has no template.
    process: u32,
    program: PathBuf,
    library: Libdtrace,
    circumstances: Vec<(&'static str, Vec<u8>)>,
}

impl Kind {
    /// Returns the kind of a worker that starts now.
    pub(super) fn of(program: &Path, library: &Libdtrace) -> Kind {
        Kind {
            process: std::process::id(),
            program: program.to_owned(),
            library: library.clone(),
            circumstances: circumstances(&[program, &library.library]),
        }
    }

    /// Returns the names of what is different.
    fn changes(&self, other: &Kind) -> Vec<&'static str> {
        let both = self.circumstances.iter().zip(&other.circumstances);
        let mut changes: Vec<_> = both.filter(|(a, b)| a != b).map(|(a, _)| a.0).collect();
        let same = self.program == other.program && self.library == other.library;
        changes.extend((!same).then_some("the program or libdtrace"));
        changes
    }
}

/// A worker that a template has forked off.
pub(super) struct Copy {
    process: ProcessHandle,
    life: Life,
}

/// Where the template reports the end of a worker.
pub(super) struct Life(OwnedFd);

impl Copy {
    pub(super) fn into_parts(self) -> (ProcessHandle, Life) {
        (self.process, self.life)
    }
}

impl Life {
    /// Waits for the worker's end.
    pub(super) fn wait(&self) -> io::Result<ExitStatus> {
        let mut status = [0; LONGEST];
        match passing::receive(&self.0, &mut status)?.length {
            LONGEST => Ok(ExitStatus::from_raw(i32::from_ne_bytes(status))),
            _ => Err(io::Error::other("its exit status is unknown")),
        }
    }
}

/// What a copy gets of this process.
pub(super) struct Passed<'f> {
    /// The other end of its channel.
    pub(super) channel: &'f UnixStream,
    pub(super) stderr: Option<BorrowedFd<'f>>,
    /// Whether the session seems to need the kernel's types.
    pub(super) types: bool,
}

/// Asks the template, if it is of this kind, for a worker.
pub(super) fn copied(kind: &Kind, passed: &Passed<'_>, ending: &Ending) -> Option<Copy> {
    let (requests, number) = {
        let mut template = TEMPLATE.lock();
        let current = template.as_ref()?;
        if current.kind != *kind {
            tracing::debug!(
                "{:?} have changed, so libdtrace is opened again",
                current.kind.changes(kind)
            );
            *template = None;
            return None;
        }
        (Arc::clone(&current.requests), current.number)
    };
    match ask(&requests, passed, ending) {
        Ok(copy) => Some(copy),
        // The template may be as good as ever.
        Err(_) if ending.is_aborted() => None,
        Err(error) => {
            tracing::debug!("no copy of an open libdtrace: {error}");
            forget(number);
            None
        }
    }
}

/// Forgets the template with this number, unless another has taken its place.
fn forget(number: u64) {
    let mut template = TEMPLATE.lock();
    if template.as_ref().is_some_and(|it| it.number == number) {
        *template = None;
    }
}

fn ask(requests: &OwnedFd, passed: &Passed<'_>, ending: &Ending) -> io::Result<Copy> {
    let (life, theirs) = passing::pair()?;
    let life = above_standard(life)?;
    let null = File::options().write(true).open("/dev/null")?;
    let (stdout, stderr) = (io::stdout(), passed.stderr.unwrap_or(null.as_fd()));
    // A program may have closed it.
    let is_open = nix::fcntl::fcntl(&stdout, FcntlArg::F_GETFD).is_ok();
    let stdout = if is_open { stdout.as_fd() } else { null.as_fd() };
    let with: [BorrowedFd<'_>; 4] = [passed.channel.as_fd(), theirs.as_fd(), stdout, stderr];
    passing::send(requests, &copy(passed.types), &with)?;
    drop(theirs);
    let asked = Instant::now();
    let mut watched = [PollFd::new(life.as_fd(), PollFlags::POLLIN)];
    let glance = PollTimeout::try_from(GLANCE).unwrap_or(PollTimeout::MAX);
    while !matches!(poll(&mut watched, glance), Ok(1..)) {
        if ending.is_aborted() || asked.elapsed() >= BIRTH {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    let mut id = [0; LONGEST];
    let process =
        passing::receive(&life, &mut id)?.with.pop().ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Copy { process: ProcessHandle::received(process)?, life: Life(life) })
}

/// Returns the socket for the worker that is to leave a template behind. There is to be none if the session is to
/// end already, or if [`cool_down`] was called since there were so many [`coolings`].
pub(super) fn begin(kind: Kind, coolings_before: u64, ending: &Ending) -> Option<OwnedFd> {
    let (requests, theirs) = passing::pair().ok()?;
    let (requests, theirs) = (above_standard(requests).ok()?, above_standard(theirs).ok()?);
    // The kernel notes the sender of a message when it is sent, which may be before the template begins.
    passing::name_senders(&theirs).ok()?;
    let answers = requests.try_clone().ok()?;
    let number = BEGUN.fetch_add(1, Ordering::Relaxed);
    // A template is an orphan as soon as that worker has ended. It may become a child of this process.
    let reap = std::thread::Builder::new().name("dtrace-reaper".to_owned());
    reap.spawn(move || {
        reap_template(answers);
        forget(number);
    })
    .ok()?;
    let mut template = TEMPLATE.lock();
    if coolings() != coolings_before || ending.is_asked() {
        return None;
    }
    *template = Some(Template { kind, requests: Arc::new(requests), number });
    Some(theirs)
}

/// Waits for the end of a template, so that it leaves no zombie where it is a child of this process.
fn reap_template(answers: OwnedFd) {
    let begun = passing::receive(&answers, &mut [0; LONGEST]);
    drop(answers);
    let Some(process) = begun.ok().and_then(|mut begun| begun.with.pop()) else { return };
    if let Ok(process) = ProcessHandle::received(process) {
        process.reap();
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        // It ends when its requests do. A process that was forked off this one has the socket, too, but not the template.
        if self.kind.process == std::process::id() {
            passing::end(&*self.requests);
        }
    }
}

/// How often [`cool_down`] was called.
pub(super) fn coolings() -> u64 {
    COOLINGS.load(Ordering::Relaxed)
}

/// Keeps the template for as long as this process lives, for sessions that need the kernel's types or not; unless
/// [`cool_down`] was called since there were so many [`coolings`].
pub(super) fn keep(types: bool, coolings_before: u64) {
    let requests = TEMPLATE.lock().as_ref().map(|template| Arc::clone(&template.requests));
    if coolings() != coolings_before {
        *TEMPLATE.lock() = None;
    } else if let Some(requests) = requests {
        // If nobody receives it, the next session notices.
        let _ = passing::send(&*requests, &stay(types), &[]);
    }
}

/// Asks the idle process that has libdtrace open for this program's next session to end, if there is one; see
/// [`warm_up`](crate::Session::warm_up). It ends at once, or with the last of the sessions whose workers are copies of
/// it, which go on undisturbed. A worker that is being started meanwhile leaves none behind. The next session opens
/// libdtrace itself.
///
/// Call it to give back the memory, and before this program gives up privileges, enters a sandbox, or expects to have no
/// child processes.
///
/// ```no_run
/// dtrace_consumer::trace("BEGIN { exit(0); }").run()?;
/// dtrace_consumer::cool_down(); // no more sessions for now
/// # Ok::<(), dtrace_consumer::Failure>(())
/// ```
pub fn cool_down() {
    COOLINGS.fetch_add(1, Ordering::Relaxed);
    *TEMPLATE.lock() = None;
}

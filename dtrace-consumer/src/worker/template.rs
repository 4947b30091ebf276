//! Keeps a copy of a worker for the sessions that follow.
//!
//! The copy, the template, has an open libdtrace that belongs to no session. It waits for requests of the same
//! consumer, and forks a worker for each, so that a session starts without opening libdtrace. Each worker still
//! traces only once, and has its own descriptors, mounts and process group. Whatever fails here, the consumer starts
//! a worker of the other kind.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::channel::{first_message, require_own};
use super::opened::Opened;
use super::own_process::{self, Forked};
use super::system::{self, peer_of, watch_process};
use crate::stream::job::Job;
use crate::stream::passing;
use crate::stream::template::{Descriptors, LONGEST, Request, request};

/// How long a template waits for the next session, unless it is asked to stay. It uses as much memory as a worker.
const IDLE: Duration = Duration::from_secs(60);

/// Serves a session with a copy of an open libdtrace.
type Serve = fn(Job, UnixStream, Opened) -> io::Result<()>;

/// Leaves a template behind that serves what is requested through a socket. Returns in the original.
pub(super) fn leave(opened: Opened, requests: OwnedFd, serve: Serve) -> Opened {
    let original = own_process::id();
    match own_process::fork() {
        Ok(Forked::New) => {
            let template = Template { opened, requests: Some(requests), original, serve };
            let status = catch_unwind(AssertUnwindSafe(|| template.serve())).unwrap_or(101);
            own_process::end(status)
        }
        Ok(Forked::Calling(template)) => {
            let announced = watch_process(template).and_then(|process| {
                passing::send(&requests, &template.to_ne_bytes(), &[process.as_fd()])
            });
            // The consumer does not want it any more, and would not wait for it.
            if announced.is_err() {
                own_process::kill_child(template);
            }
        }
        Err(_) => {}
    }
    opened
}

/// An idle worker.
struct Template {
    opened: Opened,
    /// `None` once there will be no more requests.
    requests: Option<OwnedFd>,
    /// The worker that it is a copy of.
    original: i32,
    serve: Serve,
}

/// The process that a template serves.
struct Consumer {
    pid: i32,
    process: OwnedFd,
    /// What it was permitted when the template began.
    privileges: String,
}

impl Consumer {
    fn of(requests: &OwnedFd) -> io::Result<Consumer> {
        let pid = peer_of(requests)?.pid;
        let process = watch_process(pid)?;
        Ok(Consumer { pid, process, privileges: system::privileges_of(pid)? })
    }

    /// Returns whether it may still do everything that it might when the template began. Whoever gives up privileges
    /// must not get them back from here.
    fn is_as_privileged(&self) -> bool {
        system::privileges_of(self.pid).is_ok_and(|now| now == self.privileges)
    }
}

/// A worker that was forked off.
struct Worker {
    pid: i32,
    process: OwnedFd,
    /// Where to report its end.
    life: OwnedFd,
}

impl Template {
    /// Serves requests until the consumer has ended, or wants no more. Returns the process's exit status.
    fn serve(mut self) -> i32 {
        let Some(requests) = &self.requests else { return 1 };
        if system::let_go_of_sockets(requests.as_fd()).is_err() {
            return 1;
        }
        own_process::lead_group();
        let Ok(consumer) = Consumer::of(requests) else { return 1 };
        // If the original has ended, this process has another parent.
        let original = watch_process(self.original).ok();
        let mut original = original.filter(|_| own_process::parent() == self.original);
        let (mut workers, mut stays) = (Vec::new(), false);
        loop {
            if self.requests.is_none() && workers.is_empty() {
                return 0;
            }
            let is_idle = workers.is_empty() && original.is_none() && !stays;
            let requests = self.requests.iter().map(|it| (Event::Request, it));
            let over = std::iter::once((Event::Over, &consumer.process));
            let sessions = original.iter().chain(workers.iter().map(|it: &Worker| &it.process));
            let watched = sessions.map(|it| (Event::End, it)).chain(requests).chain(over);
            match wait(watched.collect(), is_idle.then_some(IDLE)) {
                Event::Request => match self.receive(&consumer) {
                    Some(Request::Stay { types }) => {
                        stays = true;
                        self.prepare(types);
                    }
                    Some(Request::Copy { types, descriptors }) => {
                        self.prepare(types);
                        match own_process::fork() {
                            Ok(Forked::Calling(pid)) => {
                                workers.extend(born(pid, descriptors.life).ok());
                            }
                            Ok(Forked::New) => {
                                drop((workers, original, consumer));
                                return self.become_worker(descriptors);
                            }
                            // The consumer notices that nobody has the other end of the descriptors.
                            Err(_) => {}
                        }
                    }
                    None => self.requests = None,
                },
                Event::End => {
                    workers.retain(|worker| !report_end(worker));
                    original = original.filter(|process| !has_ended(process));
                }
                Event::Over => return 0,
            }
        }
    }

    fn prepare(&mut self, types: bool) {
        if types {
            self.opened.read_kernel_types();
        }
    }

    /// Receives a request. Returns `None` if none will be served any more: nobody asks, or somebody who may not.
    fn receive(&self, consumer: &Consumer) -> Option<Request> {
        let mut message = [0; LONGEST];
        let received = passing::receive(self.requests.as_ref()?, &mut message).ok()?;
        let may_ask = received.sender == Some(consumer.pid) && consumer.is_as_privileged();
        request(message.get(..received.length)?, received.with).filter(|_| may_ask)
    }

    /// Serves a session in a process that was forked off the template. Returns its exit status.
    fn become_worker(self, descriptors: Descriptors) -> i32 {
        let Template { opened, requests, serve, .. } = self;
        drop(requests);
        let Descriptors { channel, life, stdout, stderr } = descriptors;
        drop(life);
        own_process::lead_group();
        let served =
            own_process::write_to(stdout, stderr).and_then(|()| opened.separate()).and_then(|()| {
                let channel = UnixStream::from(channel);
                require_own(&channel)?;
                let (job, _) = first_message(&channel)?;
                serve(job, channel, opened)
            });
        own_process::status_of(served)
    }
}

/// Sends the consumer a descriptor of its new worker.
fn born(pid: i32, life: OwnedFd) -> io::Result<Worker> {
    let process = watch_process(pid)?;
    // If the consumer is gone, so is its channel to the worker, which then ends.
    let _ = passing::send(&life, &pid.to_ne_bytes(), &[process.as_fd()]);
    Ok(Worker { pid, process, life })
}

/// Reports the end of a worker to the consumer, if it has ended.
fn report_end(worker: &Worker) -> bool {
    let Some(status) = own_process::status_of_child(worker.pid) else { return false };
    let _ = passing::send(&worker.life, &status.to_ne_bytes(), &[]);
    true
}

#[derive(Clone, Copy)]
enum Event {
    Request,
    /// A session's worker has ended.
    End,
    /// The consumer has ended, or the limit was reached.
    Over,
}

/// Waits for the first of these events.
fn wait(watched: Vec<(Event, &OwnedFd)>, limit: Option<Duration>) -> Event {
    let limit = limit.map_or(PollTimeout::NONE, |it| it.try_into().unwrap_or(PollTimeout::MAX));
    let (events, descriptors): (Vec<_>, Vec<_>) = watched.into_iter().unzip();
    let mut watched: Vec<_> = descriptors.into_iter().map(watch).collect();
    loop {
        match poll(&mut watched, limit) {
            Err(Errno::EINTR) => {}
            Ok(0) | Err(_) => return Event::Over,
            Ok(_) => break,
        }
    }
    let happened = watched.iter().position(|fd| fd.any().unwrap_or(true));
    happened.and_then(|at| events.get(at).copied()).unwrap_or(Event::Over)
}

fn watch(descriptor: &OwnedFd) -> PollFd<'_> {
    PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)
}

/// Returns whether a process has ended.
fn has_ended(process: &OwnedFd) -> bool {
    poll(&mut [watch(process)], PollTimeout::ZERO).is_ok_and(|number| number > 0)
}

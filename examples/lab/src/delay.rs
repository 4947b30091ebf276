//! How are bytes delayed on their way, in order and without a limit of bandwidth?
//!
//! For systems whose kernel does not delay packets: a program in the middle does it instead.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many bytes are on their way at most. TCP's windows are far below.
const CAPACITY: usize = 64 << 20;

/// The largest piece that a proxy reads.
const CHUNK: usize = 64 << 10;

/// A queue whose pieces come out after a delay, in the order in which they went in.
#[derive(Debug)]
pub struct DelayLine {
    delay: Duration,
    capacity: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    closed: bool,
}

impl DelayLine {
    /// Makes a line with a delay, which may be zero.
    #[must_use]
    pub fn new(delay: Duration) -> DelayLine {
        DelayLine::with_capacity(delay, CAPACITY)
    }

    fn with_capacity(delay: Duration, capacity: usize) -> DelayLine {
        DelayLine { delay, capacity, state: Mutex::default(), changed: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a piece in, and waits while the line is full. Returns whether the piece will come out: not if the
    /// line is closed.
    pub fn push(&self, piece: Vec<u8>) -> bool {
        let due = Instant::now() + self.delay;
        let mut state = self.state();
        // A single piece always fits, whatever its length.
        while !state.closed && state.bytes > 0 && state.bytes + piece.len() > self.capacity {
            state = self.wait(state);
        }
        if state.closed {
            return false;
        }
        state.bytes += piece.len();
        state.pieces.push_back((due, piece));
        self.changed.notify_all();
        true
    }

    /// Takes the next piece out, and waits until it is due. Returns `None` once the line is closed and empty.
    /// There is one taker.
    pub fn pop(&self) -> Option<Vec<u8>> {
        let mut state = self.state();
        loop {
            match state.pieces.front().map(|(due, _)| *due) {
                Some(due) => {
                    let early = due.saturating_duration_since(Instant::now());
                    if early.is_zero() {
                        break;
                    }
                    drop(state);
                    thread::sleep(early);
                    state = self.state();
                }
                None if state.closed => return None,
                None => state = self.wait(state),
            }
        }
        let (_, piece) = state.pieces.pop_front()?;
        state.bytes -= piece.len();
        self.changed.notify_all();
        Some(piece)
    }

    /// Lets nothing more in. What is inside still comes out.
    pub fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }
}

/// Closes a line, also on a panic.
struct Closes<'l>(&'l DelayLine);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Copies a stream to another one, with a delay, until its end.
///
/// # Errors
/// A stream cannot be read or written. What had been read before a read error is written. After a write error it
/// returns when the next read of `from` does.
pub fn carry(mut from: impl Read + Send, mut to: impl Write, delay: Duration) -> io::Result<()> {
    let line = DelayLine::new(delay);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let _closes = Closes(&line);
            read_into(&mut from, &line)
        });
        let closes = Closes(&line);
        let mut written = Ok(());
        while let (Ok(()), Some(piece)) = (&written, line.pop()) {
            written = to.write_all(&piece);
        }
        // Where writing failed, nobody takes anything out any more.
        drop(closes);
        written.and_then(|()| {
            reader.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread panicked")))
        })
    })
}

fn read_into(from: &mut impl Read, line: &DelayLine) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) if line.push(buffer[..n].to_vec()) => {}
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Starts a proxy on 127.0.0.1 that forwards connections to `target`, with a delay in each direction. Returns
/// its address. Its threads end with the program.
///
/// # Errors
/// There is no free port.
pub fn proxy(target: SocketAddrV4, delay: Duration) -> io::Result<SocketAddrV4> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let SocketAddr::V4(address) = listener.local_addr()? else {
        return Err(io::ErrorKind::AddrNotAvailable.into());
    };
    thread::Builder::new().name("proxy".to_owned()).spawn(move || {
        for client in listener.incoming() {
            // A lasting error, such as too many open files, must not make this spin.
            let Ok(client) = client else {
                thread::sleep(Duration::from_millis(10));
                continue;
            };
            // A connection that fails is closed, which its ends see.
            let _ = thread::Builder::new().spawn(move || forward(&client, target, delay));
        }
    })?;
    Ok(address)
}

fn forward(client: &TcpStream, target: SocketAddrV4, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let one_way = |from: &TcpStream, to: &TcpStream| {
        let carried = carry(from, to, delay);
        // After an error, the other direction has no use either.
        let how = if carried.is_ok() { Shutdown::Write } else { Shutdown::Both };
        let _ = (to.shutdown(how), carried.is_err().then(|| from.shutdown(how)));
        carried
    };
    thread::scope(|scope| {
        let back = scope.spawn(|| one_way(&server, client));
        let there = one_way(client, &server);
        let back = back.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")));
        there.and(back)
    })
}

/// Turns a packet of IPv4 back: exchanges the addresses of its source and its destination. Returns whether it
/// is one.
///
/// The checksums remain right, because they are sums.
pub fn turn_back(packet: &mut [u8]) -> bool {
    if packet.len() < 20 || packet[0] >> 4 != 4 {
        return false;
    }
    let (source, destination) = packet[12..20].split_at_mut(4);
    source.swap_with_slice(destination);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(30);

    fn pieces() -> Vec<Vec<u8>> {
        (0_u8..100).map(|i| vec![i; usize::from(i) * 7 + 1]).collect()
    }

    #[test]
    fn pieces_come_out_in_order_and_not_before_they_are_due() {
        let line = DelayLine::new(DELAY);
        let went_in: Vec<Instant> = pieces()
            .into_iter()
            .map(|piece| {
                let now = Instant::now();
                assert!(line.push(piece));
                now
            })
            .collect();
        line.close();
        for (piece, went_in) in pieces().into_iter().zip(went_in) {
            assert_eq!(line.pop(), Some(piece));
            assert!(went_in.elapsed() >= DELAY, "{:?}", went_in.elapsed());
        }
        assert_eq!(line.pop(), None);
        assert!(!line.push(vec![1]), "it is closed");
    }

    #[test]
    fn a_full_line_keeps_its_feeder_waiting_and_holds_no_more_than_its_capacity() {
        let line = DelayLine::with_capacity(Duration::ZERO, 1000);
        thread::scope(|scope| {
            let feeder = scope.spawn(|| {
                let all = pieces().into_iter().all(|piece| line.push(piece));
                line.close();
                all
            });
            let mut came_out = Vec::new();
            loop {
                assert!(line.state().bytes <= 1000);
                let Some(piece) = line.pop() else { break };
                came_out.push(piece);
            }
            assert_eq!(came_out, pieces());
            assert!(feeder.join().expect("no panic"));
        });
    }

    #[test]
    fn a_piece_larger_than_the_line_passes() {
        let line = DelayLine::with_capacity(Duration::ZERO, 10);
        assert!(line.push(vec![7; 100]));
        assert_eq!(line.pop(), Some(vec![7; 100]));
    }

    #[test]
    fn closing_ends_the_wait_of_a_feeder() {
        let line = DelayLine::with_capacity(Duration::ZERO, 10);
        assert!(line.push(vec![0; 10]));
        thread::scope(|scope| {
            let feeder = scope.spawn(|| line.push(vec![1]));
            line.close();
            assert!(!feeder.join().expect("no panic"), "a closed line takes nothing");
        });
    }

    #[test]
    fn a_stream_arrives_whole_and_late() {
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let (mut arrived, start) = (Vec::new(), Instant::now());
        carry(&sent[..], &mut arrived, DELAY).expect("memory");
        assert!(start.elapsed() >= DELAY);
        assert!(arrived == sent, "{} of {} bytes", arrived.len(), sent.len());
    }

    #[test]
    fn a_stream_whose_reader_is_gone_ends_with_an_error() {
        let (from, to) = std::os::unix::net::UnixStream::pair().expect("sockets");
        drop(from);
        let error = carry(io::repeat(0), to, Duration::ZERO).expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_proxy_delays_both_directions_and_passes_the_ends_on() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let SocketAddr::V4(target) = server.local_addr().expect("an address") else {
            panic!("it is IPv4")
        };
        let proxy = proxy(target, DELAY).expect("a proxy");
        let echo = thread::spawn(move || {
            let (mut end, _) = server.accept().expect("a connection");
            let mut question = Vec::new();
            end.read_to_end(&mut question).expect("data");
            end.write_all(&question).expect("it is sent");
        });
        let mut client = TcpStream::connect(proxy).expect("a connection");
        let (question, start) = (vec![b'?'; 1 << 20], Instant::now());
        client.write_all(&question).expect("it is sent");
        client.shutdown(Shutdown::Write).expect("it is open");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).expect("an answer");
        assert!(start.elapsed() >= 2 * DELAY, "{:?}", start.elapsed());
        assert!(answer == question, "{} bytes", answer.len());
        echo.join().expect("no panic");
    }

    #[test]
    fn a_packet_that_is_turned_back_has_valid_checksums() {
        // A header of IPv4 with its checksum.
        let mut packet: Vec<u8> =
            vec![0x45, 0, 0, 0x14, 0, 0, 0x40, 0, 0x40, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
        let sum = |packet: &[u8]| {
            let words = packet.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
            let sum: u32 = words.sum();
            (sum & 0xffff) + (sum >> 16)
        };
        let checksum = !u16::try_from(sum(&packet)).expect("a folded sum");
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        assert!(turn_back(&mut packet));
        assert_eq!(packet[12..20], [10, 0, 0, 2, 10, 0, 0, 1]);
        assert_eq!(sum(&packet), 0xffff);
    }

    #[test]
    fn what_is_no_packet_of_ipv4_is_not_turned_back() {
        let mut v6 = vec![0x60; 40];
        assert!(!turn_back(&mut v6));
        assert_eq!(v6, vec![0x60; 40]);
        assert!(!turn_back(&mut [0x45; 19]));
        assert!(!turn_back(&mut []));
    }
}

#!/usr/bin/env python3
"""The traffic of the TCP lab: three connections between two threads, on the loopback device.

- On the first, client and server take turns with small messages.
- On the second, the client uploads. Its sequence numbers pass 2^32. For a while the server's socket discards
  what arrives, so the client retransmits.
- On the third, the server's answer is large, and its sequence numbers pass 2^32. For a while the client's
  socket discards what arrives, so the server retransmits.

Nothing is forged. Linux derives the initial sequence number of a connection from its addresses and ports, and
increases it every 64 ns of the time of day. So `plan` opens and resets each connection once, reads the number, and computes when
the same connection will begin just below 2^32. That is at most 275 s later. `run` waits for that time.

    traffic.py plan FILE    # needs CAP_NET_ADMIN to read the numbers
    traffic.py run FILE
    traffic.py check FILE   # FILE has the recording as lines of JSON
"""

import ctypes
import json
import os
import random
import socket
import struct
import sys
import threading
import time

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
SEND_QUEUE = 2
TICK = 64  # ns
SPACE = 1 << 32
MOST = 300_000  # ns that a connection may take, so that its number has a time


def listener(port=0):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


def client(port, to, at=None):
    """Connects from a port, at a time if one is given."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    if at is None:
        sock.connect(("127.0.0.1", to))
    else:
        # Another process would delay the connection by milliseconds, and each has 15,625 numbers.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        wait_until(at)
        sock.connect(("127.0.0.1", to))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return sock


def initial(sock):
    """Returns the number with which this end of a new connection began."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, SEND_QUEUE)
    number = sock.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ) % SPACE
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 0)
    return number - 1  # the SYN took one


def reset(*socks):
    """Ends a connection at once, so that its ports are free."""
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


def plan(seed):
    """Chooses ports, and computes when the connections begin near 2^32."""
    rng = random.Random(seed)
    server = listener()
    to = server.getsockname()[1]
    free = [s for s in (socket.socket() for _ in range(3)) if not s.bind(("127.0.0.1", 0))]
    ports = [s.getsockname()[1] for s in free]
    for s in free:
        s.close()
    result = {"server": to, "seed": seed, "first": ports[0]}
    for name, port in (("upload", ports[1]), ("download", ports[2])):
        took = MOST
        while took >= MOST:
            before = time.time_ns()
            sock = client(port, to)
            took = time.time_ns() - before
            peer, _ = server.accept()
            number = initial(sock if name == "upload" else peer)
            reset(sock, peer)
        margin = rng.randrange(25_000, 45_000)  # what the transfer sends before the wrap
        result[name] = {"port": port, "at": before + (SPACE - margin - number) % SPACE * TICK}
    return result


def discard(sock, seconds):
    """Discards every segment that arrives at a socket, for a while."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))  # ret #0
    program = struct.pack("HxxxxxxP", 1, ctypes.addressof(instruction))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    time.sleep(seconds)
    sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)


def receive(sock, count):
    while count > 0:
        data = sock.recv(min(count, 16_384))
        if not data:
            raise EOFError("the other end has closed the connection")
        count -= len(data)


def on_cpu(number):
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[number % len(cpus)]})


def serve(server, sizes):
    on_cpu(1)
    turns, upload, download = sizes
    sock, _ = server.accept()
    for size in turns:
        receive(sock, size)
        sock.sendall(bytes(2 * size))
    receive_end(sock)

    sock, _ = server.accept()
    receive(sock, upload // 2)
    discard(sock, 0.25)
    receive(sock, upload - upload // 2)
    sock.sendall(b"done")
    receive_end(sock)

    sock, _ = server.accept()
    receive(sock, 100)
    for part in (download // 2, download - download // 2):
        sock.sendall(bytes(part))
        time.sleep(0.1)
    receive_end(sock)


def receive_end(sock):
    assert sock.recv(1) == b""
    time.sleep(0.03)  # the other end waits in FIN-WAIT-2
    sock.close()


def wait_until(at):
    late = time.time_ns() - at
    if late > 0:
        sys.exit(f"traffic.py: the plan is too old, by {late / 1e9:.1f} s (make another one)")
    time.sleep(max(0, -late / 1e9 - 0.01))
    while time.time_ns() < at:  # a sleep takes longer than it is asked to
        pass


def run(it):
    rng = random.Random(it["seed"])
    turns = [rng.randrange(40, 400) for _ in range(5)]
    upload, download = rng.randrange(60_000, 90_000), rng.randrange(60_000, 90_000)
    server = listener(it["server"])
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    thread = threading.Thread(target=serve, args=(server, (turns, upload, download)))
    thread.start()
    on_cpu(0)

    with client(it["first"], it["server"]) as sock:
        for size in turns:
            sock.sendall(bytes(size))
            receive(sock, 2 * size)
            time.sleep(0.01)

    def up():
        with client(it["upload"]["port"], it["server"], it["upload"]["at"]) as sock:
            half = upload // 2
            for part in (half, upload - half):
                for start in range(0, part, 4096):
                    sock.sendall(bytes(min(4096, part - start)))
                    time.sleep(0.005)
                time.sleep(0.1)  # the server begins to discard
            receive(sock, 4)

    def down():
        with client(it["download"]["port"], it["server"], it["download"]["at"]) as sock:
            sock.sendall(bytes(100))
            receive(sock, 2_000)
            discard(sock, 0.25)
            receive(sock, download - 2_000)

    # The server expects the upload first.
    up()
    down()
    thread.join()


def is_sent_again(segments):
    """Returns whether one of the segments of an end begins below what was sent before it."""
    in_time = sorted(segments, key=lambda it: it["timestamp"])
    after = 0
    for it in in_time:
        start = (it["seq"] - in_time[0]["seq"]) % SPACE
        if it["length"] and start < after:
            return True
        after = max(after, start + it["length"])
    return False


def check(file):
    """Fails unless a right answer about the recording differs from each wrong one. On a busy machine it may not."""
    with open(file) as lines:
        events = [json.loads(line) for line in lines]
    sent = {}
    for event in events:
        if event["event"] == "firing" and "seq" in event["values"]:
            it = event["values"]
            sent.setdefault((it["source"], it["destination"]), []).append(it)
    servers = {it[0]["source"] for it in sent.values() if any(s["flags"] == 18 for s in it)}  # SYN ACK
    spans = {end: max(s["seq"] for s in it) - min(s["seq"] for s in it) for end, it in sent.items()}
    wraps = [end for end, span in spans.items() if span > SPACE // 2]
    again = [end for end, it in sent.items() if is_sent_again(it)]
    if len({source in servers for source, _ in again}) < 2:
        sys.exit(f"traffic.py: too few ends have sent something again (only {again}): record again")
    times = [[s["timestamp"] for s in it] for it in sent.values()]
    if len({source in servers for source, _ in wraps}) < 2:
        sys.exit(f"traffic.py: the sequence numbers of too few ends pass 2^32 (only {wraps}): record again")
    if all(it == sorted(it) for it in times):
        sys.exit("traffic.py: all segments arrived in the order of their times: record again")


def main():
    what, file = sys.argv[1:3]
    if what == "plan":
        while True:
            it = plan(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
            # Tracing takes some seconds to start, and the upload one.
            if time.time_ns() + 30e9 < it["upload"]["at"] < it["download"]["at"] - 4e9:
                break
        with open(file, "w") as out:
            json.dump(it, out)
    elif what == "run":
        with open(file) as source:
            run(json.load(source))
    else:
        check(file)


main()

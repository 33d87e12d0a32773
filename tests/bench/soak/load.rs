//! The clients of the soak. Each kind runs on a thread of its own, again and again, and checks every byte that it reads.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use daytime::protocol::{
    GREETING,
    errors::{FAILED, INVALID, UNKNOWN_ZONE},
};
use hdrhistogram::Histogram;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use crate::{Result, TIMEOUT, server::POLITE};

/// What the clients share.
pub(crate) struct Load {
    port: u16,
    unix: PathBuf,
    /// Tells the threads to end.
    pub(crate) stop: AtomicBool,
    pub(crate) connections: AtomicU64,
    pub(crate) replies: AtomicU64,
    /// Connections that the server closed before the last reply, as it does with a client that is kicked.
    pub(crate) cut: AtomicU64,
}

/// A kind of client: its name, and one turn of its load.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&Load, &mut Random) -> Result<()>,
}

pub(crate) const KINDS: [Kind; 7] = [
    Kind { name: "come and go", run: come_and_go },
    Kind { name: "reset", run: reset },
    Kind { name: "pipeline", run: pipeline },
    Kind { name: "read slowly", run: read_slowly },
    Kind { name: "stay half-open", run: stay_half_open },
    Kind { name: "custom commands", run: custom_commands },
    Kind { name: "custom commands, again", run: custom_commands },
];

/// Commands without a handler, and their replies.
const BUILT_IN: [(&str, &str); 8] = [
    ("day", "Sunday"),
    ("date", "26-11-22"),
    ("time", "15:44:57"),
    ("datetime", "2026-11-22T15:44:57+00:00"),
    ("time Asia/Tokyo", "00:44:57"),
    ("timestamp", "1795362297"),
    ("tomorrow", INVALID),
    ("time No/Where", UNKNOWN_ZONE),
];

/// Commands with a handler, and their replies.
const CUSTOM: [(&str, &str); 6] =
    [("echo a b", "a b"), ("slow x", "x"), ("fail", FAILED), ("panic", FAILED), ("later on", "on"), ("lost", FAILED)];

/// Numbers that are the same in each run (xorshift64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

impl Load {
    pub(crate) fn new(port: u16, unix: PathBuf) -> Load {
        let [connections, replies, cut] = [(); 3].map(|()| AtomicU64::new(0));
        Load { port, unix, stop: AtomicBool::new(false), connections, replies, cut }
    }

    fn tcp(&self, source: Ipv4Addr) -> Result<TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if source != Ipv4Addr::LOCALHOST {
            socket.bind(&SockAddr::from(SocketAddr::from((source, 0))))?;
        }
        socket.connect(&SockAddr::from(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))))?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        socket.set_tcp_nodelay(true)?;
        self.connections.fetch_add(1, Relaxed);
        Ok(socket.into())
    }

    /// A client over TCP or over the Unix socket.
    fn any(&self, random: &mut Random) -> Result<Box<dyn Stream>> {
        if random.below(2) == 0 {
            return Ok(Box::new(self.tcp(Ipv4Addr::LOCALHOST)?));
        }
        let stream = UnixStream::connect(&self.unix)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        self.connections.fetch_add(1, Relaxed);
        Ok(Box::new(stream))
    }

    /// The counters of the server, in words.
    pub(crate) fn stats(&self) -> Result<String> {
        let mut stream = self.tcp(POLITE)?;
        stream.write_all(b"\nstats\nquit\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text.lines().nth(1).ok_or("the server does not reply to stats")?.to_owned())
    }

    /// Sends commands, and reads their replies. Returns whether the connection is still there.
    fn ask(&self, stream: &mut dyn Stream, commands: &str, replies: &str) -> Result<bool> {
        let count = replies.matches('\n').count() as u64;
        if !is_cut(stream.write_all(commands.as_bytes()))? && self.read(stream, replies)? {
            self.replies.fetch_add(count, Relaxed);
            return Ok(true);
        }
        self.cut.fetch_add(1, Relaxed);
        Ok(false)
    }

    /// Reads exactly this. Returns false if the connection ends before that.
    fn read(&self, stream: &mut dyn Stream, expected: &str) -> Result<bool> {
        let (mut at, mut buffer) = (0, [0; 4096]);
        while at < expected.len() {
            let wanted = buffer.len().min(expected.len() - at);
            let n = match stream.read(&mut buffer[..wanted]) {
                Err(error) if is_reset(error.kind()) => 0,
                result => result?,
            };
            if n == 0 {
                return Ok(false);
            }
            if buffer[..n] != expected.as_bytes()[at..at + n] {
                let got = buffer[..n].escape_ascii();
                return Err(format!("expected {:?} at byte {at}, got {got}", &expected[at..]).into());
            }
            at += n;
        }
        Ok(true)
    }
}

fn is_reset(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Whether the server has closed the connection.
fn is_cut(result: std::io::Result<()>) -> Result<bool> {
    match result {
        Err(error) if is_reset(error.kind()) => Ok(true),
        result => Ok(result.map(|()| false)?),
    }
}

/// Some of these commands, each in a line, and their replies.
fn some(commands: &[(&str, &str)], count: usize, random: &mut Random) -> (String, String) {
    let (mut lines, mut replies) = (String::new(), String::new());
    for _ in 0..count {
        let (command, reply) = commands[random.below(commands.len())];
        lines += &format!("{command}\n");
        replies += &format!("{reply}\n");
    }
    (lines, replies)
}

/// Asks until the end, and records the latency of each command in microseconds. This client is never kicked.
pub(crate) fn polite(load: &Load, end: Instant, latencies: &mut Histogram<u64>) -> Result<()> {
    let (mut stream, mut random) = (load.tcp(POLITE)?, Random(99));
    let alive = load.ask(&mut stream, "\n", &format!("{GREETING}\n"))?;
    let mut is_served = alive;
    while is_served && Instant::now() < end && !load.stop.load(Relaxed) {
        let (commands, replies) = some(&BUILT_IN, 1, &mut random);
        let began = Instant::now();
        is_served = load.ask(&mut stream, &commands, &replies)?;
        latencies.record(began.elapsed().as_micros() as u64)?;
        // A handler may have to wait for other handlers.
        if random.below(20) == 0 {
            is_served &= load.ask(&mut stream, "echo polite\n", "polite\n")?;
        }
        thread::sleep(Duration::from_micros(500));
    }
    if is_served { Ok(()) } else { Err("the polite client was disconnected".into()) }
}

fn come_and_go(load: &Load, random: &mut Random) -> Result<()> {
    let mut stream = load.any(random)?;
    let (commands, replies) = some(&BUILT_IN, 1, random);
    // The greeting's line end is the first reply.
    if load.ask(&mut *stream, &format!("\n{commands}"), &format!("{GREETING}\n{replies}"))? && random.below(2) == 0 {
        load.ask(&mut *stream, "quit\n", "")?;
        expect_end(&mut *stream)?;
    }
    Ok(())
}

fn reset(load: &Load, random: &mut Random) -> Result<()> {
    let mut stream = load.tcp(Ipv4Addr::LOCALHOST)?;
    SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    match random.below(3) {
        0 => {}
        1 => drop(is_cut(stream.write_all(b"help\n".repeat(500).as_slice()))?),
        _ => drop(load.read(&mut stream, GREETING)?),
    }
    Ok(())
}

fn pipeline(load: &Load, random: &mut Random) -> Result<()> {
    let mut stream = load.any(random)?;
    let mut alive = load.ask(&mut *stream, "\n", &format!("{GREETING}\n"))?;
    for _ in 0..50 {
        if alive && !load.stop.load(Relaxed) {
            let (commands, replies) = some(&BUILT_IN, 200, random);
            alive = load.ask(&mut *stream, &commands, &replies)?;
        }
    }
    Ok(())
}

/// Reads so slowly that the server must stop to read, and leaves or resets in the middle.
fn read_slowly(load: &Load, random: &mut Random) -> Result<()> {
    let mut stream = load.tcp(Ipv4Addr::LOCALHOST)?;
    SockRef::from(&stream).set_recv_buffer_size(2048)?;
    let expected = format!("{GREETING}\n") + &"2026-11-22T15:44:57+00:00\n".repeat(8000);
    // These fit into the buffers of the kernel.
    let mut alive = !is_cut(stream.write_all(("\n".to_owned() + &"datetime\n".repeat(8000)).as_bytes()))?;
    let pieces = 1 + random.below(100);
    for piece in expected.as_bytes().chunks(2048).take(pieces) {
        if alive && !load.stop.load(Relaxed) {
            thread::sleep(Duration::from_millis(5));
            alive = load.read(&mut stream, std::str::from_utf8(piece)?)?;
        }
    }
    if random.below(2) == 0 {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Many clients that say nothing, or half a command, or close their sending side.
fn stay_half_open(load: &Load, random: &mut Random) -> Result<()> {
    let mut clients = VecDeque::new();
    for _ in 0..1000 {
        if load.stop.load(Relaxed) {
            break;
        }
        let mut stream = load.tcp(Ipv4Addr::LOCALHOST)?;
        match random.below(3) {
            0 => {}
            1 => drop(is_cut(stream.write_all(b"\nda"))?),
            _ => {
                let alive = !is_cut(stream.write_all(b"\nday\nda"))?;
                // The server may have kicked this client by now.
                if alive && stream.shutdown(Shutdown::Write).is_ok() {
                    load.ask(&mut stream, "", &format!("{GREETING}\nSunday\n{INVALID}"))?;
                }
            }
        }
        clients.push_back(stream);
        if clients.len() > 200 {
            clients.pop_front();
        }
    }
    Ok(())
}

fn custom_commands(load: &Load, random: &mut Random) -> Result<()> {
    let mut stream = load.any(random)?;
    let (commands, replies) = some(&CUSTOM, 5, random);
    let asked = format!("\ncount\n{commands}count\n");
    let mut alive = load.ask(&mut *stream, &asked, &format!("{GREETING}\n1\n{replies}2\n"))?;
    match random.below(4) {
        0 if alive => alive = load.ask(&mut *stream, "close\n", "closed\n")?,
        1 if alive => drop(is_cut(stream.write_all(b"kick\n"))?),
        // It leaves while its handler runs.
        2 if alive => {
            is_cut(stream.write_all(b"slow x\n"))?;
            return Ok(());
        }
        _ => return Ok(()),
    }
    if alive { expect_end(&mut *stream) } else { Ok(()) }
}

/// Expects the end of the connection. A client that is kicked may be reset.
fn expect_end(stream: &mut dyn Stream) -> Result<()> {
    match stream.read(&mut [0]) {
        Ok(0) => Ok(()),
        Err(error) if is_reset(error.kind()) => Ok(()),
        other => Err(format!("expected the end of the connection, got {other:?}").into()),
    }
}

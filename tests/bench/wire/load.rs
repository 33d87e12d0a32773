//! The load: one thread that runs all clients. Each client waits for its replies before it sends the next requests.
//!
//! The load verifies every byte of every reply. It fails if a client waits longer than [`TIMEOUT`].

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream as Blocking},
    ops::Range,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Instant,
};

use mio::{Interest, Token, net::TcpStream};
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt::IpBindAddressNoPort},
};
use socket2::{Domain, Socket, Type};

use crate::{
    Result,
    contenders::{Exchange, Running, TIMEOUT},
    meter::{Load, Measured, Window},
    serve::unless_blocked,
};

/// `clients` persistent connections, each with `pipelined` requests at a time.
pub(crate) fn talk(
    server: &Running,
    exchange: &Exchange,
    clients: usize,
    pipelined: usize,
    window: Window,
) -> Result<Measured> {
    let load = Load::new(server, window)?;
    let mut replies = Expected::new(&exchange.reply, pipelined);
    let batch = exchange.request.repeat(pipelined);
    let mut connections = Vec::with_capacity(clients);
    for number in 0..clients {
        let stream = greeted(server, number)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        load.poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        connections.push((stream, Instant::now(), 0));
    }
    for (stream, sent_at, _) in &mut connections {
        *sent_at = Instant::now();
        send(stream, &batch)?;
    }
    load.run(clients, |number, meter, buffer| {
        let (stream, sent_at, received) = &mut connections[number];
        *received = receive(stream, &mut replies, *received, buffer)?;
        if *received < replies.len() {
            return Ok(false);
        }
        let now = Instant::now();
        meter.count(pipelined, now - *sent_at);
        if meter.measured.is_some() {
            return Ok(true);
        }
        (*sent_at, *received) = (now, 0);
        send(stream, &batch)?;
        Ok(false)
    })
}

/// `slots` clients that repeatedly connect, read the greeting, send one request and close.
pub(crate) fn churn(server: &Running, slots: usize, window: Window) -> Result<Measured> {
    let load = Load::new(server, window)?;
    let registry = load.poll.registry().try_clone()?;
    let mut greeting = Expected::new(&server.exchange.greeting, 1);
    let mut reply = Expected::new(&server.exchange.reply, 1);
    // A client of a server without a greeting sends its request once it is connected.
    let interest = match greeting.len() {
        0 => Interest::READABLE | Interest::WRITABLE,
        _ => Interest::READABLE,
    };
    let mut number = 0;
    let mut open = |slot| -> Result<_> {
        number += 1;
        let began = Instant::now();
        let mut stream = TcpStream::from_std(connect(server, number, true)?);
        registry.register(&mut stream, Token(slot), interest)?;
        Ok((stream, began, 0, false))
    };
    let mut connections = (0..slots).map(&mut open).collect::<Result<Vec<_>>>()?;
    load.run(slots, |slot, meter, buffer| {
        let (stream, began, received, has_sent) = &mut connections[slot];
        if !*has_sent {
            *received = receive(stream, &mut greeting, *received, buffer)?;
            if *received < greeting.len() {
                return Ok(false);
            }
            send(stream, &server.exchange.request)?;
            (*received, *has_sent) = (0, true);
            return Ok(false);
        }
        *received = receive(stream, &mut reply, *received, buffer)?;
        if *received < reply.len() {
            return Ok(false);
        }
        let began = *began;
        if meter.measured.is_none() {
            connections[slot] = open(slot)?; // closes the connection before
        }
        meter.count(1, began.elapsed());
        Ok(meter.measured.is_some())
    })
}

/// Clients that have sent one request each, read the reply, and stay idle.
pub(crate) fn crowd(server: &Running, numbers: Range<usize>) -> Result<Vec<Blocking>> {
    let mut reply = Expected::new(&server.exchange.reply, 1);
    let client = |number| {
        let mut stream = greeted(server, number)?;
        stream.write_all(server.exchange.request.as_bytes())?;
        read(&mut stream, &mut reply)?;
        Ok(stream)
    };
    numbers.map(client).collect()
}

/// A client that repeats one exchange until `done`, and waits for each reply. It runs beside the event loop.
pub(crate) fn repeat(server: &Running, exchange: &Exchange, done: &AtomicBool) -> Result<()> {
    let mut reply = Expected::new(&exchange.reply, 1);
    let mut stream = greeted(server, 0)?;
    while !done.load(Relaxed) {
        stream.write_all(exchange.request.as_bytes())?;
        read(&mut stream, &mut reply)?;
    }
    Ok(())
}

/// Connects from one of 32 source addresses, so that ports do not run out: each address has its separate ports.
fn connect(server: &Running, number: usize, nonblocking: bool) -> Result<Blocking> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1 + (number % 32) as u8], 0)).into())?;
    socket.set_tcp_nodelay(true)?;
    if nonblocking {
        socket.set_nonblocking(true)?;
    } else {
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?; // also the timeout of connecting on Linux
    }
    match socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, server.port)).into()) {
        Err(error) if nonblocking && error.raw_os_error() == Some(Errno::EINPROGRESS as i32) => {}
        result => result?,
    }
    Ok(socket.into())
}

/// Connects and reads the greeting.
fn greeted(server: &Running, number: usize) -> Result<Blocking> {
    let mut stream = connect(server, number, false)?;
    read(&mut stream, &mut Expected::new(&server.exchange.greeting, 1))?;
    Ok(stream)
}

fn read(stream: &mut Blocking, expected: &mut Expected) -> Result<()> {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes)?;
    expected.verify(0, &bytes).map(drop)
}

/// Sends a whole batch. The kernel has room for it, because the server has answered everything before.
fn send(stream: &mut TcpStream, batch: &str) -> Result<()> {
    match stream.write(batch.as_bytes())? {
        n if n == batch.len() => Ok(()),
        n => Err(format!("the kernel took {n} bytes of {}", batch.len()).into()),
    }
}

/// Reads and verifies all bytes that have arrived, after the first `received` ones. Returns the new count.
fn receive(stream: &mut TcpStream, expected: &mut Expected, mut received: usize, buffer: &mut [u8]) -> Result<usize> {
    while let Some(n) = unless_blocked(stream.read(buffer))? {
        if n == 0 {
            return Err("the server has closed a connection".into());
        }
        received = expected.verify(received, &buffer[..n])?;
        if n < buffer.len() {
            break;
        }
    }
    Ok(received)
}

/// The bytes that the server must send: a pattern, repeated. `#` stands for any digit.
struct Expected {
    pattern: Vec<u8>,
    /// The last verified reply, repeated as often as the pattern. Most replies are equal to it, so a check is quick.
    last: Vec<u8>,
}

impl Expected {
    fn new(pattern: &str, times: usize) -> Self {
        Expected { pattern: pattern.into(), last: pattern.repeat(times).into() }
    }

    fn len(&self) -> usize {
        self.last.len()
    }

    /// Verifies the bytes after the first `at` ones. Returns the position of their end.
    fn verify(&mut self, at: usize, bytes: &[u8]) -> Result<usize> {
        let end = at + bytes.len();
        if self.last.get(at..end) == Some(bytes) {
            return Ok(end);
        }
        let expected = self.pattern.iter().cycle().skip(at % self.pattern.len().max(1));
        let fits = |(&byte, &expected): (&u8, &u8)| byte == expected || (expected == b'#' && byte.is_ascii_digit());
        if end > self.len() || !bytes.iter().zip(expected).all(fits) {
            let (actual, expected) = (bytes[..bytes.len().min(100)].escape_ascii(), self.pattern.escape_ascii());
            return Err(format!("the server sent \"{actual}\", expected \"{expected}\"").into());
        }
        let whole = bytes.get(at.next_multiple_of(self.pattern.len()) - at..);
        if let Some(reply) = whole.and_then(|whole| whole.get(..self.pattern.len())) {
            self.last.chunks_exact_mut(reply.len()).for_each(|last| last.copy_from_slice(reply));
        }
        Ok(end)
    }
}

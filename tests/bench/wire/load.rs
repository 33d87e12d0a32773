//! The load: one thread that speaks for all clients, each of which waits for its replies before it asks again. Every
//! byte of every reply is verified, and the one that waits for more than [`PATIENCE`] gives up.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream as Blocking},
    ops::Range,
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
    contenders::{PATIENCE, Running},
    meter::{Load, Measured, Window},
    serve::unless_blocked,
};

/// `clients` persistent connections, each with `pipelined` requests at a time.
pub(crate) fn talk(server: &Running, clients: usize, pipelined: usize, window: Window) -> Result<Measured> {
    let load = Load::new(server, window)?;
    let mut replies = Expected::new(&server.speech.reply, pipelined);
    let batch = server.speech.request.repeat(pipelined);
    let mut talkers = Vec::with_capacity(clients);
    for number in 0..clients {
        let stream = greeted(server, number)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        load.poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
        talkers.push((stream, Instant::now(), 0));
    }
    for (stream, asked, _) in &mut talkers {
        *asked = Instant::now();
        send(stream, &batch)?;
    }
    load.run(clients, |number, meter, buffer| {
        let (stream, asked, heard) = &mut talkers[number];
        *heard = hear(stream, &mut replies, *heard, buffer)?;
        if *heard < replies.len() {
            return Ok(false);
        }
        let now = Instant::now();
        meter.count(pipelined, now - *asked);
        if meter.measured.is_some() {
            return Ok(true);
        }
        (*asked, *heard) = (now, 0);
        send(stream, &batch)?;
        Ok(false)
    })
}

/// `slots` clients that connect, are greeted, ask once and close, again and again.
pub(crate) fn churn(server: &Running, slots: usize, window: Window) -> Result<Measured> {
    let load = Load::new(server, window)?;
    let registry = load.poll.registry().try_clone()?;
    let mut greeting = Expected::new(&server.speech.greeting, 1);
    let mut reply = Expected::new(&server.speech.reply, 1);
    // Who is not greeted may ask as soon as the connection is there.
    let interest = match greeting.len() {
        0 => Interest::READABLE | Interest::WRITABLE,
        _ => Interest::READABLE,
    };
    let mut number = 0;
    let mut call = |slot| -> Result<_> {
        number += 1;
        let began = Instant::now();
        let mut stream = TcpStream::from_std(connect(server, number, true)?);
        registry.register(&mut stream, Token(slot), interest)?;
        Ok((stream, began, 0, false))
    };
    let mut visitors = (0..slots).map(&mut call).collect::<Result<Vec<_>>>()?;
    load.run(slots, |slot, meter, buffer| {
        let (stream, began, heard, asked) = &mut visitors[slot];
        if !*asked {
            *heard = hear(stream, &mut greeting, *heard, buffer)?;
            if *heard < greeting.len() {
                return Ok(false);
            }
            send(stream, &server.speech.request)?;
            (*heard, *asked) = (0, true);
            return Ok(false);
        }
        *heard = hear(stream, &mut reply, *heard, buffer)?;
        if *heard < reply.len() {
            return Ok(false);
        }
        let began = *began;
        if meter.measured.is_none() {
            visitors[slot] = call(slot)?; // which closes the one before
        }
        meter.count(1, began.elapsed());
        Ok(meter.measured.is_some())
    })
}

/// These clients, each of which has asked once and says nothing more.
pub(crate) fn crowd(server: &Running, numbers: Range<usize>) -> Result<Vec<Blocking>> {
    let mut reply = Expected::new(&server.speech.reply, 1);
    let ask = |number| {
        let mut stream = greeted(server, number)?;
        stream.write_all(server.speech.request.as_bytes())?;
        read(&mut stream, &mut reply)?;
        Ok(stream)
    };
    numbers.map(ask).collect()
}

/// Connects from one of 32 addresses, lest ports run out: each has those that no connection from it has taken.
fn connect(server: &Running, number: usize, nonblocking: bool) -> Result<Blocking> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    setsockopt(&socket, IpBindAddressNoPort, &true)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1 + (number % 32) as u8], 0)).into())?;
    socket.set_tcp_nodelay(true)?;
    if nonblocking {
        socket.set_nonblocking(true)?;
    } else {
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?; // Linux ends connecting with it, too
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
    read(&mut stream, &mut Expected::new(&server.speech.greeting, 1))?;
    Ok(stream)
}

fn read(stream: &mut Blocking, expected: &mut Expected) -> Result<()> {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes)?;
    expected.verify(0, &bytes).map(drop)
}

/// A whole batch: there is room for it, because everything before it was answered.
fn send(stream: &mut TcpStream, batch: &str) -> Result<()> {
    match stream.write(batch.as_bytes())? {
        n if n == batch.len() => Ok(()),
        n => Err(format!("the kernel took {n} bytes of {}", batch.len()).into()),
    }
}

/// Reads and verifies all that has come, `heard` bytes after the beginning. Gives where it ends.
fn hear(stream: &mut TcpStream, expected: &mut Expected, mut heard: usize, buffer: &mut [u8]) -> Result<usize> {
    while let Some(n) = unless_blocked(stream.read(buffer))? {
        if n == 0 {
            return Err("the server has closed a connection".into());
        }
        heard = expected.verify(heard, &buffer[..n])?;
        if n < buffer.len() {
            break;
        }
    }
    Ok(heard)
}

/// What must come, so many times: `#` is any digit.
struct Expected {
    pattern: Vec<u8>,
    /// The last reply that was verified, as many times as it must come: most others are the same.
    last: Vec<u8>,
}

impl Expected {
    fn new(pattern: &str, times: usize) -> Self {
        Expected { pattern: pattern.into(), last: pattern.repeat(times).into() }
    }

    fn len(&self) -> usize {
        self.last.len()
    }

    /// Verifies the bytes that came after the first `at`. Gives where they end.
    fn verify(&mut self, at: usize, bytes: &[u8]) -> Result<usize> {
        let end = at + bytes.len();
        if self.last.get(at..end) == Some(bytes) {
            return Ok(end);
        }
        let wanted = self.pattern.iter().cycle().skip(at % self.pattern.len().max(1));
        let alike = |(&byte, &wanted): (&u8, &u8)| byte == wanted || (wanted == b'#' && byte.is_ascii_digit());
        if end > self.len() || !bytes.iter().zip(wanted).all(alike) {
            let (came, wanted) = (bytes[..bytes.len().min(100)].escape_ascii(), self.pattern.escape_ascii());
            return Err(format!("the server sent \"{came}\", and \"{wanted}\" was wanted").into());
        }
        let whole = bytes.get(at.next_multiple_of(self.pattern.len()) - at..);
        if let Some(reply) = whole.and_then(|whole| whole.get(..self.pattern.len())) {
            self.last.chunks_exact_mut(reply.len()).for_each(|last| last.copy_from_slice(reply));
        }
        Ok(end)
    }
}

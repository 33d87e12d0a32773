//! Clients for the daytime protocol of RFC 867 and the time protocol of RFC 868, of any server.

use std::{
    io::ErrorKind::{Interrupted, TimedOut, WouldBlock},
    net::UdpSocket,
    time::{Duration, Instant, SystemTime},
};

use socket2::{Socket, Type};

use super::{
    Client, ClientBuilder,
    connect::{Target, connect_any, resolve},
    transport::{Deadline, Transport},
};
use crate::{Address, Error, protocol::rfc868_seconds};

/// The largest reply of RFC 867 that is accepted. The RFC asks for one line and does not limit it.
const TEXT_MAX: usize = 4096;
/// The time after which a question over UDP is repeated for the first time.
const RETRY: Duration = Duration::from_millis(500);

/// Asks a server of the daytime protocol (RFC 867), within 5 s. See [`ClientBuilder::rfc867`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc867`].
pub fn rfc867(address: impl Into<Address>) -> Result<String, Error> {
    Client::builder().rfc867(address)
}

/// Asks a server of the time protocol (RFC 868), within 5 s. See [`ClientBuilder::rfc868`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc868`].
pub fn rfc868(address: impl Into<Address>) -> Result<SystemTime, Error> {
    Client::builder().rfc868(address)
}

/// Asks a server of the daytime protocol over UDP (RFC 867), within 5 s. See [`ClientBuilder::rfc867_udp`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc867_udp`].
pub fn rfc867_udp(address: impl Into<Address>) -> Result<String, Error> {
    Client::builder().rfc867_udp(address)
}

/// Asks a server of the time protocol over UDP (RFC 868), within 5 s. See [`ClientBuilder::rfc868_udp`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc868_udp`].
pub fn rfc868_udp(address: impl Into<Address>) -> Result<SystemTime, Error> {
    Client::builder().rfc868_udp(address)
}

impl ClientBuilder {
    /// Asks a server of the daytime protocol (RFC 867). The default port is 13. Returns the reply without its line end;
    /// the RFC does not prescribe a syntax.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect). [`Error::Closed`] if
    /// the server sent nothing. [`Error::Protocol`] with the reply if that exceeds 4 KiB, is blank or is
    /// not text.
    pub fn rfc867(self, address: impl Into<Address>) -> Result<String, Error> {
        text(self.read(address.into(), 13, TEXT_MAX + 1)?)
    }

    /// Asks a server of the time protocol (RFC 868). The default port is 37. The 32 bits of the reply stand for a time
    /// from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC, see [`rfc868_seconds`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect). [`Error::Closed`] if
    /// the server sent nothing. [`Error::Protocol`] with the reply if that is not four bytes.
    pub fn rfc868(self, address: impl Into<Address>) -> Result<SystemTime, Error> {
        moment(self.read(address.into(), 37, 4)?)
    }

    /// Asks a server of the daytime protocol over UDP (RFC 867). The default port is 13. A datagram can be lost, so the
    /// question is repeated after 0.5 s, then after twice as long each time, until the timeout.
    ///
    /// # Errors
    /// Those of [`rfc867`](Self::rfc867), but for [`Error::Closed`]. [`Error::Invalid`] for a Unix socket. [`Error::Io`] also
    /// if the peer's system says that nothing listens.
    pub fn rfc867_udp(self, address: impl Into<Address>) -> Result<String, Error> {
        text(self.exchange(address.into(), 13, TEXT_MAX + 1)?)
    }

    /// Asks a server of the time protocol over UDP (RFC 868). The default port is 37. The question is repeated as in
    /// [`rfc867_udp`](Self::rfc867_udp), and the value is that of [`rfc868`](Self::rfc868).
    ///
    /// # Errors
    /// Those of [`rfc867_udp`](Self::rfc867_udp); [`Error::Protocol`] with the reply if that is not four bytes.
    pub fn rfc868_udp(self, address: impl Into<Address>) -> Result<SystemTime, Error> {
        moment(self.exchange(address.into(), 37, 5)?)
    }

    /// Sends empty datagrams until one comes back, whose first `most` bytes are returned. Each address of a name gets an
    /// equal part of the time.
    fn exchange(self, address: Address, port: u16, most: usize) -> Result<Vec<u8>, Error> {
        if let Address::Unix(_) = address {
            return Err(address.not_for_udp());
        }
        let deadline = Deadline::new(self.timeout, self.interrupt.as_ref());
        let targets = resolve(address, port, &deadline)?;
        let mut first = None;
        for (i, target) in targets.iter().enumerate() {
            match ask(target, most, &deadline.split(targets.len() - i)) {
                Err(Error::Interrupted) => return Err(Error::Interrupted),
                Err(error) => first = first.or(Some(error)),
                reply => return reply,
            }
        }
        Err(first.unwrap_or(Error::Timeout))
    }

    /// Reads until the server closes, or until there are `most` bytes.
    fn read(self, address: Address, port: u16, most: usize) -> Result<Vec<u8>, Error> {
        let deadline = Deadline::new(self.timeout, self.interrupt.as_ref());
        let mut transport = Transport::new(connect_any(&resolve(address, port, &deadline)?, &deadline)?);
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match transport.read(&deadline, None) {
                Ok(n) => bytes.extend_from_slice(&transport.input[..n]),
                Err(Error::Closed) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

/// The reply of RFC 867, without its line end.
fn text(bytes: Vec<u8>) -> Result<String, Error> {
    let fit = |c: char| !c.is_control() || "\t\r\n".contains(c);
    match std::str::from_utf8(bytes.trim_ascii_end()) {
        Ok(text) if bytes.len() <= TEXT_MAX && !text.is_empty() && text.chars().all(fit) => Ok(text.to_owned()),
        _ => Err(Error::Protocol(bytes)),
    }
}

/// The reply of RFC 868.
fn moment(bytes: Vec<u8>) -> Result<SystemTime, Error> {
    let seconds = rfc868_seconds(bytes[..].try_into().map_err(|_| Error::Protocol(bytes))?);
    let distance = Duration::from_secs(seconds.unsigned_abs());
    Ok(if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance })
}

/// Asks one address. The socket is connected, so that it gets datagrams of that address alone, and learns if nothing
/// listens there.
fn ask(Target(address, text): &Target, most: usize, deadline: &Deadline<'_>) -> Result<Vec<u8>, Error> {
    let context = |doing: &str| Error::io(format!("{doing} {text}"));
    let socket = Socket::new(address.domain(), Type::DGRAM, None).map_err(context("connect"))?;
    socket.connect(address).map_err(context("connect"))?;
    let socket = UdpSocket::from(socket);
    let mut reply = vec![0; most];
    let mut pause = RETRY;
    let mut ask_at = Instant::now();
    loop {
        let mut wait = deadline.next_wait()?;
        let now = Instant::now();
        if now >= ask_at {
            socket.send(b"").map_err(context("ask"))?;
            ask_at = now + pause;
            pause = pause.saturating_mul(2);
        }
        // A timeout of zero would be one without an end.
        wait = wait.min(ask_at.saturating_duration_since(now)).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(wait)).map_err(Error::io("set a timeout"))?;
        match socket.recv(&mut reply) {
            Ok(size) => {
                reply.truncate(size);
                return Ok(reply);
            }
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut | Interrupted) => {}
            Err(error) => return Err(context("ask")(error)),
        }
    }
}

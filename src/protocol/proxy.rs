//! The PROXY protocol, versions 1 and 2: what a proxy sends before the bytes of its client.
//!
//! The header names the client's address. Without it, a server behind a proxy sees the proxy's address only. The
//! specification is `doc/proxy-protocol.txt` of HAProxy, and this is its receiver's side:
//!
//! - A header may arrive in any pieces. At most [`ProxyHeader::HELD_MAX`] bytes of it are kept. The additions of version
//!   2 (TLVs, up to 64 KiB) are counted and never kept.
//! - A header that is invalid is an error as soon as a byte shows it. So a client that sends a command in place of the
//!   header fails with its first byte.
//! - Version 1 is strict: one blank between two words, CRLF at the end, decimal numbers without sign and leading zeros.
//! - The destination is checked, and not returned: a server knows where it listens.

// `core::net` has addresses, and neither sockets nor a resolver.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::{error::Error, fmt, str::FromStr};

/// The first bytes of version 1.
const V1: &[u8] = b"PROXY ";
/// The first bytes of version 2.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The most bytes of version 1, CRLF included.
const V1_MAX: usize = 107;
/// The bytes of version 2 before its addresses.
const V2_MIN: usize = 16;

// The version 2 and its two commands.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

// The families of addresses with their transports.
const INET_STREAM: u8 = 0x11;
const INET_DATAGRAM: u8 = 0x12;
const INET6_STREAM: u8 = 0x21;
const INET6_DATAGRAM: u8 = 0x22;
const UNIX_STREAM: u8 = 0x31;
const UNIX_DATAGRAM: u8 = 0x32;

/// Finds the end of a PROXY header, and the client's address in it, in the bytes of one connection.
///
/// ```
/// use daytime::protocol::{ProxyHeader, Proxied};
///
/// let mut header = ProxyHeader::default();
/// assert_eq!(header.receive(b"PROXY TCP4 192.0.2.1 198.51.100.1 5"), Ok(None));
/// let proxied = header.receive(b"6324 9990\r\nday\n").unwrap().unwrap();
/// assert_eq!(proxied, Proxied { taken: 11, source: Some("192.0.2.1:56324".parse().unwrap()) });
///
/// assert!(ProxyHeader::default().receive(b"day\n").is_err());
/// ```
#[derive(Debug, Default)]
pub struct ProxyHeader {
    /// The bytes so far, as long as they do not have the address.
    held: Vec<u8>,
    /// After that: the address, and the number of bytes before the end of the header.
    decoded: Option<(Option<SocketAddr>, usize)>,
}

/// A header that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxied {
    /// How many of the bytes passed last belong to the header. The client has sent the others.
    pub taken: usize,
    /// The address of the proxy's client. `None` if the proxy itself is the client, as for its health check (`LOCAL`), or
    /// if the connection that it forwards is not TCP (`UNKNOWN`, `UNSPEC`, Unix sockets, datagrams).
    pub source: Option<SocketAddr>,
}

/// The bytes are not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidProxyHeader;

impl fmt::Display for InvalidProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the PROXY header is invalid")
    }
}

impl Error for InvalidProxyHeader {}

impl ProxyHeader {
    /// The most bytes of a header that are kept.
    pub const HELD_MAX: usize = V1_MAX;

    /// Takes bytes of the connection. Returns `None` if the header goes on; all bytes are taken then.
    ///
    /// # Errors
    /// [`InvalidProxyHeader`] if this is not a header. Close the connection then, since every later result is meaningless.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Option<Proxied>, InvalidProxyHeader> {
        let (source, left) = match self.decoded {
            Some(decoded) => decoded,
            None => {
                let before = self.held.len();
                self.held.extend_from_slice(&bytes[..bytes.len().min(Self::HELD_MAX - before)]);
                let Some((source, length)) = decode(&self.held)? else { return Ok(None) };
                // The bytes before did not have the address, so the header ends after them.
                (source, length - before)
            }
        };
        if left <= bytes.len() {
            return Ok(Some(Proxied { taken: left, source }));
        }
        self.held = Vec::new();
        self.decoded = Some((source, left - bytes.len()));
        Ok(None)
    }

    /// Whether nothing has arrived yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty() && self.decoded.is_none()
    }
}

/// The source and the length of a header, once its start has them.
type Decoded = Option<(Option<SocketAddr>, usize)>;

fn decode(bytes: &[u8]) -> Result<Decoded, InvalidProxyHeader> {
    let agrees = |start: &[u8]| bytes.iter().zip(start).all(|(byte, expected)| byte == expected);
    match () {
        () if agrees(V2) => decode_v2(bytes),
        () if agrees(V1) => decode_v1(bytes),
        () => Err(InvalidProxyHeader),
    }
}

/// Decodes a line such as `PROXY TCP4 192.0.2.1 198.51.100.1 56324 9990` and CRLF.
fn decode_v1(bytes: &[u8]) -> Result<Decoded, InvalidProxyHeader> {
    let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
    let line = match end.map(|end| bytes.split_at(end)) {
        Some((line, [b'\r', b'\n', ..])) => line,
        None | Some((_, [b'\r'])) if bytes.len() < V1_MAX => return Ok(None),
        _ => return Err(InvalidProxyHeader),
    };
    let length = line.len() + 2;
    let words = line.strip_prefix(V1).ok_or(InvalidProxyHeader)?;
    // The rest of the line is ignored.
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Ok(Some((None, length)));
    }
    let words = std::str::from_utf8(words).map_err(|_| InvalidProxyHeader)?;
    let words: Vec<&str> = words.split(' ').collect();
    let source = match words[..] {
        ["TCP4", from, to, from_port, to_port] => endpoints::<Ipv4Addr>([from, to], [from_port, to_port]),
        ["TCP6", from, to, from_port, to_port] => endpoints::<Ipv6Addr>([from, to], [from_port, to_port]),
        _ => None,
    };
    Ok(Some((Some(source.ok_or(InvalidProxyHeader)?), length)))
}

/// The source of a pair of addresses, and of a pair of ports. `None` if one of the four is invalid.
fn endpoints<Ip: FromStr + Into<IpAddr>>(ips: [&str; 2], ports: [&str; 2]) -> Option<SocketAddr> {
    let ([source, _], [port, _]) = (each(ips, |ip| ip.parse::<Ip>().ok())?, each(ports, port)?);
    Some(SocketAddr::new(source.into(), port))
}

fn each<T>([source, destination]: [&str; 2], parse: fn(&str) -> Option<T>) -> Option<[T; 2]> {
    Some([parse(source)?, parse(destination)?])
}

/// A decimal number. The parser of `u16` also accepts a sign and leading zeros.
fn port(digits: &str) -> Option<u16> {
    let port: u16 = digits.parse().ok()?;
    (port.to_string() == digits).then_some(port)
}

/// Decodes the binary form: the signature, the version and the command, the family and the transport, the length of the
/// rest, the addresses, and additions.
fn decode_v2(bytes: &[u8]) -> Result<Decoded, InvalidProxyHeader> {
    let Some(&command) = bytes.get(V2.len()) else { return Ok(None) };
    if !matches!(command, LOCAL | PROXY) {
        return Err(InvalidProxyHeader);
    }
    let Some(&family) = bytes.get(V2.len() + 1) else { return Ok(None) };
    // The bytes that the addresses have at least. Those of a family or a transport that is unspecified are ignored.
    let addresses: u16 = match family {
        // The proxy itself is the client, and the family is ignored.
        _ if command == LOCAL => 0,
        INET_STREAM | INET_DATAGRAM => 12,
        INET6_STREAM | INET6_DATAGRAM => 36,
        UNIX_STREAM | UNIX_DATAGRAM => 216,
        _ if family >> 4 <= 3 && family & 0xF <= 2 => 0,
        _ => return Err(InvalidProxyHeader),
    };
    let Some(&[high, low]) = bytes.get(V2.len() + 2..V2_MIN) else { return Ok(None) };
    let length = u16::from_be_bytes([high, low]);
    if length < addresses {
        return Err(InvalidProxyHeader);
    }
    let block = &bytes[V2_MIN..];
    let source = match (command, family) {
        (PROXY, INET_STREAM) => Some(binary::<4>(block)),
        (PROXY, INET6_STREAM) => Some(binary::<16>(block)),
        _ => None,
    };
    Ok(match source {
        // The addresses go on.
        Some(None) => None,
        source => Some((source.flatten(), V2_MIN + usize::from(length))),
    })
}

/// The source at the start of a block of addresses: two of `N` bytes, and their ports. `None` if the block is cut.
fn binary<const N: usize>(block: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let block = block.get(..2 * N + 4)?;
    let port = block[2 * N..].first_chunk()?;
    Some(SocketAddr::new((*block.first_chunk::<N>()?).into(), u16::from_be_bytes(*port)))
}

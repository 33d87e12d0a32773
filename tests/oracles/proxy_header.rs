//! A PROXY header gives the verdict of a naive model, in any segmentation. The crate proxy-header agrees about each header
//! that it knows.
//!
//! The first byte of the input is the size of the pieces, and 0 stands for one piece. The rest is what the server
//! receives. A short input is also cut in two at each place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use daytime::protocol::{Proxied, ProxyHeader};

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The start of a header.
    More,
    /// Not a header.
    Invalid,
    /// A header of this many bytes, of which all have arrived.
    Header(usize, Option<SocketAddr>),
}

pub(crate) fn check(data: &[u8]) {
    let Some((&size, stream)) = data.split_first() else { return };
    let expected = model(stream);
    let size = if size == 0 { stream.len().max(1) } else { size.into() };
    assert_eq!(verdict(stream.chunks(size)), expected, "{stream:?} in pieces of {size} bytes");
    if stream.len() <= 512 {
        for cut in 0..=stream.len() {
            let (start, rest) = stream.split_at(cut);
            assert_eq!(verdict([start, rest]), expected, "{stream:?} cut at {cut}");
        }
    }
    ask_another(stream, expected);
}

/// The verdict of [`ProxyHeader`].
pub(crate) fn verdict<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Verdict {
    let mut header = ProxyHeader::default();
    assert!(header.is_empty());
    let mut before = 0;
    for piece in pieces {
        match header.receive(piece) {
            Ok(None) => assert_eq!(header.is_empty(), before + piece.len() == 0),
            Ok(Some(Proxied { taken, source })) => {
                assert!(taken <= piece.len());
                return Verdict::Header(before + taken, source);
            }
            Err(_) => return Verdict::Invalid,
        }
        before += piece.len();
    }
    Verdict::More
}

/// The verdict by the text of the specification, over all bytes at once.
fn model(bytes: &[u8]) -> Verdict {
    let starts = |start: &[u8]| bytes[..bytes.len().min(start.len())] == start[..bytes.len().min(start.len())];
    if starts(b"PROXY ") {
        model_v1(&bytes[..bytes.len().min(107)])
    } else if starts(b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A") {
        model_v2(bytes)
    } else {
        Verdict::Invalid
    }
}

fn model_v1(bytes: &[u8]) -> Verdict {
    let lone = |bytes: &[u8]| bytes.contains(&b'\r') || bytes.contains(&b'\n');
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        // The LF of a CR at the end may still come.
        let invalid = bytes.len() == 107 || lone(bytes.strip_suffix(b"\r").unwrap_or(bytes));
        return if invalid { Verdict::Invalid } else { Verdict::More };
    };
    let line = &bytes[..end];
    if lone(line) {
        return Verdict::Invalid;
    }
    let text = String::from_utf8_lossy(line);
    if text == "PROXY UNKNOWN" || text.starts_with("PROXY UNKNOWN ") {
        return Verdict::Header(end + 2, None);
    }
    let source = || {
        let words: Vec<&str> = text.split(' ').collect();
        let &[_, family, from, to, port, to_port] = words.as_slice() else { return None };
        let (from, to): (IpAddr, IpAddr) = (from.parse().ok()?, to.parse().ok()?);
        let (port, to_port): (u16, u16) = (port.parse().ok()?, to_port.parse().ok()?);
        let of_family = match family {
            "TCP4" => from.is_ipv4() && to.is_ipv4(),
            "TCP6" => from.is_ipv6() && to.is_ipv6(),
            _ => false,
        };
        // A number has one text.
        (of_family && text.ends_with(&format!(" {port} {to_port}"))).then_some(SocketAddr::new(from, port))
    };
    source().map_or(Verdict::Invalid, |source| Verdict::Header(end + 2, Some(source)))
}

fn model_v2(bytes: &[u8]) -> Verdict {
    let is_local = match bytes.get(12) {
        None => return Verdict::More,
        Some(0x20) => true,
        Some(0x21) => false,
        Some(_) => return Verdict::Invalid,
    };
    let Some((family, transport)) = bytes.get(13).map(|byte| (byte / 16, byte % 16)) else { return Verdict::More };
    if !is_local && (family > 3 || transport > 2) {
        return Verdict::Invalid;
    }
    let [Some(high), Some(low)] = [14, 15].map(|at| bytes.get(at).copied().map(usize::from)) else {
        return Verdict::More;
    };
    let length = 256 * high + low;
    let known = !is_local && family > 0 && transport > 0;
    if known && length < [0, 12, 36, 216][usize::from(family)] {
        return Verdict::Invalid;
    }
    let Some(block) = bytes.get(16..16 + length) else { return Verdict::More };
    let port = |at: usize| 256 * u16::from(block[at]) + u16::from(block[at + 1]);
    let source = match family {
        1 if known && transport == 1 => {
            let ip = u32::from_be_bytes(block[..4].try_into().expect("4 bytes"));
            Some(SocketAddr::new(Ipv4Addr::from_bits(ip).into(), port(8)))
        }
        2 if known && transport == 1 => {
            let ip = u128::from_be_bytes(block[..16].try_into().expect("16 bytes"));
            Some(SocketAddr::new(Ipv6Addr::from_bits(ip).into(), port(32)))
        }
        _ => None,
    };
    Verdict::Header(16 + length, source)
}

/// Compares with the crate proxy-header. It is laxer in version 1, and does not know all of version 2.
fn ask_another(bytes: &[u8], expected: Verdict) {
    let theirs = proxy_header::ProxyHeader::parse(bytes, proxy_header::ParseConfig::default());
    let theirs = theirs.map(|(header, length)| {
        let stream = header.proxied_address().filter(|proxied| proxied.protocol == proxy_header::Protocol::Stream);
        Verdict::Header(length, stream.map(|proxied| proxied.source))
    });
    match (expected, theirs) {
        (expected @ Verdict::Header(..), Ok(theirs)) => assert_eq!(expected, theirs, "{bytes:?}"),
        (Verdict::Header(..), Err(error)) => {
            let ignores_family = bytes[12] == 0x20;
            let unspecified = bytes[13] & 0xF == 0 || bytes[13] >> 4 == 0;
            assert!(bytes[0] != b'P' && (ignores_family || unspecified), "{error}: {bytes:?}");
        }
        // Signs, zeros, a line without CR, other bytes after `PROXY` and `UNKNOWN`.
        (_, Ok(_)) => assert_eq!(bytes[0], b'P', "{bytes:?}"),
        (_, Err(_)) => {}
    }
}

//! The PROXY protocol: each form of a header, each fault of one, and every segmentation.
//!
//! `tests/oracles/proxy_header.rs` has the model, and the comparison with another implementation.

use std::net::SocketAddr;

use daytime::protocol::ProxyHeader;
use proptest::prelude::*;
use proxy_header::{ProxiedAddress, ProxyHeader as Writer, Tlv};

use crate::proxy_oracle::{
    self,
    Verdict::{self, Header, Invalid, More},
};

/// The signature of version 2, then these bytes.
fn v2(bytes: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", bytes].concat()
}

/// A header of version 2 with this command, family and address block.
fn block(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let [high, low] = u16::to_be_bytes(block.len().try_into().unwrap());
    v2(&[&[command, family, high, low], block].concat())
}

const INET: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0xDC, 0x04, 0x27, 0x06];
const SOURCE: &str = "192.0.2.1:56324";

fn inet6() -> Vec<u8> {
    let ips: [u128; 2] = [0x2001_0db8_0000_0000_0000_0000_0000_0001, 2];
    [&ips[0].to_be_bytes()[..], &ips[1].to_be_bytes(), &INET[8..]].concat()
}

fn headers() -> Vec<(Vec<u8>, Option<&'static str>)> {
    let line = |text: &str| format!("{text}\r\n").into_bytes();
    let ones = "ffff:".repeat(7) + "ffff";
    let tlv = [&INET[..], &[0x04, 0, 3, 0, 0, 0]].concat();
    let large = [&INET[..], &[0xEE; 65_535 - 12]].concat();
    vec![
        (line("PROXY TCP4 192.0.2.1 198.51.100.1 56324 9990"), Some(SOURCE)),
        (line("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535"), Some("255.255.255.255:65535")),
        (line("PROXY TCP4 0.0.0.0 0.0.0.0 0 0"), Some("0.0.0.0:0")),
        (line("PROXY TCP6 2001:db8::1 ::2 56324 9990"), Some("[2001:db8::1]:56324")),
        (line("PROXY TCP6 2001:DB8::A ::FFFF:192.0.2.1 1 2"), Some("[2001:db8::a]:1")),
        (
            line(&format!("PROXY TCP6 {ones} {ones} 65535 65535")),
            Some("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535"),
        ),
        (line("PROXY UNKNOWN"), None),
        (line("PROXY UNKNOWN "), None),
        (line("PROXY UNKNOWN whatever +1 \0\u{7f}"), None),
        (line(&format!("PROXY UNKNOWN {ones} {ones} 65535 65535")), None),
        (block(0x20, 0x00, b""), None),
        (block(0x20, 0x00, &[0x04, 0, 1, 0]), None),
        (block(0x20, 0x11, b""), None),
        (block(0x20, 0x11, &INET), None),
        (block(0x20, 0xF1, &INET), None),
        (block(0x21, 0x00, b""), None),
        (block(0x21, 0x00, &INET), None),
        (block(0x21, 0x11, &INET), Some(SOURCE)),
        (block(0x21, 0x11, &tlv), Some(SOURCE)),
        (block(0x21, 0x11, &large), Some(SOURCE)),
        (block(0x21, 0x21, &inet6()), Some("[2001:db8::1]:56324")),
        (block(0x21, 0x12, &INET), None),
        (block(0x21, 0x22, &inet6()), None),
        (block(0x21, 0x31, &[0; 216]), None),
        (block(0x21, 0x32, &[0; 216]), None),
        (block(0x21, 0x01, b""), None),
        (block(0x21, 0x10, b""), None),
    ]
}

#[test]
fn a_header_is_complete_at_its_last_byte_and_not_before() {
    for (header, source) in headers() {
        let source: Option<SocketAddr> = source.map(|source| source.parse().unwrap());
        for rest in [&b""[..], b"day\n", b"PROXY UNKNOWN\r\n", b"\n"] {
            let stream = [&header, rest].concat();
            assert_eq!(proxy_oracle::verdict([&stream[..]]), Header(header.len(), source), "{stream:?}");
        }
        // The long ones in a few places only.
        for cut in (0..header.len()).filter(|cut| *cut < 512 || cut % 997 == 0) {
            assert_eq!(proxy_oracle::verdict([&header[..cut]]), More, "{header:?} cut at {cut}");
            proxy_oracle::check(&[&[0], &header[..cut]].concat());
        }
        for size in [0, 1, 7] {
            proxy_oracle::check(&[&[size], &header[..], b"day"].concat());
        }
        assert_eq!(proxy_oracle::verdict(header.chunks(1)), Header(header.len(), source), "{header:?}");
    }
}

/// Each fault is found at its first byte that no valid header has there, or at the end of a line.
#[test]
fn an_invalid_header_is_rejected_at_its_first_wrong_byte() {
    let line = |text: &str| format!("{text}\r\n").into_bytes();
    let tcp4 = |rest: &str| line(&format!("PROXY TCP4 {rest}"));
    let long = |n: usize| format!("PROXY UNKNOWN {}", "x".repeat(n - 14)).into_bytes();
    let faults: Vec<Vec<u8>> = vec![
        // The proxy sends none.
        b"d".into(),
        b"\n".into(),
        b"\r\r".into(),
        b"Pr".into(),
        b"p".into(),
        b"PROXYx".into(),
        b"PROXY\t".into(),
        b"PROXY\r".into(),
        // Version 1.
        line("PROXY "),
        line("PROXY TCP4"),
        line("PROXY TCP5 192.0.2.1 198.51.100.1 1 2"),
        line("PROXY tcp4 192.0.2.1 198.51.100.1 1 2"),
        line("PROXY  TCP4 192.0.2.1 198.51.100.1 1 2"),
        line("PROXY UNKNOWNfoo"),
        line("PROXY UNKNOWN\t"),
        line("PROXY unknown"),
        line("PROXY TCP6 192.0.2.1 198.51.100.1 1 2"),
        line("PROXY TCP6 ::1 198.51.100.1 1 2"),
        line("PROXY TCP6 fe80::1%1 ::1 1 2"),
        line("PROXY TCP6 [::1] [::1] 1 2"),
        tcp4("::1 ::1 1 2"),
        tcp4("::ffff:192.0.2.1 198.51.100.1 1 2"),
        tcp4("192.0.2.1 198.51.100.1 +9152 2"),
        tcp4("192.0.2.1 198.51.100.1 1 +2"),
        tcp4("192.0.2.1 198.51.100.1 -1 2"),
        tcp4("192.0.2.1 198.51.100.1 09152 2"),
        tcp4("192.0.2.1 198.51.100.1 1 00"),
        tcp4("192.0.2.1 198.51.100.1 65536 2"),
        tcp4("192.0.2.1 198.51.100.1 1 65536"),
        tcp4("192.0.2.1 198.51.100.1 1"),
        tcp4("192.0.2.1 198.51.100.1 1 "),
        tcp4("192.0.2.1 198.51.100.1 1 2 "),
        tcp4("192.0.2.1 198.51.100.1 1 2 3"),
        tcp4("192.0.2.1  198.51.100.1 1 2"),
        tcp4("192.0.2.010 198.51.100.1 1 2"),
        tcp4("192.0.2.256 198.51.100.1 1 2"),
        tcp4("192.0.2 198.51.100.1 1 2"),
        tcp4("0xc0000201 198.51.100.1 1 2"),
        tcp4("localhost 198.51.100.1 1 2"),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 \xff\r\n".into(),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n".into(),
        b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2\rd".into(),
        b"PROXY UNKNOWN\n".into(),
        b"PROXY UNKNOWN a\rb".into(),
        // 107 bytes without CRLF.
        long(107),
        [&long(106)[..], b"\r"].concat(),
        // Version 2.
        b"\r\n\r\n\0\r\nQUIt".into(),
        v2(&[0x11]),
        v2(&[0x22]),
        v2(&[0x2F]),
        v2(&[0x31]),
        v2(&[0x00]),
        v2(&[0x21, 0x41]),
        v2(&[0x21, 0xF0]),
        v2(&[0x21, 0x13]),
        v2(&[0x21, 0x2F]),
        v2(&[0x21, 0x11, 0, 11]),
        v2(&[0x21, 0x11, 0, 0]),
        v2(&[0x21, 0x12, 0, 11]),
        v2(&[0x21, 0x21, 0, 35]),
        v2(&[0x21, 0x22, 0, 12]),
        v2(&[0x21, 0x31, 0, 215]),
        v2(&[0x21, 0x32, 0, 0]),
    ];
    for fault in faults {
        let (_, start) = fault.split_last().unwrap();
        assert_eq!(proxy_oracle::verdict([start]), More, "{start:?}");
        assert_eq!(proxy_oracle::verdict([&fault[..]]), Invalid, "{fault:?}");
        assert_eq!(proxy_oracle::verdict(fault.chunks(1)), Invalid, "{fault:?}");
        for rest in [&b""[..], b"\r\n", b"day\n"] {
            proxy_oracle::check(&[&[0], &fault[..], rest].concat());
        }
    }
    // One byte less, and the line ends in time.
    let longest = [&long(105)[..], b"\r\n"].concat();
    assert_eq!((longest.len(), proxy_oracle::verdict([&longest[..]])), (107, Header(107, None)));
}

#[test]
fn a_trickle_of_additions_is_counted_and_not_kept() {
    let mut header = ProxyHeader::default();
    let start = v2(&[&[0x21, 0x11, 0xFF, 0xFF], &INET[..]].concat());
    assert_eq!(header.receive(&start), Ok(None));
    for _ in 0..65_535 - 12 - 1 {
        assert_eq!(header.receive(b"x"), Ok(None));
    }
    let shown = format!("{header:?}");
    assert!(shown.contains("held: []") && shown.len() < 200, "{shown}");
    let proxied = header.receive(b"xday").unwrap().unwrap();
    assert_eq!((proxied.taken, proxied.source), (1, Some(SOURCE.parse().unwrap())));
}

/// Headers that the crate proxy-header writes, with the verdict that it means.
fn written() -> impl Strategy<Value = (Vec<u8>, Verdict)> {
    let addresses = prop_oneof![
        any::<([u8; 4], u16, [u8; 4], u16)>()
            .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q)))),
        any::<([u8; 16], u16, [u8; 16], u16)>()
            .prop_map(|(a, p, b, q)| (SocketAddr::from((a, p)), SocketAddr::from((b, q)))),
    ];
    let address = prop_oneof![
        1 => Just(None),
        4 => (addresses, any::<bool>()).prop_map(|(ends, datagram)| Some((ends, datagram))),
    ];
    let tlvs = prop::collection::vec((0xE0..0xEFu8, prop::collection::vec(any::<u8>(), 0..300)), 0..4);
    (address, tlvs, any::<bool>()).prop_map(|(address, tlvs, text)| {
        let text = text && !address.is_some_and(|(_, datagram)| datagram);
        let source = address.and_then(|((source, _), datagram)| (!datagram).then_some(source));
        let address = address.map(|((source, destination), datagram)| match datagram {
            true => ProxiedAddress::datagram(source, destination),
            false => ProxiedAddress::stream(source, destination),
        });
        let tlvs = tlvs.iter().map(|(kind, value)| Tlv::Custom(*kind, value.into()));
        let writer = Writer::with_tlvs(address, tlvs.filter(|_| !text));
        let mut bytes = Vec::new();
        match text {
            true => writer.encode_v1(&mut bytes).unwrap(),
            false => writer.encode_v2(&mut bytes).unwrap(),
        }
        let verdict = Header(bytes.len(), source);
        (bytes, verdict)
    })
}

const STARTS: &[&[u8]] = &[b"", b"PROXY ", b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n", b"\r\n\r\n\0\r\nQUIT\n\x21"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_header_of_another_implementation_is_read_in_every_segmentation(
        (header, expected) in written(),
        rest in prop::collection::vec(any::<u8>(), 0..40),
        sizes in prop::collection::vec(1..60usize, 1..20),
    ) {
        let stream = [&header[..], &rest].concat();
        let (mut left, mut sizes) = (&stream[..], sizes.iter().cycle());
        let pieces = std::iter::from_fn(|| {
            let piece = left.split_off(..left.len().min(*sizes.next().unwrap()))?;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(proxy_oracle::verdict(pieces), expected);
        proxy_oracle::check(&[&[0], &stream[..]].concat());
    }

    /// Most mutations of one byte are faults, and some are other headers.
    #[test]
    fn a_changed_header_has_the_verdict_of_the_model(
        (header, _) in written(),
        at: prop::sample::Index,
        byte in prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n 0+:.PU"[..])],
        kind in 0..3,
    ) {
        let mut stream = header;
        // The start has nearly all of the syntax.
        let at = at.index(stream.len().min(107));
        match kind {
            0 => stream[at] = byte,
            1 => stream.insert(at, byte),
            _ => drop(stream.remove(at)),
        }
        proxy_oracle::check(&[&[0], &stream[..]].concat());
    }

    #[test]
    fn any_bytes_have_the_verdict_of_the_model(
        start in prop::sample::select(STARTS),
        bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        proxy_oracle::check(&[&[3], start, &bytes].concat());
    }
}

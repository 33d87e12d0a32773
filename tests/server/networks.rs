//! Allowed and denied networks.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use daytime::{Event, Networks, Reason, Service, protocol::GREETING};
use proptest::prelude::*;

use crate::common::{
    next_event,
    peer::{Peer, assert_bytes},
    server, skip, tcp, unbound_builder,
};
use crate::helpers::assert_invalid;
use crate::rfc::SECONDS;

#[test]
fn denied_clients_are_closed_silently() {
    let server = unbound_builder()
        .listen("127.0.0.1:0")
        .listen_as(Service::Rfc868, "127.0.0.1:0")
        .allow("127.0.0.2")
        .deny("127.0.0.4/30")
        .start();
    let server = server.unwrap();
    let events = server.events();
    let refused = |peer: SocketAddr, port: u16, input: &str| {
        let mut denied = Peer::connect_from(peer.ip().to_string().parse::<Ipv4Addr>().unwrap().octets(), port);
        // The server may have reset the connection already.
        let _ = denied.0.write_all(input.as_bytes());
        let peer = denied.address().into();
        denied.expect_nothing();
        assert_eq!(next_event(&events), Event::Refused { peer, reason: Reason::Denied });
    };
    let rfc868 = tcp(&server.addresses_of(Service::Rfc868)[0]).port();
    for (n, (last, input)) in [(1, ""), (1, "day\n"), (5, ""), (3, "day")].into_iter().enumerate() {
        refused(([127, 0, 0, last], 0).into(), server.port(), input);
        refused(([127, 0, 0, last], 0).into(), rfc868, input);
        assert_eq!(server.stats().refused, 2 * n as u64 + 2);
    }
    assert_eq!((server.stats().accepted, server.stats().bytes_out), (0, 0));
    let mut allowed = Peer::connect_from([127, 0, 0, 2], server.port());
    allowed.ask("day\n", format!("{GREETING}\nSunday\n"));
    assert!(matches!(next_event(&events), Event::Connected { peer, .. } if peer == allowed.address().into()));
    assert_bytes(&Peer::connect_from([127, 0, 0, 2], rfc868).rest(), &SECONDS);
    assert_eq!(Reason::Denied.to_string(), "its network is denied");
}

#[test]
fn networks_are_set_while_clients_are_served() {
    let server = server();
    let mut stays = Peer::greeted(server.port());
    let mut networks = Networks::new();
    networks.deny("127.0.0.0/8").unwrap();
    server.set_networks(networks.clone());
    Peer::connect(server.port()).expect_nothing();
    Peer::connect_from([127, 0, 0, 2], server.port()).expect_nothing();
    stays.ask("day", "Sunday");
    networks.allow("127.0.0.2").unwrap();
    server.handle().set_networks(networks);
    Peer::connect(server.port()).expect_nothing();
    Peer::connect_from([127, 0, 0, 2], server.port()).expect(GREETING);
    stays.ask("time", "15:44:57");
    server.set_networks(Networks::new());
    Peer::connect(server.port()).expect(GREETING);
    stays.ask("date", "26-11-22");
}

#[test]
fn an_ipv4_client_of_an_ipv6_listener_has_an_ipv4_address() {
    let server = match unbound_builder().listen("[::]:0").deny("127.0.0.0/8").start() {
        Ok(server) => server,
        Err(error) => return skip(format!("this machine does not have IPv6: {error}")),
    };
    let events = server.events();
    let denied = Peer::connect(server.port());
    let peer = denied.address().into();
    denied.expect_nothing();
    assert_eq!(next_event(&events), Event::Refused { peer, reason: Reason::Denied });
    Peer::connect_to((Ipv6Addr::LOCALHOST, server.port()).into()).expect(GREETING);
    let mut networks = Networks::new();
    networks.allow("::/0").unwrap();
    server.set_networks(networks.clone());
    Peer::connect(server.port()).expect_nothing();
    Peer::connect_to((Ipv6Addr::LOCALHOST, server.port()).into()).expect(GREETING);
    networks.allow("::ffff:127.0.0.1").unwrap();
    server.set_networks(networks);
    Peer::connect(server.port()).expect(GREETING);
    Peer::connect_from([127, 0, 0, 2], server.port()).expect_nothing();
}

#[test]
fn a_text_that_is_not_a_network_is_rejected_when_it_is_bound() {
    for text in ["localhost", "127.0.0.0/33", "::1/129", "127.0.0/8", "127.0.0.1:80", ""] {
        for builder in [unbound_builder().allow(text), unbound_builder().deny(text)] {
            // The error names the first wrong text.
            let builder = builder.listen("127.0.0.1:0").allow("127.0.0.1").deny("nonsense");
            assert_invalid(builder.check(), &format!("{text:?} is not a network"));
            assert_invalid(builder.clone().bind(), &format!("{text:?} is not a network"));
            drop(builder.networks(Networks::new()).bind().unwrap());
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    ip: IpAddr,
    prefix: u8,
    denied: bool,
}

/// Addresses from a few small ranges, so that networks overlap and contain some addresses.
fn addresses() -> impl Strategy<Value = IpAddr> {
    let low = prop_oneof![0..4u32, 0..=255u32, any::<u32>()];
    let v4 = (prop_oneof![Just(0x0a00_0000), Just(0xc000_0200), Just(0)], low.clone())
        .prop_map(|(base, low): (u32, u32)| Ipv4Addr::from(base ^ low));
    let v6 = (prop_oneof![Just(0x2001_0db8 << 96), Just(0), Just(0xfe80 << 112)], 0..=128u32, low)
        .prop_map(|(base, shift, low): (u128, u32, u32)| base ^ u128::from(low).checked_shl(shift).unwrap_or(0));
    prop_oneof![
        v4.clone().prop_map(IpAddr::from),
        v4.prop_map(|ip| ip.to_ipv6_mapped().into()),
        v6.prop_map(|bits| Ipv6Addr::from(bits).into()),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    (addresses(), any::<prop::sample::Index>(), any::<bool>()).prop_map(|(ip, prefix, denied)| {
        let lengths = if ip.is_ipv4() { 33 } else { 129 };
        Entry { ip, prefix: prefix.index(lengths) as u8, denied }
    })
}

/// A network: whether it is IPv4, its bits, and the length of its prefix. A network of mapped addresses only is IPv4.
fn bits(ip: IpAddr, prefix: u8) -> (bool, u128, u8) {
    match ip {
        IpAddr::V4(ip) => (true, u128::from(u32::from(ip)) << 96, prefix),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if prefix >= 96 => bits(v4.into(), prefix - 96),
            _ => (false, v6.into(), prefix),
        },
    }
}

fn scan(entries: &[Entry], ip: IpAddr) -> bool {
    let (v4, address, _) = bits(ip, 128u8.min(if ip.is_ipv4() { 32 } else { 128 }));
    let mut decided = (None, !entries.iter().any(|entry| !entry.denied));
    for entry in entries {
        let (of_v4, network, prefix) = bits(entry.ip, entry.prefix);
        let contains = of_v4 == v4 && (network ^ address).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0;
        if contains && (decided.0 < Some(prefix) || decided.0 == Some(prefix) && entry.denied) {
            decided = (Some(prefix), !entry.denied);
        }
    }
    decided.1
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

    #[test]
    fn networks_decide_like_a_scan_of_every_entry(
        entries in prop::collection::vec(entries(), 0..24),
        others in prop::collection::vec(addresses(), 1..24),
    ) {
        let mut networks = Networks::new();
        for Entry { ip, prefix, denied } in &entries {
            let add = if *denied { Networks::deny } else { Networks::allow };
            add(&mut networks, &format!("{ip}/{prefix}")).unwrap();
        }
        for ip in others.into_iter().chain(entries.iter().map(|entry| entry.ip)) {
            prop_assert_eq!(networks.allows(ip), scan(&entries, ip), "{}", ip);
        }
    }
}

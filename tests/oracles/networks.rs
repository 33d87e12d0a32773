//! Addresses keep their meaning through `Display` and `parse`, and networks give the verdict of a naive model.
//!
//! The input is a list of steps, each of one byte and the bytes that the step takes.
//!
//! | first byte, modulo 8 | step |
//! |---|---|
//! | 0, 1 | a line is an address |
//! | 2, 3 | a line is a network that is allowed or denied |
//! | 4, 5 | 17 bytes are a network of IPv6 (its address, its prefix) that is allowed or denied |
//! | 6, 7 | 5 bytes are such a network of IPv4 |
//!
//! Afterwards addresses in and around each network are looked up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use daytime::{Address, Networks};

use super::Input;

/// A network of the model: 128 bits, where IPv4 is mapped into IPv6, and the prefix.
#[derive(Clone, Copy)]
struct Network {
    bits: u128,
    prefix: u32,
    allowed: bool,
    is_v4: bool,
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

fn mask(prefix: u32) -> u128 {
    u128::MAX.checked_shl(128 - prefix).unwrap_or(0)
}

impl Network {
    fn new(ip: IpAddr, prefix: u32, allowed: bool) -> Self {
        let prefix = if ip.is_ipv4() { prefix + 96 } else { prefix };
        let bits = bits(ip) & mask(prefix);
        Network { bits, prefix, allowed, is_v4: prefix >= 96 && bits >> 32 == 0xFFFF }
    }

    /// CIDR notation, or one address.
    fn parse(text: &str, allowed: bool) -> Option<Self> {
        let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
        let ip: IpAddr = ip.parse().ok()?;
        let most = if ip.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => most,
            Some(digits)
                if digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0')) =>
            {
                digits.parse().ok()?
            }
            Some(_) => return None,
        };
        (prefix <= most).then(|| Network::new(ip, prefix, allowed))
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let is_v4 = ip.to_canonical().is_ipv4();
        is_v4 == self.is_v4 && bits(ip) & mask(self.prefix) == self.bits
    }
}

/// The longest prefix decides, a denial on a tie. Others are accepted, unless a network is allowed.
fn allows(networks: &[Network], ip: IpAddr) -> bool {
    let longest = networks.iter().filter(|network| network.contains(ip)).max_by_key(|n| (n.prefix, !n.allowed));
    longest.map_or(networks.iter().all(|network| !network.allowed), |network| network.allowed)
}

fn add(networks: &mut Networks, text: &str, allowed: bool) -> bool {
    let result = if allowed { networks.allow(text) } else { networks.deny(text) };
    if let Err(error) = &result {
        assert_eq!(
            error.to_string(),
            format!("{text:?} is not a network; expected CIDR notation such as 192.0.2.0/24")
        );
    }
    result.is_ok()
}

pub(crate) fn check(data: &[u8]) {
    let mut input = Input(data);
    let (mut networks, mut model) = (Networks::new(), Vec::new());
    while !input.is_empty() && model.len() < 64 {
        let step = input.byte() % 8;
        let allowed = step % 2 == 0;
        let network = match step {
            0 | 1 => {
                address(&input.text());
                continue;
            }
            2 | 3 => {
                let text = input.text();
                let network = Network::parse(&text, allowed);
                assert_eq!(add(&mut networks, &text, allowed), network.is_some(), "{text:?}");
                model.extend(network);
                continue;
            }
            4 | 5 => (IpAddr::from(input.bytes::<16>()), u32::from(input.byte()) % 129),
            _ => (IpAddr::from(input.bytes::<4>()), u32::from(input.byte()) % 33),
        };
        let (ip, prefix) = network;
        assert!(add(&mut networks, &format!("{ip}/{prefix}"), allowed));
        model.push(Network::new(ip, prefix, allowed));
        ip_address(ip, prefix as u16);
    }
    let ends = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), Ipv4Addr::BROADCAST.into(), Ipv6Addr::UNSPECIFIED.into()];
    let around = model.iter().flat_map(|network| {
        let inside = network.bits | !mask(network.prefix);
        let beside = [1, 2, 8].map(|up| network.bits ^ 1u128.checked_shl(128 - network.prefix + up).unwrap_or(0));
        [network.bits, inside, inside.wrapping_add(1), network.bits.wrapping_sub(1)].into_iter().chain(beside)
    });
    let around: Vec<u128> = around.collect();
    for ip in around.into_iter().map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))).chain(ends) {
        for ip in [ip, ip.to_canonical()] {
            assert_eq!(networks.allows(ip), allows(&model, ip), "{ip}");
        }
    }
}

/// What is shown is parsed as the same address.
fn address(text: &str) {
    let address = Address::from(text);
    let parsed = text.parse::<Address>();
    if let Ok(parsed) = &parsed {
        assert_eq!(parsed, &address);
    }
    let shown = address.to_string();
    match &address {
        Address::Tcp(socket) => {
            assert_eq!(text.parse(), Ok(*socket));
            assert!(parsed.is_ok());
            assert_eq!(address.resolve(1).expect("it needs no resolver"), [*socket]);
            assert_eq!(Address::from(&shown[..]), address, "{shown:?}");
        }
        Address::Name(name) => {
            assert_eq!((name, &shown), (&text.to_owned(), &text.to_owned()));
            assert_eq!(Address::from(&shown[..]), address);
            if parsed.is_ok() {
                name_of_a_host(name);
            }
        }
        Address::Unix(path) => {
            assert_eq!(path.to_str(), text.strip_prefix("unix:"));
            let path = &text["unix:".len()..];
            let valid = !matches!(path, "" | "@") && path.len() <= 107 && !path.contains('\0');
            assert_eq!(parsed.is_ok(), valid, "{text:?}");
            assert!(!shown.contains(char::is_control));
            // Nothing is escaped but control characters and those that Rust takes for not printable, such as U+FFF9.
            let is_plain = |c: char| !c.is_control() && c.escape_debug().count() == 1;
            assert!(shown == text || !text.chars().all(is_plain), "{text:?} is shown as {shown:?}");
        }
        other => panic!("{other:?} is a new kind"),
    }
    if let Err(error) = parsed {
        let error = error.to_string();
        assert!(error.starts_with("the address \"") && !error.contains(char::is_control), "{error:?}");
    }
}

/// An accepted name is an IP address, or a host and perhaps a port. Only the former needs no resolver.
fn name_of_a_host(name: &str) {
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        let resolved = Address::from(name).resolve(13).expect("it needs no resolver");
        assert_eq!(resolved, [SocketAddr::new(ip, 13)], "{name:?}");
        return;
    }
    let (host, port) = name.rsplit_once(':').map_or((name, "0"), |(host, port)| (host, port));
    assert!(port.parse::<u16>().is_ok() && port.bytes().all(|byte| byte.is_ascii_digit()), "{name:?}");
    assert!((1..=253).contains(&host.len()), "{name:?}");
    let strange = |c: char| c.is_whitespace() || c.is_control() || "[]:/".contains(c);
    assert!(!host.contains(strange), "{name:?}");
}

/// The address of a peer is shown as it is parsed.
fn ip_address(ip: IpAddr, port: u16) {
    let address = Address::from(SocketAddr::new(ip, port));
    assert_eq!(address.to_string().parse::<Address>().expect("it is an address"), address);
    let [bare, bracketed] = [format!("{ip}"), format!("[{ip}]")].map(|text| text.parse::<Address>());
    let expected = [SocketAddr::new(ip, 37)];
    assert_eq!(bare.expect("it is an address").resolve(37).expect("it needs no resolver"), expected);
    assert_eq!(bracketed.expect("it is an address").resolve(37).expect("it needs no resolver"), expected);
}

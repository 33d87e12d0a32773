//! Networks whose clients a server accepts or rejects.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use crate::Error;

/// Networks whose clients a server accepts, and networks whose clients it closes silently.
///
/// The longest prefix that contains a client's address decides. A network that is both allowed and denied is denied. An
/// address that no network contains is accepted, unless at least one network is allowed. A lookup costs at most as many
/// steps as the address has bits, 32 for IPv4 and 128 for IPv6, for any number of networks.
///
/// A network is written in CIDR notation, `192.0.2.0/24` or `2001:db8::/32` (RFC 4632, RFC 4291), or as one address. Bits
/// beyond the prefix are ignored. IPv4 mapped into IPv6 (`::ffff:192.0.2.0/120`) is IPv4, and `::/0` is all of IPv6 and
/// nothing of IPv4. A decimal number with leading zeros, such as `010.0.0.0/8`, is rejected.
///
/// ```
/// use daytime::Networks;
///
/// let mut networks = Networks::new();
/// networks.allow("192.0.2.0/24")?;
/// networks.deny("192.0.2.66")?;
/// assert!(networks.allows("192.0.2.1".parse().unwrap()));
/// assert!(!networks.allows("192.0.2.66".parse().unwrap()));
/// assert!(!networks.allows("198.51.100.1".parse().unwrap()));
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Networks {
    v4: PrefixMap<Ipv4Net, Verdict>,
    v6: PrefixMap<Ipv6Net, Verdict>,
    /// The verdict for an address that no network contains.
    others: Verdict,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Verdict {
    #[default]
    Allowed,
    Denied,
}

impl Networks {
    /// An empty list, which accepts every client.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accepts the clients of a network. From now on, addresses that no network contains are rejected.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is not a network. The list is unchanged then.
    pub fn allow(&mut self, network: &str) -> Result<(), Error> {
        self.add(network, Verdict::Allowed)?;
        self.others = Verdict::Denied;
        Ok(())
    }

    /// Rejects the clients of a network.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is not a network. The list is unchanged then.
    pub fn deny(&mut self, network: &str) -> Result<(), Error> {
        self.add(network, Verdict::Denied)
    }

    /// Whether a client with this address is accepted.
    #[must_use]
    pub fn allows(&self, ip: IpAddr) -> bool {
        self.verdict(ip).unwrap_or(self.others) == Verdict::Allowed
    }

    /// Whether an allowed network contains this address, and none with a longer prefix is denied. An empty list names
    /// none.
    pub(crate) fn names(&self, ip: IpAddr) -> bool {
        self.verdict(ip) == Some(Verdict::Allowed)
    }

    /// Whether a network is allowed.
    pub(crate) fn names_any(&self) -> bool {
        self.others == Verdict::Denied
    }

    fn verdict(&self, ip: IpAddr) -> Option<Verdict> {
        match ip.to_canonical() {
            IpAddr::V4(ip) => self.v4.get_lpm(&ip.into()).map(|(_, verdict)| *verdict),
            IpAddr::V6(ip) => self.v6.get_lpm(&ip.into()).map(|(_, verdict)| *verdict),
        }
    }

    fn add(&mut self, text: &str, verdict: Verdict) -> Result<(), Error> {
        let entry = match parse(text)? {
            IpNet::V4(network) => self.v4.entry(network).or_insert(verdict),
            IpNet::V6(network) => self.v6.entry(network).or_insert(verdict),
        };
        if verdict == Verdict::Denied {
            *entry = verdict;
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<IpNet, Error> {
    let (ip, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    // The parser of `IpNet` accepts 010.0.0.0/8, which other programs read as an octal number. That of `IpAddr` rejects it.
    let network = ip.parse::<IpAddr>().ok().and_then(|ip| match prefix {
        Some(digits) => {
            let prefix: u8 = digits.parse().ok()?;
            // Without a sign and without zeroes before it.
            (prefix.to_string() == digits).then(|| IpNet::new(ip, prefix).ok())?
        }
        None => Some(ip.into()),
    });
    let network = network.ok_or_else(|| {
        Error::Invalid(format!("{text:?} is not a network; expected CIDR notation such as 192.0.2.0/24"))
    })?;
    Ok(match network.trunc() {
        IpNet::V6(v6) => match (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(ip), Some(prefix)) => IpNet::V4(Ipv4Net::new_assert(ip, prefix)),
            _ => IpNet::V6(v6),
        },
        v4 => v4,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allow: &[&str], deny: &[&str]) -> Networks {
        let mut networks = Networks::new();
        allow.iter().for_each(|network| networks.allow(network).unwrap());
        deny.iter().for_each(|network| networks.deny(network).unwrap());
        networks
    }

    #[test]
    fn the_longest_prefix_decides_and_deny_on_a_tie() {
        for (allow, deny, ip, allowed) in [
            (&[][..], &[][..], "192.0.2.1", true),
            (&[], &["192.0.2.0/24"], "192.0.2.1", false),
            (&[], &["192.0.2.0/24"], "192.0.3.1", true),
            (&["192.0.2.0/24"], &[], "192.0.2.255", true),
            (&["192.0.2.0/24"], &[], "192.0.3.0", false),
            (&["192.0.2.0/24"], &[], "2001:db8::1", false),
            (&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"], "10.0.0.1", true),
            (&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"], "10.1.0.1", false),
            (&["10.0.0.0/8", "10.1.2.0/24"], &["10.1.0.0/16"], "10.1.2.3", true),
            (&["10.0.0.0/8"], &["10.0.0.0/8"], "10.0.0.1", false),
            (&["0.0.0.0/0"], &["192.0.2.1"], "192.0.2.1", false),
            (&["0.0.0.0/0"], &["192.0.2.1"], "192.0.2.2", true),
            (&["0.0.0.0/0"], &[], "::1", false),
            (&["::/0"], &[], "192.0.2.1", false),
            (&["::/0"], &[], "2001:db8::1", true),
            (&["2001:db8::/32"], &["2001:db8:0:1::/64"], "2001:db8::1", true),
            (&["2001:db8::/32"], &["2001:db8:0:1::/64"], "2001:db8:0:1::1", false),
            // Bits beyond the prefix are ignored.
            (&["10.1.2.3/8"], &[], "10.9.9.9", true),
            (&["10.1.2.3/8"], &["10.4.5.6/8"], "10.1.2.3", false),
            // Mapped addresses and networks are IPv4.
            (&["192.0.2.0/24"], &[], "::ffff:192.0.2.1", true),
            (&[], &["::ffff:192.0.2.0/120"], "192.0.2.1", false),
            (&[], &["::ffff:0.0.0.0/96"], "192.0.2.1", false),
            (&[], &["::ffff:192.0.2.1"], "192.0.2.1", false),
            (&[], &["::/0"], "::ffff:192.0.2.1", true),
        ] {
            let result = networks(allow, deny).allows(ip.parse().unwrap());
            assert_eq!(result, allowed, "{ip}: allow {allow:?}, deny {deny:?}");
        }
        // The order does not matter.
        let mut networks = networks(&[], &["10.0.0.0/8"]);
        networks.allow("10.0.0.0/8").unwrap();
        assert!(!networks.allows("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn text_that_is_not_a_network_is_rejected() {
        for text in [
            "",
            "localhost",
            "192.0.2.0/33",
            "192.0.2/24",
            "192.0.2.0/",
            "/24",
            "::/129",
            "192.0.2.0/24 ",
            "*",
            "192.0.02.0/24",
            "::ffff:010.0.0.0/104",
            "::/+8",
            "192.0.2.0/024",
            "::/08",
        ] {
            let mut networks = Networks::new();
            let error = networks.allow(text).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("{text:?} is not a network; expected CIDR notation such as 192.0.2.0/24")
            );
            assert!(networks.deny(text).is_err());
            assert!(networks.allows("192.0.2.1".parse().unwrap()), "the list is unchanged");
        }
    }

    #[test]
    fn a_hundred_thousand_networks_are_each_found() {
        let mut networks = Networks::new();
        let network = |i: u32| format!("10.{}.{}.{}/31", i >> 15 & 255, i >> 7 & 255, i << 1 & 255);
        (0..100_000).for_each(|i| networks.deny(&network(i)).unwrap());
        for i in 0..100_000 {
            let ip: IpAddr = network(i).split('/').next().unwrap().parse().unwrap();
            assert!(!networks.allows(ip), "{ip}");
        }
        assert!(networks.allows("11.0.0.1".parse().unwrap()));
    }
}

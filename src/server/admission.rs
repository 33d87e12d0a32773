//! Admission of clients: by network, by their number in all, and by their number from one source.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{events::Reason, listen::Peer};
use crate::Networks;

/// One source of clients: an IPv4 address, plain or mapped into IPv6, or an IPv6 network of 64 bits, the usual size for
/// one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Source {
    fn from(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Source::V4(ip.into()),
            IpAddr::V6(ip) => Source::V6((u128::from(ip) >> 64) as u64),
        }
    }
}

/// The clients of a server, counted. Each admitted client must [`leave`](Self::leave) once.
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    admitted: AtomicUsize,
    sources: Option<Sources>,
    networks: Mutex<Networks>,
}

/// The number of clients for each source that has any, so that there are at max as many entries as clients.
#[derive(Debug)]
struct Sources {
    max: usize,
    admitted: Mutex<HashMap<Source, usize>>,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_source: Option<usize>, networks: Networks) -> Self {
        let sources = max_per_source.map(|max| Sources { max, admitted: Mutex::default() });
        Admission { max, admitted: AtomicUsize::new(0), sources, networks: Mutex::new(networks) }
    }

    /// The most clients at a time.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn is_full(&self) -> bool {
        self.admitted.load(Relaxed) >= self.max
    }

    /// Replaces the networks for later clients. Admitted clients stay.
    pub(super) fn set_networks(&self, networks: Networks) {
        let former = std::mem::replace(&mut *self.networks.lock().unwrap_or_else(PoisonError::into_inner), networks);
        // Dropped after the lock is released: a large list takes a while, and `admit` must not wait for it.
        drop(former);
    }

    /// Admits a client, or says why not. Only one thread calls this, so that no limit is ever exceeded. The peer of a Unix
    /// socket has neither network nor source: the permissions of the file decide there.
    pub(super) fn admit(&self, peer: &Peer) -> Result<(), Reason> {
        let ip = peer.ip();
        if ip.is_some_and(|ip| !self.networks.lock().unwrap_or_else(PoisonError::into_inner).allows(ip)) {
            return Err(Reason::Denied);
        }
        if self.is_full() {
            return Err(Reason::Full);
        }
        if let (Some(sources), Some(ip)) = (&self.sources, ip) {
            let mut table = sources.table();
            let admitted = table.entry(ip.into()).or_insert(0);
            if *admitted >= sources.max {
                return Err(Reason::PerSource);
            }
            *admitted += 1;
        }
        self.admitted.fetch_add(1, Relaxed);
        Ok(())
    }

    pub(super) fn leave(&self, peer: &Peer) {
        self.admitted.fetch_sub(1, Relaxed);
        if let (Some(sources), Some(ip)) = (&self.sources, peer.ip()) {
            let (mut table, source) = (sources.table(), ip.into());
            if let Some(admitted) = table.get_mut(&source) {
                *admitted -= 1;
                if *admitted == 0 {
                    table.remove(&source);
                }
            }
        }
    }
}

impl Sources {
    fn table(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn peer(at: &str) -> Peer {
        at.parse::<SocketAddr>().unwrap().into()
    }

    fn admit(admission: &Admission, at: &str) -> Result<(), Reason> {
        admission.admit(&peer(at))
    }

    #[test]
    fn a_client_that_leaves_makes_room() {
        let admission = Admission::new(2, None, Networks::new());
        for _ in 0..3 {
            assert_eq!(admit(&admission, "192.0.2.1:1"), Ok(()));
            assert_eq!(admit(&admission, "192.0.2.1:2"), Ok(()));
            assert_eq!(admit(&admission, "192.0.2.1:3"), Err(Reason::Full));
            admission.leave(&peer("192.0.2.1:1"));
            admission.leave(&peer("192.0.2.1:2"));
        }
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        for (first, second, same) in [
            ("192.0.2.1:1", "192.0.2.1:2", true),
            ("192.0.2.1:1", "[::ffff:192.0.2.1]:1", true),
            ("192.0.2.1:1", "192.0.2.2:1", false),
            ("[2001:db8::1]:1", "[2001:db8::ffff:1]:1", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
            ("[::1]:1", "0.0.0.1:1", false),
        ] {
            let admission = Admission::new(10, Some(1), Networks::new());
            assert_eq!(admit(&admission, first), Ok(()));
            let expected = if same { Err(Reason::PerSource) } else { Ok(()) };
            assert_eq!(admit(&admission, second), expected, "{first} {second}");
        }
    }

    #[test]
    fn networks_are_checked_first_and_unix_sockets_have_none() {
        let mut networks = Networks::new();
        networks.allow("192.0.2.0/24").unwrap();
        let admission = Admission::new(2, Some(1), networks);
        assert_eq!(admit(&admission, "192.0.2.1:1"), Ok(()));
        assert_eq!(admit(&admission, "192.0.2.1:2"), Err(Reason::PerSource));
        assert_eq!(admit(&admission, "[2001:db8::1]:1"), Err(Reason::Denied));
        assert_eq!(admission.admit(&Peer::Unix(None)), Ok(()));
        assert_eq!(admission.admit(&Peer::Unix(None)), Err(Reason::Full));
        admission.leave(&Peer::Unix(None));
        assert_eq!(admission.admit(&Peer::Unix(None)), Ok(()), "a Unix peer is not a source");
        assert_eq!(admit(&admission, "198.51.100.1:1"), Err(Reason::Denied), "checked before the limit");
        admission.leave(&Peer::Unix(None));
        admission.set_networks(Networks::new());
        assert_eq!(admit(&admission, "198.51.100.1:1"), Ok(()));
    }

    #[test]
    fn the_table_is_empty_once_all_clients_have_left() {
        let admission = Admission::new(1000, Some(2), Networks::new());
        let peers: Vec<Peer> =
            (0..500u16).map(|n| SocketAddr::from(([10, 0, (n / 200) as u8, n as u8], n)).into()).collect();
        for peer in &peers {
            let _ = admission.admit(peer);
        }
        let refused: Vec<_> = peers.iter().filter(|peer| admission.admit(peer).is_err()).collect();
        assert!(refused.is_empty() == (admission.admitted.load(Relaxed) == 2 * peers.len()));
        for peer in peers.iter().chain(&peers).take(admission.admitted.load(Relaxed)) {
            admission.leave(peer);
        }
        assert_eq!(admission.admitted.load(Relaxed), 0);
        assert!(admission.sources.unwrap().table().is_empty());
    }
}

//! Admission of clients: by network, by their number in all, and by their number from one source.

use std::{
    collections::HashMap,
    mem,
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

/// The clients of a server, counted. A client takes a seat at [`seat`](Self::seat), then enters; each does the reverse once.
/// A client whose address is known when it is accepted does both at [`admit`](Self::admit).
#[derive(Debug)]
pub(super) struct Admission {
    max: usize,
    seated: AtomicUsize,
    sources: Option<Sources>,
    networks: Mutex<Networks>,
    /// The proxies that may name the address of a client.
    proxies: Mutex<Networks>,
}

/// The number of clients for each source that has any, so that there are at max as many entries as clients.
#[derive(Debug)]
struct Sources {
    max: usize,
    admitted: Mutex<HashMap<Source, usize>>,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_source: Option<usize>, networks: Networks, proxies: Networks) -> Self {
        let sources = max_per_source.map(|max| Sources { max, admitted: Mutex::default() });
        let (networks, proxies) = (Mutex::new(networks), Mutex::new(proxies));
        Admission { max, seated: AtomicUsize::new(0), sources, networks, proxies }
    }

    /// The most clients at a time.
    pub(super) fn max(&self) -> usize {
        self.max
    }

    pub(super) fn is_full(&self) -> bool {
        self.seated.load(Relaxed) >= self.max
    }

    /// Replaces the networks for later clients. Admitted clients stay.
    pub(super) fn set_networks(&self, networks: Networks) {
        replace(&self.networks, networks);
    }

    /// Replaces the proxies for later connections.
    pub(super) fn set_proxies(&self, proxies: Networks) {
        replace(&self.proxies, proxies);
    }

    /// Whether a peer is a proxy that may name the address of a client. The peer of a Unix socket is: the permissions of
    /// the file decide there.
    pub(super) fn is_proxy(&self, peer: &Peer) -> bool {
        peer.ip().is_none_or(|ip| lock(&self.proxies).names(ip))
    }

    /// Admits a client, or says why not. Only the thread that accepts calls this, as [`seat`](Self::seat).
    pub(super) fn admit(&self, peer: &Peer) -> Result<(), Reason> {
        self.check_network(peer)?;
        self.seat()?;
        self.enter(peer).inspect_err(|_| self.leave_seat())
    }

    /// Takes a seat for a client whose address is not known yet. Only one thread calls this, so that no limit is ever
    /// exceeded.
    pub(super) fn seat(&self) -> Result<(), Reason> {
        if self.is_full() {
            return Err(Reason::Full);
        }
        self.seated.fetch_add(1, Relaxed);
        Ok(())
    }

    /// Gives back the seat of a client that has not entered.
    pub(super) fn leave_seat(&self) {
        self.seated.fetch_sub(1, Relaxed);
    }

    /// Checks the network of a client. The peer of a Unix socket has neither network nor source: the permissions of the
    /// file decide there.
    pub(super) fn check_network(&self, peer: &Peer) -> Result<(), Reason> {
        match peer.ip().is_none_or(|ip| lock(&self.networks).allows(ip)) {
            true => Ok(()),
            false => Err(Reason::Denied),
        }
    }

    /// Counts a client that has a seat for its source, or says that there are too many. Any thread may call this.
    pub(super) fn enter(&self, peer: &Peer) -> Result<(), Reason> {
        if let (Some(sources), Some(ip)) = (&self.sources, peer.ip()) {
            let mut table = lock(&sources.admitted);
            let admitted = table.entry(ip.into()).or_insert(0);
            if *admitted >= sources.max {
                return Err(Reason::PerSource);
            }
            *admitted += 1;
        }
        Ok(())
    }

    /// A client that has entered leaves, and gives back its seat.
    pub(super) fn leave(&self, peer: &Peer) {
        self.leave_seat();
        if let (Some(sources), Some(ip)) = (&self.sources, peer.ip()) {
            let (mut table, source) = (lock(&sources.admitted), ip.into());
            if let Some(admitted) = table.get_mut(&source) {
                *admitted -= 1;
                if *admitted == 0 {
                    table.remove(&source);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Replaces a list, and drops the former one after the lock is released: a large list takes a while, and `admit` must not
/// wait for it.
fn replace(list: &Mutex<Networks>, networks: Networks) {
    let former = mem::replace(&mut *lock(list), networks);
    drop(former);
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
        let admission = Admission::new(2, None, Networks::new(), Networks::new());
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
            let admission = Admission::new(10, Some(1), Networks::new(), Networks::new());
            assert_eq!(admit(&admission, first), Ok(()));
            let expected = if same { Err(Reason::PerSource) } else { Ok(()) };
            assert_eq!(admit(&admission, second), expected, "{first} {second}");
        }
    }

    #[test]
    fn networks_are_checked_first_and_unix_sockets_have_none() {
        let mut networks = Networks::new();
        networks.allow("192.0.2.0/24").unwrap();
        let admission = Admission::new(2, Some(1), networks, Networks::new());
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
        let admission = Admission::new(1000, Some(2), Networks::new(), Networks::new());
        let peers: Vec<Peer> =
            (0..500u16).map(|n| SocketAddr::from(([10, 0, (n / 200) as u8, n as u8], n)).into()).collect();
        for peer in &peers {
            let _ = admission.admit(peer);
        }
        let refused: Vec<_> = peers.iter().filter(|peer| admission.admit(peer).is_err()).collect();
        assert!(refused.is_empty() == (admission.seated.load(Relaxed) == 2 * peers.len()));
        for peer in peers.iter().chain(&peers).take(admission.seated.load(Relaxed)) {
            admission.leave(peer);
        }
        assert_eq!(admission.seated.load(Relaxed), 0);
        assert!(lock(&admission.sources.unwrap().admitted).is_empty());
    }
    #[test]
    fn a_client_enters_after_it_has_a_seat() {
        let mut networks = Networks::new();
        networks.deny("192.0.2.66").unwrap();
        let admission = Admission::new(2, Some(1), networks, Networks::new());
        let (first, denied) = (peer("192.0.2.1:1"), peer("192.0.2.66:1"));
        assert_eq!((admission.seat(), admission.seat()), (Ok(()), Ok(())));
        assert_eq!(admission.seat(), Err(Reason::Full));
        assert_eq!(admission.admit(&first), Err(Reason::Full), "a seat without a client counts");
        assert_eq!(admission.check_network(&denied), Err(Reason::Denied));
        assert_eq!(admission.enter(&first), Ok(()));
        assert_eq!(admission.enter(&first), Err(Reason::PerSource));
        admission.leave_seat();
        admission.leave(&first);
        assert_eq!(admission.seated.load(Relaxed), 0);
        assert!(lock(&admission.sources.unwrap().admitted).is_empty());
    }

    #[test]
    fn only_a_named_proxy_is_trusted() {
        let mut proxies = Networks::new();
        let admission = Admission::new(1, None, Networks::new(), proxies.clone());
        assert!(!admission.is_proxy(&peer("192.0.2.1:1")), "an empty list names none");
        proxies.deny("192.0.2.66").unwrap();
        admission.set_proxies(proxies.clone());
        assert!(!admission.is_proxy(&peer("192.0.2.1:1")), "a denial names none either");
        proxies.allow("192.0.2.0/24").unwrap();
        admission.set_proxies(proxies);
        assert!(admission.is_proxy(&peer("192.0.2.1:1")) && admission.is_proxy(&peer("[::ffff:192.0.2.1]:1")));
        assert!(!admission.is_proxy(&peer("192.0.2.66:1")) && !admission.is_proxy(&peer("198.51.100.1:1")));
        assert!(admission.is_proxy(&Peer::Unix(None)));
    }
}

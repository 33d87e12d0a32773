//! Who may come in: how many clients in all, and how many from one source.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::event::Reason;

/// What counts as one source: an IPv4 address, as it is or mapped into IPv6, or an IPv6 network of 64 bits, which is
/// what one subscriber has.
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

/// The seats of a server. Who was admitted must [`leave`](Self::leave) once.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    taken: AtomicUsize,
    sources: Option<Sources>,
}

/// The clients of each source that has any: never more entries than there are clients.
#[derive(Debug)]
struct Sources {
    most: usize,
    taken: Mutex<HashMap<Source, usize>>,
}

impl Admission {
    pub(super) fn new(most: usize, most_per_source: Option<usize>) -> Self {
        let sources = most_per_source.map(|most| Sources { most, taken: Mutex::default() });
        Admission { most, taken: AtomicUsize::new(0), sources }
    }

    /// Takes a seat, or says why there is none. Called by one thread alone, so that no limit is ever exceeded.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<(), Reason> {
        if self.taken.load(Relaxed) >= self.most {
            return Err(Reason::Full);
        }
        if let Some(sources) = &self.sources {
            let mut table = sources.table();
            let taken = table.entry(peer.ip().into()).or_insert(0);
            if *taken >= sources.most {
                return Err(Reason::PerSource);
            }
            *taken += 1;
        }
        self.taken.fetch_add(1, Relaxed);
        Ok(())
    }

    pub(super) fn leave(&self, peer: SocketAddr) {
        self.taken.fetch_sub(1, Relaxed);
        if let Some(sources) = &self.sources {
            let (mut table, source) = (sources.table(), peer.ip().into());
            if let Some(taken) = table.get_mut(&source) {
                *taken -= 1;
                if *taken == 0 {
                    table.remove(&source);
                }
            }
        }
    }
}

impl Sources {
    fn table(&self) -> MutexGuard<'_, HashMap<Source, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(admission: &Admission, peer: &str) -> Result<(), Reason> {
        admission.admit(peer.parse().unwrap())
    }

    #[test]
    fn seats_are_given_back() {
        let admission = Admission::new(2, None);
        for _ in 0..3 {
            assert_eq!(admit(&admission, "192.0.2.1:1"), Ok(()));
            assert_eq!(admit(&admission, "192.0.2.1:2"), Ok(()));
            assert_eq!(admit(&admission, "192.0.2.1:3"), Err(Reason::Full));
            admission.leave("192.0.2.1:1".parse().unwrap());
            admission.leave("192.0.2.1:2".parse().unwrap());
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
            let admission = Admission::new(10, Some(1));
            assert_eq!(admit(&admission, first), Ok(()));
            let expected = if same { Err(Reason::PerSource) } else { Ok(()) };
            assert_eq!(admit(&admission, second), expected, "{first} {second}");
        }
    }

    #[test]
    fn the_table_is_empty_once_everybody_has_left() {
        let admission = Admission::new(1000, Some(2));
        let peers: Vec<SocketAddr> =
            (0..500u16).map(|n| SocketAddr::from(([10, 0, (n / 200) as u8, n as u8], n))).collect();
        for peer in &peers {
            let _ = admission.admit(*peer);
        }
        let refused: Vec<_> = peers.iter().filter(|peer| admission.admit(**peer).is_err()).collect();
        assert!(refused.is_empty() == (admission.taken.load(Relaxed) == 2 * peers.len()));
        for peer in peers.iter().chain(&peers).take(admission.taken.load(Relaxed)) {
            admission.leave(*peer);
        }
        assert_eq!(admission.taken.load(Relaxed), 0);
        assert!(admission.sources.unwrap().table().is_empty());
    }
}

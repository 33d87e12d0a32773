//! The address of a client, in little memory.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6},
    path::Path,
};

use socket2::SockAddr;

use crate::Address;

/// The address of a peer, without unused space: there may be ten thousand idle clients.
#[derive(Clone)]
pub(crate) enum Peer {
    V4(Ipv4Addr, u16),
    V6 {
        ip: Ipv6Addr,
        port: u16,
        scope: u32,
    },
    /// The path of a Unix socket. Most clients do not bind one.
    Unix(Option<Box<Path>>),
}

impl Peer {
    pub(crate) fn unix(address: &SockAddr) -> Self {
        match Address::of_unix(address) {
            Address::Unix(path) if path != Path::new("") => Peer::Unix(Some(path.into())),
            _ => Peer::Unix(None),
        }
    }

    pub(crate) fn address(&self) -> Address {
        match self {
            Peer::V4(ip, port) => SocketAddr::from((*ip, *port)).into(),
            Peer::V6 { ip, port, scope } => SocketAddr::from(SocketAddrV6::new(*ip, *port, 0, *scope)).into(),
            Peer::Unix(path) => Address::Unix(path.as_deref().unwrap_or(Path::new("")).to_owned()),
        }
    }

    /// The IP address; `None` for a Unix socket.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Peer::V4(ip, _) => Some((*ip).into()),
            Peer::V6 { ip, .. } => Some((*ip).into()),
            Peer::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        let port = address.port();
        match (address, address.ip().to_canonical()) {
            // An IPv4 peer of a listener for both protocols has a mapped address.
            (_, IpAddr::V4(ip)) => Peer::V4(ip, port),
            (SocketAddr::V6(address), IpAddr::V6(ip)) => Peer::V6 { ip, port, scope: address.scope_id() },
            (SocketAddr::V4(_), IpAddr::V6(ip)) => Peer::V6 { ip, port, scope: 0 },
        }
    }
}

//! Listeners: from addresses to listening sockets, each with its service.

mod peer;
mod unix;

use std::{
    fs, io,
    net::{Shutdown, SocketAddr},
    os::fd::{AsRawFd, OwnedFd, RawFd},
    time::Duration,
};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpListener, UdpSocket, UnixListener},
};
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt},
};
#[cfg(target_os = "linux")]
use socket2::SockFilter;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::{Address, DEFAULT_PORT, Error};
pub(super) use peer::Peer;
use unix::SocketFile;

/// How many times to look for a port that is free at all addresses of a name.
const ATTEMPTS: usize = 64;

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Service {
    /// Commands and replies, by default on port 9990.
    Text,
    /// The daytime protocol (RFC 867), by default on port 13. Each client gets the date and the time in the server's
    /// zone, such as `Sunday, November 22, 2026 15:44:57-UTC`, and is closed.
    Rfc867,
    /// The time protocol (RFC 868), by default on port 37. Each client gets the seconds since 1900 in four bytes, and is
    /// closed.
    Rfc868,
    /// HTTP for Prometheus and for health checks, by default on port 9991:
    ///
    /// | page | response |
    /// |---|---|
    /// | `/metrics` | the text of [`Handle::metrics`](super::Handle::metrics) |
    /// | `/healthz` | 200 `ok`, while the first worker works |
    /// | `/readyz` | 200 `ready`, or 503 `draining` or `full` |
    ///
    /// Its connections are not clients: they need neither a seat of [`max_clients`](super::ServerBuilder::max_clients) nor an
    /// [allowed](super::ServerBuilder::allow) network, and at most 32 are open at a time. Anyone who reaches the port reads
    /// the counters, so bind it to an address of the network that monitors. While the server drains, it answers until the
    /// last client is gone.
    Metrics,
    /// Commands and replies for the clients of a proxy, by default on port 9990. Each connection must begin with a header
    /// of the PROXY protocol, version 1 or 2, which names the client's address. See
    /// [`ServerBuilder::proxy`](super::ServerBuilder::proxy).
    Proxied,
    /// The daytime protocol over UDP (RFC 867), by default on port 13. Each datagram of at most 3 bytes gets the line of
    /// [`Rfc867`](Self::Rfc867), from the address to which it was sent. Others are dropped: longer ones, those of a port below
    /// 1,024, those to a broadcast or multicast address, those of a denied network, and those of a source that asks too
    /// often, see [`udp_rate`](super::ServerBuilder::udp_rate). The answer has at most three times the size of the question,
    /// counted in bytes of IP.
    Rfc867Udp,
    /// The time protocol over UDP (RFC 868), by default on port 37. As [`Rfc867Udp`](Self::Rfc867Udp), with the four bytes of
    /// [`Rfc868`](Self::Rfc868), at most 1.15 times the size of the question.
    Rfc868Udp,
}

impl Service {
    /// Every service.
    pub const ALL: &[Service] = &[
        Service::Text,
        Service::Rfc867,
        Service::Rfc868,
        Service::Metrics,
        Service::Proxied,
        Service::Rfc867Udp,
        Service::Rfc868Udp,
    ];

    /// Whether servers may share its ports. Each server has counters of its own, so that a page of an unknown one is
    /// worth nothing.
    pub(super) fn is_shared(self) -> bool {
        self != Service::Metrics
    }

    /// The default port.
    #[must_use]
    pub fn port(self) -> u16 {
        match self {
            Service::Text | Service::Proxied => DEFAULT_PORT,
            Service::Rfc867 | Service::Rfc867Udp => 13,
            Service::Rfc868 | Service::Rfc868Udp => 37,
            Service::Metrics => 9991,
        }
    }

    /// Whether its connections are clients: those of [`Service::Metrics`] are not, and UDP does not have connections.
    pub(super) fn has_clients(self) -> bool {
        self != Service::Metrics && !self.is_udp()
    }

    /// The name, such as `rfc867`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Service::Text => "text",
            Service::Rfc867 => "rfc867",
            Service::Rfc868 => "rfc868",
            Service::Metrics => "metrics",
            Service::Proxied => "proxied",
            Service::Rfc867Udp => "rfc867_udp",
            Service::Rfc868Udp => "rfc868_udp",
        }
    }

    /// Whether it is served over UDP.
    #[must_use]
    pub fn is_udp(self) -> bool {
        matches!(self, Service::Rfc867Udp | Service::Rfc868Udp)
    }
}

/// A listening socket. The file of a Unix socket is removed when this is dropped, before the socket is closed. While the
/// socket listens, no other server mistakes the file for a stale one, and its inode is not reused.
#[derive(Debug)]
pub(super) struct Listener {
    _file: Option<SocketFile>,
    pub(super) socket: Listening,
    pub(super) service: Service,
    /// Nobody else serves the clients in the queue, as far as this process knows: neither a process with the same socket,
    /// nor a server that shares the port and gets them from the system.
    owned: bool,
}

#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Listening::Tcp(socket) => socket.local_addr().map(Address::from),
            Listening::Unix(socket) => SockRef::from(socket).local_addr().map(|address| Address::of_unix(&address)),
        }
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let socket: &mut dyn Source = match &mut self.socket {
            Listening::Tcp(socket) => socket,
            Listening::Unix(socket) => socket,
        };
        registry.register(socket, token, Interest::READABLE)
    }

    /// Lets no further client into the queue of connections, so that the last one can be accepted before the listener is
    /// closed. The system would reset the clients that are in the queue then. Another process may go on with a socket that
    /// was passed, and so may its clients. Without effect where the system cannot do that.
    pub(super) fn close_queue(&self) {
        if !self.owned {
            return;
        }
        match &self.socket {
            // SYN is ignored. The client repeats it after a second, and is refused then, or accepted by the next server.
            #[cfg(target_os = "linux")]
            Listening::Tcp(socket) => drop(SockRef::from(socket).attach_filter(&NO_SYN.map(instruction))),
            #[cfg(not(target_os = "linux"))]
            Listening::Tcp(_) => {}
            // The client is refused.
            Listening::Unix(socket) => drop(SockRef::from(socket).shutdown(Shutdown::Read)),
        }
    }

    fn tcp(socket: Socket, service: Service, shared: bool) -> Self {
        let socket = Listening::Tcp(TcpListener::from_std(socket.into()));
        Listener { socket, service, owned: !(shared && migrates()), _file: None }
    }
}

/// Whether the system gives the clients in the queue of a closed listener to another one that shares its port
/// (`tcp_migrate_req` in Linux's ip-sysctl documentation).
fn migrates() -> bool {
    fs::read("/proc/sys/net/ipv4/tcp_migrate_req").is_ok_and(|value| value.trim_ascii() == b"1")
}

/// A bound socket of UDP.
#[derive(Debug)]
pub(super) struct DatagramSocket {
    pub(super) socket: UdpSocket,
    pub(super) service: Service,
}

impl DatagramSocket {
    /// Has the system report to which address each question was sent, so that the answer comes from that address.
    pub(super) fn new(socket: std::net::UdpSocket, service: Service) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        match socket.local_addr()? {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            SocketAddr::V6(_) => {
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                // For questions over IPv4: IPv6's message does not tell a broadcast address from one of this host.
                #[cfg(target_os = "linux")]
                setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
            }
        }
        Ok(DatagramSocket { socket: UdpSocket::from_std(socket), service })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }
}

/// A filter in classic BPF, over a TCP header: it drops the segments with SYN and without ACK. Those that complete a
/// handshake pass.
#[cfg(target_os = "linux")]
const NO_SYN: [(u16, u8, u8, u32); 5] = [
    (0x30, 0, 0, 13),       // load the byte of the flags
    (0x54, 0, 0, 0x12),     // and SYN | ACK
    (0x15, 0, 1, 0x02),     // if it is SYN
    (0x06, 0, 0, 0),        // then drop
    (0x06, 0, 0, u32::MAX), // else pass
];

#[cfg(target_os = "linux")]
fn instruction((code, if_true, if_false, k): (u16, u8, u8, u32)) -> SockFilter {
    SockFilter::new(code, if_true, if_false, k)
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Listening::Tcp(socket) => socket.as_raw_fd(),
            Listening::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// The sockets of a server: those of its connections, and those of UDP.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    pub(super) listeners: Vec<Listener>,
    pub(super) datagrams: Vec<DatagramSocket>,
}

impl Sockets {
    /// The descriptors, which a forked child inherits.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let listeners = self.listeners.iter().map(AsRawFd::as_raw_fd);
        listeners.chain(self.datagrams.iter().map(|datagrams| datagrams.socket.as_raw_fd())).collect()
    }
}

/// The bound addresses of a server, by service.
#[derive(Debug, Default)]
pub(super) struct Addresses([Vec<Address>; Service::ALL.len()]);

impl Addresses {
    pub(super) fn of(sockets: &Sockets) -> Result<Self, Error> {
        let mut addresses = Addresses::default();
        let mut add = |service: Service, address: io::Result<Address>| {
            addresses.0[service as usize].push(address.map_err(Error::io("read the address of a listener"))?);
            Ok::<(), Error>(())
        };
        for listener in &sockets.listeners {
            add(listener.service, listener.address())?;
        }
        for DatagramSocket { socket, service } in &sockets.datagrams {
            add(*service, socket.local_addr().map(Address::from))?;
        }
        Ok(addresses)
    }

    pub(super) fn of_service(&self, service: Service) -> &[Address] {
        &self.0[service as usize]
    }

    /// The first TCP address of the text protocol.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.of_service(Service::Text).iter().find_map(Address::socket_addr)
    }
}

/// Binds every address and listens. `mode` has the permissions of the files of Unix sockets, and `shared` is whether other
/// servers may bind the same ports.
pub(super) fn bind(
    addresses: &[(Service, Address)],
    backlog: i32,
    mode: Option<u32>,
    shared: bool,
) -> Result<Sockets, Error> {
    let resolved =
        addresses.iter().map(|(service, address)| address.resolve(service.port())).collect::<Result<Vec<_>, _>>()?;
    let v4_ports: Vec<(bool, u16)> = addresses
        .iter()
        .zip(&resolved)
        .flat_map(|((service, _), resolved)| resolved.iter().map(|address| (service.is_udp(), address)))
        .filter(|(_, address)| address.is_ipv4())
        .map(|(is_udp, address)| (is_udp, address.port()))
        .collect();
    let mut sockets = Sockets::default();
    for ((service, address), candidates) in addresses.iter().zip(&resolved) {
        let shared = shared && service.is_shared();
        // `[::]` also accepts IPv4, unless an IPv4 address with the same port is added.
        let v6_only =
            |candidate: &SocketAddr| candidate.port() != 0 && v4_ports.contains(&(service.is_udp(), candidate.port()));
        let kind = if service.is_udp() { Kind::Datagram { shared } } else { Kind::Stream { backlog, shared } };
        let bound = match (address, candidates.as_slice()) {
            (Address::Unix(_), _) if service.is_udp() => return Err(address.not_for_udp()),
            (Address::Unix(path), _) => {
                let (socket, file) = unix::bind(path, backlog, mode)?;
                let socket = Listening::Unix(UnixListener::from_std(socket));
                sockets.listeners.push(Listener { socket, service: *service, owned: true, _file: file });
                continue;
            }
            (_, [one]) => vec![kind.bind(*one, v6_only(one))?],
            (_, several) => bind_name(address, several, kind)?,
        };
        for socket in bound {
            match kind {
                Kind::Stream { .. } => sockets.listeners.push(Listener::tcp(socket, *service, shared)),
                Kind::Datagram { .. } => {
                    let socket = DatagramSocket::new(socket.into(), *service);
                    sockets.datagrams.push(socket.map_err(Error::io(format!("bind {address}")))?);
                }
            }
        }
    }
    Ok(sockets)
}

/// Takes a copy of a socket of UDP that is bound already. The builder keeps the original.
pub(super) fn adopt_datagrams(descriptor: &OwnedFd, service: Service) -> Result<DatagramSocket, Error> {
    let number = descriptor.as_raw_fd();
    let socket = SockRef::from(descriptor);
    let address = socket.local_addr().ok().and_then(|address| address.as_socket());
    if socket.r#type().ok() != Some(Type::DGRAM) || address.is_none_or(|address| address.port() == 0) {
        return Err(Error::Invalid(format!("the file descriptor {number} is not a bound UDP socket")));
    }
    let adopt = || DatagramSocket::new(descriptor.try_clone()?.into(), service);
    adopt().map_err(Error::io(format!("adopt the file descriptor {number}")))
}

/// Takes a copy of a socket that listens already. The builder keeps the original, so that a failure does not lose it. Its
/// file, if there is one, belongs to another owner and is not removed.
pub(super) fn adopt(descriptor: &OwnedFd, service: Service) -> Result<Listener, Error> {
    let number = descriptor.as_raw_fd();
    let reject = |reason: &str| Error::Invalid(format!("the file descriptor {number} {reason}"));
    let socket = SockRef::from(descriptor);
    let stream = socket.r#type().map_err(|_| reject("is not a socket"))? == Type::STREAM;
    if !stream || !socket.is_listener().unwrap_or(false) {
        return Err(reject("is not a listening stream socket"));
    }
    let domain = socket.domain().map_err(Error::io(format!("adopt the file descriptor {number}")))?;
    let adopt = || {
        let socket = Socket::from(descriptor.try_clone()?);
        socket.set_nonblocking(true)?;
        if domain == Domain::UNIX {
            return Ok(Listening::Unix(UnixListener::from_std(OwnedFd::from(socket).into())));
        }
        prepare(&socket)?;
        Ok(Listening::Tcp(TcpListener::from_std(socket.into())))
    };
    match domain {
        Domain::IPV4 | Domain::IPV6 | Domain::UNIX => {
            let socket = adopt().map_err(Error::io(format!("adopt the file descriptor {number}")))?;
            Ok(Listener { socket, service, owned: false, _file: None })
        }
        _ => Err(reject("is neither a TCP nor a Unix socket")),
    }
}

/// Whether a socket that listens already is a Unix socket.
pub(super) fn is_unix(descriptor: &OwnedFd) -> bool {
    SockRef::from(descriptor).domain().is_ok_and(|domain| domain == Domain::UNIX)
}

/// Sets the options that every accepted connection inherits.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))
}

/// Binds the addresses of one name that this machine has, all with the same port.
fn bind_name(name: &Address, candidates: &[SocketAddr], kind: Kind) -> Result<Vec<Socket>, Error> {
    let mut taken = None;
    for _ in 0..ATTEMPTS {
        let mut listeners: Vec<Socket> = Vec::new();
        let mut missing = None;
        let mut collision = None;
        for candidate in candidates {
            let mut candidate = *candidate;
            if candidate.port() == 0
                && let Some(Some(first)) = listeners.first().map(port)
            {
                candidate.set_port(first);
            }
            match kind.bind(candidate, true) {
                Ok(listener) => listeners.push(listener),
                Err(Error::Io(error, doing)) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => missing = Some(Error::Io(error, doing)),
                    // The port is free at another address of this name, and taken at this one.
                    Some(Errno::EADDRINUSE) if !listeners.is_empty() && candidates[0].port() == 0 => {
                        collision = Some(Error::Io(error, doing));
                        break;
                    }
                    _ => return Err(Error::Io(error, doing)),
                },
                Err(error) => return Err(error),
            }
        }
        match (collision, missing) {
            (Some(error), _) => taken = Some(error),
            (None, Some(error)) if listeners.is_empty() => return Err(error),
            (None, _) => return Ok(listeners),
        }
    }
    Err(taken
        .unwrap_or_else(|| Error::Invalid(format!("{name} does not have a port that is free at all its addresses"))))
}

fn port(socket: &Socket) -> Option<u16> {
    socket.local_addr().ok()?.as_socket().map(|address| address.port())
}

/// The kind of a socket that is bound to an IP address.
#[derive(Clone, Copy)]
enum Kind {
    /// TCP: the size of the queue of connections, and whether other servers may bind the same port.
    Stream { backlog: i32, shared: bool },
    /// UDP: whether other servers may bind the same port.
    Datagram { shared: bool },
}

impl Kind {
    fn bind(self, address: SocketAddr, v6_only: bool) -> Result<Socket, Error> {
        let bind = || {
            let (kind, protocol) = match self {
                Kind::Stream { .. } => (Type::STREAM, Protocol::TCP),
                Kind::Datagram { .. } => (Type::DGRAM, Protocol::UDP),
            };
            let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
            if address.is_ipv6() {
                socket.set_only_v6(v6_only)?;
            }
            match self {
                Kind::Stream { backlog, shared } => {
                    // Allows a server to start while connections of an earlier server are in TIME_WAIT. For UDP it would
                    // let another program take the port.
                    socket.set_reuse_address(true)?;
                    socket.set_reuse_port(shared)?;
                    prepare(&socket)?;
                    socket.bind(&address.into())?;
                    socket.listen(backlog)?;
                }
                Kind::Datagram { shared } => {
                    socket.set_reuse_port(shared)?;
                    socket.bind(&address.into())?;
                }
            }
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        bind().map_err(|error: io::Error| {
            let is_shared = matches!(self, Kind::Stream { shared: true, .. } | Kind::Datagram { shared: true });
            let hint = match is_shared && error.kind() == io::ErrorKind::AddrInUse {
                true => ", which is taken, or shared by a program without reuse_port or of another user",
                false => "",
            };
            Error::Io(error, format!("bind {address}{hint}"))
        })
    }
}

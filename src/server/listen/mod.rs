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
    net::{TcpListener, UnixListener},
};
use nix::errno::Errno;
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
    /// Its connections are no clients: they need neither a seat of [`max_clients`](super::ServerBuilder::max_clients) nor an
    /// [allowed](super::ServerBuilder::allow) network, and at most 32 are open at a time. Anyone who reaches the port reads
    /// the counters, so bind it to an address of the network that monitors. While the server drains, it answers until the
    /// last client is gone.
    Metrics,
    /// Commands and replies for the clients of a proxy, by default on port 9990. Each connection must begin with a header
    /// of the PROXY protocol, version 1 or 2, which names the client's address. See
    /// [`ServerBuilder::proxy`](super::ServerBuilder::proxy).
    Proxied,
}

impl Service {
    /// Every service.
    pub const ALL: &[Service] = &[Service::Text, Service::Rfc867, Service::Rfc868, Service::Metrics, Service::Proxied];

    /// Whether servers may share its ports. Each server has counters of its own, so that a page of an unknown one is
    /// worth nothing.
    pub(super) fn is_shared(self) -> bool {
        self != Service::Metrics
    }

    /// The default port.
    pub fn port(self) -> u16 {
        match self {
            Service::Text | Service::Proxied => DEFAULT_PORT,
            Service::Rfc867 => 13,
            Service::Rfc868 => 37,
            Service::Metrics => 9991,
        }
    }

    /// Whether its connections are clients: those of [`Service::Metrics`] are not.
    pub(super) fn has_clients(self) -> bool {
        self != Service::Metrics
    }

    /// The name, such as `rfc867`.
    pub fn name(self) -> &'static str {
        match self {
            Service::Text => "text",
            Service::Rfc867 => "rfc867",
            Service::Rfc868 => "rfc868",
            Service::Metrics => "metrics",
            Service::Proxied => "proxied",
        }
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

/// The bound addresses of a server, by service.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    text: Vec<Address>,
    rfc867: Vec<Address>,
    rfc868: Vec<Address>,
    metrics: Vec<Address>,
    proxied: Vec<Address>,
}

impl Addresses {
    pub(super) fn of(listeners: &[Listener]) -> Result<Self, Error> {
        let mut addresses = Addresses::default();
        for listener in listeners {
            let address = listener.address().map_err(Error::io("read the address of a listener"))?;
            match listener.service {
                Service::Text => addresses.text.push(address),
                Service::Rfc867 => addresses.rfc867.push(address),
                Service::Rfc868 => addresses.rfc868.push(address),
                Service::Metrics => addresses.metrics.push(address),
                Service::Proxied => addresses.proxied.push(address),
            }
        }
        Ok(addresses)
    }

    pub(super) fn of_service(&self, service: Service) -> &[Address] {
        match service {
            Service::Text => &self.text,
            Service::Rfc867 => &self.rfc867,
            Service::Rfc868 => &self.rfc868,
            Service::Metrics => &self.metrics,
            Service::Proxied => &self.proxied,
        }
    }

    /// The first TCP address of the text protocol.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.text.iter().find_map(Address::socket_addr)
    }
}

/// Binds every address and listens. `mode` has the permissions of the files of Unix sockets, and `shared` is whether other
/// servers may bind the same ports.
pub(super) fn bind(
    addresses: &[(Service, Address)],
    backlog: i32,
    mode: Option<u32>,
    shared: bool,
) -> Result<Vec<Listener>, Error> {
    let resolved =
        addresses.iter().map(|(service, address)| address.resolve(service.port())).collect::<Result<Vec<_>, _>>()?;
    let v4_ports: Vec<u16> =
        resolved.iter().flatten().filter(|address| address.is_ipv4()).map(SocketAddr::port).collect();
    let mut listeners = Vec::new();
    for ((service, address), candidates) in addresses.iter().zip(&resolved) {
        let shared = shared && service.is_shared();
        // `[::]` also accepts IPv4, unless an IPv4 address with the same port is added.
        let v6_only = |candidate: &SocketAddr| candidate.port() != 0 && v4_ports.contains(&candidate.port());
        match (address, candidates.as_slice()) {
            (Address::Unix(path), _) => {
                let (socket, file) = unix::bind(path, backlog, mode)?;
                let socket = Listening::Unix(UnixListener::from_std(socket));
                listeners.push(Listener { socket, service: *service, owned: true, _file: file });
            }
            (_, [one]) => listeners.push(Listener::tcp(listen(*one, v6_only(one), backlog, shared)?, *service, shared)),
            (_, several) => {
                let sockets = bind_name(address, several, backlog, shared)?;
                listeners.extend(sockets.into_iter().map(|socket| Listener::tcp(socket, *service, shared)));
            }
        }
    }
    Ok(listeners)
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
fn bind_name(name: &Address, candidates: &[SocketAddr], backlog: i32, shared: bool) -> Result<Vec<Socket>, Error> {
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
            match listen(candidate, true, backlog, shared) {
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

fn listen(address: SocketAddr, v6_only: bool, backlog: i32, shared: bool) -> Result<Socket, Error> {
    let listener = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Allows a server to start while connections of an earlier server are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(v6_only)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    listener().map_err(|error: io::Error| {
        let hint = match shared && error.kind() == io::ErrorKind::AddrInUse {
            true => ", which is taken, or shared by a program without reuse_port or of another user",
            false => "",
        };
        Error::Io(error, format!("bind {address}{hint}"))
    })
}

//! Binding: from addresses to listening sockets, and what is spoken on each of them.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    time::Duration,
};

use mio::{
    Interest, Registry, Token,
    event::Source,
    net::{TcpListener, UnixListener},
};
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::unix::{self, SocketFile};
use crate::{Address, DEFAULT_PORT, Error};

/// How often a free port is looked for that all addresses of a name have free.
const ATTEMPTS: usize = 64;

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Commands and replies.
    Text,
    /// The daytime protocol.
    Rfc867,
    /// The time protocol.
    Rfc868,
}

impl Service {
    fn port(self) -> u16 {
        match self {
            Service::Text => DEFAULT_PORT,
            Service::Rfc867 => 13,
            Service::Rfc868 => 37,
        }
    }
}

/// A socket that listens. A Unix socket's file goes when this does, and before the socket: while that listens, nobody
/// takes the file for one that was left behind, nor can another have its inode.
#[derive(Debug)]
pub(super) struct Listener {
    _file: Option<SocketFile>,
    pub(super) socket: Listening,
    pub(super) service: Service,
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

    fn tcp(socket: Socket, service: Service) -> Self {
        Listener { socket: Listening::Tcp(TcpListener::from_std(socket.into())), service, _file: None }
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        match &self.socket {
            Listening::Tcp(socket) => socket.as_raw_fd(),
            Listening::Unix(socket) => socket.as_raw_fd(),
        }
    }
}

/// Where a server listens.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) text: Vec<Address>,
    pub(super) rfc867: Vec<Address>,
    pub(super) rfc868: Vec<Address>,
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
            }
        }
        Ok(addresses)
    }

    pub(super) fn port(&self) -> u16 {
        let port = |address: &Address| if let Address::Tcp(address) = address { Some(address.port()) } else { None };
        self.text.iter().find_map(port).unwrap_or(0)
    }
}

/// Binds every address and listens there. `mode` is that of Unix sockets' files.
pub(super) fn bind(addresses: &[(Service, Address)], backlog: i32, mode: Option<u32>) -> Result<Vec<Listener>, Error> {
    let resolved =
        addresses.iter().map(|(service, address)| address.resolve(service.port())).collect::<Result<Vec<_>, _>>()?;
    let v4_ports: Vec<u16> =
        resolved.iter().flatten().filter(|address| address.is_ipv4()).map(SocketAddr::port).collect();
    let mut listeners = Vec::new();
    for ((service, address), candidates) in addresses.iter().zip(&resolved) {
        // `[::]` takes IPv4 too, unless that has a listener of its own on the same port.
        let v6_only = |candidate: &SocketAddr| candidate.port() != 0 && v4_ports.contains(&candidate.port());
        match (address, candidates.as_slice()) {
            (Address::Unix(path), _) => {
                let (socket, file) = unix::bind(path, backlog, mode)?;
                let socket = Listening::Unix(UnixListener::from_std(socket));
                listeners.push(Listener { socket, service: *service, _file: file });
            }
            (_, [one]) => listeners.push(Listener::tcp(listen(*one, v6_only(one), backlog)?, *service)),
            (_, several) => {
                let sockets = bind_name(address, several, backlog)?;
                listeners.extend(sockets.into_iter().map(|socket| Listener::tcp(socket, *service)));
            }
        }
    }
    Ok(listeners)
}

/// A socket that listens already, made as the others are. The builder keeps the original, lest it be lost with a
/// failure. Its file, if it has one, is somebody else's.
pub(super) fn adopt(descriptor: &OwnedFd, service: Service) -> Result<Listener, Error> {
    let number = descriptor.as_raw_fd();
    let refuse = |why: &str| Error::Invalid(format!("the descriptor {number} {why}"));
    let socket = SockRef::from(descriptor);
    let stream = socket.r#type().map_err(|_| refuse("is no socket"))? == Type::STREAM;
    if !stream || !socket.is_listener().unwrap_or(false) {
        return Err(refuse("is no stream socket that listens"));
    }
    let domain = socket.domain().map_err(Error::io(format!("adopt the descriptor {number}")))?;
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
            let socket = adopt().map_err(Error::io(format!("adopt the descriptor {number}")))?;
            Ok(Listener { socket, service, _file: None })
        }
        _ => Err(refuse("is neither a TCP nor a Unix socket")),
    }
}

/// What every accepted connection inherits.
fn prepare(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(60)))
}

/// Binds the addresses of one name that this machine has; all have the same port.
fn bind_name(name: &Address, candidates: &[SocketAddr], backlog: i32) -> Result<Vec<Socket>, Error> {
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
            match listen(candidate, true, backlog) {
                Ok(listener) => listeners.push(listener),
                Err(Error::Io(error, doing)) => match error.raw_os_error().map(Errno::from_raw) {
                    Some(Errno::EADDRNOTAVAIL | Errno::EAFNOSUPPORT) => missing = Some(Error::Io(error, doing)),
                    // The port was free at another address of this name, not here.
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
    Err(taken.unwrap_or_else(|| Error::Invalid(format!("{name} has no free port"))))
}

fn port(socket: &Socket) -> Option<u16> {
    socket.local_addr().ok()?.as_socket().map(|address| address.port())
}

fn listen(address: SocketAddr, v6_only: bool, backlog: i32) -> Result<Socket, Error> {
    let listener = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Lets a server start while connections of an earlier one are in TIME_WAIT.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(v6_only)?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(backlog)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    listener().map_err(Error::io(format!("bind {address}")))
}

//! Where a server listens, for which protocol, and which networks it accepts.

use std::{
    ffi::{c_char, c_int},
    io,
    os::fd::{BorrowedFd, FromRawFd, OwnedFd},
};

use socket2::{Domain, SockRef, Type};

use super::{
    Failure, daytime_status, entry,
    server::{daytime_server, nth},
};
use crate::{Networks, Service};
use daytime_service::*;

/// The protocol of a listener: daytime_server_listen_as().
#[repr(C)]
pub enum daytime_service {
    /// Commands and replies, by default on port 9990.
    DAYTIME_SERVICE_TEXT = 0,
    /// The daytime protocol (RFC 867), by default on port 13. Each client gets the date and the time in the server's
    /// zone, such as "Sunday, November 22, 2026 15:44:57-UTC", and is closed.
    DAYTIME_SERVICE_RFC867 = 1,
    /// The time protocol (RFC 868), by default on port 37. Each client gets the seconds since 1900 in four bytes, and is
    /// closed.
    DAYTIME_SERVICE_RFC868 = 2,
    /// HTTP for Prometheus and for health checks, by default on port 9991. "/metrics" has the text of
    /// daytime_server_metrics(); "/healthz" answers 200 while the first worker works; "/readyz" answers 200, or 503 while the
    /// server drains or is full. Its connections are not clients, and at most 32 are open at a time. Anyone who reaches the
    /// port reads the counters. While the server drains, it answers until the last client is gone.
    DAYTIME_SERVICE_METRICS = 3,
    /// Commands and replies for the clients of a proxy, by default on port 9990. Each connection must begin with a header
    /// of the PROXY protocol, version 1 or 2, which names the client's address: daytime_server_proxy().
    DAYTIME_SERVICE_PROXIED = 4,
    /// The daytime protocol over UDP (RFC 867), by default on port 13. Each datagram of at most 3 bytes gets the line of
    /// DAYTIME_SERVICE_RFC867, from the address to which it was sent. Others are dropped: longer ones, those of a port below
    /// 1,024, those to a broadcast or multicast address, those of a denied network, and those of a source that asks too
    /// often, see daytime_server_set_udp_rate(). The answer has at most 3 times the bytes of the question, counted in IP.
    DAYTIME_SERVICE_RFC867_UDP = 5,
    /// The time protocol over UDP (RFC 868), by default on port 37. As DAYTIME_SERVICE_RFC867_UDP, with the four bytes of
    /// DAYTIME_SERVICE_RFC868, at most 1.15 times the bytes of the question.
    DAYTIME_SERVICE_RFC868_UDP = 6,
}

/// Adds an address to listen on: "localhost:9990", "0.0.0.0" (with port 9990), "[::]:0". A name stands for all of its
/// addresses that this machine has. Port 0 stands for any free port. Default, if nothing but listeners for metrics is added:
/// "localhost:9990". Nothing is bound before the start.
///
/// "unix:/run/daytime.sock" is a Unix socket, and "unix:@daytime" one in Linux's abstract namespace. At most 107 bytes
/// follow "unix:". The start replaces the file of a socket on which no server answers, and no other file. The file is
/// removed when the server ends, if it is still the same one.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not an
/// address; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen(server: *mut daytime_server, address: *const c_char) -> daytime_status {
    entry!(server, address => server.listen(Service::Text, address))
}

/// As daytime_server_listen(), for a daytime_service. The service determines the default port.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen(), and
/// DAYTIME_ERR_INVALID for an unknown service.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_as(
    server: *mut daytime_server,
    service: c_int,
    address: *const c_char,
) -> daytime_status {
    entry!(server, address => server.listen(known(service)?, address))
}

/// Adds a TCP or Unix socket that listens already, such as one that the process inherited. The file of such a Unix socket
/// is not removed.
/// Ownership: on success the server owns the descriptor and closes it; on failure it stays yours. Lifetime: before start.
/// Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a listening TCP or Unix stream socket; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_fd(server: *mut daytime_server, fd: c_int) -> daytime_status {
    entry!(server => server.adopt(Service::Text, fd))
}

/// As daytime_server_listen_fd(), for a daytime_service. That of a service over UDP is a socket of UDP that has a port.
/// Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd(),
/// and DAYTIME_ERR_INVALID for an unknown service.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_fd_as(
    server: *mut daytime_server,
    service: c_int,
    fd: c_int,
) -> daytime_status {
    entry!(server => server.adopt(known(service)?, fd))
}

/// The permissions of the files of Unix sockets, such as 0660. A client needs write permission to connect. Default,
/// without this call: 0777 less the process's umask.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above 0777; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_unix_mode(server: *mut daytime_server, mode: u32) -> daytime_status {
    entry!(server => server.set(|builder| builder.unix_mode(mode)))
}

/// Shares the ports of TCP listeners with other servers that set this too (SO_REUSEPORT in socket(7)), if `on` is not 0:
/// the system distributes new clients among them at random. Linux asks for processes of the same user. Each server has its
/// own limits, counters and client ids. It has no effect on Unix sockets, on
/// daytime_server_listen_fd(), and on listeners for metrics. Default: 0.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID with an address that has port 0,
/// for this call or for the address, whichever comes later; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_reuse_port(server: *mut daytime_server, on: c_int) -> daytime_status {
    entry!(server => server.set(|builder| builder.reuse_port(on != 0)))
}

/// Accepts the clients of a network, and rejects addresses that no network contains. Each call adds a network in CIDR
/// notation, "192.0.2.0/24" or "2001:db8::/32", or one address. IPv4 mapped into IPv6 is IPv4.
///
/// The longest prefix that contains a client's address decides. A network that is both allowed and denied is denied. A
/// server without networks accepts every client. Clients of Unix sockets have no network, and are always accepted.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// network; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_allow(server: *mut daytime_server, network: *const c_char) -> daytime_status {
    entry!(server, network => server.change(|settings| Ok(settings.networks.allow(network)?)))
}

/// Rejects the clients of a network: their connections are closed silently. Each call adds a network, see
/// daytime_server_allow().
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// network; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_deny(server: *mut daytime_server, network: *const c_char) -> daytime_status {
    entry!(server, network => server.change(|settings| Ok(settings.networks.deny(network)?)))
}

/// Replaces all allowed and denied networks, see daytime_server_allow(). On a running server this holds for later
/// clients; connected clients stay. 100,000 networks take a fraction of a second.
/// Ownership: the texts are copied; an array may be NULL if its size is 0. Lifetime: before start and while it runs.
/// Threads: any. Errors: DAYTIME_ERR_INVALID if a text is NULL or not a network; the networks are unchanged then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_networks(
    server: *mut daytime_server,
    allow: *const *const c_char,
    n_allow: usize,
    deny: *const *const c_char,
    n_deny: usize,
) -> daytime_status {
    entry!(server, allow = (allow, n_allow), deny = (deny, n_deny) => {
        let mut networks = Networks::new();
        allow.into_iter().try_for_each(|network| networks.allow(network))?;
        deny.into_iter().try_for_each(|network| networks.deny(network))?;
        server.set_networks(networks)
    })
}

/// Trusts the proxies of a network: on a TCP listener for DAYTIME_SERVICE_PROXIED, each connection from there begins with a
/// header of the PROXY protocol, version 1 or 2, as HAProxy, nginx and cloud load balancers send it. The client's address
/// in it counts for events, limits and networks. Connections from elsewhere are closed silently. Each call adds a network,
/// as daytime_server_allow(). A Unix listener accepts each proxy that may connect to its file.
///
/// A header that is missing, invalid or late closes the connection: DAYTIME_REASON_PROXY_HEADER. If the header names no TCP
/// client, the proxy is the client, as for its health check, and allowed and denied networks do not apply. A named host
/// can claim any address, so that clients must reach the listener through the proxy only.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if it is not a
/// network; DAYTIME_ERR_STATE once started. The start fails with DAYTIME_ERR_INVALID if a TCP listener for
/// DAYTIME_SERVICE_PROXIED has no named proxy.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_proxy(server: *mut daytime_server, network: *const c_char) -> daytime_status {
    entry!(server, network => server.change(|settings| Ok(settings.proxies.allow(network)?)))
}

/// Replaces all networks of proxies, see daytime_server_proxy(). On a running server this holds for later connections. With
/// an empty array each later TCP connection of a proxy is refused.
/// Ownership: the texts are copied; the array may be NULL if its size is 0. Lifetime: before start and while it runs.
/// Threads: any. Errors: DAYTIME_ERR_INVALID if a text is NULL or not a network; the proxies are unchanged then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_proxies(
    server: *mut daytime_server,
    networks: *const *const c_char,
    n: usize,
) -> daytime_status {
    entry!(server, networks = (networks, n) => {
        let mut proxies = Networks::new();
        networks.into_iter().try_for_each(|network| proxies.allow(network))?;
        server.set_proxies(proxies)
    })
}

/// The first bound address of the text protocol, with the port that the system chose. DAYTIME_ADDR_MAX bytes hold it.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_INVALID if the server has no listener for it; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_local_addr(
    server: *const daytime_server,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.addresses(), 0)?))
}

/// A bound address of a daytime_service by its index, from 0.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last
/// address, and for an unknown service; DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_address(
    server: *const daytime_server,
    service: c_int,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => {
        let addresses = server.running()?.server.addresses_of(known(service)?);
        out.write(nth(addresses, index)?)
    })
}

/// The port of the first TCP address of the text protocol.
/// Ownership: none. Lifetime: once started. Threads: any. Errors: 0 before start, for NULL, and if there is no such address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_port(server: *const daytime_server) -> u16 {
    entry!(server => Ok(server.running()?.server.port()))
}

impl daytime_server {
    fn listen(&self, service: Service, address: &str) -> Result<(), Failure> {
        let address: crate::Address = address.parse()?;
        self.set(|builder| builder.listen_as(service, address))
    }

    fn adopt(&self, service: Service, fd: c_int) -> Result<(), Failure> {
        if fd < 0 {
            return Err(Failure::invalid(format!("a file descriptor must not be negative, got {fd}")));
        }
        // SAFETY: it is not -1, and is only asked for its kind. A closed descriptor answers with an error.
        let socket = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = SockRef::from(&socket);
        if service.is_udp() && !is_bound_udp(&socket).unwrap_or(false) {
            return Err(Failure::invalid(format!("the file descriptor {fd} is not a bound UDP socket")));
        }
        if !service.is_udp() && !listens(&socket).unwrap_or(false) {
            return Err(Failure::invalid(format!("the file descriptor {fd} is not a listening TCP or Unix socket")));
        }
        self.change(|settings| {
            // From here on nothing can fail: a failure would close the descriptor, which would be the caller's then.
            // SAFETY: it is an open socket, and from now on this server owns it.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            settings.builder = settings.builder.clone().listener_as(service, socket);
            Ok(())
        })
    }
}

/// Whether it is a socket that accepts clients.
fn listens(socket: &SockRef<'_>) -> io::Result<bool> {
    let known = [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&socket.domain()?);
    Ok(known && socket.r#type()? == Type::STREAM && socket.is_listener()?)
}

/// Whether it is a socket of UDP that has a port.
fn is_bound_udp(socket: &SockRef<'_>) -> io::Result<bool> {
    let address = socket.local_addr()?.as_socket();
    Ok(socket.r#type()? == Type::DGRAM && address.is_some_and(|address| address.port() != 0))
}

/// The number of a service in C.
pub(super) fn number(service: Service) -> c_int {
    let service = match service {
        Service::Text => DAYTIME_SERVICE_TEXT,
        Service::Rfc867 => DAYTIME_SERVICE_RFC867,
        Service::Rfc868 => DAYTIME_SERVICE_RFC868,
        Service::Metrics => DAYTIME_SERVICE_METRICS,
        Service::Proxied => DAYTIME_SERVICE_PROXIED,
        Service::Rfc867Udp => DAYTIME_SERVICE_RFC867_UDP,
        Service::Rfc868Udp => DAYTIME_SERVICE_RFC868_UDP,
    };
    service as c_int
}

/// The service of a number from C.
fn known(service: c_int) -> Result<Service, Failure> {
    let invalid = || {
        let most = Service::ALL.len() - 1;
        Failure::invalid(format!("{service} is not a daytime_service; expected 0 to {most}"))
    };
    Service::ALL.iter().copied().find(|known| number(*known) == service).ok_or_else(invalid)
}

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
}

/// Adds an address to listen on: "localhost:9990", "0.0.0.0" (with port 9990), "[::]:0". A name stands for all of its
/// addresses that this machine has. Port 0 stands for any free port. Default, if nothing else is added: "localhost:9990".
/// Nothing is bound before the start.
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

/// As daytime_server_listen_fd(), for a daytime_service.
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
/// own limits, counters and client ids. It has no effect on Unix sockets, and on daytime_server_listen_fd(). Default: 0.
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

/// The first bound address of the text protocol, with the port that the system chose. DAYTIME_ADDR_MAX bytes hold it.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_INVALID if the server only has listeners for RFC 867 and RFC 868; DAYTIME_ERR_STATE before start.
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
        if !listens(&SockRef::from(&socket)).unwrap_or(false) {
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

/// The service of a number from C.
fn known(service: c_int) -> Result<Service, Failure> {
    match service {
        _ if service == DAYTIME_SERVICE_TEXT as c_int => Ok(Service::Text),
        _ if service == DAYTIME_SERVICE_RFC867 as c_int => Ok(Service::Rfc867),
        _ if service == DAYTIME_SERVICE_RFC868 as c_int => Ok(Service::Rfc868),
        _ => Err(Failure::invalid(format!("{service} is not a daytime_service; expected 0 to 2"))),
    }
}

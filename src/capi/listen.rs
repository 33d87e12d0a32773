//! Where a server listens, and from which networks it lets clients in.

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
use crate::{Address, Networks, ServerBuilder};

/// Adds an address to listen on: "localhost:9990", "0.0.0.0" (with port 9990), "[::]:0". A name stands for all of its
/// addresses that this machine has, port 0 for any free one. Where nothing at all was added it is "localhost:9990".
/// Nothing is bound before start.
///
/// "unix:/run/daytime.sock" is a Unix socket with that path, "unix:@daytime" one in Linux's abstract namespace; at most
/// 107 bytes follow "unix:". Start replaces a socket's file on which nobody answers, such as that of a server that was
/// killed, and no other file. The file is removed when the server ends, if it is still the same one.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// address; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen(server: *mut daytime_server, address: *const c_char) -> daytime_status {
    entry!(server, address => server.listen(address, ServerBuilder::listen))
}

/// Adds an address where the daytime protocol (RFC 867) is spoken, without a port in it on 13: who connects is sent date
/// and time in the server's zone, "Sunday, November 22, 2026 15:44:57-UTC", and asked nothing.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_rfc867(
    server: *mut daytime_server,
    address: *const c_char,
) -> daytime_status {
    entry!(server, address => server.listen(address, ServerBuilder::listen_rfc867))
}

/// Adds an address where the time protocol (RFC 868) is spoken, without a port in it on 37: who connects is sent four
/// bytes, and asked nothing.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: as daytime_server_listen().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_rfc868(
    server: *mut daytime_server,
    address: *const c_char,
) -> daytime_status {
    entry!(server, address => server.listen(address, ServerBuilder::listen_rfc868))
}

/// Adds a TCP or Unix socket that listens already: from whoever started the process, or bound by other means. The file of
/// such a Unix socket is left alone.
/// Ownership: of the descriptor the server's on success, which closes it; yours on failure. Lifetime: before start.
/// Threads: any. Errors: DAYTIME_ERR_INVALID where it is no TCP or Unix stream socket that listens; DAYTIME_ERR_STATE
/// once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_fd(server: *mut daytime_server, fd: c_int) -> daytime_status {
    entry!(server => server.adopt(fd, ServerBuilder::listener))
}

/// As daytime_server_listen_fd(), for the protocol of daytime_server_listen_rfc867().
/// Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_rfc867_fd(server: *mut daytime_server, fd: c_int) -> daytime_status {
    entry!(server => server.adopt(fd, ServerBuilder::listener_rfc867))
}

/// As daytime_server_listen_fd(), for the protocol of daytime_server_listen_rfc868().
/// Ownership: as daytime_server_listen_fd(). Lifetime: before start. Threads: any. Errors: as daytime_server_listen_fd().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_listen_rfc868_fd(server: *mut daytime_server, fd: c_int) -> daytime_status {
    entry!(server => server.adopt(fd, ServerBuilder::listener_rfc868))
}

/// The permissions of the files of Unix sockets, such as 0660: who may write there may connect. Default, without this
/// call: what the process's umask leaves of 0777.
/// Ownership: none. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID above 0777; DAYTIME_ERR_STATE once
/// started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_set_unix_mode(server: *mut daytime_server, mode: u32) -> daytime_status {
    entry!(server => server.set(|settings| settings.unix_mode(mode)))
}

/// Lets the clients of a network in, and nobody who is in no network; one more with each call. A network is
/// "192.0.2.0/24", "2001:db8::/32", or one address without a slash; IPv4 mapped into IPv6 is IPv4.
///
/// Of the networks that have a client's address the longest prefix decides; where the same one is allowed and denied, it
/// is denied. Without any network everybody is let in. Clients of Unix sockets have no network, and are let in always.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// network; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_allow(server: *mut daytime_server, network: *const c_char) -> daytime_status {
    entry!(server, network => server.change(|settings| Ok(settings.networks.allow(network)?)))
}

/// Turns the clients of a network away without a word, see daytime_server_allow(); one more with each call.
/// Ownership: the text is copied. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID where it is no
/// network; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_deny(server: *mut daytime_server, network: *const c_char) -> daytime_status {
    entry!(server, network => server.change(|settings| Ok(settings.networks.deny(network)?)))
}

/// The networks whose clients are let in and turned away, see daytime_server_allow(), in place of all there were; while
/// the server runs, from the next client on: those that are connected stay. 100,000 take a fraction of a second.
/// Ownership: the texts are copied; an array may be NULL where its number is 0. Lifetime: before start and while it runs.
/// Threads: any. Errors: DAYTIME_ERR_INVALID where one of the texts is NULL or no network; nothing has changed then.
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

/// The first bound address, with the port that the system chose; DAYTIME_ADDR_MAX holds it.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_INVALID where only RFC 867 or RFC 868 is spoken; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_local_addr(
    server: *const daytime_server,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.addresses(), 0)?))
}

/// A bound address by its number, from 0.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: DAYTIME_ERR_INVALID past the last one;
/// DAYTIME_ERR_TRUNCATED; DAYTIME_ERR_STATE before start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_address(
    server: *const daytime_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.addresses(), index)?))
}

/// A bound address of daytime_server_listen_rfc867() by its number, from 0.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: as daytime_server_address().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_rfc867_address(
    server: *const daytime_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.addresses_of(Service::Rfc867), index)?))
}

/// A bound address of daytime_server_listen_rfc868() by its number, from 0.
/// Ownership: the buffer is yours. Lifetime: once started. Threads: any. Errors: as daytime_server_address().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_rfc868_address(
    server: *const daytime_server,
    index: usize,
    buf: *mut c_char,
    cap: usize,
) -> daytime_status {
    entry!(server, out = (buf, cap) => out.write(nth(server.running()?.server.addresses_of(Service::Rfc868), index)?))
}

/// The port of the first TCP address among those of daytime_server_address().
/// Ownership: none. Lifetime: once started. Threads: any. Errors: 0 before start, of NULL, and where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_port(server: *const daytime_server) -> u16 {
    entry!(server => Ok(server.running()?.server.port()))
}

impl daytime_server {
    fn listen(&self, address: &str, listen: fn(ServerBuilder, Address) -> ServerBuilder) -> Result<(), Failure> {
        let address = address.parse()?;
        self.set(|settings| listen(settings, address))
    }

    fn adopt(&self, fd: c_int, adopt: fn(ServerBuilder, OwnedFd) -> ServerBuilder) -> Result<(), Failure> {
        if fd < 0 {
            return Err(Failure::invalid("a descriptor is negative"));
        }
        // SAFETY: it is not -1, and only asked what it is; one that is not open answers that.
        let socket = unsafe { BorrowedFd::borrow_raw(fd) };
        if !listens(&SockRef::from(&socket)).unwrap_or(false) {
            return Err(Failure::invalid("a descriptor is no TCP or Unix socket that listens"));
        }
        self.change(|settings| {
            // Nothing can fail from here on: it would be closed, and is the caller's then.
            // SAFETY: it is an open socket, which becomes this server's.
            let socket = unsafe { OwnedFd::from_raw_fd(fd) };
            settings.builder = adopt(settings.builder.clone(), socket);
            Ok(())
        })
    }
}

/// Whether clients can be accepted there.
fn listens(socket: &SockRef<'_>) -> io::Result<bool> {
    let known = [Domain::IPV4, Domain::IPV6, Domain::UNIX].contains(&socket.domain()?);
    Ok(known && socket.r#type()? == Type::STREAM && socket.is_listener()?)
}

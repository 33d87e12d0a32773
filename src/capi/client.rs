//! The client.

use std::{
    ffi::{c_char, c_int},
    fmt::Display,
    process, ptr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Buffer, Failure, Opaque, daytime_error, daytime_status, entry, null};
use crate::{Address, Client, ClientBuilder, Error, chrono::SecondsFormat, protocol::day_name};

/// One connection to a server of this library, or to the original classroom program. Errors other than
/// DAYTIME_ERR_INVALID, DAYTIME_ERR_REFUSED and DAYTIME_ERR_TRUNCATED break it: every later call returns
/// DAYTIME_ERR_CLOSED.
pub struct daytime_client {
    process: u32,
    /// `None` once it has quit.
    client: Mutex<Option<Client>>,
}

/// Connects and reads the greeting. An address is "localhost:9990", "192.0.2.1" (with port 9990), "[::1]:9990", or a Unix
/// socket, see daytime_server_listen(). Every address of a name is tried. timeout_ms also limits each later call: 0 is the
/// default, 5 seconds, and a negative value means unlimited.
/// Ownership: *out is yours, for daytime_client_free(); it is NULL on failure. Lifetime: until then. Threads: any.
/// Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED;
/// DAYTIME_ERR_REFUSED with the error line of a full server; DAYTIME_ERR_PROTOCOL if the peer is not such a server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_connect(
    address: *const c_char,
    timeout_ms: c_int,
    out: *mut *mut daytime_client,
    err: *mut daytime_error,
) -> daytime_status {
    if !out.is_null() {
        // SAFETY: it is not NULL, so it may be written.
        unsafe { out.write(ptr::null_mut()) };
    }
    entry!(err; address => {
        if out.is_null() {
            return Err(null());
        }
        let client = builder(timeout_ms).connect(address.parse::<Address>()?)?;
        let client = daytime_client { process: process::id(), client: Mutex::new(Some(client)) };
        // SAFETY: as above.
        unsafe { out.write(Box::into_raw(Box::new(client))) };
        Ok(())
    })
}

/// Closes the connection and frees the client. In a forked child the parent's connection stays open.
/// Ownership: ends yours. Lifetime: the last call on this client, after every other one has returned. Threads: any.
/// Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_free(client: *mut daytime_client) {
    entry!(=> {
        if !client.is_null() {
            // SAFETY: `daytime_client_connect` made it, and this is the last call on it.
            drop(unsafe { Box::from_raw(client) });
        }
        Ok(())
    })
}

/// The greeting of the server, without its line end.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_CLOSED after daytime_client_quit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_greeting(
    client: *const daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, |client| Ok(client.greeting().to_owned())))
}

/// The address of the server. DAYTIME_ADDR_MAX bytes hold it.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_IO once the connection is broken; DAYTIME_ERR_CLOSED after daytime_client_quit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_peer(
    client: *const daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, |client| client.peer()))
}

/// The English name of the weekday in the server's zone.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those of
/// daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not a day.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_day(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, |client| client.day().map(day_name)))
}

/// The date in the server's zone, as "2026-11-22" for every format of the server.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_date(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, Client::date))
}

/// The time of day in the server's zone, as "15:44:57" for every format of the server.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_time(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, Client::time))
}

/// The date, the time and the offset of one moment in the server's zone, as "2026-11-22T15:44:57+00:00" (RFC 3339). The
/// original classroom program does not send its offset: then the text ends after the seconds.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_datetime(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.write(out, |client| match client.datetime() {
        Ok(moment) => Ok(moment.to_rfc3339_opts(SecondsFormat::Secs, false)),
        Err(Error::NoOffset(local)) => Ok(local.format("%FT%T").to_string()),
        Err(error) => Err(error),
    }))
}

/// The seconds since the Unix epoch; negative before 1970.
/// Ownership: *unix_seconds is yours, and unchanged on failure. Lifetime: none. Threads: any, one call after another.
/// Errors: those of daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not a number. The original
/// classroom program does not know the command: DAYTIME_ERR_REFUSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_timestamp(
    client: *mut daytime_client,
    unix_seconds: *mut i64,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client => {
        if unix_seconds.is_null() {
            return Err(null());
        }
        let timestamp = client.lock().as_mut().ok_or(Error::Closed)?.timestamp()?;
        // SAFETY: it is not NULL, so it may be written.
        unsafe { unix_seconds.write(timestamp) };
        Ok(())
    })
}

/// The POSIX TZ string of a zone, "CET-1CEST,M3.5.0,M10.5.0/3", for setenv("TZ") and tzset(3): of a device that has no time
/// zone database. It is right for the two years after the server's time. If the rules of the zone do not fit into such a
/// string, it has the present offset alone, "<+00>0", until daytime_client_next_transition(). zone is an IANA name,
/// "UTC", an offset such as "+05:30", or "" for the server's zone.
/// Ownership: the zone is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those
/// of daytime_client_request(), and DAYTIME_ERR_PROTOCOL if the reply is not such a string. DAYTIME_ERR_REFUSED if the
/// server does not know the zone, or the command, as the original classroom program.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_tz(
    client: *mut daytime_client,
    zone: *const c_char,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, zone, out = (buf, cap) => client.write(out, |client| match zone {
        "" => client.tz(),
        zone => client.tz_in(zone),
    }))
}

/// The next change of the offset of a zone: its second since the Unix epoch, and the offset that begins then, in seconds
/// east of UTC. INT64_MAX and 0 if the offset does not change any more. The zone is that of daytime_client_tz().
/// Ownership: the zone is copied, *unix_seconds and *utc_offset are yours, and unchanged on failure. Lifetime: none.
/// Threads: any, one call after another. Errors: as daytime_client_tz().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_next_transition(
    client: *mut daytime_client,
    zone: *const c_char,
    unix_seconds: *mut i64,
    utc_offset: *mut c_int,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, zone => {
        if unix_seconds.is_null() || utc_offset.is_null() {
            return Err(null());
        }
        let mut client = client.lock();
        let client = client.as_mut().ok_or(Error::Closed)?;
        let next = match zone {
            "" => client.next_transition()?,
            zone => client.next_transition_in(zone)?,
        };
        let next = next.map_or((i64::MAX, 0), |next| (next.timestamp(), next.offset().local_minus_utc()));
        // SAFETY: they are not NULL, so they may be written.
        unsafe {
            unix_seconds.write(next.0);
            utc_offset.write(next.1);
        }
        Ok(())
    })
}

/// Sends a command, such as "time Asia/Tokyo", and writes the reply without its line end. DAYTIME_REPLY_MAX bytes hold
/// every reply.
/// Ownership: the command is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another.
/// Errors: DAYTIME_ERR_REFUSED with the server's error line, or with the text of daytime_reply_error(); DAYTIME_ERR_INVALID
/// if the command is blank, exceeds 1,024 bytes, has a control character, or is "quit" (see daytime_client_quit());
/// DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED, DAYTIME_ERR_IO and DAYTIME_ERR_PROTOCOL, which break the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_request(
    client: *mut daytime_client,
    command: *const c_char,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, command, out = (buf, cap) => client.write(out, |client| client.request(command)))
}

/// Sends "quit" and waits until the server has closed, so that every earlier command was executed. daytime_client_free()
/// alone closes the connection without "quit".
/// Ownership: the client stays yours. Lifetime: only daytime_client_free() does anything after it. Threads: any, one call
/// after another. Errors: DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_IO; DAYTIME_ERR_CLOSED of a client that was broken or has quit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_quit(client: *mut daytime_client, err: *mut daytime_error) -> daytime_status {
    entry!(err; client => {
        let client = client.lock().take().ok_or(Error::Closed)?;
        Ok(client.quit()?)
    })
}

/// Asks a server of the daytime protocol (RFC 867), and writes its reply without the line end. The RFC does not prescribe a
/// syntax. The default port is 13. Addresses and timeout_ms are those of daytime_client_connect().
/// Ownership: the buffer is yours; DAYTIME_REPLY_MAX bytes hold the reply of this library's servers, 4,097 any reply.
/// Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT;
/// DAYTIME_ERR_CLOSED if the server sent nothing; DAYTIME_ERR_PROTOCOL if the reply exceeds 4 KiB, is blank or is not text;
/// DAYTIME_ERR_TRUNCATED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_rfc867(
    address: *const c_char,
    timeout_ms: c_int,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; address, out = (buf, cap) => out.write(builder(timeout_ms).rfc867(address.parse::<Address>()?)?))
}

/// Asks a server of the time protocol (RFC 868), and writes its reply as seconds since the Unix epoch. The reply stands for
/// a time from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC. The default port is 37. Addresses and timeout_ms are
/// those of daytime_client_connect().
/// Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address,
/// DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED if the server sent nothing; DAYTIME_ERR_PROTOCOL if the
/// reply is not four bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_rfc868(
    address: *const c_char,
    timeout_ms: c_int,
    unix_seconds: *mut i64,
    err: *mut daytime_error,
) -> daytime_status {
    // SAFETY: `unix_seconds` is NULL or may be written.
    entry!(err; address => unsafe { write_seconds(unix_seconds, address, |address| builder(timeout_ms).rfc868(address)) })
}

/// Asks a server of the daytime protocol over UDP (RFC 867), as daytime_rfc867(). A datagram can be lost, so the question is
/// repeated after 0.5 s, then after twice as long each time, until the timeout.
/// Ownership: the buffer is yours, as for daytime_rfc867(). Lifetime: none. Threads: any. Errors: those of daytime_rfc867()
/// but DAYTIME_ERR_CLOSED. DAYTIME_ERR_INVALID for a Unix socket; DAYTIME_ERR_IO with ECONNREFUSED if nothing listens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_rfc867_udp(
    address: *const c_char,
    timeout_ms: c_int,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; address, out = (buf, cap) => out.write(builder(timeout_ms).rfc867_udp(address.parse::<Address>()?)?))
}

/// Asks a server of the time protocol over UDP (RFC 868), as daytime_rfc868(), with the repetitions of daytime_rfc867_udp().
/// Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: those of daytime_rfc867_udp();
/// DAYTIME_ERR_PROTOCOL if the reply is not four bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_rfc868_udp(
    address: *const c_char,
    timeout_ms: c_int,
    unix_seconds: *mut i64,
    err: *mut daytime_error,
) -> daytime_status {
    // SAFETY: `unix_seconds` is NULL or may be written.
    entry!(err; address => unsafe { write_seconds(unix_seconds, address, |address| builder(timeout_ms).rfc868_udp(address)) })
}

/// Asks for a time, and writes it as seconds since the Unix epoch.
///
/// # Safety
/// `unix_seconds` is NULL or may be written.
unsafe fn write_seconds(
    unix_seconds: *mut i64,
    address: &str,
    ask: impl FnOnce(Address) -> Result<SystemTime, Error>,
) -> Result<(), Failure> {
    if unix_seconds.is_null() {
        return Err(null());
    }
    // The seconds of a reply of RFC 868 have 33 bits.
    let seconds = match ask(address.parse()?)?.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => since.as_secs() as i64,
        Err(before) => -(before.duration().as_secs() as i64),
    };
    // SAFETY: it is not NULL, and this function's condition.
    unsafe { unix_seconds.write(seconds) };
    Ok(())
}

/// 0 is the default, and a negative timeout means unlimited.
fn builder(timeout_ms: c_int) -> ClientBuilder {
    match u64::try_from(timeout_ms) {
        Ok(0) => Client::builder(),
        Ok(timeout) => Client::builder().timeout(Duration::from_millis(timeout)),
        Err(_) => Client::builder().timeout(Duration::MAX),
    }
}

impl daytime_client {
    fn write<T: Display>(
        &self,
        out: Buffer<'_>,
        ask: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<(), Failure> {
        let result = ask(self.lock().as_mut().ok_or(Error::Closed)?)?;
        out.write(result)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Opaque for daytime_client {
    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

//! The client.

use std::{
    ffi::{c_char, c_int},
    fmt::Display,
    process, ptr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use super::{Buffer, Failure, Handle, daytime_error, daytime_status, entry, null};
use crate::{Address, Client, ClientBuilder, Error};

/// A conversation with a server, this library's or the original. Errors other than DAYTIME_ERR_INVALID,
/// DAYTIME_ERR_REFUSED and DAYTIME_ERR_TRUNCATED break it: every later call is DAYTIME_ERR_CLOSED.
pub struct daytime_client {
    process: u32,
    /// `None` once it has said `quit`.
    client: Mutex<Option<Client>>,
}

/// Connects and reads the greeting. An address is "localhost:9990", "192.0.2.1" (with port 9990), "[::1]:9990", or that
/// of a Unix socket, see daytime_server_listen(); of a name's addresses each is tried. No later call takes longer than
/// timeout_ms either; 0 is the default, 5 seconds, and a negative one is for ever.
/// Ownership: *out is yours, for daytime_client_free(); it is NULL on failure. Lifetime: until then. Threads: any.
/// Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED;
/// DAYTIME_ERR_REFUSED with the words of a full server; DAYTIME_ERR_PROTOCOL where somebody else listens there.
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
        let made = daytime_client { process: process::id(), client: Mutex::new(Some(client)) };
        // SAFETY: as above.
        unsafe { out.write(Box::into_raw(Box::new(made))) };
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

/// What the server said first, without its line end.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_CLOSED after daytime_client_quit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_greeting(
    client: *const daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, |client| Ok(client.greeting().to_owned())))
}

/// The address that this client is connected to; a buffer of DAYTIME_ADDR_MAX holds it.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, after calls under way. Errors: DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_IO once the connection is broken; DAYTIME_ERR_CLOSED after daytime_client_quit().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_peer(
    client: *const daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, |client| client.peer()))
}

/// The English name of the weekday in the server's zone.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: those of
/// daytime_client_request(), and DAYTIME_ERR_PROTOCOL where the reply is no such thing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_day(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, Client::day))
}

/// The date in the server's zone, as "2026-11-22" whatever the server's format is.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_date(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, Client::date))
}

/// The time of day in the server's zone, as "15:44:57" whatever the server's format is.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_time(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, Client::time))
}

/// Date and time of one moment in the server's zone, as "2026-11-22T15:44:57+00:00"; from the original server, which does
/// not tell its zone, without the offset.
/// Ownership: the buffer is yours. Lifetime: none. Threads: any, one call after another. Errors: as daytime_client_day().
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_datetime(
    client: *mut daytime_client,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, out = (buf, cap) => client.tell(out, Client::datetime))
}

/// Sends a command, such as "time Asia/Tokyo", and gives the reply without its line end; DAYTIME_REPLY_MAX holds every one.
/// Ownership: the command is copied, the buffer is yours. Lifetime: none. Threads: any, one call after another.
/// Errors: DAYTIME_ERR_REFUSED with the server's error line; DAYTIME_ERR_INVALID where the command is blank, over 1,024
/// bytes, has a control character, or is "quit", which daytime_client_quit() says; DAYTIME_ERR_TRUNCATED;
/// DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_CLOSED, DAYTIME_ERR_IO and DAYTIME_ERR_PROTOCOL, which break the client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_request(
    client: *mut daytime_client,
    command: *const c_char,
    buf: *mut c_char,
    cap: usize,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; client, command, out = (buf, cap) => client.tell(out, |client| client.request(command)))
}

/// Says "quit" and waits until the server has closed, so that everything said before has been done. daytime_client_free()
/// alone hangs up without a word.
/// Ownership: the client stays yours. Lifetime: only daytime_client_free() does anything after it. Threads: any, one call
/// after another. Errors: DAYTIME_ERR_TIMEOUT, DAYTIME_ERR_IO; DAYTIME_ERR_CLOSED of a client that was broken or has quit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_quit(client: *mut daytime_client, err: *mut daytime_error) -> daytime_status {
    entry!(err; client => {
        let client = client.lock().take().ok_or(Error::Closed)?;
        Ok(client.quit()?)
    })
}

/// What a server of the daytime protocol (RFC 867) says, without the line end; it has no prescribed syntax. Without a port
/// in the address it is 13. Addresses and timeout_ms are those of daytime_client_connect().
/// Ownership: the buffer is yours; DAYTIME_REPLY_MAX holds what this library's servers say, and 4,097 bytes what any may.
/// Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address, DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT;
/// DAYTIME_ERR_CLOSED where nothing was said; DAYTIME_ERR_PROTOCOL for over 4 KiB or no text; DAYTIME_ERR_TRUNCATED.
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

/// The second since the Unix epoch that a server of the time protocol (RFC 868) tells, from 1968-01-20 03:14:08 UTC to
/// 2104-02-26 09:42:23 UTC. Without a port in the address it is 37. Addresses and timeout_ms are those of
/// daytime_client_connect().
/// Ownership: *unix_seconds is yours. Lifetime: none. Threads: any. Errors: DAYTIME_ERR_INVALID for the address,
/// DAYTIME_ERR_IO, DAYTIME_ERR_TIMEOUT; DAYTIME_ERR_CLOSED where nothing was said; DAYTIME_ERR_PROTOCOL where that is not
/// four bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_rfc868(
    address: *const c_char,
    timeout_ms: c_int,
    unix_seconds: *mut i64,
    err: *mut daytime_error,
) -> daytime_status {
    entry!(err; address => {
        if unix_seconds.is_null() {
            return Err(null());
        }
        let time = builder(timeout_ms).rfc868(address.parse::<Address>()?)?;
        // Such a second has 33 bits.
        let told = match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_secs() as i64,
            Err(before) => -(before.duration().as_secs() as i64),
        };
        // SAFETY: it is not NULL, so it may be written.
        unsafe { unix_seconds.write(told) };
        Ok(())
    })
}

/// 0 is the default, a negative timeout for ever.
fn builder(timeout_ms: c_int) -> ClientBuilder {
    match u64::try_from(timeout_ms) {
        Ok(0) => Client::builder(),
        Ok(timeout) => Client::builder().timeout(Duration::from_millis(timeout)),
        Err(_) => Client::builder().timeout(Duration::MAX),
    }
}

impl daytime_client {
    fn tell<T: Display>(
        &self,
        out: Buffer<'_>,
        ask: impl FnOnce(&mut Client) -> Result<T, Error>,
    ) -> Result<(), Failure> {
        let told = ask(self.lock().as_mut().ok_or(Error::Closed)?)?;
        out.write(told)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Client>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Handle for daytime_client {
    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

//! Own commands: a C function as a handler, what it is asked, and what it answers.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Failure, Handle, daytime_free_fn, daytime_status, entry};
use crate::{HandlerResult, Reply, Request, protocol::check_reply};

/// An own command as a client asked it: the library's, valid only inside its handler.
pub struct daytime_request {
    command: CString,
    argument: CString,
    peer: CString,
    client: u64,
    server: crate::Handle,
}

/// What a handler answers: the library's, valid only inside that handler.
pub struct daytime_reply {
    answer: Mutex<Answer>,
}

#[derive(Default)]
struct Answer {
    text: String,
    closing: bool,
}

/// The handler of an own command. It runs on a thread of the library of its own, several at a time (see
/// daytime_server_set_callers()), while its client waits and nobody else. 0 sends the reply; any other value, or no text,
/// sends the client "The command failed", and makes an event that has the text, if there is one, as the reason why.
/// It may call every function but those that wait: daytime_server_wait() and daytime_server_next_event() are
/// DAYTIME_ERR_STATE there. An exception that leaves it ends the process; it must not longjmp() out.
pub type daytime_command_fn = Option<
    unsafe extern "C" fn(request: *const daytime_request, reply: *mut daytime_reply, user_data: *mut c_void) -> c_int,
>;

/// The command's name in lower case.
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_command(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.command.as_ptr()))
}

/// What stands behind the command's name, without blanks around it: "" if nothing does.
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_argument(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.argument.as_ptr()))
}

/// The address of the client that asks, such as "192.0.2.1:40000", most often "unix:" where that is a Unix socket's.
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL of NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_peer(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.peer.as_ptr()))
}

/// The number of the client that asks, as events, daytime_server_clients() and daytime_server_disconnect() have it.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 of NULL; no client has that number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_client(request: *const daytime_request) -> u64 {
    entry!(request => Ok(request.client))
}

/// daytime_server_stop() for the server that was asked, which may have been freed already.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_stop(request: *const daytime_request) {
    entry!(request => {
        request.server.stop();
        Ok(())
    })
}

/// daytime_server_drain() for the server that was asked, which may have been freed already.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_drain(request: *const daytime_request, grace_ms: u32) {
    entry!(request => {
        request.server.drain(Duration::from_millis(grace_ms.into()));
        Ok(())
    })
}

/// Sets the reply's text, or, in a handler that fails, the reason why; the last call counts.
/// Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID where the text
/// has not 1 to 1,023 bytes or has a control character; the reply is as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_set(reply: *mut daytime_reply, text: *const c_char) -> daytime_status {
    entry!(reply, text => {
        check_reply(text).map_err(Failure::invalid)?;
        reply.change(|answer| answer.text = text.into());
        Ok(())
    })
}

/// Closes the client's connection after this reply; where no text was set, without one.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_close(reply: *mut daytime_reply) {
    entry!(reply => {
        reply.change(|answer| answer.closing = true);
        Ok(())
    })
}

impl daytime_reply {
    fn change(&self, change: impl FnOnce(&mut Answer)) {
        change(&mut self.answer.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Handle for daytime_request {
    fn process(&self) -> Option<u32> {
        None
    }
}

impl Handle for daytime_reply {
    fn process(&self) -> Option<u32> {
        None
    }
}

/// The embedder's pointer, and what frees it when it is dropped.
pub(super) struct UserData {
    data: *mut c_void,
    free: daytime_free_fn,
}

// SAFETY: the header says that handlers run on several threads at a time; the data behind the pointer is their affair.
unsafe impl Send for UserData {}
// SAFETY: as above.
unsafe impl Sync for UserData {}

impl UserData {
    pub(super) fn new(data: *mut c_void, free: daytime_free_fn) -> Self {
        UserData { data, free }
    }
}

impl Drop for UserData {
    fn drop(&mut self) {
        if let Some(free) = self.free {
            // SAFETY: it was registered for this data, and this is the one call.
            unsafe { free(self.data) }
        }
    }
}

/// A handler and its user data.
pub(super) struct Own {
    pub(super) handler: unsafe extern "C" fn(*const daytime_request, *mut daytime_reply, *mut c_void) -> c_int,
    pub(super) data: UserData,
}

impl Own {
    pub(super) fn call(&self, request: &Request<'_>) -> HandlerResult {
        // A command has no control character, so no NUL either.
        let asked = daytime_request {
            command: CString::new(request.command)?,
            argument: CString::new(request.argument)?,
            peer: CString::new(request.peer.to_string())?,
            client: request.client.into(),
            server: request.server().clone(),
        };
        let mut reply = daytime_reply { answer: Mutex::default() };
        // SAFETY: the handler was registered for this data, and both structs outlive the call.
        let failed = unsafe { (self.handler)(&asked, &mut reply, self.data.data) };
        let Answer { text, closing } = reply.answer.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            0 if closing => Ok(Reply::closing(text)),
            0 => Ok(text.into()),
            _ if text.is_empty() => Err(format!("the handler returned {failed}").into()),
            _ => Err(text.into()),
        }
    }
}

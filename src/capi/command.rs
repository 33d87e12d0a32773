//! Custom commands: a C function as a handler, its request, and its reply.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::{Failure, Opaque, daytime_free_fn, daytime_status, entry};
use crate::{HandlerResult, Reply, Request, protocol::check_reply};

/// A custom command of a client. The library owns it, and it is valid only inside its handler.
pub struct daytime_request {
    command: CString,
    argument: CString,
    peer: CString,
    client: u64,
    server: crate::Handle,
}

/// The reply of a handler. The library owns it, and it is valid only inside that handler.
pub struct daytime_reply {
    draft: Mutex<Draft>,
}

#[derive(Default)]
struct Draft {
    text: String,
    closing: bool,
}

/// The handler of a custom command. It runs on a thread of the library, several at a time (see
/// daytime_server_set_handler_threads()). Its client waits for the reply, and other clients are not delayed.
///
/// A return value of 0 sends the reply. For any other value, or without a text, the client gets "The command failed", and
/// the event DAYTIME_EVENT_COMMAND_FAILED has the text as its error. A handler may call every function that does not wait:
/// daytime_server_wait() and daytime_server_next_event() return DAYTIME_ERR_STATE there. An exception that leaves the
/// handler ends the process, and it must not longjmp() out.
pub type daytime_command_fn = Option<
    unsafe extern "C" fn(request: *const daytime_request, reply: *mut daytime_reply, user_data: *mut c_void) -> c_int,
>;

/// The command's name in lower case.
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_command(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.command.as_ptr()))
}

/// The rest of the line after the command's name, without the blanks around it; may be "".
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_argument(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.argument.as_ptr()))
}

/// The address of the client, such as "192.0.2.1:40000". Most clients of a Unix socket have "unix:".
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_peer(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.peer.as_ptr()))
}

/// The id of the client, as in events, daytime_server_clients() and daytime_server_disconnect().
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 for NULL; no client has that id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_client(request: *const daytime_request) -> u64 {
    entry!(request => Ok(request.client))
}

/// daytime_server_stop() for the server of this handler, even if the server was freed.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_stop(request: *const daytime_request) {
    entry!(request => {
        request.server.stop();
        Ok(())
    })
}

/// daytime_server_drain() for the server of this handler, even if the server was freed.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_drain(request: *const daytime_request, grace_ms: u32) {
    entry!(request => {
        request.server.drain(Duration::from_millis(grace_ms.into()));
        Ok(())
    })
}

/// Sets the text of the reply, or the error of a handler that fails. The last call has effect.
/// Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID if the text does
/// not have 1 to 1,023 bytes or has a control character; the reply is unchanged then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_set(reply: *mut daytime_reply, text: *const c_char) -> daytime_status {
    entry!(reply, text => {
        check_reply(text).map_err(Failure::invalid)?;
        reply.change(|draft| draft.text = text.into());
        Ok(())
    })
}

/// Closes the client's connection after this reply, or without a reply if no text was set.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_close(reply: *mut daytime_reply) {
    entry!(reply => {
        reply.change(|draft| draft.closing = true);
        Ok(())
    })
}

impl daytime_reply {
    fn change(&self, change: impl FnOnce(&mut Draft)) {
        change(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Opaque for daytime_request {
    fn process(&self) -> Option<u32> {
        None
    }
}

impl Opaque for daytime_reply {
    fn process(&self) -> Option<u32> {
        None
    }
}

/// The embedder's pointer, and the function that frees it when this is dropped.
pub(super) struct UserData {
    data: *mut c_void,
    free: daytime_free_fn,
}

// SAFETY: the header says that handlers run on several threads at a time, so the data must allow that.
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
pub(super) struct CustomCommand {
    pub(super) handler: unsafe extern "C" fn(*const daytime_request, *mut daytime_reply, *mut c_void) -> c_int,
    pub(super) data: UserData,
}

impl CustomCommand {
    pub(super) fn call(&self, request: &Request<'_>) -> HandlerResult {
        // A command does not have control characters, so it has no NUL.
        let asked = daytime_request {
            command: CString::new(request.command)?,
            argument: CString::new(request.argument)?,
            peer: CString::new(request.peer.to_string())?,
            client: request.client.into(),
            server: request.server().clone(),
        };
        let mut reply = daytime_reply { draft: Mutex::default() };
        // SAFETY: the handler was registered for this data, and both structs outlive the call.
        let failed = unsafe { (self.handler)(&asked, &mut reply, self.data.data) };
        let Draft { text, closing } = reply.draft.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            0 if closing => Ok(Reply::closing(text)),
            0 => Ok(text.into()),
            _ if text.is_empty() => Err(format!("the handler returned {failed}").into()),
            _ => Err(text.into()),
        }
    }
}

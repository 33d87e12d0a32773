//! Custom commands: a C function as a handler, its request, and its reply.
//!
//! A call allocates nothing but the text of the reply: a handler is called millions of times a second.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    mem::MaybeUninit,
    process,
    ptr::{self, NonNull},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use super::{Failure, Opaque, daytime_free_fn, daytime_status, entry, inherited, responder::daytime_responder};
use crate::{
    Address, HandlerResult, Reply, Request,
    protocol::{COMMAND_MAX, check_reply},
};

/// A custom command of a client. The library owns it, and it is valid only inside its handler.
pub struct daytime_request {
    /// It outlives this struct, whose lifetime C does not know.
    request: NonNull<Request<'static>>,
    command: NonNull<CustomCommand>,
    /// The argument and a NUL. It is initialized up to there.
    argument: [MaybeUninit<u8>; COMMAND_MAX + 1],
    peer: PeerText,
}

/// The reply of a handler. The library owns it, and it is valid only inside that handler.
pub struct daytime_reply {
    draft: Mutex<Draft>,
}

#[derive(Default)]
struct Draft {
    text: String,
    is_error: bool,
    closing: bool,
}

/// The handler of a custom command. It runs on a thread of the library, several at a time (see
/// daytime_server_set_handler_threads()). Its client waits for the reply, and other clients are not delayed.
///
/// A return value of 0 sends the reply: the last text of daytime_reply_set() or daytime_reply_error(). For any other value,
/// or without a text, the client gets "The command failed", and the event DAYTIME_EVENT_COMMAND_FAILED has the text as its
/// error. After daytime_request_defer() the reply and the return value are ignored.
///
/// A handler may call every function that does not wait for its server, and may stop or free it. daytime_server_wait() and
/// daytime_server_next_event() return DAYTIME_ERR_STATE there. A handler may be a client of its own server; a custom
/// command that it sends needs another handler thread. A handler that calls fork() must not return in the child, which ends
/// by _exit() or exec(). An exception that leaves the handler ends the process, and it must not longjmp() out.
pub type daytime_command_fn = Option<
    unsafe extern "C" fn(request: *const daytime_request, reply: *mut daytime_reply, user_data: *mut c_void) -> c_int,
>;

/// The command's name in lower case.
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_command(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.command().name.as_ptr()))
}

/// The rest of the line after the command's name, without the blanks around it; may be "".
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_argument(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.argument.as_ptr().cast()))
}

/// The address of the client, such as "192.0.2.1:40000". Most clients of a Unix socket have "unix:".
/// Ownership: the library's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_peer(request: *const daytime_request) -> *const c_char {
    entry!(request => Ok(request.peer.get(request.get().peer).as_ptr()))
}

/// The id of the client, as in events, daytime_server_clients() and daytime_server_disconnect().
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 for NULL; no client has that id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_client(request: *const daytime_request) -> u64 {
    entry!(request => Ok(request.get().client.into()))
}

/// The state of the client, which the hook of daytime_server_on_connect() returned. It is not freed before this handler has
/// returned. Handlers of one client run one after another, except that a handler which has answered by its responder may
/// overlap with the next one.
/// Ownership: the server's. Lifetime: the handler's call. Threads: any. Errors: NULL for NULL, and without a state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_state(request: *const daytime_request) -> *mut c_void {
    entry!(request => Ok(request.get().state::<UserData>().map_or(ptr::null_mut(), UserData::data)))
}

/// Whether nobody waits for the reply any more, 1 or 0: the client has left, or the server has stopped. A long handler can
/// ask from time to time, and give up.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_is_cancelled(request: *const daytime_request) -> c_int {
    entry!(request => {
        request.check_process()?;
        Ok(request.get().is_cancelled().into())
    })
}

/// Defers the reply: the responder gives it, from any thread, during the handler or later. The handler's reply and return
/// value are ignored from now on. Its client waits and occupies no thread.
/// Ownership: the responder is yours, for daytime_responder_free(). Lifetime: the handler's call; that of the responder does
/// not end with the handler, the client or the server. Threads: any. Errors: NULL for NULL, and if the reply was deferred
/// before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_defer(request: *const daytime_request) -> *mut daytime_responder {
    entry!(request => {
        request.check_process()?;
        match request.get().defer() {
            Some(responder) => Ok(Box::into_raw(Box::new(daytime_responder::new(responder)))),
            None => Err(Failure::state("the reply was deferred before")),
        }
    })
}

/// daytime_server_stop() for the server of this handler, even if the server was freed.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_stop(request: *const daytime_request) {
    entry!(request => {
        request.check_process()?;
        request.get().server().stop();
        Ok(())
    })
}

/// daytime_server_drain() for the server of this handler, even if the server was freed.
/// Ownership: none. Lifetime: the handler's call. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_request_drain(request: *const daytime_request, grace_ms: u32) {
    entry!(request => {
        request.check_process()?;
        request.get().server().drain(Duration::from_millis(grace_ms.into()));
        Ok(())
    })
}

/// Sets the text of the reply, or the error of a handler that fails. The last call has effect, of this function and of
/// daytime_reply_error().
/// Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID if the text does
/// not have 1 to 1,023 bytes or has a control character; the reply is unchanged then. A reply that is an error line, such as
/// "The command failed", fails when it is sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_set(reply: *mut daytime_reply, text: *const c_char) -> daytime_status {
    entry!(reply, text => {
        check_reply(text).map_err(Failure::invalid)?;
        reply.change(|draft| (draft.text, draft.is_error) = (text.to_owned(), false));
        Ok(())
    })
}

/// Makes the reply an error line: "The command failed: ", then the text. daytime_client_request() returns
/// DAYTIME_ERR_REFUSED for it, with the text as its message. The handler returns 0 to send it, and
/// daytime_reply_close() does not affect it. The last call has effect, of this function and of daytime_reply_set().
/// Ownership: the text is copied. Lifetime: the handler's call. Threads: any. Errors: DAYTIME_ERR_INVALID if the text does
/// not have 1 to 1,003 bytes or has a control character; the reply is unchanged then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_reply_error(reply: *mut daytime_reply, text: *const c_char) -> daytime_status {
    entry!(reply, text => {
        let error = Reply::error(text);
        error.check().map_err(Failure::invalid)?;
        reply.change(|draft| (draft.text, draft.is_error) = (error.text, true));
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

impl daytime_request {
    fn get(&self) -> &Request<'_> {
        // SAFETY: `CustomCommand::call` made it from a reference that outlives this struct.
        unsafe { self.request.as_ref() }
    }

    fn command(&self) -> &CustomCommand {
        // SAFETY: as above.
        unsafe { self.command.as_ref() }
    }

    /// For functions that use more of the server than this call: in a forked child, its threads are missing. The others do
    /// not ask for the process, since that is a system call.
    fn check_process(&self) -> Result<(), Failure> {
        if self.command().process == process::id() { Ok(()) } else { Err(inherited()) }
    }
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

    pub(super) fn data(&self) -> *mut c_void {
        self.data
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

/// The address of a client as a C string, made when it is asked for.
#[derive(Default)]
pub(super) struct PeerText(OnceLock<CString>);

impl PeerText {
    pub(super) fn get(&self, peer: &Address) -> &CStr {
        // An address has no NUL: control characters are escaped.
        self.0.get_or_init(|| CString::new(peer.to_string()).unwrap_or_default())
    }
}

/// A handler and its user data.
pub(super) struct CustomCommand {
    process: u32,
    name: CString,
    handler: unsafe extern "C" fn(*const daytime_request, *mut daytime_reply, *mut c_void) -> c_int,
    data: UserData,
}

impl CustomCommand {
    pub(super) fn new(name: &str, handler: daytime_command_fn, data: UserData) -> Result<Self, Failure> {
        let handler = handler.ok_or_else(super::null)?;
        let name = CString::new(name.to_ascii_lowercase()).map_err(Failure::invalid)?;
        Ok(CustomCommand { process: process::id(), name, handler, data })
    }

    pub(super) fn call(&self, request: &Request<'_>) -> HandlerResult {
        let mut asked = daytime_request {
            request: NonNull::from(request).cast(),
            command: NonNull::from(self),
            argument: [const { MaybeUninit::uninit() }; COMMAND_MAX + 1],
            peer: PeerText::default(),
        };
        // A command has at most `COMMAND_MAX` bytes. It does not have control characters, so it has no NUL.
        let (argument, rest) = asked.argument.split_at_mut(request.argument.len());
        for (to, from) in argument.iter_mut().zip(request.argument.bytes()) {
            to.write(from);
        }
        rest[0].write(0);
        let mut reply = daytime_reply { draft: Mutex::default() };
        // SAFETY: the handler was registered for this data, and both structs outlive the call.
        let failed = unsafe { (self.handler)(&asked, &mut reply, self.data.data) };
        let Draft { text, is_error, closing } = reply.draft.into_inner().unwrap_or_else(PoisonError::into_inner);
        match failed {
            0 if is_error => Ok(Reply::error(text)),
            0 if closing => Ok(Reply::closing(text)),
            0 => Ok(text.into()),
            _ if text.is_empty() => Err(format!("the handler returned {failed}").into()),
            _ => Err(text.into()),
        }
    }
}

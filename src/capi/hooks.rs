//! The hooks of a server, and the state of a client.

use std::{
    ffi::{c_char, c_int, c_void},
    ptr::{self, NonNull},
};

use super::{
    Opaque,
    command::{PeerText, UserData},
    daytime_free_fn, daytime_status, entry,
    events::number,
    null,
    server::daytime_server,
};
use crate::ClientContext;

/// A client, for a hook. The library owns it, and it is valid only inside that hook.
pub struct daytime_client_context {
    /// It outlives this struct, whose lifetime C does not know.
    context: NonNull<ClientContext<'static>>,
    peer: PeerText,
}

/// The hook of daytime_server_on_connect(). It returns the client's state, which may be NULL.
///
/// Hooks run on the same threads as handlers, several at a time, and may call the same functions. What is said of
/// exceptions, longjmp() and fork() in daytime_command_fn holds for hooks too.
pub type daytime_connect_fn =
    Option<unsafe extern "C" fn(client: *const daytime_client_context, user_data: *mut c_void) -> *mut c_void>;

/// The hook of daytime_server_on_disconnect(). reason is a daytime_reason. See daytime_connect_fn.
pub type daytime_disconnect_fn =
    Option<unsafe extern "C" fn(client: *const daytime_client_context, reason: c_int, user_data: *mut c_void)>;

/// Calls hook for each client that connects, on a handler thread, before its first command. What it returns is the client's
/// state: see daytime_request_state(). If state_free is not NULL, it is called exactly once with each state that is not
/// NULL: on a handler thread, after the client has left, its last handler has returned, and the hook of
/// daytime_server_on_disconnect() has returned. That is before daytime_server_wait() returns. The last call has effect.
/// Clients of RFC 867 and RFC 868 have no hooks.
/// Ownership: the server owns each state, and the user data from this call on, even if it fails: user_free, if not NULL, is
/// called with it exactly once, see daytime_free_fn. Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if
/// the hook is NULL; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_on_connect(
    server: *mut daytime_server,
    hook: daytime_connect_fn,
    state_free: daytime_free_fn,
    user_data: *mut c_void,
    user_free: daytime_free_fn,
) -> daytime_status {
    let data = UserData::new(user_data, user_free);
    entry!(server => {
        let hook = hook.ok_or_else(null)?;
        let hook = move |context: &ClientContext<'_>| {
            let context = daytime_client_context::new(context);
            // SAFETY: the hook was registered for this data, and the context outlives the call.
            let state = unsafe { hook(&context, data.data()) };
            UserData::new(state, if state.is_null() { None } else { state_free })
        };
        server.set(|builder| builder.on_connect(hook))
    })
}

/// Calls hook for each client that has left, on a handler thread, after its last handler has returned and before its state
/// is freed. Unlike an event, a call is never dropped. It is called for every client for which the hook of
/// daytime_server_on_connect() was called (or, without that hook, for every client), also when the server stops. Until it
/// has returned, the client counts for daytime_server_set_max_clients(). The last call has effect.
/// Ownership: the server owns the user data from this call on, even if it fails, as in daytime_server_on_connect().
/// Lifetime: before start. Threads: any. Errors: DAYTIME_ERR_INVALID if the hook is NULL; DAYTIME_ERR_STATE once started.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_server_on_disconnect(
    server: *mut daytime_server,
    hook: daytime_disconnect_fn,
    user_data: *mut c_void,
    user_free: daytime_free_fn,
) -> daytime_status {
    let data = UserData::new(user_data, user_free);
    entry!(server => {
        let hook = hook.ok_or_else(null)?;
        server.set(|builder| builder.on_disconnect(move |context, reason| {
            let context = daytime_client_context::new(context);
            // SAFETY: the hook was registered for this data, and the context outlives the call.
            unsafe { hook(&context, number(reason), data.data()) }
        }))
    })
}

/// The id of the client, as daytime_request_client().
/// Ownership: none. Lifetime: the hook's call. Threads: any. Errors: 0 for NULL; no client has that id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_context_client(client: *const daytime_client_context) -> u64 {
    entry!(client => Ok(client.get().client.into()))
}

/// The address of the client, as daytime_request_peer().
/// Ownership: the library's. Lifetime: the hook's call. Threads: any. Errors: NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_context_peer(client: *const daytime_client_context) -> *const c_char {
    entry!(client => Ok(client.peer.get(client.get().peer).as_ptr()))
}

/// The state of the client, as daytime_request_state(). A client that has just connected does not have one yet.
/// Ownership: the server's. Lifetime: the hook's call. Threads: any. Errors: NULL for NULL, and without a state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_client_context_state(client: *const daytime_client_context) -> *mut c_void {
    entry!(client => Ok(client.get().state::<UserData>().map_or(ptr::null_mut(), UserData::data)))
}

impl daytime_client_context {
    fn new(context: &ClientContext<'_>) -> Self {
        daytime_client_context { context: NonNull::from(context).cast(), peer: PeerText::default() }
    }

    fn get(&self) -> &ClientContext<'_> {
        // SAFETY: `new` made it from a reference, which outlives this struct: a hook drops it before it returns.
        unsafe { self.context.as_ref() }
    }
}

impl Opaque for daytime_client_context {
    fn process(&self) -> Option<u32> {
        None
    }
}

//! Replies that come later than their handler returns.

use std::{
    ffi::{c_char, c_int},
    process,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Failure, Opaque, daytime_status, entry};
use crate::{HandlerResult, Reply, Responder, protocol::check_reply};

/// The deferred reply to one custom command, from daytime_request_defer(). Its client waits until it is answered once: by a
/// reply, an error line, a failure or a close. A server that drains waits for that too. After the client has left, or the
/// server has stopped or was freed, an answer goes nowhere and is not an error.
pub struct daytime_responder {
    process: u32,
    client: u64,
    /// `None` once it has answered.
    responder: Mutex<Option<Responder>>,
}

/// Answers with a text.
/// Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
/// Errors: DAYTIME_ERR_INVALID if the text does not have 1 to 1,023 bytes, has a control character, or is itself an error
/// line: the responder can still answer then. DAYTIME_ERR_STATE if it has answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_reply(
    responder: *mut daytime_responder,
    text: *const c_char,
) -> daytime_status {
    entry!(responder, text => responder.answer(checked(Reply::from(text))?))
}

/// Answers with an error line, see daytime_reply_error().
/// Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
/// Errors: DAYTIME_ERR_INVALID if the text does not have 1 to 1,003 bytes or has a control character: the responder can
/// still answer then. DAYTIME_ERR_STATE if it has answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_error(
    responder: *mut daytime_responder,
    text: *const c_char,
) -> daytime_status {
    entry!(responder, text => responder.answer(checked(Reply::error(text))?))
}

/// Fails: the client gets "The command failed", and the event DAYTIME_EVENT_COMMAND_FAILED has the text as its error.
/// Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
/// Errors: as daytime_responder_reply(), but the text may be an error line.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_fail(
    responder: *mut daytime_responder,
    text: *const c_char,
) -> daytime_status {
    entry!(responder, text => {
        check_reply(text).map_err(Failure::invalid)?;
        responder.answer(Err(text.into()))
    })
}

/// Answers with a text and closes the client's connection after it. With "" it closes without a reply.
/// Ownership: the text is copied; the responder stays yours. Lifetime: once, before daytime_responder_free(). Threads: any.
/// Errors: as daytime_responder_reply(), but the text may be "".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_close(
    responder: *mut daytime_responder,
    text: *const c_char,
) -> daytime_status {
    entry!(responder, text => responder.answer(checked(Reply::closing(text))?))
}

/// The id of the client, as daytime_request_client().
/// Ownership: none. Lifetime: before daytime_responder_free(). Threads: any. Errors: 0 for NULL; no client has that id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_client(responder: *const daytime_responder) -> u64 {
    entry!(responder => Ok(responder.client))
}

/// Whether nobody waits for the answer, 1 or 0: the client has left, the server has stopped, or the responder has answered.
/// Ownership: none. Lifetime: before daytime_responder_free(). Threads: any. Errors: 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_is_cancelled(responder: *const daytime_responder) -> c_int {
    entry!(responder => Ok(responder.lock().as_ref().is_none_or(Responder::is_cancelled).into()))
}

/// Frees the responder. If it has not answered, the client gets "The command failed". In a forked child it frees the child's
/// copy alone.
/// Ownership: ends yours. Lifetime: the last call on this responder, after every other one has returned; the server may be
/// freed before. Threads: any. Errors: does nothing with NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn daytime_responder_free(responder: *mut daytime_responder) {
    entry!(=> {
        if !responder.is_null() {
            // SAFETY: `daytime_request_defer` made it, and this is the last call on it.
            drop(unsafe { Box::from_raw(responder) });
        }
        Ok(())
    })
}

impl daytime_responder {
    pub(super) fn new(responder: Responder) -> Self {
        daytime_responder {
            process: process::id(),
            client: responder.client().into(),
            responder: Mutex::new(Some(responder)),
        }
    }

    fn answer(&self, result: HandlerResult) -> Result<(), Failure> {
        let responder = self.lock().take();
        responder.ok_or_else(|| Failure::state("the responder has answered"))?.reply(result);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Responder>> {
        self.responder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn checked(reply: Reply) -> Result<HandlerResult, Failure> {
    reply.check().map_err(Failure::invalid)?;
    Ok(Ok(reply))
}

impl Opaque for daytime_responder {
    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

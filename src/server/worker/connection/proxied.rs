//! A connection from a proxy, before its client: the header of the PROXY protocol, then the admission, then the greeting.
//!
//! Until the header has ended, the connection has a seat and an id, and is not a client.

use std::io::{self, ErrorKind};

use super::{
    super::{
        super::{events::ClientId, listen::Service},
        context::Context,
    },
    Connection, Phase, Place,
};
use crate::protocol::{ProxyHeader, ServerSession};

impl Connection {
    /// Waits for the header of a proxy, which precedes the greeting.
    pub(crate) fn await_header(&mut self) {
        self.session = Place::Awaited(Box::default());
    }

    /// The header of the proxy as far as it has arrived, until it has ended.
    pub(crate) fn awaited_header(&self) -> Option<&ProxyHeader> {
        match &self.session {
            Place::Awaited(header) => Some(header),
            _ => None,
        }
    }

    /// Takes bytes of the awaited header. At its end the client enters, and the rest of the read is its first one. An
    /// error closes the connection without a line.
    pub(super) fn introduce(&mut self, input: &[u8], cx: &mut Context) -> io::Result<bool> {
        let Place::Awaited(header) = &mut self.session else { return Ok(false) };
        let received = header.receive(input).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        let Some(proxied) = received else { return Ok(false) };
        let admission = &cx.shared.admission;
        let admitted = match proxied.source {
            Some(source) => {
                self.peer = source.into();
                admission.check_network(&self.peer)
            }
            // The proxy speaks for itself, and is trusted.
            None => Ok(()),
        };
        let admitted = admitted.and_then(|()| admission.enter(&self.peer));
        self.session = Place::Here(ServerSession::new(cx.config.settings.framing));
        match admitted {
            Ok(()) => {
                self.connected = cx.now;
                cx.admit(self.id, &self.peer, Service::Proxied);
                let rest = &input[proxied.taken..];
                self.begin(rest, cx)?;
                if rest.is_empty() { Ok(false) } else { self.serve(rest, cx) }
            }
            Err(reason) => {
                admission.leave_seat();
                self.id = ClientId::default();
                let line = cx.refuse(&self.peer, reason);
                cx.refused += 1;
                cx.out.extend_from_slice(line.ok_or(ErrorKind::PermissionDenied)?.as_bytes());
                self.phase = Phase::Closing(reason);
                self.send(cx)?;
                Ok(false)
            }
        }
    }
}

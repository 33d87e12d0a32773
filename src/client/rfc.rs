//! Clients for the daytime protocol of RFC 867 and the time protocol of RFC 868, of any server.

use std::time::{Duration, SystemTime};

use super::{
    Client, ClientBuilder,
    connect::{connect_any, resolve},
    transport::{Deadline, Transport},
};
use crate::{Address, Error, protocol::rfc868_seconds};

/// The largest reply of RFC 867 that is accepted. The RFC asks for one line and does not limit it.
const TEXT_MAX: usize = 4096;

/// Asks a server of the daytime protocol (RFC 867), within 5 s. See [`ClientBuilder::rfc867`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc867`].
pub fn rfc867(address: impl Into<Address>) -> Result<String, Error> {
    Client::builder().rfc867(address)
}

/// Asks a server of the time protocol (RFC 868), within 5 s. See [`ClientBuilder::rfc868`].
///
/// # Errors
/// Those of [`ClientBuilder::rfc868`].
pub fn rfc868(address: impl Into<Address>) -> Result<SystemTime, Error> {
    Client::builder().rfc868(address)
}

impl ClientBuilder {
    /// Asks a server of the daytime protocol (RFC 867). The default port is 13. Returns the reply without its line end;
    /// the RFC does not prescribe a syntax.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect). [`Error::Closed`] if
    /// the server sent nothing. [`Error::Protocol`] with the reply if that exceeds 4 KiB or is not text.
    pub fn rfc867(self, address: impl Into<Address>) -> Result<String, Error> {
        let bytes = self.read(address.into(), 13, TEXT_MAX + 1)?;
        let fit = |c: char| !c.is_control() || "\t\r\n".contains(c);
        match std::str::from_utf8(bytes.trim_ascii_end()) {
            Ok(text) if bytes.len() <= TEXT_MAX && text.chars().all(fit) => Ok(text.to_owned()),
            _ => Err(Error::Protocol(bytes)),
        }
    }

    /// Asks a server of the time protocol (RFC 868). The default port is 37. The 32 bits of the reply stand for a time
    /// from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC, see [`rfc868_seconds`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect). [`Error::Closed`] if
    /// the server sent nothing. [`Error::Protocol`] with the reply if that is not four bytes.
    pub fn rfc868(self, address: impl Into<Address>) -> Result<SystemTime, Error> {
        let bytes = self.read(address.into(), 37, 4)?;
        let seconds = rfc868_seconds(bytes[..].try_into().map_err(|_| Error::Protocol(bytes))?);
        let distance = Duration::from_secs(seconds.unsigned_abs());
        Ok(if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance })
    }

    /// Reads until the server closes, or until there are `most` bytes.
    fn read(self, address: Address, port: u16, most: usize) -> Result<Vec<u8>, Error> {
        let deadline = Deadline::new(self.timeout, self.interrupt.as_ref());
        let mut transport = Transport::new(connect_any(&resolve(address, port, &deadline)?, &deadline)?);
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match transport.read(&deadline, None) {
                Ok(n) => bytes.extend_from_slice(&transport.input[..n]),
                Err(Error::Closed) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

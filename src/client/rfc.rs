//! Readers of the daytime protocol of RFC 867 and the time protocol of RFC 868, whoever serves them.

use std::time::{Duration, SystemTime};

use super::{
    Client, ClientBuilder,
    connect::{connect_any, resolve},
    wire::{Patience, Wire},
};
use crate::{Address, Error, protocol::rfc868_seconds};

/// The most that a server of RFC 867 may send. The RFC has no bound, and asks for one line.
const TEXT_MAX: usize = 4096;

/// What a server of the daytime protocol (RFC 867) says, within 5 s; [`ClientBuilder::rfc867`] has the details.
///
/// # Errors
/// Those of [`ClientBuilder::rfc867`].
pub fn rfc867(address: impl Into<Address>) -> Result<String, Error> {
    Client::builder().rfc867(address)
}

/// The time that a server of the time protocol (RFC 868) tells, within 5 s; [`ClientBuilder::rfc868`] has the details.
///
/// # Errors
/// Those of [`ClientBuilder::rfc868`].
pub fn rfc868(address: impl Into<Address>) -> Result<SystemTime, Error> {
    Client::builder().rfc868(address)
}

impl ClientBuilder {
    /// What a server of the daytime protocol (RFC 867) says, by default on port 13, less the line end; it has no
    /// prescribed syntax.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect), [`Error::Closed`] where
    /// nothing was sent, [`Error::Protocol`] with what was sent where that is over 4 KiB or no text.
    pub fn rfc867(self, address: impl Into<Address>) -> Result<String, Error> {
        let bytes = self.read(address.into(), 13, TEXT_MAX + 1)?;
        let fit = |c: char| !c.is_control() || "\t\r\n".contains(c);
        match std::str::from_utf8(bytes.trim_ascii_end()) {
            Ok(text) if bytes.len() <= TEXT_MAX && text.chars().all(fit) => Ok(text.to_owned()),
            _ => Err(Error::Protocol(bytes)),
        }
    }

    /// The time that a server of the time protocol (RFC 868) tells, by default on port 37. Its 32 bits are taken for a
    /// time from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC, see [`rfc868_seconds`].
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Timeout`] and [`Error::Interrupted`] as [`connect`](Self::connect), [`Error::Closed`] where
    /// nothing was sent, [`Error::Protocol`] with what was sent where that is not four bytes.
    pub fn rfc868(self, address: impl Into<Address>) -> Result<SystemTime, Error> {
        let bytes = self.read(address.into(), 37, 4)?;
        let seconds = rfc868_seconds(bytes[..].try_into().map_err(|_| Error::Protocol(bytes))?);
        let distance = Duration::from_secs(seconds.unsigned_abs());
        Ok(if seconds < 0 { SystemTime::UNIX_EPOCH - distance } else { SystemTime::UNIX_EPOCH + distance })
    }

    /// What a server sends before it closes, or `most` bytes of that and perhaps more.
    fn read(self, address: Address, port: u16, most: usize) -> Result<Vec<u8>, Error> {
        let patience = Patience::new(self.timeout, self.interrupt.as_ref());
        let mut wire = Wire::new(connect_any(&resolve(address, port, &patience)?, &patience)?);
        let mut bytes = Vec::new();
        while bytes.len() < most {
            match wire.read(&patience, None) {
                Ok(n) => bytes.extend_from_slice(&wire.input[..n]),
                Err(Error::Closed) if !bytes.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }
}

//! What holds for every input: one module for each fuzz target, with a function `check` that panics if it does not hold.
//!
//! Two crates include this module: the fuzz targets, and `tests/fuzz.rs`, which replays the committed inputs. An
//! oracle decodes its input from bytes by itself. Every input is a valid one, so that a mutation never leads nowhere.
#![allow(dead_code, reason = "each target uses a part of it")]

#[cfg(feature = "capi")]
#[allow(unsafe_code)]
pub(crate) mod capi;
pub(crate) mod client_session;
pub(crate) mod model;
pub(crate) mod networks;
pub(crate) mod proxy_header;
pub(crate) mod server_session;
#[cfg(feature = "cli")]
pub(crate) mod settings;
pub(crate) mod texts;

/// The rest of an input, which is decoded from its front. Past its end it has zeroes.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0.split_off_first().copied().unwrap_or(0)
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// The bytes before the next LF, which is skipped.
    pub(crate) fn line(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| byte == b'\n').unwrap_or(self.0.len());
        let line = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        line
    }

    /// A line as text. Bytes that are not UTF-8 are replaced.
    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.line()).into_owned()
    }
}

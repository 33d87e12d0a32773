//! Day, date and time over TCP (crate docs follow with the server).
pub mod protocol;

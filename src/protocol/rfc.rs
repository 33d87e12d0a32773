//! The two older protocols of the same purpose: the daytime protocol of RFC 867 and the time protocol of RFC 868. In
//! both a server sends its answer to whoever connects, and closes.

use super::{Zone, stamp::moment};

/// From 1900, which RFC 868 counts from, to 1970.
const TO_1970: i64 = 2_208_988_800;
/// The seconds that 32 bits count before they begin anew.
const ERA: i64 = 1 << 32;

/// The line of RFC 867 for a second since the Unix epoch, in the syntax that it shows first:
/// `Sunday, November 22, 2026 15:44:57-UTC` and CRLF.
pub fn rfc867(unix_seconds: i64, zone: &Zone) -> String {
    let text = moment(unix_seconds, zone).to_string("%A, %B %-d, %Y %H:%M:%S-%Z");
    text.unwrap_or_default() + "\r\n"
}

/// The four bytes of RFC 868: seconds since 1900-01-01 00:00:00 UTC, the most significant byte first. They begin anew
/// at 2036-02-07 06:28:16 UTC, and every 2^32 seconds after that.
pub fn rfc868(unix_seconds: i64) -> [u8; 4] {
    let seconds = unix_seconds.saturating_add(TO_1970).rem_euclid(ERA);
    // The remainder has 32 bits.
    (seconds as u32).to_be_bytes()
}

/// The second since the Unix epoch that four bytes of RFC 868 mean from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23
/// UTC: with their first bit set they are of the era before 2036-02-07 06:28:16 UTC, without it of the one that begins
/// then. RFC 4330, section 3, has that rule.
pub fn rfc868_seconds(bytes: [u8; 4]) -> i64 {
    let seconds = i64::from(u32::from_be_bytes(bytes));
    let era = if seconds < ERA / 2 { ERA } else { 0 };
    seconds + era - TO_1970
}

//! Two older protocols for the same purpose: the daytime protocol of RFC 867 and the time protocol of RFC 868. A server
//! of either sends its reply as soon as a client connects, and closes.

use chrono::format::StrftimeItems;

use super::{Zone, formatted_time::LocalTime};

/// The seconds from 1900, where RFC 868 starts to count, to 1970.
const TO_1970: i64 = 2_208_988_800;
/// The seconds that 32 bits count before they wrap around.
const ERA: i64 = 1 << 32;
/// The most bytes of a reply of RFC 867. With 28 bytes of headers, its datagram has at most three times the size of an empty
/// question.
const RFC867_MAX: usize = 56;

/// The reply of RFC 867 for a second since the Unix epoch, in the first syntax of the RFC:
/// `Sunday, November 22, 2026 15:44:57-UTC` and CRLF. It has at most 56 bytes: the abbreviation of a zone is cut after 15 or
/// more. The names of the system's database have at most 6.
#[must_use]
pub fn rfc867(unix_seconds: i64, zone: &Zone) -> String {
    let items: Vec<_> = StrftimeItems::new("%A, %B %-d, %Y %H:%M:%S-%Z").collect();
    let mut line = LocalTime::new(unix_seconds, zone).format(&items);
    while line.len() > RFC867_MAX - "\r\n".len() {
        line.pop();
    }
    line + "\r\n"
}

/// The reply of RFC 868: the seconds since 1900-01-01 00:00:00 UTC in four bytes, the most significant byte first. They
/// wrap around at 2036-02-07 06:28:16 UTC, and every 2^32 seconds after that.
#[must_use]
pub fn rfc868(unix_seconds: i64) -> [u8; 4] {
    let seconds = unix_seconds.saturating_add(TO_1970).rem_euclid(ERA);
    // The remainder has 32 bits.
    (seconds as u32).to_be_bytes()
}

/// The second since the Unix epoch of a reply of RFC 868, from 1968-01-20 03:14:08 UTC to 2104-02-26 09:42:23 UTC.
///
/// Bytes with their first bit set belong to the era before 2036-02-07 06:28:16 UTC, the others to the era that starts
/// then. The rule is that of RFC 4330, section 3.
#[must_use]
pub fn rfc868_seconds(bytes: [u8; 4]) -> i64 {
    let seconds = i64::from(u32::from_be_bytes(bytes));
    let era = if seconds < ERA / 2 { ERA } else { 0 };
    seconds + era - TO_1970
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_rfc_867_has_at_most_56_bytes() {
        for (abbreviation, shown) in [
            ("+1030", "+1030"),
            ("ABCDEFGHIJKLMNO", "ABCDEFGHIJKLMNO"),
            ("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNO"),
        ] {
            let zone = Zone::from_posix(&format!("<{abbreviation}>0")).unwrap();
            // The longest names of a day and a month.
            let line = rfc867(1_790_812_799, &zone);
            assert_eq!(line, format!("Wednesday, September 30, 2026 23:59:59-{shown}\r\n"));
            assert!(line.len() <= RFC867_MAX, "{}", line.len());
        }
    }
}

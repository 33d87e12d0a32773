//! Time zones: the offset of a moment, the POSIX TZ string of a zone, and the next change of its offset.
//!
//! jiff knows the zones. No type of jiff leaves this crate.

use std::sync::Arc;

use jiff::{
    Timestamp,
    tz::{Offset, TimeZone},
};

/// A time zone: one of the system's time zone database, or a fixed offset from UTC.
#[derive(Clone, Debug)]
pub struct Zone {
    zone: TimeZone,
    /// The POSIX TZ string at the end of its TZif file. It holds after the last transition that the file lists.
    footer: Option<Arc<str>>,
}

/// The time for which [`Zone::tz`] promises its string: two years, in seconds.
const TZ_HOLDS: i64 = 731 * 86_400;
/// The most transitions that change no offset in a row. Files have one or two; a POSIX TZ string whose two offsets are
/// equal has nothing else until the year 9999.
const UNCHANGED_MAX: usize = 64;

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Zone = Zone { zone: TimeZone::UTC, footer: None };

    /// A zone of jiff's database, and the [`footer`] of its file.
    pub(crate) fn new(zone: TimeZone, footer: Option<Arc<str>>) -> Self {
        Zone { zone, footer }
    }

    /// The zone of a TZif file (RFC 9636), whose name is unknown.
    ///
    /// # Errors
    /// Says why the bytes are not such a file.
    pub(crate) fn from_tzif(file: &[u8]) -> Result<Zone, String> {
        // jiff's own words would be a fiftieth of the Python wheel.
        let zone = TimeZone::tzif("Local", file).map_err(|_| "it is not a time zone file (RFC 9636)")?;
        Ok(Zone { zone, footer: footer(file) })
    }

    /// The zone of a POSIX TZ string, such as `CET-1CEST,M3.5.0,M10.5.0/3`. `None` if it is not one.
    pub(crate) fn from_posix(text: &str) -> Option<Zone> {
        Some(Zone { zone: TimeZone::posix(text).ok()?, footer: Some(text.into()) })
    }

    /// Parses an offset in the form of RFC 3339, `+05:30` or `-08:00`, or `UTC` in any letter case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Zone> {
        if text.eq_ignore_ascii_case("utc") {
            return Some(Zone::UTC);
        }
        let &[sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] = text.as_bytes() else { return None };
        let two = |high: u8, low: u8| {
            let digits = high.is_ascii_digit() && low.is_ascii_digit();
            digits.then(|| i32::from(high - b'0') * 10 + i32::from(low - b'0'))
        };
        let (hours, minutes) = (two(h1, h2)?, two(m1, m2)?);
        if hours > 23 || minutes > 59 {
            return None;
        }
        let seconds = (hours * 60 + minutes) * 60;
        let offset = Offset::from_seconds(if sign == b'-' { -seconds } else { seconds }).ok()?;
        Some(Zone { zone: TimeZone::fixed(offset), footer: None })
    }

    /// The offset at a second since the Unix epoch, in seconds east of UTC, and its abbreviation, such as `CET`.
    pub(super) fn offset(&self, second: i64) -> (i32, String) {
        state(&self.zone, timestamp(second))
    }

    /// The POSIX TZ string that holds at a second since the Unix epoch and for the two years after it. If the zone has
    /// none, or is not known to have one: the string of the present offset alone.
    ///
    /// The footer is such a string, unless the file lists transitions of the next two years that do not follow it. The
    /// files of Africa/Casablanca and Africa/El_Aaiun do, one for each Ramadan.
    pub(super) fn tz(&self, second: i64) -> String {
        let now = timestamp(second);
        let holds = |footer: &&Arc<str>| {
            let Ok(rules) = TimeZone::posix(footer) else { return false };
            let end = timestamp(second.saturating_add(TZ_HOLDS));
            state(&rules, now) == state(&self.zone, now) && changes(&rules, now, end).eq(changes(&self.zone, now, end))
        };
        match self.footer.as_ref().filter(holds) {
            Some(footer) => footer.to_string(),
            None => {
                let (offset, abbreviation) = state(&self.zone, now);
                fixed(offset, &abbreviation)
            }
        }
    }

    /// The first second after this one at which the offset changes. `None` if it does not change until the year 9999.
    pub(super) fn next_transition(&self, second: i64) -> Option<i64> {
        let now = timestamp(second);
        let offset = self.zone.to_offset(now);
        let mut following = self.zone.following(now).take(UNCHANGED_MAX);
        following.find(|transition| transition.offset() != offset).map(|transition| transition.timestamp().as_second())
    }
}

/// The POSIX TZ string in the last line of a TZif file: RFC 9636, section 3.3. `None` if the file has none, as those of
/// version 1.
pub(crate) fn footer(file: &[u8]) -> Option<Arc<str>> {
    let version = file.strip_prefix(b"TZif")?.first()?;
    let line = file.strip_suffix(b"\n").filter(|_| version.is_ascii_digit())?.rsplit(|&byte| byte == b'\n').next()?;
    std::str::from_utf8(line).ok().filter(|line| !line.is_empty()).map(Arc::from)
}

fn timestamp(second: i64) -> Timestamp {
    let (least, most) = (Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(second.clamp(least, most)).unwrap_or_default()
}

/// The offset in seconds, and its abbreviation.
fn state(zone: &TimeZone, moment: Timestamp) -> (i32, String) {
    let info = zone.to_offset_info(moment);
    (info.offset().seconds(), info.abbreviation().to_owned())
}

/// The moments after `now` and until `end` at which the offset or its abbreviation changes. Files also list moments at
/// which neither does.
fn changes(zone: &TimeZone, now: Timestamp, end: Timestamp) -> impl Iterator<Item = (Timestamp, (i32, String))> {
    let mut last = state(zone, now);
    let transitions = zone.following(now).take_while(move |transition| transition.timestamp() <= end);
    transitions.filter_map(move |transition| {
        let state = (transition.offset().seconds(), transition.abbreviation().to_owned());
        let changed = last != state;
        last.clone_from(&state);
        changed.then(|| (transition.timestamp(), state))
    })
}

/// The POSIX TZ string of an offset without rules. The abbreviation is kept if such a string can have it.
fn fixed(offset: i32, abbreviation: &str) -> String {
    let (hours, minutes, seconds) = (offset.abs() / 3600, offset.abs() / 60 % 60, offset.abs() % 60);
    let all = |allowed: fn(&u8) -> bool| abbreviation.len() >= 3 && abbreviation.as_bytes().iter().all(allowed);
    let mut text = if all(u8::is_ascii_alphabetic) {
        abbreviation.to_owned()
    } else if all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(byte)) {
        format!("<{abbreviation}>")
    } else {
        let (sign, minutes) =
            (if offset < 0 { '-' } else { '+' }, if minutes > 0 { &*format!("{minutes:02}") } else { "" });
        format!("<{sign}{hours:02}{minutes}>")
    };
    // POSIX counts from the other side: west of UTC.
    text += if offset > 0 { "-" } else { "" };
    text += &hours.to_string();
    if minutes + seconds > 0 {
        text += &format!(":{minutes:02}");
    }
    if seconds > 0 {
        text += &format!(":{seconds:02}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: &str = "CET-1CEST,M3.5.0,M10.5.0/3";
    /// 2026-11-22T15:44:57Z
    const NOW: i64 = 1_795_362_297;

    /// A zone whose transitions follow `rules`, of a file that ends with `footer`.
    fn zone(rules: &str, footer: Option<&str>) -> Zone {
        Zone::new(TimeZone::posix(rules).unwrap(), footer.map(Arc::from))
    }

    #[test]
    fn a_footer_is_the_answer_if_the_next_two_years_follow_it() {
        for (rules, footer, tz) in [
            (BERLIN, Some(BERLIN), BERLIN),
            // The same transitions in other words.
            (BERLIN, Some("CET-1CEST-2,M3.5.0/2,M10.5.0/3"), "CET-1CEST-2,M3.5.0/2,M10.5.0/3"),
            ("IST-1GMT0,M10.5.0,M3.5.0/1", Some("IST-1GMT0,M10.5.0,M3.5.0/1"), "IST-1GMT0,M10.5.0,M3.5.0/1"),
            // The present offset is that of the footer, and a transition is not: Casablanca before a Ramadan.
            ("<+01>-1<+00>0,M2.2.0/3,M3.2.0/2", Some("<+01>-1"), "<+01>-1"),
            (BERLIN, Some("CET-1CEST,M3.3.0,M10.5.0/3"), "CET-1"),
            // The fourth Sunday of March is the last one until 2030.
            (BERLIN, Some("CET-1CEST,M3.4.0,M10.5.0/3"), "CET-1CEST,M3.4.0,M10.5.0/3"),
            (BERLIN, Some("CET-1"), "CET-1"),
            // The offset is the same, and its name is not.
            ("EST5", Some("CST5"), "EST5"),
            ("<-03>3", Some("not a string"), "<-03>3"),
            // Files of version 1 have no footer.
            (BERLIN, None, "CET-1"),
        ] {
            assert_eq!(zone(rules, footer).tz(NOW), tz, "{rules} {footer:?}");
        }
    }

    #[test]
    fn an_offset_without_rules_is_a_string() {
        for (offset, abbreviation, tz) in [
            (0, "UTC", "UTC0"),
            (0, "+00", "<+00>0"),
            (0, "-00", "<-00>0"),
            (19_800, "IST", "IST-5:30"),
            (19_800, "+05:30", "<+0530>-5:30"),
            (3_600, "+01:00", "<+01>-1"),
            (-28_800, "-08", "<-08>8"),
            (-60, "", "<-0001>0:01"),
            (3_208, "LMT", "LMT-0:53:28"),
            (-2_670, "LMT", "LMT0:44:30"),
            (3_600, "A1B", "<A1B>-1"),
            (3_600, "AB", "<+01>-1"),
            (50_400, "Ωxy", "<+14>-14"),
        ] {
            let text = fixed(offset, abbreviation);
            assert_eq!(text, tz);
            assert_eq!(Zone::from_posix(&text).unwrap().offset(NOW).0, offset);
        }
    }

    #[test]
    fn the_next_transition_changes_the_offset() {
        for (rules, second, next) in [
            (BERLIN, NOW, Some(1_806_195_600)),
            (BERLIN, 1_806_195_599, Some(1_806_195_600)),
            // A transition at this second is past: the offset of this second is that after it.
            (BERLIN, 1_806_195_600, Some(1_824_944_400)),
            ("EST5", NOW, None),
            // Two names and one offset.
            ("AAA3BBB3,M3.5.0,M10.5.0", NOW, None),
            (BERLIN, i64::MAX, None),
        ] {
            assert_eq!(zone(rules, None).next_transition(second), next, "{rules} {second}");
        }
        assert_eq!((Zone::UTC.next_transition(NOW), Zone::UTC.tz(NOW)), (None, "UTC0".into()));
    }

    #[test]
    fn a_footer_is_the_last_line_of_a_file_of_version_2_or_later() {
        for (file, expected) in [
            (&b"TZif2\0data\n\nCET-1\n"[..], Some("CET-1")),
            (b"TZif4\0\nUTC0\n", Some("UTC0")),
            (b"TZif\0\0data\nCET-1\n", None),
            (b"TZif2\0data\n\n", None),
            (b"TZif2\0\nCET-1", None),
            (b"TZif2\0\n\xFF\n", None),
            (b"TZif", None),
            (b"CET-1\n", None),
            (b"", None),
        ] {
            assert_eq!(footer(file).as_deref(), expected, "{}", file.escape_ascii());
        }
    }
}

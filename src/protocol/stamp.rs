//! The texts of one second in one zone, formatted once however many clients ask for them.

use jiff::{
    Timestamp,
    fmt::strtime,
    tz::{Offset, TimeZone},
};

use super::{Command, OWED_MAX, REPLY_MAX, check_reply};

/// A time zone: the system's, one of the zone database, or a fixed offset.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Zone = Zone(TimeZone::UTC);

    pub(crate) fn new(zone: TimeZone) -> Self {
        Zone(zone)
    }

    /// Reads an offset as RFC 3339 writes it, `+05:30` or `-08:00`, or `UTC` in any letter case.
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
        Some(Zone(TimeZone::fixed(offset)))
    }
}

/// The strftime formats of the replies to `day`, `date` and `time`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    day: String,
    date: String,
    time: String,
}

impl Default for Formats {
    /// `%A`, `%y-%m-%d` and `%H:%M:%S`, as the original has them.
    fn default() -> Self {
        Formats { day: "%A".into(), date: "%y-%m-%d".into(), time: "%H:%M:%S".into() }
    }
}

impl Formats {
    /// The formats of the replies to `day`, `date` and `time`, with the conversions of strftime(3) but those that
    /// depend on a locale (`%c`, `%r`, `%x`, `%X`, `%+`, `%E…` and `%O…`); names are English.
    ///
    /// # Errors
    /// Says which format is refused and why: an unknown or unfinished conversion, or a text that no reply can be.
    pub fn new(day: &str, date: &str, time: &str) -> Result<Self, String> {
        for format in [day, date, time] {
            check_format(format).map_err(|why| format!("the format {format:?} {why}"))?;
        }
        Ok(Formats { day: day.into(), date: date.into(), time: time.into() })
    }
}

/// The texts of one second in one zone.
#[derive(Clone, Debug)]
pub struct Stamp {
    day: String,
    date: String,
    time: String,
    datetime: String,
    timestamp: String,
    /// The replies to `day`, `date` and `time` with an LF, each in a block that is copied whole, and their lengths.
    lines: [([u8; LINE], usize); 3],
}

/// A block for the texts that most servers have.
const LINE: usize = 16;
/// Short lines answered in one go: enough that what they have in common costs nothing, few enough that making room for
/// them costs nothing where only one comes.
const RUN: usize = 32;

impl Stamp {
    /// The first and last second that have texts: what RFC 3339 can write, in every zone.
    pub const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_200;

    /// The texts of a second since the Unix epoch; one outside of [`Stamp::RANGE`] gives those of its nearer end.
    pub fn new(unix_seconds: i64, zone: &Zone, formats: &Formats) -> Self {
        let seconds = unix_seconds.clamp(*Self::RANGE.start(), *Self::RANGE.end());
        let moment = moment(seconds, zone);
        // Formats were checked when they were set. The text of one that turns out longer at another moment (years,
        // zone abbreviations) is cut, so that it is a reply at every moment.
        let text = |format: &str| {
            let mut text = moment.to_string(format).unwrap_or_default();
            while text.len() > REPLY_MAX {
                text.pop();
            }
            text
        };
        let (day, date, time) = (text(&formats.day), text(&formats.date), text(&formats.time));
        let line = |text: &str| {
            let mut block = [b'\n'; LINE];
            match block.get_mut(..text.len()) {
                Some(begin) if text.len() < LINE => begin.copy_from_slice(text.as_bytes()),
                _ => return (block, 0),
            }
            (block, text.len() + 1)
        };
        Stamp {
            lines: [line(&day), line(&date), line(&time)],
            day,
            date,
            time,
            datetime: text("%Y-%m-%dT%H:%M:%S") + &rfc3339_offset(moment.offset()),
            timestamp: seconds.to_string(),
        }
    }

    /// Answers the lines that `input` begins with and that are exactly `day`, `date` or `time` and an LF, at most
    /// [`RUN`], and no more once [`OWED_MAX`] bytes are owed. Gives the bytes and the lines taken.
    pub(super) fn answer_lines(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        let (mut at, mut count, mut end) = (0, 0, out.len());
        // One check and growth for the whole run. A reply is a copy of fixed size, two instructions; what is too much
        // of it is overwritten by the next.
        out.resize(end + RUN * LINE, 0);
        while end < OWED_MAX
            && let Some((command, length)) = Command::short_line(&input[at..])
            && let Some((block, reply)) = self.line(command)
            && let Some(room) = out.get_mut(end..end + LINE)
        {
            room.copy_from_slice(block);
            end += reply;
            at += length;
            count += 1;
        }
        out.truncate(end);
        (at, count)
    }

    /// The reply to `day`, `date` or `time` and an LF, if it is short.
    fn line(&self, command: Command) -> Option<&([u8; LINE], usize)> {
        let line = match command {
            Command::Day => &self.lines[0],
            Command::Date => &self.lines[1],
            Command::Time => &self.lines[2],
            _ => return None,
        };
        (line.1 > 0).then_some(line)
    }

    /// The reply to one of the five commands that tell the time; empty for any other.
    pub fn text(&self, command: Command) -> &str {
        match command {
            Command::Day => &self.day,
            Command::Date => &self.date,
            Command::Time => &self.time,
            Command::Datetime => &self.datetime,
            Command::Timestamp => &self.timestamp,
            _ => "",
        }
    }
}

/// What can be formatted of a second, or of the nearer end of [`Stamp::RANGE`].
pub(super) fn moment(unix_seconds: i64, zone: &Zone) -> strtime::BrokenDownTime {
    let seconds = unix_seconds.clamp(*Stamp::RANGE.start(), *Stamp::RANGE.end());
    strtime::BrokenDownTime::from(&Timestamp::from_second(seconds).unwrap_or_default().to_zoned(zone.0.clone()))
}

/// RFC 3339 has hours and minutes. Of the seconds that local mean times have, before there were zones, it has none.
fn rfc3339_offset(offset: Option<Offset>) -> String {
    let seconds = offset.unwrap_or(Offset::UTC).seconds();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

fn check_format(format: &str) -> Result<(), String> {
    let mut rest = format;
    while let Some((_, conversion)) = rest.split_once('%') {
        let conversion = conversion.trim_start_matches(['_', '-', '0', '^', '#']);
        match conversion.chars().next() {
            Some(c) if "aAbBCdDeFgGhHIjklmMpPRsSTuUVwWyYzZ%".contains(c) => rest = &conversion[1..],
            Some(c) => return Err(format!("has %{c}, which no reply can have")),
            None => return Err("ends in an unfinished conversion".into()),
        }
    }
    // A Wednesday in September: the longest names.
    let longest = Timestamp::constant(1_790_812_799, 0).to_zoned(TimeZone::UTC);
    let text = strtime::format(format, &longest).map_err(|error| format!("is refused: {error}"))?;
    check_reply(&text).map_err(|why| format!("gives no reply: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_with_rules_are_right_at_their_boundary_seconds() {
        // C3, with rules of POSIX so that no zone database is asked.
        let berlin = "CET-1CEST,M3.5.0,M10.5.0/3";
        let lord_howe = "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0";
        for (rules, second, expected) in [
            (berlin, 1_774_745_999, "2026-03-29T01:59:59+01:00"),
            (berlin, 1_774_746_000, "2026-03-29T03:00:00+02:00"),
            (berlin, 1_774_746_001, "2026-03-29T03:00:01+02:00"),
            (berlin, 1_792_889_999, "2026-10-25T02:59:59+02:00"),
            (berlin, 1_792_890_000, "2026-10-25T02:00:00+01:00"),
            (berlin, 1_792_890_001, "2026-10-25T02:00:01+01:00"),
            (lord_howe, 1_775_314_799, "2026-04-05T01:59:59+11:00"),
            (lord_howe, 1_775_314_800, "2026-04-05T01:30:00+10:30"),
            (lord_howe, 1_791_041_399, "2026-10-04T01:59:59+10:30"),
            (lord_howe, 1_791_041_400, "2026-10-04T02:30:00+11:00"),
        ] {
            let zone = Zone::new(TimeZone::posix(rules).unwrap());
            assert_eq!(Stamp::new(second, &zone, &Formats::default()).text(Command::Datetime), expected);
        }
    }

    #[test]
    fn datetime_is_rfc_3339_in_zones_of_local_mean_time() {
        // Berlin's and Monrovia's; an offset of RFC 3339 has no seconds.
        for (seconds, expected) in [(3208, "1890-10-11T20:26:48+00:53"), (-2670, "1890-10-11T18:48:50-00:44")] {
            let zone = Zone::new(TimeZone::fixed(Offset::from_seconds(seconds).unwrap()));
            let stamp = Stamp::new(-2_500_000_000, &zone, &Formats::default());
            assert_eq!(stamp.text(Command::Datetime), expected);
        }
    }
}

//! The replies of one second in one time zone, formatted once and copied to every client that asks.
//!
//! chrono formats; `zone.rs` knows the offset.

use std::{
    fmt::{self, Write},
    sync::{Arc, OnceLock},
};

use chrono::{
    DateTime, Datelike, FixedOffset, NaiveDateTime, TimeDelta, Timelike,
    format::{DelayedFormat, Item, StrftimeItems},
};

use super::{Command, REPLY_MAX, Zone, check_reply, fast_path::ShortReplies};

/// The strftime formats of the replies to `day`, `date` and `time`, parsed. A clone shares them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats(Arc<[Vec<Item<'static>>; 3]>);

impl Formats {
    /// The default format of the reply to `day`, `Sunday`.
    pub const DAY: &str = "%A";
    /// The default format of the reply to `date`, `26-11-22`.
    pub const DATE: &str = "%y-%m-%d";
    /// The default format of the reply to `time`, `15:44:57`.
    pub const TIME: &str = "%H:%M:%S";

    /// Parses the formats of the replies to `day`, `date` and `time`: text with the conversions of [`chrono::format::strftime`].
    ///
    /// The conversions are `%a %A %b %B %C %d %D %e %F %g %G %h %H %I %j %k %l %m %M %p %P %R %s %S %T %u %U %V %w %W
    /// %y %Y %z %Z %%`, with the padding flags `-`, `_` and `0`. Names are English, and `%Z` is the abbreviation of the
    /// zone.
    ///
    /// # Errors
    /// Says which format is rejected and why: it has another conversion, ends inside one, or can give an invalid reply
    /// (see [`check_reply`]).
    pub fn new(day: &str, date: &str, time: &str) -> Result<Self, String> {
        let parse = |format: &str| parse_format(format).map_err(|error| format!("the format {format:?} {error}"));
        Ok(Formats(Arc::new([parse(day)?, parse(date)?, parse(time)?])))
    }
}

impl Default for Formats {
    /// [`Formats::DAY`], [`Formats::DATE`] and [`Formats::TIME`], the formats of the original classroom program.
    fn default() -> Self {
        let parse = |format| StrftimeItems::new(format).parse_to_owned().unwrap_or_default();
        Formats(Arc::new([parse(Self::DAY), parse(Self::DATE), parse(Self::TIME)]))
    }
}

/// The reply to `next` if the offset does not change any more.
pub(super) const NO_TRANSITION: &str = "none";
/// Where RFC 3339 has the offset.
const SECONDS_END: usize = "2026-11-22T15:44:57".len();

/// The replies of one second in one zone. Each is formatted when it is asked for, and once.
#[derive(Clone, Debug)]
pub struct FormattedTime {
    second: i64,
    zone: Zone,
    local: LocalTime,
    formats: Formats,
    /// The replies to `day`, `date`, `time`, `datetime`, `timestamp`, `tz` and `next`.
    texts: [OnceLock<String>; 7],
    short_replies: OnceLock<ShortReplies>,
}

impl FormattedTime {
    /// The first and the last second that can be formatted: RFC 3339 has years of four digits, in every zone.
    pub const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_207_200;

    /// The replies of a second since the Unix epoch. A second outside of [`FormattedTime::RANGE`] becomes its nearer end.
    #[must_use]
    pub fn new(unix_seconds: i64, zone: &Zone, formats: &Formats) -> Self {
        FormattedTime {
            second: unix_seconds,
            zone: zone.clone(),
            local: LocalTime::new(unix_seconds, zone),
            formats: formats.clone(),
            texts: Default::default(),
            short_replies: OnceLock::new(),
        }
    }

    /// The second since the Unix epoch that was given.
    pub fn second(&self) -> i64 {
        self.second
    }

    /// The reply to one of the seven commands that ask for the time or its zone; empty for any other command.
    pub fn text(&self, command: Command) -> &str {
        let Some(index) = Self::index(command) else { return "" };
        self.texts[index].get_or_init(|| match command {
            Command::Datetime => self.local.rfc3339(),
            Command::Timestamp => clamp(self.second).to_string(),
            Command::Tz => self.zone.tz(clamp(self.second)),
            Command::Next => self.next_transition(),
            _ => self.local.format(&self.formats.0[index]),
        })
    }

    /// Whether [`text`](Self::text) would search the transitions of two years: only `tz` does, and only once.
    pub(super) fn is_first_tz(&self, command: Command) -> bool {
        let text = |index: usize| self.texts[index].get();
        command == Command::Tz && Self::index(command).and_then(text).is_none()
    }

    fn index(command: Command) -> Option<usize> {
        Some(match command {
            Command::Day => 0,
            Command::Date => 1,
            Command::Time => 2,
            Command::Datetime => 3,
            Command::Timestamp => 4,
            Command::Tz => 5,
            Command::Next => 6,
            Command::Help | Command::Quit | Command::Custom(_) => return None,
        })
    }

    /// The moment in UTC, then the offset that begins. Both are cut from RFC 3339, which has a year of four digits.
    fn next_transition(&self) -> String {
        let next = self.zone.next_transition(clamp(self.second)).filter(|next| Self::RANGE.contains(next));
        let text = next.and_then(|next| {
            let [utc, local] = [&Zone::UTC, &self.zone].map(|zone| LocalTime::new(next, zone).rfc3339());
            Some(format!("{}Z {}", utc.get(..SECONDS_END)?, local.get(SECONDS_END..)?))
        });
        text.unwrap_or_else(|| NO_TRANSITION.to_owned())
    }

    /// The replies of the fast path.
    pub(super) fn short_replies(&self) -> &ShortReplies {
        let texts = || [Command::Day, Command::Date, Command::Time].map(|command| self.text(command));
        self.short_replies.get_or_init(|| ShortReplies::new(texts()))
    }
}

/// What a clock on the wall of a zone shows at one second.
#[derive(Clone, Debug)]
pub(super) struct LocalTime {
    local: NaiveDateTime,
    offset: ZoneOffset,
}

impl LocalTime {
    pub(super) fn new(unix_seconds: i64, zone: &Zone) -> Self {
        let second = clamp(unix_seconds);
        let (offset, abbreviation) = zone.offset(second);
        // The time zones of chrono and of RFC 3339 stay within a day of UTC. A POSIX TZ string can exceed that.
        let seconds = offset.clamp(-86_399, 86_399);
        let utc = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
        LocalTime {
            local: utc.checked_add_signed(TimeDelta::seconds(seconds.into())).unwrap_or(utc),
            offset: ZoneOffset { seconds, abbreviation },
        }
    }

    /// Formats parsed items. The result is a valid reply at every moment: a text that is too long is cut. It can grow
    /// after its format was checked, since the abbreviations of zones differ in length.
    pub(super) fn format(&self, items: &[Item<'static>]) -> String {
        let mut text = String::new();
        let (date, time) = (Some(self.local.date()), Some(self.local.time()));
        // Writing to a `String` does not fail, and items that chrono cannot write were rejected by `parse_format`.
        let _ = write!(text, "{}", DelayedFormat::new_with_offset(date, time, &self.offset, items.iter()));
        while text.len() > REPLY_MAX {
            text.pop();
        }
        text
    }

    /// RFC 3339, whose offsets have hours and minutes. Local mean times of the 19th century have seconds too: they are
    /// left out of the offset.
    fn rfc3339(&self) -> String {
        let (local, seconds) = (self.local, self.offset.seconds);
        let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.unsigned_abs() / 60);
        // Digit by digit: chrono's formatter takes five times as long, and a client may name another offset each time.
        let mut text = String::with_capacity("2026-11-22T15:44:57+00:00".len());
        let year = local.year().unsigned_abs();
        for (number, after) in [
            (year / 100, None),
            (year % 100, Some('-')),
            (local.month(), Some('-')),
            (local.day(), Some('T')),
            (local.hour(), Some(':')),
            (local.minute(), Some(':')),
            (local.second(), Some(sign)),
            (minutes / 60, Some(':')),
            (minutes % 60, None),
        ] {
            text.extend([number / 10, number % 10].map(|digit| char::from(b'0' + digit as u8)));
            text.extend(after);
        }
        text
    }
}

/// An offset from UTC whose `%Z` is the abbreviation of its zone, such as `CET`.
#[derive(Clone, Debug)]
struct ZoneOffset {
    /// East of UTC, less than a day.
    seconds: i32,
    abbreviation: String,
}

impl chrono::Offset for ZoneOffset {
    fn fix(&self) -> FixedOffset {
        FixedOffset::east_opt(self.seconds).unwrap_or(const { FixedOffset::east_opt(0).unwrap() })
    }
}

impl fmt::Display for ZoneOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.abbreviation)
    }
}

fn clamp(unix_seconds: i64) -> i64 {
    unix_seconds.clamp(*FormattedTime::RANGE.start(), *FormattedTime::RANGE.end())
}

fn parse_format(format: &str) -> Result<Vec<Item<'static>>, String> {
    let mut rest = format;
    while let Some((_, conversion)) = rest.split_once('%') {
        let conversion = conversion.strip_prefix(['-', '_', '0']).unwrap_or(conversion);
        match conversion.chars().next() {
            Some(c) if "aAbBCdDeFgGhHIjklmMpPRsSTuUVwWyYzZ%".contains(c) => rest = &conversion[1..],
            Some(c) => return Err(format!("has the conversion %{c}, which is not supported")),
            None => return Err("ends in an unfinished conversion".into()),
        }
    }
    let items = StrftimeItems::new(format).parse_to_owned();
    let items = items.map_err(|_| "has a conversion that is not supported".to_owned())?;
    // The reply is checked at a Wednesday in September, which has the longest names.
    let longest = DateTime::from_timestamp(1_790_812_799, 0).unwrap_or_default();
    let mut text = String::new();
    write!(text, "{}", longest.format_with_items(items.iter())).map_err(|_| "cannot be formatted".to_owned())?;
    check_reply(&text).map_err(|error| format!("gives an invalid reply: {error}"))?;
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_with_rules_are_right_at_their_boundary_seconds() {
        // C3, with POSIX rules so that no time zone database is needed.
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
            let zone = Zone::from_posix(rules).unwrap();
            assert_eq!(FormattedTime::new(second, &zone, &Formats::default()).text(Command::Datetime), expected);
        }
    }

    #[test]
    fn the_zone_conversions_are_those_of_the_moment() {
        let zone = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let formats = Formats::new("%Z", "%z", "%s").unwrap();
        for (second, abbreviation, offset) in [(1_774_745_999, "CET", "+0100"), (1_774_746_000, "CEST", "+0200")] {
            let formatted = FormattedTime::new(second, &zone, &formats);
            assert_eq!(formatted.text(Command::Day), abbreviation);
            assert_eq!(formatted.text(Command::Date), offset);
            assert_eq!(formatted.text(Command::Time), second.to_string());
        }
    }

    #[test]
    fn datetime_is_rfc_3339_in_zones_of_local_mean_time() {
        // Those of Berlin and Monrovia; an offset of RFC 3339 does not have seconds.
        for (rules, expected) in
            [("LMT-0:53:28", "1890-10-11T20:26:48+00:53"), ("LMT0:44:30", "1890-10-11T18:48:50-00:44")]
        {
            let zone = Zone::from_posix(rules).unwrap();
            let formatted = FormattedTime::new(-2_500_000_000, &zone, &Formats::default());
            assert_eq!(formatted.text(Command::Datetime), expected);
        }
    }

    #[test]
    fn an_offset_of_more_than_a_day_becomes_the_nearest_that_rfc_3339_has() {
        let zone = Zone::from_posix("XYZ-24:59").unwrap();
        let formatted = FormattedTime::new(0, &zone, &Formats::default());
        assert_eq!(formatted.text(Command::Datetime), "1970-01-01T23:59:59+23:59");
    }
}

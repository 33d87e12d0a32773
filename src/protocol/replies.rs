//! The replies of a server, parsed into chrono's types: strictly, since a reply that differs in one byte from what
//! servers send is an answer to something else.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveTime, SecondsFormat, Timelike, Weekday};

use super::formatted_time::NO_TRANSITION;

/// The English name of a weekday, such as `Sunday`. (chrono's `Display` abbreviates it.)
#[must_use]
pub fn day_name(day: Weekday) -> &'static str {
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][day.num_days_from_monday() as usize]
}

/// Parses the reply to `day`: an English name, `Sunday`.
#[must_use]
pub fn parse_day(reply: &str) -> Option<Weekday> {
    (0..7u8).filter_map(|day| Weekday::try_from(day).ok()).find(|day| day_name(*day) == reply)
}

/// Parses the reply to `date` in the format of the original classroom program: `26-11-22`. Two-digit years are those of
/// POSIX `%y` (strptime(3)): 69 to 99 stand for 1969 to 1999, 00 to 68 for 2000 to 2068.
#[must_use]
pub fn parse_date(reply: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(reply, "%y-%m-%d").ok()?;
    // chrono's `%y` has its pivot a year later.
    let date = if date.year() == 2069 { date.with_year(1969)? } else { date };
    (date.format("%y-%m-%d").to_string() == reply).then_some(date)
}

/// Parses the reply to `time` in the format of the original classroom program: `15:44:57`.
#[must_use]
pub fn parse_time(reply: &str) -> Option<NaiveTime> {
    let time = NaiveTime::parse_from_str(reply, "%H:%M:%S").ok()?;
    // A leap second becomes the second before it: few programs expect one.
    (time.format("%H:%M:%S").to_string() == reply).then(|| time.with_nanosecond(0))?
}

/// Parses the reply to `datetime`: RFC 3339 in whole seconds with a numeric offset, `2026-11-22T15:44:57+00:00`.
#[must_use]
pub fn parse_datetime(reply: &str) -> Option<DateTime<FixedOffset>> {
    let moment = DateTime::parse_from_rfc3339(reply).ok()?;
    let written = moment.to_rfc3339_opts(SecondsFormat::Secs, false);
    // RFC 3339 writes UTC in two ways, of which chrono writes one.
    let same = written == reply
        || reply.strip_suffix("-00:00").is_some_and(|local| written.strip_suffix("+00:00") == Some(local));
    // A leap second becomes the second before it: few programs expect one.
    same.then(|| moment.with_nanosecond(0))?
}

/// Parses the reply to `timestamp`: seconds since the Unix epoch, `1795362297`, negative before 1970.
#[must_use]
pub fn parse_timestamp(reply: &str) -> Option<i64> {
    let seconds: i64 = reply.parse().ok()?;
    (seconds.to_string() == reply).then_some(seconds)
}

/// Parses the reply to `tz`: a POSIX TZ string, `CET-1CEST,M3.5.0,M10.5.0/3`. Checks that it begins with an abbreviation
/// and an offset, and has only characters of such a string. Its rules are for tzset(3).
#[must_use]
pub fn parse_tz(reply: &str) -> Option<String> {
    let (name, offset) = match reply.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => reply.split_at(reply.find(|c: char| !c.is_ascii_alphabetic())?),
    };
    let is_name = name.len() >= 3 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-".contains(&byte));
    let is_offset = offset.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
    let is_rest = offset.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"<>+-,.:/".contains(&byte));
    (is_name && is_offset && is_rest).then(|| reply.to_owned())
}

/// Parses the reply to `next`: a moment in UTC and the offset that begins then, `2027-03-28T01:00:00Z +02:00`, or `none`.
/// The result is the moment at that offset, `Some(None)` if there is none.
#[must_use]
pub fn parse_next_transition(reply: &str) -> Option<Option<DateTime<FixedOffset>>> {
    if reply == NO_TRANSITION {
        return Some(None);
    }
    let (moment, offset) = reply.split_once("Z ")?;
    let utc = parse_datetime(&format!("{moment}+00:00"))?;
    let zone = *parse_datetime(&format!("{moment}{offset}"))?.offset();
    Some(Some(utc.with_timezone(&zone)))
}

//! Formats, zones and replies: what is accepted is valid at every moment, and what is parsed is what was written.
//!
//! The input is eight bytes of a second since the Unix epoch, then lines: a zone, the formats of the day, the date and the
//! time, and texts that are parsed as replies.

use daytime::{
    chrono::{Datelike, NaiveDate, Timelike},
    protocol::{
        Command, Formats, FormattedTime, Zone, check_reply, day_name, errors, parse_date, parse_datetime, parse_day,
        parse_next_transition, parse_time, parse_timestamp, parse_tz, rfc867, rfc868, rfc868_seconds,
    },
};

use super::Input;

const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

pub(crate) fn check(data: &[u8]) {
    let mut input = Input(data);
    let number = i64::from_le_bytes(input.bytes());
    // Most numbers of 64 bits are outside of the range.
    let second = if number & 1 == 0 { number >> 1 } else { (number >> 1) % 300_000_000_000 };
    let zone = zone(&input.text());
    let formats = [input.text(), input.text(), input.text()];
    for zone in [Zone::UTC, zone] {
        moment(second, &zone);
        moment(second % 4_000_000_000, &zone);
        configured(second, &zone, &formats);
    }
    of_rfc868(number as u32, second);
    while !input.is_empty() {
        reply(&input.text());
    }
}

/// A zone is `UTC` or an offset.
fn zone(text: &str) -> Zone {
    let zone = Zone::parse(text);
    let valid = match text.as_bytes() {
        [b'+' | b'-', hours @ .., b':', m1, m2] => {
            let number = |digits: &[u8]| str::from_utf8(digits).ok()?.parse::<u8>().ok();
            let digits = [hours, &[*m1, *m2]].concat().iter().all(u8::is_ascii_digit);
            digits && hours.len() == 2 && number(hours) < Some(24) && number(&[*m1, *m2]) < Some(60)
        }
        _ => text.eq_ignore_ascii_case("utc"),
    };
    assert_eq!(zone.is_some(), valid, "{text:?}");
    zone.unwrap_or(Zone::UTC)
}

/// The replies of the default formats can be parsed, and mean the second.
fn moment(second: i64, zone: &Zone) {
    let formatted = FormattedTime::new(second, zone, &Formats::default());
    let within = second.clamp(*FormattedTime::RANGE.start(), *FormattedTime::RANGE.end());
    assert_eq!(parse_timestamp(formatted.text(Command::Timestamp)), Some(within));
    let tz = formatted.text(Command::Tz);
    assert_eq!(parse_tz(tz).as_deref(), Some(tz));
    assert_eq!(parse_next_transition(formatted.text(Command::Next)), Some(None), "an offset does not change");
    let text = formatted.text(Command::Datetime);
    let moment = parse_datetime(text).unwrap_or_else(|| panic!("{text:?} is a reply to datetime"));
    assert_eq!((moment.timestamp(), moment.nanosecond()), (within, 0), "{text:?}");
    let local = moment.naive_local();
    assert_eq!(parse_day(formatted.text(Command::Day)), Some(local.weekday()));
    assert_eq!(parse_time(formatted.text(Command::Time)), Some(local.time()));
    let date = parse_date(formatted.text(Command::Date)).expect("it is a date, but for its century");
    assert_eq!((date.year().rem_euclid(100), date.ordinal() > 0), (local.year().rem_euclid(100), true));
    assert!((1969..=2068).contains(&date.year()));
    assert!(!(1969..=2068).contains(&local.year()) || date == local.date());
    assert_eq!([Command::Help, Command::Quit, Command::Custom(0)].map(|command| formatted.text(command)), [""; 3]);

    let line = rfc867(second, zone);
    let start = format!("{}, {} {}, ", day_name(local.weekday()), local.format("%B"), local.day());
    assert!(line.starts_with(&start) && line.ends_with("\r\n"), "{line:?} begins with {start:?}");
    assert!(line.trim_end().chars().all(|c| !c.is_control()));
}

/// An accepted format gives a valid reply.
fn configured(second: i64, zone: &Zone, formats: &[String; 3]) {
    let [day, date, time] = formats;
    let each = [day, date, time].map(|format| Formats::new(format, Formats::DATE, Formats::TIME).is_ok());
    let Ok(formats) = Formats::new(day, date, time) else {
        assert!(each.contains(&false), "formats are accepted one by one");
        return;
    };
    assert_eq!(each, [true; 3]);
    assert_eq!(formats, Formats::new(day, date, time).expect("the same formats"));
    for second in [second, second % 4_000_000_000, i64::MIN, i64::MAX, 1_790_812_799] {
        let formatted = FormattedTime::new(second, zone, &formats);
        for (command, format) in [(Command::Day, day), (Command::Date, date), (Command::Time, time)] {
            let text = formatted.text(command);
            assert_eq!(check_reply(text), Ok(()), "{format:?} gives {text:?}");
            assert!(format.contains('%') || text == format, "{format:?} gives {text:?}");
            assert_eq!(text, formatted.clone().text(command));
        }
    }
}

fn of_rfc868(number: u32, second: i64) {
    let bytes = number.to_be_bytes();
    let seconds = rfc868_seconds(bytes);
    assert!((-61_505_152..=4_233_462_143).contains(&seconds));
    assert_eq!(rfc868(seconds), bytes);
    if (-61_505_152..=4_233_462_143).contains(&second) {
        assert_eq!(rfc868_seconds(rfc868(second)), second);
    }
}

/// A text is a reply if and only if a naive reading of its characters says so, and means the same.
fn reply(text: &str) {
    assert_eq!(parse_day(text).map(day_name), DAYS.contains(&text).then_some(text));
    let date = parse_date(text).map(|date| (date.year(), date.month(), date.day()));
    assert_eq!(date, naive_date(text), "{text:?}");
    let time = parse_time(text).map(|time| (time.hour(), time.minute(), time.second(), time.nanosecond()));
    assert_eq!(time, naive_time(text).map(|(h, m, s)| (h, m, s.min(59), 0)), "{text:?}");
    let datetime = parse_datetime(text).map(|moment| (moment.timestamp(), moment.offset().local_minus_utc()));
    assert_eq!(datetime, naive_datetime(text), "{text:?}");
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" && text == "0" || !digits.starts_with('0'));
    assert_eq!(parse_timestamp(text), text.parse().ok().filter(|_| plain), "{text:?}");
    let next = parse_next_transition(text).flatten().map(|next| (next.timestamp(), next.offset().local_minus_utc()));
    let moment = text.split_once("Z ").and_then(|(moment, offset)| {
        let (second, _) = naive_datetime(&format!("{moment}+00:00"))?;
        Some((second, naive_datetime(&format!("{moment}{offset}"))?.1))
    });
    assert_eq!(next, moment, "{text:?}");
    if let Some(tz) = parse_tz(text) {
        assert!(tz == text && tz.len() >= 4 && !tz.contains(|c: char| !c.is_ascii_graphic()), "{text:?}");
        assert!(parse_day(text).is_none() && date.is_none() && time.is_none() && datetime.is_none(), "{text:?}");
    }

    let whole = errors::ALL.contains(&text);
    let named = text.strip_prefix("The command failed: ").filter(|rest| !rest.is_empty());
    assert_eq!(errors::reason(text), if whole { Some(text) } else { named });
    assert_eq!(check_reply(text).is_ok(), (1..=1023).contains(&text.len()) && !text.contains(char::is_control));
}

/// Three numbers of two digits.
fn three(text: &str, separator: char) -> Option<[u32; 3]> {
    let parts: Vec<&str> = text.split(separator).collect();
    let two = |part: &str| (part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit())).then(|| part.parse().ok())?;
    match parts[..] {
        [a, b, c] => Some([two(a)?, two(b)?, two(c)?]),
        _ => None,
    }
}

fn days_of(year: i32, month: u32) -> u32 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    }
}

fn naive_date(text: &str) -> Option<(i32, u32, u32)> {
    let [year, month, day] = three(text, '-')?;
    let year = year as i32 + if year < 69 { 2000 } else { 1900 };
    (1..=days_of(year, month)).contains(&day).then_some((year, month, day))
}

/// The seconds may be 60.
fn naive_time(text: &str) -> Option<(u32, u32, u32)> {
    let [hour, minute, second] = three(text, ':')?;
    (hour < 24 && minute < 60 && second <= 60).then_some((hour, minute, second))
}

/// `2026-11-22T15:44:57+00:00`: the seconds since the Unix epoch, and the offset.
fn naive_datetime(text: &str) -> Option<(i64, i32)> {
    if text.len() != 25 || !text.is_ascii() || &text[10..11] != "T" || !text[..4].bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let year: i32 = text[..4].parse().ok()?;
    let [_, month, day] = three(&text[2..10], '-')?;
    let (hour, minute, second) = naive_time(&text[11..19])?;
    let (east, offset) = (text[19..20].to_owned(), text[20..].to_owned() + ":00");
    let (hours, minutes, _) = naive_time(&offset)?;
    let seconds = ((hours * 60 + minutes) * 60) as i32;
    let offset = match &east[..] {
        "+" => seconds,
        "-" => -seconds,
        _ => return None,
    };
    if !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    let days = NaiveDate::from_ymd_opt(year, month, day)?.num_days_from_ce() - 719_163;
    let local = i64::from(days) * 86_400 + i64::from((hour * 60 + minute) * 60 + second.min(59));
    Some((local - i64::from(offset), offset))
}

//! Days, dates and times as plain values, and how they are read from a server's replies.

use std::{fmt, str::FromStr};

use jiff::{civil, fmt::strtime::BrokenDownTime};

use crate::Error;

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Weekday {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

/// A date of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// 0 to 9999.
    pub year: i16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

/// A date and a time of day, both of the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTime {
    /// The date.
    pub date: Date,
    /// The time of day.
    pub time: Time,
    /// Seconds east of UTC; `None` from the original server, which does not tell.
    pub offset: Option<i32>,
}

impl Weekday {
    const ALL: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];

    /// The English name.
    pub fn name(self) -> &'static str {
        ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][self as usize]
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.name() == text)
    }
}

impl Date {
    /// The day of the week that this date is; `None` where there is no such date.
    pub fn weekday(self) -> Option<Weekday> {
        let date = civil::Date::new(self.year, self.month.try_into().ok()?, self.day.try_into().ok()?).ok()?;
        let index = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
        Weekday::ALL.get(index).copied()
    }

    /// A date as the original writes it. Two-digit years are read as POSIX reads `%y`: 69 to 99 are of the 20th
    /// century, 00 to 68 of the 21st.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let date = shaped("##-##-##", text)?;
        Some(BrokenDownTime::parse("%y-%m-%d", date).ok()?.to_date().ok()?.into())
    }
}

impl Time {
    /// A time as the original writes it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let time = shaped("##:##:##", text)?;
        Some(BrokenDownTime::parse("%H:%M:%S", time).ok()?.to_time().ok()?.into())
    }
}

impl DateTime {
    /// A reply to `datetime`: RFC 3339.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(moment) = Self::parse_usual(text.as_bytes()) {
            return Some(moment);
        }
        let moment = shaped("####-##-##T##:##:##±##:##", text)?;
        let moment = BrokenDownTime::parse("%Y-%m-%dT%H:%M:%S%:z", moment).ok()?;
        let offset = moment.offset()?.seconds();
        Some(DateTime {
            date: moment.to_date().ok()?.into(),
            time: moment.to_time().ok()?.into(),
            // Hours have two digits, and a day has 24 of them.
            offset: (offset.unsigned_abs() < 24 * 3600).then_some(offset),
        })
        .filter(|moment| moment.offset.is_some())
    }

    /// The short way for what every server of this kind replies; whatever is odd about it is left to the long one.
    fn parse_usual(text: &[u8]) -> Option<Self> {
        let [
            y1,
            y2,
            y3,
            y4,
            b'-',
            m1,
            m2,
            b'-',
            d1,
            d2,
            b'T',
            h1,
            h2,
            b':',
            n1,
            n2,
            b':',
            s1,
            s2,
            sign,
            z1,
            z2,
            b':',
            o1,
            o2,
        ] = *text
        else {
            return None;
        };
        let two = |tens: u8, ones: u8| {
            (tens.is_ascii_digit() && ones.is_ascii_digit()).then(|| (tens - b'0') * 10 + (ones - b'0'))
        };
        let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
        let date = Date { year, month: two(m1, m2)?, day: two(d1, d2)? };
        let time = Time { hour: two(h1, h2)?, minute: two(n1, n2)?, second: two(s1, s2)? };
        let (hours, minutes) = (two(z1, z2)?, two(o1, o2)?);
        let there_is = date.weekday().is_some() && time.hour < 24 && time.minute < 60 && time.second < 60;
        let offset = (i32::from(hours) * 60 + i32::from(minutes)) * 60;
        let offset = match sign {
            b'+' => offset,
            b'-' => -offset,
            _ => return None,
        };
        (there_is && hours < 24 && minutes < 60).then_some(DateTime { date, time, offset: Some(offset) })
    }
}

/// The text, if it has this shape: `#` is a digit, `±` a sign. jiff alone would take what people write, blanks and
/// single digits too.
fn shaped<'a>(shape: &str, text: &'a str) -> Option<&'a str> {
    let fits = |(wanted, come): (char, char)| match wanted {
        '#' => come.is_ascii_digit(),
        '±' => matches!(come, '+' | '-'),
        _ => come == wanted,
    };
    (shape.chars().count() == text.chars().count() && shape.chars().zip(text.chars()).all(fits)).then_some(text)
}

/// Reads each of them as a server replies it: for those that move the bytes themselves.
macro_rules! from_reply {
    ($($name:ident)*) => {$(
        impl FromStr for $name {
            type Err = Error;

            /// # Errors
            /// [`Error::Protocol`] with the text.
            fn from_str(reply: &str) -> Result<Self, Error> {
                $name::parse(reply).ok_or_else(|| Error::Protocol(reply.into()))
            }
        }
    )*};
}
from_reply!(Weekday Date Time DateTime);

impl From<civil::Date> for Date {
    fn from(date: civil::Date) -> Self {
        // jiff's month and day are in range by its own promise.
        Date { year: date.year(), month: date.month().unsigned_abs(), day: date.day().unsigned_abs() }
    }
}

impl From<civil::Time> for Time {
    fn from(time: civil::Time) -> Self {
        Time {
            hour: time.hour().unsigned_abs(),
            minute: time.minute().unsigned_abs(),
            second: time.second().unsigned_abs(),
        }
    }
}

impl fmt::Display for Weekday {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}:{:02}", self.hour, self.minute, self.second)
    }
}

impl fmt::Display for DateTime {
    /// As RFC 3339 writes it, without an offset where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}T{}", self.date, self.time)?;
        let Some(offset) = self.offset else { return Ok(()) };
        let minutes = offset.unsigned_abs() / 60;
        write!(f, "{}{:02}:{:02}", if offset < 0 { '-' } else { '+' }, minutes / 60, minutes % 60)
    }
}

//! Zones, formats, and the texts of a moment.

use daytime::protocol::{Command, Formats, FormattedTime, Framing::Auto, Zone};

use crate::common::MOMENT;
use crate::conversation::converse;

#[test]
fn zones_of_the_core_are_utc_and_offsets() {
    for (zone, expected) in [
        ("UTC", "2026-11-22T15:44:57+00:00"),
        ("utc", "2026-11-22T15:44:57+00:00"),
        ("uTc", "2026-11-22T15:44:57+00:00"),
        ("+00:00", "2026-11-22T15:44:57+00:00"),
        ("-00:00", "2026-11-22T15:44:57+00:00"),
        ("+05:30", "2026-11-22T21:14:57+05:30"),
        ("-08:00", "2026-11-22T07:44:57-08:00"),
        ("-00:01", "2026-11-22T15:43:57-00:01"),
        ("+23:59", "2026-11-23T15:43:57+23:59"),
        ("-23:59", "2026-11-21T15:45:57-23:59"),
    ] {
        let zone = Zone::parse(zone).unwrap_or_else(|| panic!("{zone} is rejected"));
        assert_eq!(FormattedTime::new(MOMENT, &zone, &Formats::default()).text(Command::Datetime), expected);
    }
    let no_offset = ["+24:00", "-24:00", "+05:60", "+5:30", "+0530", "+05", "05:30", "+05:3", "+05:300", "+05:30:00"];
    let no_text = ["", "+", "Z", "UT", "UTC+1", " UTC", "+05:30 ", " +05:30", "+ 5:30", "++5:30", "+0x:30", "−05:30"];
    let no_digit = ["+٠٥:٣٠", "+05：30", "+05-30", "\0", "+05:3\0"];
    // S11 of tests/server/faults.rs: the core reads neither names nor paths.
    let names = ["Europe/Berlin", "../../etc/passwd", "/etc/passwd", ".", "tzdata.zi", "posixrules", "localtime"];
    for zone in [&no_offset[..], &no_text, &no_digit, &names].concat() {
        assert!(Zone::parse(zone).is_none(), "{zone:?}");
        let line = format!("time {zone}\n");
        let reply = match zone {
            " UTC" => "15:44:57",
            "+05:30 " | " +05:30" => "21:14:57",
            "" => "15:44:57",
            _ if zone.contains('\0') => "You entered an invalid command",
            _ => "You entered an unknown time zone",
        };
        assert_eq!(converse(Auto, &[line.as_bytes()]), format!("Hi\n{reply}\n"), "{zone:?}");
    }
    let long = format!("time {}\n", "z".repeat(1019));
    assert_eq!(converse(Auto, &[long.as_bytes()]), "Hi\nYou entered an unknown time zone\n");
}

#[test]
fn formatted_times_are_right_at_every_edge_of_time() {
    let texts = |second| {
        let formatted = FormattedTime::new(second, &Zone::UTC, &Formats::default());
        [Command::Day, Command::Date, Command::Time, Command::Datetime, Command::Timestamp]
            .map(|command| formatted.text(command).to_owned())
    };
    for (second, expected) in [
        (MOMENT, ["Sunday", "26-11-22", "15:44:57", "2026-11-22T15:44:57+00:00", "1795362297"]),
        (0, ["Thursday", "70-01-01", "00:00:00", "1970-01-01T00:00:00+00:00", "0"]),
        (-1, ["Wednesday", "69-12-31", "23:59:59", "1969-12-31T23:59:59+00:00", "-1"]),
        // C2: no moment panics. A moment beyond the range has the text of the nearer end of the range.
        (-62_135_596_800, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (-62_135_596_801, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (i64::MIN, ["Monday", "01-01-01", "00:00:00", "0001-01-01T00:00:00+00:00", "-62135596800"]),
        (253_402_207_200, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        (253_402_207_201, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        (i64::MAX, ["Thursday", "99-12-30", "22:00:00", "9999-12-30T22:00:00+00:00", "253402207200"]),
        // C7: the leap second at the end of 2016 does not appear in a text.
        (1_483_228_799, ["Saturday", "16-12-31", "23:59:59", "2016-12-31T23:59:59+00:00", "1483228799"]),
        (1_483_228_800, ["Sunday", "17-01-01", "00:00:00", "2017-01-01T00:00:00+00:00", "1483228800"]),
        // The ends of signed and unsigned 32 bits, a leap day, and a century year that is not a leap year.
        (2_147_483_648, ["Tuesday", "38-01-19", "03:14:08", "2038-01-19T03:14:08+00:00", "2147483648"]),
        (4_294_967_296, ["Sunday", "06-02-07", "06:28:16", "2106-02-07T06:28:16+00:00", "4294967296"]),
        (1_709_164_800, ["Thursday", "24-02-29", "00:00:00", "2024-02-29T00:00:00+00:00", "1709164800"]),
        (4_107_542_400, ["Monday", "00-03-01", "00:00:00", "2100-03-01T00:00:00+00:00", "4107542400"]),
    ] {
        assert_eq!(texts(second), expected);
    }
    let last = [Command::Help, Command::Quit, Command::Custom(0)];
    let formatted = FormattedTime::new(MOMENT, &Zone::UTC, &Formats::default());
    assert_eq!(last.map(|command| formatted.text(command)), [""; 3]);
}

#[test]
fn the_ends_of_time_have_texts_in_every_zone() {
    for (second, zone, expected) in [
        (i64::MIN, "-23:59", "0000-12-31T00:01:00-23:59"),
        (i64::MIN, "+23:59", "0001-01-01T23:59:00+23:59"),
        (i64::MAX, "-23:59", "9999-12-29T22:01:00-23:59"),
        (i64::MAX, "+23:59", "9999-12-31T21:59:00+23:59"),
    ] {
        let formatted = FormattedTime::new(second, &Zone::parse(zone).unwrap(), &Formats::default());
        assert_eq!(formatted.text(Command::Datetime), expected);
    }
    assert_eq!(FormattedTime::RANGE, -62_135_596_800..=253_402_207_200);
}

#[test]
fn formats_have_the_conversions_of_strftime() {
    let text = |format: &str, second| {
        let formats = Formats::new("%A", format, "%T").unwrap_or_else(|error| panic!("{error}"));
        FormattedTime::new(second, &Zone::UTC, &formats).text(Command::Date).to_owned()
    };
    for (format, expected) in [
        ("%a %A %b %B %h", "Sun Sunday Nov November Nov"),
        ("%C %y %Y %g %G", "20 26 2026 26 2026"),
        ("%d %e %j %m", "22 22 326 11"),
        ("%D %F %R %T", "11/22/26 2026-11-22 15:44 15:44:57"),
        ("%H %I %k %l %M %S", "15 03 15  3 44 57"),
        ("%p %P", "PM pm"),
        ("%s", "1795362297"),
        ("%u %w %U %V %W", "7 0 47 47 46"),
        ("%z %Z", "+0000 UTC"),
        ("%-I %_m %0k %%", "3 11 15 %"),
        ("%d. November %Y, %H Uhr: schön", "22. November 2026, 15 Uhr: schön"),
        ("no conversion", "no conversion"),
    ] {
        assert_eq!(text(format, MOMENT), expected, "{format}");
    }
    // The first of January 2027 belongs to the last week of 2026, and has numbers of one digit.
    assert_eq!(text("%e %k %l %-d %j %U %W %V %G %g", 1_798_765_200), " 1  1  1 1 001 00 00 53 2026 26");
}

#[test]
fn invalid_formats_are_rejected_when_they_are_set() {
    // S12. Conversions that depend on a locale are invalid too.
    let bad = [
        "%Q", "%^a", "%#Z", "%", "%2f", "%9999Y", "%n", "", "%t", "%A %", "%%%", "%-", "%_-", "%é", "%.3f", "%f", "%N",
        "%:z",
    ];
    let locale = ["%c", "%r", "%x", "%X", "%+", "%Ey", "%Od", "%E", "%O"];
    let text = ["a\nb", "\t", "\r", "\0", "\x1b[31m%T", "\u{85}"];
    let long = ["x".repeat(1024), "ß".repeat(512), "%A".repeat(114), "%%".repeat(1024), "%Y".repeat(100_000)];
    let all = bad.into_iter().chain(locale).chain(text).map(str::to_owned).chain(long);
    for format in all {
        for [day, date, time] in [[&format[..], "x", "x"], ["x", &format, "x"], ["x", "x", &format]] {
            let shown: String = format.chars().take(20).collect();
            assert!(Formats::new(day, date, time).is_err(), "{shown:?} is accepted");
        }
    }
    for format in ["x".repeat(1023), "ß".repeat(511), "%A".repeat(113), "%%".repeat(1023), " ".into()] {
        assert!(Formats::new(&format, &format, &format).is_ok());
    }
    let error = Formats::new("%A", "%Q", "%T").unwrap_err();
    assert!(error.contains("%Q"), "{error}");
}

#[test]
fn each_format_belongs_to_its_command() {
    let formats = Formats::new("%a", "%F", "%R").unwrap();
    let formatted = FormattedTime::new(MOMENT, &Zone::UTC, &formats);
    let commands = [Command::Day, Command::Date, Command::Time, Command::Datetime];
    assert_eq!(
        commands.map(|command| formatted.text(command)),
        ["Sun", "2026-11-22", "15:44", "2026-11-22T15:44:57+00:00"]
    );
    assert_eq!(Formats::new("%A", "%y-%m-%d", "%H:%M:%S"), Ok(Formats::default()));
}

#[test]
fn a_text_longer_than_a_reply_is_cut() {
    let formats = Formats::new(&"%Z".repeat(341), &format!("{}%Z", "ß".repeat(510)), "%T").unwrap();
    for (zone, day, date) in [("UTC", "UTC".repeat(341), "UTC"), ("+05:30", "+05:30".repeat(171), "+05")] {
        let formatted = FormattedTime::new(MOMENT, &Zone::parse(zone).unwrap(), &formats);
        assert_eq!(formatted.text(Command::Day), &day[..1023]);
        assert_eq!(formatted.text(Command::Date), format!("{}{date}", "ß".repeat(510)));
    }
}

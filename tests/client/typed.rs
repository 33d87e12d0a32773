//! Typed replies: days, dates, times and moments.

use daytime::{
    Client, Error, ServerBuilder,
    chrono::{NaiveDate, SecondsFormat, Weekday},
    protocol::{GREETING, day_name, errors},
};

use crate::common::{
    builder,
    fake_server::{FakeServer, original_reply},
    outcome,
};
use crate::helpers::{FRAMINGS, assert_broken, client_builder, connect, error_of};

#[test]
fn typed_replies_do_not_depend_on_formats() {
    let odd = |settings: ServerBuilder| settings.day_format("day %j").date_format("%d.%m.%Y").time_format("%I%p");
    for framing in FRAMINGS {
        for settings in [builder(), odd(builder())] {
            let server = settings.framing(framing).start().unwrap();
            let mut client = connect(&server);
            assert_eq!(client.greeting(), GREETING);
            assert_eq!(client.peer().unwrap(), server.addresses()[0]);
            let moment = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap().and_hms_opt(15, 44, 57).unwrap();
            assert_eq!(client.day().unwrap(), Weekday::Sun);
            assert_eq!(client.date().unwrap(), moment.date());
            assert_eq!(client.time().unwrap(), moment.time());
            assert_eq!(client.datetime().unwrap(), moment.and_utc());
            assert_eq!(client.datetime().unwrap().offset().local_minus_utc(), 0);
            assert_eq!(client.timestamp().unwrap(), 1_795_362_297);
            client.quit().unwrap();
        }
    }
}

#[test]
fn typed_requests_accept_zones() {
    let server = builder().timezone("-03:30").start().unwrap();
    let mut client = connect(&server);
    assert_eq!(client.datetime().unwrap().to_rfc3339(), "2026-11-22T12:14:57-03:30");
    for (zone, day, datetime) in [
        ("UTC", Weekday::Sun, "2026-11-22T15:44:57+00:00"),
        ("utc", Weekday::Sun, "2026-11-22T15:44:57+00:00"),
        ("+05:30", Weekday::Sun, "2026-11-22T21:14:57+05:30"),
        ("-23:59", Weekday::Sat, "2026-11-21T15:45:57-23:59"),
        ("Europe/Berlin", Weekday::Sun, "2026-11-22T16:44:57+01:00"),
        ("america/new_york", Weekday::Sun, "2026-11-22T10:44:57-05:00"),
        ("Asia/Tokyo", Weekday::Mon, "2026-11-23T00:44:57+09:00"),
        ("  Asia/Tokyo\t", Weekday::Mon, "2026-11-23T00:44:57+09:00"),
    ] {
        let moment = client.datetime_in(zone).unwrap();
        assert_eq!(moment.to_rfc3339(), datetime, "{zone:?}");
        assert_eq!(client.day_in(zone).unwrap(), day, "{zone:?}");
        assert_eq!(client.date_in(zone).unwrap(), moment.date_naive(), "{zone:?}");
        assert_eq!(client.time_in(zone).unwrap(), moment.time(), "{zone:?}");
    }
    for (zone, tz, next) in [
        ("UTC", "UTC0", None),
        ("+05:30", "<+0530>-5:30", None),
        ("Asia/Tokyo", "JST-9", None),
        ("europe/berlin", "CET-1CEST,M3.5.0,M10.5.0/3", Some("2027-03-28T03:00:00+02:00")),
        ("America/St_Johns", "NST3:30NDT,M3.2.0,M11.1.0", Some("2027-03-14T03:00:00-02:30")),
    ] {
        assert_eq!(client.tz_in(zone).unwrap(), tz);
        let text = client.next_transition_in(zone).unwrap().map(|next| next.to_rfc3339());
        assert_eq!(text.as_deref(), next, "{zone:?}");
    }
    assert_eq!((client.tz().unwrap().as_str(), client.next_transition().unwrap()), ("<-0330>3:30", None));
    for zone in ["Mars/Olympus", "../../etc/passwd", "+24:00", "."] {
        let refused = format!("refused: {}", errors::UNKNOWN_ZONE);
        assert_eq!(error_of(client.day_in(zone)), refused, "{zone:?}");
        assert_eq!(error_of(client.tz_in(zone)), refused, "{zone:?}");
        assert_eq!(error_of(client.next_transition_in(zone)), refused, "{zone:?}");
        assert_eq!(error_of(client.date_in(zone)), refused, "{zone:?}");
        assert_eq!(error_of(client.time_in(zone)), refused, "{zone:?}");
        assert_eq!(error_of(client.datetime_in(zone)), refused, "{zone:?}");
    }
    assert_eq!(error_of(client.day_in("UTC\nquit")), "invalid");
    assert_eq!(client.day().unwrap(), Weekday::Sun);
}

#[test]
fn a_server_without_datetime_gets_that_command_once() {
    let (fake, commands) = FakeServer::line_based("Hi", |command| {
        Some(match command {
            "day" | "date" | "time" => original_reply(command),
            _ => errors::INVALID.into(),
        })
    });
    let mut client = client_builder().connect(fake.address()).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sun);
    for _ in 0..2 {
        let Err(Error::NoOffset(local)) = client.datetime() else { panic!("a guessed offset") };
        assert_eq!(local.to_string(), "2026-11-22 15:44:57");
    }
    drop(client);
    fake.finish();
    let commands: Vec<_> = commands.iter().collect();
    assert_eq!(commands, ["datetime", "day", "date", "time", "date", "date", "time", "date"]);
}

// ---- Invalid replies

fn day(client: &mut Client) -> Result<String, Error> {
    client.day().map(|day| day_name(day).to_owned())
}

fn date(client: &mut Client) -> Result<String, Error> {
    client.date().map(|date| date.to_string())
}

fn time(client: &mut Client) -> Result<String, Error> {
    client.time().map(|time| time.to_string())
}

fn datetime(client: &mut Client) -> Result<String, Error> {
    client.datetime().map(|moment| moment.to_rfc3339_opts(SecondsFormat::Secs, false))
}

/// The outcome of a typed request to a server with this reply to `command`.
fn typed(command: &'static str, reply: &str, ask: fn(&mut Client) -> Result<String, Error>) -> String {
    let reply = reply.to_owned();
    let (fake, _) = FakeServer::line_based("Hi", move |received| {
        Some(if received == command { reply.clone() } else { errors::INVALID.into() })
    });
    let mut client = client_builder().connect(fake.address()).unwrap();
    let result = ask(&mut client);
    if matches!(result, Err(Error::Protocol(_))) {
        assert_broken(client);
    }
    outcome(result)
}

/// The invalid replies to `command` that the client accepts by mistake, and the outcome of each.
fn wrongly_accepted(
    command: &'static str,
    replies: &[&str],
    ask: fn(&mut Client) -> Result<String, Error>,
) -> Vec<(String, String)> {
    let outcomes = replies.iter().map(|reply| (reply.to_string(), typed(command, reply, ask)));
    outcomes.filter(|(reply, outcome)| *outcome != format!("protocol: {}", reply.as_bytes().escape_ascii())).collect()
}

#[test]
fn datetime_accepts_only_valid_replies() {
    for text in [
        "2026-11-22T15:44:57+00:00",
        "2026-11-22T15:44:57-03:30",
        "2028-02-29T00:00:00+14:00",
        "1999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59+23:59",
    ] {
        assert_eq!(typed("datetime", text, datetime), text);
    }
    let wrong = [
        "",
        " ",
        "Sunday",
        "26-11-22T15:44:57+00:00",
        "2026-11-22",
        "15:44:57",
        "2026-11-22T15:44:57",
        "2026-11-22 15:44:57+00:00",
        "2026-11-22T15:44:57 +00:00",
        "2026-11-22T15:44:57+0000",
        "2026-11-22T15:44:57+00",
        "2026-11-22T15:44:57+00:00 ",
        " 2026-11-22T15:44:57+00:00",
        "2026-11-22T15:44:57+00:00[UTC]",
        "2026-11-22T15:44:57+00:00:00",
        "2026-11-22T15:44:57+25:00",
        "2026-11-22T15:44:57+05:60",
        "2026-11-22T15:44:57.5+00:00",
        "2026-11-22T15:44:57.5-03:30",
        "2026-11-22 15:44:57-03:30",
        "2026-11-22t15:44:57-03:30",
        "2026-1-2T3:4:5+00:00",
        "2026-00-22T15:44:57+00:00",
        "2026-13-22T15:44:57+00:00",
        "2026-11-31T15:44:57+00:00",
        "2027-02-29T15:44:57+00:00",
        "2026-11-22T24:00:00+00:00",
        "2026-11-22T15:60:00+00:00",
        "2026-11-22T15:44:61+00:00",
        "-026-11-22T15:44:57+00:00",
        "+2026-11-22T15:44:57+00:00",
        "-2026-11-22T15:44:57+00:00",
        "+026-11-22T15:44:57+00:00",
        "12026-11-22T15:44:57+00:00",
        "2026-11-22T+5:44:57+00:00",
        "2026- 1-22T15:44:57+00:00",
        "2026-11-2215:44:57+00:00 T",
        "２０２６-11-22T15:44:57+00:00",
    ];
    assert_eq!(wrongly_accepted("datetime", &wrong, datetime), []);
}

#[test]
fn day_date_and_time_accept_only_valid_replies() {
    for name in ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] {
        assert_eq!(typed("day", name, day), name);
    }
    for (text, expected) in [("28-02-29", "2028-02-29"), ("69-01-01", "1969-01-01"), ("68-12-31", "2068-12-31")] {
        assert_eq!(typed("date", text, date), expected);
    }
    for text in ["00:00:00", "15:44:57", "23:59:59"] {
        assert_eq!(typed("time", text, time), text);
    }
    let days = ["", "sunday", "SUNDAY", "Sun", "Sunday ", " Sunday", "Caturday", "Sonntag", "0"];
    assert_eq!(wrongly_accepted("day", &days, day), []);
    let dates = [
        "",
        "2026-11-22",
        "26-11-2",
        "6-11-22",
        "26-1-022",
        "26-1-2",
        "26-13-01",
        "26-00-01",
        "26-01-00",
        "26-02-29",
        "26/11/22",
        "-6-11-22",
        "26-11--2",
        "26-1--22",
        "+6-11-22",
        "26-11-22 ",
        "26-11-",
        "26.11.22",
        "-006-1-2",
        "26- 1-22",
        "--------",
    ];
    assert_eq!(wrongly_accepted("date", &dates, date), []);
    let times = [
        "",
        "24:00:00",
        "15:60:00",
        "15:44:61",
        "1:2:3",
        "15:44",
        "15:44:57 ",
        " 15:44:57",
        " 5:44:57",
        "+5:44:57",
        "-5:44:57",
        "015:44:57",
        "15:44:57.5",
        "15.44.57",
        "03:44:57 PM",
        "154457",
    ];
    assert_eq!(wrongly_accepted("time", &times, time), []);
}

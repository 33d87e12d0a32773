//! The client over real sockets: against this crate's server, the original as `protocol.md` describes it, and servers
//! that misbehave.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::fake_server::{BlackHole, Fake, MOMENT, PATIENCE, Peer, Script, nobody, skip, stopped, timed};
use daytime::{
    Address, Client, ClientBuilder, Clock, Date, DateTime, Error, Event, Framing, Reason, Server, ServerBuilder, Time,
    Weekday,
    protocol::{COMMAND_MAX, GREETING, QUIET, REPLY_MAX, errors},
};

const FRAMINGS: [Framing; 2] = [Framing::Auto, Framing::Line];
/// How much later than its deadline a call may return on a busy machine.
const SLACK: Duration = Duration::from_secs(2);

fn settings() -> ServerBuilder {
    Server::builder().listen("127.0.0.1:0").workers(2).timezone("UTC").clock(Clock::fixed_unix(MOMENT))
}

fn patient() -> ClientBuilder {
    Client::builder().timeout(PATIENCE)
}

fn hasty(milliseconds: u64) -> ClientBuilder {
    Client::builder().timeout(Duration::from_millis(milliseconds))
}

fn connect(server: &Server) -> Client {
    patient().connect(&server.addresses()[0]).unwrap()
}

/// A result in one word and what it carries, for tables.
fn told(result: Result<String, Error>) -> String {
    match result {
        Ok(reply) => reply,
        Err(Error::Refused(line)) => format!("refused: {line}"),
        Err(Error::Invalid(_)) => "invalid".into(),
        Err(Error::Protocol(bytes)) => format!("protocol: {}", bytes.escape_ascii()),
        Err(Error::Timeout) => "timeout".into(),
        Err(Error::Closed) => "closed".into(),
        Err(Error::Interrupted) => "interrupted".into(),
        Err(error) => format!("{error:?}"),
    }
}

fn failed<T>(result: Result<T, Error>) -> String {
    told(result.map(|_| "no error".to_owned()))
}

/// Whatever is asked of a broken client, it says so, and waits for nothing.
#[track_caller]
fn assert_broken(mut client: Client) {
    let (said, took) = timed(|| {
        [
            failed(client.request("day")),
            failed(client.datetime()),
            failed(client.pipeline(["day", "date"])),
            failed(client.quit()),
        ]
    });
    assert_eq!(said, ["closed"; 4]);
    assert!(took < SLACK, "{took:?}");
}

// This crate's server.

#[test]
fn typed_answers_do_not_depend_on_formats() {
    let odd = |settings: ServerBuilder| settings.day_format("day %j").date_format("%d.%m.%Y").time_format("%I%p");
    for framing in FRAMINGS {
        for settings in [settings(), odd(settings())] {
            let server = settings.framing(framing).start().unwrap();
            let mut client = connect(&server);
            assert_eq!(client.greeting(), GREETING);
            assert_eq!(client.peer().unwrap(), server.addresses()[0]);
            let (date, time) = (Date { year: 2026, month: 11, day: 22 }, Time { hour: 15, minute: 44, second: 57 });
            assert_eq!(client.day().unwrap(), Weekday::Sunday);
            assert_eq!(client.date().unwrap(), date);
            assert_eq!(client.time().unwrap(), time);
            assert_eq!(client.datetime().unwrap(), DateTime { date, time, offset: Some(0) });
            client.quit().unwrap();
        }
    }
}

#[test]
fn typed_answers_in_zones() {
    let server = settings().timezone("-03:30").start().unwrap();
    let mut client = connect(&server);
    assert_eq!(client.datetime().unwrap().to_string(), "2026-11-22T12:14:57-03:30");
    for (zone, day, datetime) in [
        ("UTC", Weekday::Sunday, "2026-11-22T15:44:57+00:00"),
        ("utc", Weekday::Sunday, "2026-11-22T15:44:57+00:00"),
        ("+05:30", Weekday::Sunday, "2026-11-22T21:14:57+05:30"),
        ("-23:59", Weekday::Saturday, "2026-11-21T15:45:57-23:59"),
        ("Europe/Berlin", Weekday::Sunday, "2026-11-22T16:44:57+01:00"),
        ("america/new_york", Weekday::Sunday, "2026-11-22T10:44:57-05:00"),
        ("Asia/Tokyo", Weekday::Monday, "2026-11-23T00:44:57+09:00"),
        ("  Asia/Tokyo\t", Weekday::Monday, "2026-11-23T00:44:57+09:00"),
    ] {
        let moment = client.datetime_in(zone).unwrap();
        assert_eq!(moment.to_string(), datetime, "{zone:?}");
        assert_eq!(client.day_in(zone).unwrap(), day, "{zone:?}");
        assert_eq!(client.date_in(zone).unwrap(), moment.date, "{zone:?}");
        assert_eq!(client.time_in(zone).unwrap(), moment.time, "{zone:?}");
    }
    for zone in ["Mars/Olympus", "../../etc/passwd", "+24:00", "."] {
        let refused = format!("refused: {}", errors::UNKNOWN_ZONE);
        assert_eq!(failed(client.day_in(zone)), refused, "{zone:?}");
        assert_eq!(failed(client.date_in(zone)), refused, "{zone:?}");
        assert_eq!(failed(client.time_in(zone)), refused, "{zone:?}");
        assert_eq!(failed(client.datetime_in(zone)), refused, "{zone:?}");
    }
    assert_eq!(failed(client.day_in("UTC\nquit")), "invalid");
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
}

#[test]
fn requests_and_their_replies() {
    let longest = "x".repeat(COMMAND_MAX);
    let invalid = format!("refused: {}", errors::INVALID);
    let unknown = format!("refused: {}", errors::UNKNOWN_ZONE);
    let cases = [
        ("day", "Sunday"),
        ("DATE", "26-11-22"),
        (" \ttime ", "15:44:57"),
        ("time +05:30", "21:14:57"),
        ("datetime", "2026-11-22T15:44:57+00:00"),
        ("timestamp", "1795362297"),
        ("nonsense", &invalid),
        ("day Mars/Olympus", &unknown),
        ("quit now", &invalid),
        ("timestamp UTC", &invalid),
        ("ｄａｙ", &invalid),
        ("day \u{85}", &unknown),
        (&longest, &invalid),
    ];
    for framing in FRAMINGS {
        let server = settings().framing(framing).start().unwrap();
        let mut client = connect(&server);
        for (command, reply) in cases {
            assert_eq!(told(client.request(command)), reply, "{command:?} {framing:?}");
        }
        let help = client.request("help").unwrap();
        assert!(help.contains("datetime [ZONE]") && help.contains("quit"), "{help}");
        assert_eq!(server.stats().commands, cases.len() as u64 + 1);
    }
}

#[test]
fn what_cannot_be_asked_is_not_sent() {
    let server = settings().start().unwrap();
    let mut client = connect(&server);
    let overlong = "x".repeat(COMMAND_MAX + 1);
    let refused = [
        "",
        " ",
        "\t ",
        "\n",
        "\r\n",
        "day\n",
        "day\r",
        "\rday",
        "day\ndate",
        "a\0b",
        "\x1b[2J",
        "\x7f",
        "quit",
        "EXIT",
        " quit\t",
        &overlong,
    ];
    for command in refused {
        assert_eq!(failed(client.request(command)), "invalid", "{command:?}");
    }
    assert!(client.pipeline(refused).unwrap().into_iter().all(|result| failed(result) == "invalid"));
    assert_eq!(client.request("day").unwrap(), "Sunday");
    assert_eq!(server.stats().commands, 1);
}

#[test]
fn greetings_of_every_kind() {
    let longest = "é".repeat(REPLY_MAX / 2);
    for greeting in ["", "Hi", " Hi ", errors::INVALID, "day", "日曜日", &longest] {
        for framing in FRAMINGS {
            let server = settings().greeting(greeting).framing(framing).start().unwrap();
            match patient().connect(&server.addresses()[0]) {
                Ok(mut client) => {
                    assert_eq!(client.greeting(), greeting);
                    assert_eq!(client.day().unwrap(), Weekday::Sunday);
                }
                Err(error) => assert_eq!(failed::<()>(Err(error)), format!("refused: {greeting}")),
            }
        }
    }
}

#[test]
fn pipeline_of_200_000_commands() {
    let cycle = [
        ("day", "Sunday"),
        ("date", "26-11-22"),
        ("TIME", "15:44:57"),
        ("timestamp", "1795362297"),
        ("datetime +05:30", "2026-11-22T21:14:57+05:30"),
        ("day Asia/Tokyo", "Monday"),
        ("time -00:01", "15:43:57"),
    ];
    for framing in FRAMINGS {
        let server = settings().framing(framing).start().unwrap();
        let mut client = connect(&server);
        let asked = cycle.iter().cycle().take(200_000);
        let replies = client.pipeline(asked.clone().map(|(command, _)| *command)).unwrap();
        assert_eq!(replies.len(), 200_000);
        for (i, (reply, (_, expected))) in replies.into_iter().zip(asked).enumerate() {
            assert_eq!(reply.unwrap(), *expected, "{i}");
        }
        assert_eq!(server.stats().commands, 200_000);
        client.quit().unwrap();
    }
}

#[test]
fn pipeline_with_errors_between() {
    let long = format!("day {}", "x".repeat(COMMAND_MAX - 4));
    let overlong = "x".repeat(COMMAND_MAX + 1);
    let (invalid, unknown) = (format!("refused: {}", errors::INVALID), format!("refused: {}", errors::UNKNOWN_ZONE));
    let cycle = [
        ("", "invalid"),
        ("day", "Sunday"),
        ("nonsense", &invalid),
        ("quit", "invalid"),
        (&overlong, "invalid"),
        (&long, &unknown),
        ("a\nb", "invalid"),
        ("date Mars", &unknown),
        ("time", "15:44:57"),
        (&long, &unknown),
    ];
    let server = settings().start().unwrap();
    let mut client = connect(&server);
    for repeats in [0, 1, 100] {
        let asked = cycle.repeat(repeats);
        let replies = client.pipeline(asked.iter().map(|(command, _)| *command)).unwrap();
        let replies: Vec<String> = replies.into_iter().map(told).collect();
        assert_eq!(replies, asked.iter().map(|(_, reply)| *reply).collect::<Vec<_>>());
    }
    assert_eq!(client.request("day").unwrap(), "Sunday");
}

#[test]
fn quit_waits_until_everything_before_is_done() {
    let server = settings().start().unwrap();
    let events = server.events();
    let mut client = connect(&server);
    client.pipeline(["day"; 1000]).unwrap();
    client.quit().unwrap();
    let left = events.iter().find(|event| matches!(event, Event::Disconnected { .. }));
    let Some(Event::Disconnected { reason, commands, .. }) = left else { panic!("{left:?}") };
    assert_eq!((reason, commands), (Reason::Quit, 1001));

    let closing = Arc::new(AtomicBool::new(false));
    let fake = Fake::new({
        let closing = closing.clone();
        move |mut peer| {
            peer.greet("Hi");
            peer.expect("quit\n");
            peer.send("what was owed\n");
            peer.pause(200);
            closing.store(true, SeqCst);
        }
    });
    patient().connect(fake.address()).unwrap().quit().unwrap();
    assert!(closing.load(SeqCst));

    let fake = Fake::new(|mut peer| {
        peer.greet("Hi");
        peer.fall_silent();
    });
    let client = hasty(200).connect(fake.address()).unwrap();
    assert_eq!(failed(client.quit()), "timeout");
}

#[test]
fn a_server_that_goes_away_closes_its_clients() {
    for leave in [Server::stop, |server: &Server| server.drain(PATIENCE)] {
        let server = settings().start().unwrap();
        let mut client = connect(&server);
        assert_eq!(client.day().unwrap(), Weekday::Sunday);
        leave(&server);
        // The half-close of a drain, or the close, is the last thing that comes.
        let events = server.events();
        let mut last = failed(client.request("day"));
        while last == "no error" {
            last = failed(client.request("day"));
        }
        assert_eq!(last, "closed");
        assert_broken(client);
        assert!(server.wait(Some(PATIENCE)));
        drop(events);
    }
}

// The original, as `protocol.md` says that it behaves.

#[test]
fn the_original_is_found_out() {
    let (original, received) = Fake::original(stopped);
    let (client, took) = timed(|| patient().connect(original.address()).unwrap());
    assert!((QUIET..QUIET + SLACK).contains(&took), "{took:?}");
    assert_eq!(client.greeting(), GREETING);
    client.quit().unwrap();
    original.finish();
    assert_eq!(received.iter().collect::<Vec<_>>(), ["\n", "quit"]);
}

#[test]
fn the_original_greets_in_its_own_way() {
    let error = errors::INVALID;
    for (pieces, greeting) in [
        (vec![error.into()], String::new()),
        (vec!["Hé".into(), error.into()], "Hé".into()),
        (vec!["Wel".into(), "come".into(), "You entered an inval".into(), "id command".into()], "Welcome".into()),
        (vec![format!("{error}? No: "), error.into()], format!("{error}? No: ")),
        ("Welcome".chars().chain(error.chars()).map(String::from).collect(), "Welcome".into()),
        (vec!["x".repeat(60_000), error.into()], "x".repeat(60_000)),
    ] {
        let original = Fake::new(|mut peer| {
            peer.expect("\n");
            peer.send_pieces(pieces);
            peer.expect("day");
            peer.send("Sunday");
            peer.fall_silent();
        });
        let mut client = patient().connect(original.address()).unwrap();
        assert_eq!(client.greeting(), greeting);
        assert_eq!(client.day().unwrap(), Weekday::Sunday);
    }
}

#[test]
fn the_original_is_not_found_out_before_it_is_quiet() {
    let original = Fake::new(|mut peer| {
        // Longer than the quiet time, which begins with what comes and not with what was asked.
        peer.pause(400);
        for piece in ["One: ", errors::INVALID, ". Two: ", errors::INVALID] {
            peer.send(piece);
            peer.pause(50);
        }
        peer.fall_silent();
    });
    let client = patient().connect(original.address()).unwrap();
    assert_eq!(client.greeting(), format!("One: {}. Two: ", errors::INVALID));
}

#[test]
fn the_originals_answers_are_typed() {
    let (original, _) = Fake::original(stopped);
    let mut client = patient().connect(original.address()).unwrap();
    let (date, time) = (Date { year: 2026, month: 11, day: 22 }, Time { hour: 15, minute: 44, second: 57 });
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
    assert_eq!(client.date().unwrap(), date);
    assert_eq!(client.time().unwrap(), time);
    assert_eq!(client.datetime().unwrap(), DateTime { date, time, offset: None });
    assert_eq!(client.datetime().unwrap().to_string(), "2026-11-22T15:44:57");
}

#[test]
fn the_originals_years_pivot_as_posix_says() {
    let years = [(69, 1969), (70, 1970), (98, 1998), (99, 1999), (0, 2000), (1, 2001), (26, 2026), (68, 2068)];
    let mut told = years.into_iter().map(|(two_digits, _)| format!("{two_digits:02}-02-28"));
    let (original, _) = Fake::original(move |_| told.next().unwrap());
    let mut client = patient().connect(original.address()).unwrap();
    for (_, year) in years {
        assert_eq!(client.date().unwrap(), Date { year, month: 2, day: 28 });
    }
}

#[test]
fn a_midnight_between_the_originals_date_and_time() {
    let scripts: [(&[&str], &str, &[&str]); 3] = [
        (&["26-11-22", "15:44:57", "26-11-22"], "2026-11-22T15:44:57", &["date", "time", "date"]),
        (
            &["26-12-31", "23:59:59", "27-01-01", "00:00:00", "27-01-01"],
            "2027-01-01T00:00:00",
            &["date", "time", "date", "time", "date"],
        ),
        (
            &["99-12-31", "00:00:00", "00-01-01", "00:00:01", "00-01-01"],
            "2000-01-01T00:00:01",
            &["date", "time", "date", "time", "date"],
        ),
    ];
    for (replies, moment, asked) in scripts {
        let mut replies = replies.iter();
        let (original, received) = Fake::original(move |_| replies.next().unwrap().to_string());
        let mut client = patient().connect(original.address()).unwrap();
        assert_eq!(client.datetime().unwrap().to_string(), moment);
        drop(client);
        original.finish();
        let received: Vec<_> = received.iter().collect();
        assert_eq!(received[1..received.len() - 1], *asked);
    }
}

#[test]
fn a_date_that_does_not_settle_ends_with_the_deadline() {
    // Every reply comes well within the deadline of one question; the call has one deadline for all of them.
    let mut days = (2..=28).flat_map(|day| [day, 1]);
    let (original, _) = Fake::original(move |command| {
        thread::sleep(Duration::from_millis(100));
        if command == "date" { format!("26-01-{:02}", days.next().unwrap_or(29)) } else { stopped(command) }
    });
    let mut client = hasty(1000).connect(original.address()).unwrap();
    let (result, took) = timed(|| client.datetime());
    assert_eq!(failed(result), "timeout");
    assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
}

#[test]
fn the_original_refuses_what_it_does_not_know() {
    let (original, received) = Fake::original(stopped);
    let mut client = patient().connect(original.address()).unwrap();
    let refused = format!("refused: {}", errors::INVALID);
    for command in ["nonsense", "datetime", "help", "day UTC", " day"] {
        assert_eq!(failed(client.request(command)), refused, "{command:?}");
    }
    assert_eq!(failed(client.day_in("UTC")), refused);
    assert_eq!(failed(client.date_in("UTC")), refused);
    assert_eq!(failed(client.time_in("UTC")), refused);
    assert_eq!(failed(client.datetime_in("UTC")), refused);
    assert_eq!(failed(client.request("quit")), "invalid");
    assert_eq!(client.request("DAY").unwrap(), "Sunday");
    client.quit().unwrap();
    original.finish();
    let received: Vec<_> = received.iter().collect();
    assert_eq!(received[received.len() - 2..], ["day", "quit"]);
}

#[test]
fn the_original_is_asked_one_by_one() {
    let (original, received) = Fake::original(stopped);
    let mut client = patient().connect(original.address()).unwrap();
    let cycle = [("day", "Sunday"), ("", "invalid"), ("DATE", "26-11-22"), ("quit", "invalid"), ("time", "15:44:57")];
    let asked = cycle.repeat(100);
    let replies = client.pipeline(asked.iter().map(|(command, _)| *command)).unwrap();
    let replies: Vec<String> = replies.into_iter().map(told).collect();
    assert_eq!(replies, asked.iter().map(|(_, reply)| *reply).collect::<Vec<_>>());
    client.quit().unwrap();
    original.finish();
    let received: Vec<_> = received.iter().collect();
    assert_eq!(received.len(), 302);
    assert_eq!(received[1..301], ["day", "date", "time"].repeat(100));
}

#[test]
fn an_originals_reply_that_is_none_breaks_the_client() {
    for (command, reply, complaint) in [
        ("day", "Caturday", "protocol: Caturday"),
        ("day", "sunday", "protocol: sunday"),
        ("date", "2026-11-22", "protocol: 2026-11-22"),
        ("time", "3:44:57 p", "protocol: 3:44:57 p"),
        ("nonsense", "Sunday", "protocol: Sunday"),
        ("day", "Sun\n", "protocol: Sun\\n"),
    ] {
        let original = Fake::new(move |mut peer| {
            peer.expect("\n");
            peer.send(errors::INVALID);
            peer.expect(command);
            peer.send(reply);
            peer.fall_silent();
        });
        let mut client = patient().connect(original.address()).unwrap();
        assert_eq!(failed(client.request(command)), complaint);
        assert_broken(client);
    }
}

// K1: greetings.

#[test]
fn a_silent_server_times_out() {
    for milliseconds in [1, 100, 600] {
        let fake = Fake::new(Peer::fall_silent);
        let (result, took) = timed(|| hasty(milliseconds).connect(fake.address()));
        assert_eq!(failed(result), "timeout");
        let timeout = Duration::from_millis(milliseconds);
        assert!((timeout..timeout + SLACK).contains(&took), "{took:?}");
    }
}

#[test]
fn a_greeting_in_pieces() {
    for pieces in [
        vec!["Welcome to the server\n"],
        vec!["Welcome to the server", "\n"],
        vec!["Welcome to the server", "\r", "\n"],
        vec!["Welcome", " to the", " server\r\n"],
        GREETING.split("").chain(["\n"]).collect(),
    ] {
        let fake = Fake::new(|mut peer| {
            peer.send_pieces(pieces);
            peer.expect("\nday\n");
            peer.send("Sunday\n");
            peer.fall_silent();
        });
        let mut client = patient().connect(fake.address()).unwrap();
        assert_eq!(client.greeting(), GREETING);
        assert_eq!(client.request("day").unwrap(), "Sunday");
    }
}

#[test]
fn a_greeting_with_a_reply_in_its_wake_breaks_the_client() {
    for (sent, left) in [
        ("Hi\nSunday\n", "protocol: Sunday\\n"),
        ("Hi\n\n", "protocol: \\n"),
        ("Hi\r\nS", "protocol: S"),
        ("Hi\nYou entered an invalid command\n", "protocol: You entered an invalid command\\n"),
    ] {
        for ask in [
            |client: &mut Client| failed(client.request("day")),
            |client: &mut Client| failed(client.pipeline(["day", "day"])),
        ] {
            let fake = Fake::new(move |mut peer| {
                peer.send(sent);
                peer.fall_silent();
            });
            let mut client = patient().connect(fake.address()).unwrap();
            assert_eq!(client.greeting(), "Hi");
            assert_eq!(ask(&mut client), left);
            assert_broken(client);
        }
    }
}

#[test]
fn a_greeting_without_end_is_bounded() {
    for length in [70_000, 10 << 20] {
        for end in ["", "\n"] {
            let fake = Fake::new(move |mut peer| {
                let mut greeting = vec![b'x'; length];
                greeting.extend_from_slice(end.as_bytes());
                peer.pour(&greeting);
                peer.fall_silent();
            });
            let (result, took) = timed(|| patient().connect(fake.address()));
            let Err(Error::Protocol(bytes)) = result else { panic!("{length} {end:?}: {result:?}") };
            assert!(took < PATIENCE / 2, "{took:?}");
            assert!(bytes.len() <= 64 * 1024 && bytes.iter().all(|byte| *byte == b'x'), "{}", bytes.len());
        }
    }
    let fake = Fake::new(|mut peer| {
        peer.greet(&"x".repeat(60_000));
        peer.fall_silent();
    });
    assert_eq!(patient().connect(fake.address()).unwrap().greeting().len(), 60_000);
}

#[test]
fn a_greeting_that_is_none_is_an_error_that_carries_it() {
    let endings: [(&str, Script); 2] = [("end of file", drop), ("deadline", Peer::fall_silent)];
    for (ending, end) in endings {
        for (sent, on_eof, on_deadline) in [
            (&b""[..], "closed", "timeout"),
            (b"Welcome", "protocol: Welcome", "protocol: Welcome"),
            (b"220 mail.example ESMTP", "protocol: 220 mail.example ESMTP", "protocol: 220 mail.example ESMTP"),
            (b"\xff\xfd\x18", "protocol: \\xff\\xfd\\x18", "protocol: \\xff\\xfd\\x18"),
            (b"\xff\n", "protocol: \\xff\\n", "protocol: \\xff\\n"),
            (b"You entered an invalid comman", "protocol: You entered an invalid comman", ""),
        ] {
            let fake = Fake::new(move |mut peer| {
                peer.expect("\n");
                peer.send(sent);
                end(peer);
            });
            let (result, took) = timed(|| hasty(500).connect(fake.address()));
            let expected = if ending == "deadline" && !on_deadline.is_empty() { on_deadline } else { on_eof };
            assert_eq!(failed(result), expected, "{ending} after {}", sent.escape_ascii());
            assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
        }
    }
}

#[test]
fn a_reset_in_place_of_a_greeting_closes() {
    let fake = Fake::new(|mut peer| {
        peer.expect("\n");
        peer.reset();
    });
    assert_eq!(failed(patient().connect(fake.address())), "closed");
}

#[test]
fn error_lines_in_place_of_a_greeting_refuse() {
    for line in errors::ALL {
        for end in ["\n", "\r\n"] {
            for split in [0, 7, line.len()] {
                let fake = Fake::new(move |mut peer| {
                    peer.expect("\n");
                    let text = format!("{line}{end}");
                    let (head, tail) = text.split_at(split);
                    peer.send_pieces([head, tail]);
                });
                let result = patient().connect(fake.address());
                assert_eq!(failed(result), format!("refused: {line}"));
            }
        }
    }
    // Like one of them is not one of them.
    for line in ["The server is full.", "the server is full", " The server is full"] {
        let fake = Fake::new(move |mut peer| peer.greet(line));
        assert_eq!(patient().connect(fake.address()).unwrap().greeting(), line);
    }
}

// K2: addresses.

#[test]
fn a_refused_connection_is_an_error_with_the_address() {
    let (_kept, address) = nobody();
    let by_name = Address::from(format!("localhost:{}", address.port()));
    for target in [Address::from(address), by_name] {
        let Err(Error::Io(error, doing)) = patient().connect(&target) else { panic!("{target}") };
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(doing.starts_with("connect ") && doing.ends_with(&format!(":{}", address.port())), "{doing}");
    }
}

#[test]
fn names_that_are_none() {
    for name in ["", "host:", "host:99999", "two words:1", "[::1", ":1", "a/b:1"] {
        assert_eq!(failed(patient().connect(name)), "invalid", "{name:?}");
    }
    let (result, took) = timed(|| hasty(1000).connect("no-such-host.invalid:9990"));
    match result {
        Err(Error::Io(_, doing)) => assert_eq!(doing, "resolve no-such-host.invalid:9990"),
        // Where the resolver has nobody to ask.
        Err(Error::Timeout) => {}
        other => panic!("{other:?}"),
    }
    assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
}

#[test]
fn every_address_of_a_name_is_tried() {
    // Where `localhost` is ::1 too, nobody listens there.
    let (fake, _) = Fake::lines("Hi", |_| None);
    let client = patient().connect(format!("localhost:{}", fake.address().port())).unwrap();
    assert_eq!(client.peer().unwrap(), Address::from(fake.address()));

    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        return skip("no IPv6 here");
    };
    let (fake, _) = (Fake::on(listener, |mut peer| peer.greet("Hi six")), ());
    assert_eq!(patient().connect(fake.address()).unwrap().greeting(), "Hi six");
}

#[test]
fn a_dead_address_before_a_live_one_takes_its_share_of_the_time() {
    let resolved: Vec<_> = ("localhost", 1).to_socket_addrs().unwrap().map(|address| address.ip()).collect();
    let [dead, live] = resolved[..] else {
        return skip("localhost has one address here, see cli.rs for a name that has two");
    };
    let hole = BlackHole::new((dead, 0));
    let Ok(listener) = TcpListener::bind((live, hole.address().port())) else {
        return skip(format!("the port is taken at {live}"));
    };
    let fake = Fake::on(listener, |mut peer| peer.greet("Hi"));
    let port = hole.address().port();
    let (client, took) = timed(|| hasty(2000).connect(format!("localhost:{port}")).unwrap());
    assert_eq!(client.peer().unwrap(), Address::from(fake.address()));
    assert!((Duration::from_millis(900)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[test]
fn unreachable_addresses_take_no_longer_than_the_deadline() {
    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    let (result, took) = timed(|| hasty(500).connect(hole.address()));
    assert_eq!(failed(result), "timeout");
    assert!((Duration::from_millis(500)..Duration::from_millis(500) + SLACK).contains(&took), "{took:?}");

    for address in ["192.0.2.1:9", "[2001:db8::1]:9", "240.0.0.1:9"] {
        let (result, took) = timed(|| hasty(500).connect(address));
        match result {
            Err(Error::Timeout) => {}
            Err(Error::Io(_, doing)) => assert_eq!(doing, format!("connect {address}")),
            other => panic!("{other:?}"),
        }
        assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
    }
}

// K4: in step, or broken.

/// What a client says at last that asks `day` of a server which does this after the question.
fn asked_of(milliseconds: u64, script: impl FnOnce(Peer) + Send + 'static) -> (String, Fake, Client) {
    let fake = Fake::new(|mut peer| {
        peer.greet("Hi");
        peer.expect("day\n");
        script(peer);
    });
    let mut client = hasty(milliseconds).connect(fake.address()).unwrap();
    let said = told(client.request("day"));
    (said, fake, client)
}

#[test]
fn a_late_reply_is_never_handed_out() {
    for (early, late) in [("", "Sunday\n"), ("Sun", "day\n"), ("Sunday\r", "\n")] {
        let (timed_out, go) = channel();
        let (said, fake, client) = asked_of(200, move |mut peer| {
            peer.send(early);
            go.recv().unwrap();
            peer.pour(late.as_bytes());
            peer.fall_silent();
        });
        assert_eq!(said, "timeout");
        timed_out.send(()).unwrap();
        assert_broken(client);
        fake.finish();
    }
}

#[test]
fn unasked_bytes_break_the_client() {
    /// Does what it says when it is asked for, and tells when that is done.
    fn on_demand(unasked: &'static str) -> (Fake, impl Fn()) {
        let (ask, asked) = channel();
        let (tell, done): (_, Receiver<()>) = channel();
        let fake = Fake::new(move |mut peer| {
            peer.greet("Hi");
            peer.expect("day\n");
            peer.send("Sunday\n");
            asked.recv().unwrap();
            peer.send(unasked);
            tell.send(()).unwrap();
            peer.fall_silent();
        });
        (fake, move || {
            ask.send(()).unwrap();
            done.recv().unwrap();
        })
    }
    for unasked in ["Monday\n", "\n", "M"] {
        for ask in [
            |client: &mut Client| failed(client.request("day")),
            |client: &mut Client| failed(client.datetime()),
            |client: &mut Client| failed(client.pipeline(["day", "day"])),
        ] {
            let (fake, speak) = on_demand(unasked);
            let mut client = patient().connect(fake.address()).unwrap();
            assert_eq!(client.request("day").unwrap(), "Sunday");
            speak();
            assert_eq!(ask(&mut client), format!("protocol: {}", unasked.escape_default()));
            assert_broken(client);
        }
    }
}

#[test]
fn a_reply_with_another_in_its_wake_breaks_the_client() {
    let (said, _fake, mut client) = asked_of(30_000, |mut peer| {
        peer.send("Sunday\nMonday\n");
        peer.fall_silent();
    });
    assert_eq!(said, "Sunday");
    assert_eq!(failed(client.request("day")), "protocol: Monday\\n");
    assert_broken(client);
}

#[test]
fn a_server_that_dies_between_question_and_reply_closes() {
    let scripts: [Script; 4] = [
        Peer::reset,
        drop,
        |mut peer| peer.send("Sun"),
        |mut peer| {
            peer.send("Sun");
            peer.reset();
        },
    ];
    for script in scripts {
        let (said, fake, client) = asked_of(30_000, script);
        assert_eq!(said, "closed");
        assert_broken(client);
        fake.finish();
    }
}

#[test]
fn replies_in_any_segments() {
    for pieces in [
        vec!["Sunday\n"],
        vec!["Sun", "day\n"],
        vec!["Sunday", "\n"],
        vec!["Sunday", "\r", "\n"],
        vec!["S", "u", "n", "d", "a", "y", "\r\n"],
    ] {
        let (said, _fake, _client) = asked_of(30_000, |mut peer| {
            peer.send_pieces(pieces);
            peer.fall_silent();
        });
        assert_eq!(said, "Sunday");
    }
}

#[test]
fn the_originals_replies_in_any_segments() {
    let refused = format!("refused: {}", errors::INVALID);
    let error = ["You entered an invalid", " command"];
    let exchanges = [
        ("day", ["Sun", "day"], "Sunday"),
        ("day", ["T", "hursday"], "Thursday"),
        ("date", ["26-", "11-22"], "26-11-22"),
        ("time", ["15:44:5", "7"], "15:44:57"),
        // It knows them all; another like it may not.
        ("day", error, &refused),
        ("date", error, &refused),
        ("time", error, &refused),
        ("timestamp", error, &refused),
    ];
    let script = exchanges.map(|(command, pieces, _)| (command, pieces));
    let original = Fake::new(move |mut peer| {
        peer.send(GREETING);
        peer.expect("\n");
        peer.send(errors::INVALID);
        for (command, pieces) in script {
            peer.expect(command);
            peer.send_pieces(pieces);
        }
        peer.fall_silent();
    });
    let mut client = patient().connect(original.address()).unwrap();
    for (command, _, reply) in exchanges {
        assert_eq!(told(client.request(command)), reply);
    }
}

#[test]
fn an_endless_reply_is_bounded() {
    for (length, fits) in [(60_000, true), (70_000, false), (10 << 20, false)] {
        let (said, _fake, client) = asked_of(30_000, move |mut peer| {
            let mut reply = vec![b'x'; length];
            if fits {
                reply.push(b'\n');
            }
            peer.pour(&reply);
            peer.fall_silent();
        });
        if fits {
            assert_eq!(said.len(), length);
        } else {
            assert!(said.starts_with("protocol: x") && said.len() <= "protocol: ".len() + 64 * 1024, "{}", said.len());
            assert_broken(client);
        }
    }
}

#[test]
fn a_reply_that_is_no_text_breaks_the_client() {
    let (said, _fake, client) = asked_of(30_000, |mut peer| {
        peer.send(b"\xffSunday\n");
        peer.fall_silent();
    });
    assert_eq!(said, "protocol: \\xffSunday\\n");
    assert_broken(client);
}

#[test]
fn a_pipeline_keeps_4_kib_in_flight_and_reads_between() {
    let fake = Fake::new(|mut peer| {
        peer.greet("Hi");
        let mut answered = 0;
        while answered < 1000 {
            let come = peer.receive_until_quiet(100);
            assert!((1..=4096).contains(&come.len()), "{}", come.len());
            let questions = come.iter().filter(|byte| **byte == b'\n').count();
            peer.send((answered..answered + questions).map(|i| format!("{i}\n")).collect::<String>());
            answered += questions;
        }
        peer.fall_silent();
    });
    let mut client = patient().connect(fake.address()).unwrap();
    let replies = client.pipeline(["time Europe/Berlin"; 1000]).unwrap();
    for (i, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap(), i.to_string());
    }
}

#[test]
fn a_pipeline_that_breaks_gives_its_error() {
    let cases: [(&str, Script); 3] =
        [("closed", drop), ("timeout", Peer::fall_silent), ("protocol: \\xff\\n", |mut peer| peer.send(b"\xff\n"))];
    for (expected, script) in cases {
        let fake = Fake::new(move |mut peer| {
            peer.greet("Hi");
            peer.expect("day\nday\nday\n");
            peer.send("Sunday\nSunday\n");
            script(peer);
        });
        let mut client = hasty(500).connect(fake.address()).unwrap();
        assert_eq!(failed(client.pipeline(["day"; 3])), expected);
        assert_broken(client);
    }
}

/// True from the second time on that it is asked.
fn at_the_second_time() -> impl Fn() -> bool + Send + Sync + 'static {
    let asked = AtomicUsize::new(0);
    move || asked.fetch_add(1, SeqCst) > 0
}

#[test]
fn an_interrupt_ends_whatever_blocks() {
    let interruptible = || patient().interrupt(at_the_second_time());
    let assert_prompt = |(said, took): (String, Duration)| {
        assert_eq!(said, "interrupted");
        assert!(took < Duration::from_secs(1), "{took:?}");
    };

    let hole = BlackHole::new((Ipv4Addr::LOCALHOST, 0));
    assert_prompt(timed(|| failed(interruptible().connect(hole.address()))));
    let silent = Fake::new(Peer::fall_silent);
    assert_prompt(timed(|| failed(interruptible().connect(silent.address()))));

    let calls: [fn(&mut Client) -> String; 4] = [
        |client| failed(client.request("day")),
        |client| failed(client.datetime()),
        |client| failed(client.pipeline(["day"; 10_000])),
        |client| failed(client.time_in("UTC")),
    ];
    let connected = || {
        let fake = Fake::new(|mut peer| {
            peer.greet("Hi");
            peer.fall_silent();
        });
        let client = interruptible().connect(fake.address()).unwrap();
        (fake, client)
    };
    for call in calls {
        let (_fake, mut client) = connected();
        assert_prompt(timed(|| call(&mut client)));
        assert_broken(client);
    }
    let (_fake, client) = connected();
    assert_prompt(timed(|| failed(client.quit())));
}

#[test]
fn an_interrupt_ends_what_trickles() {
    // Never silent for as long as a slice, and never done.
    let trickle = |mut peer: Peer| {
        let mut left = 100;
        while left > 0 && peer.pour(b"x") {
            peer.pause(20);
            left -= 1;
        }
    };
    let fake = Fake::new(trickle);
    let (said, took) = timed(|| failed(patient().interrupt(at_the_second_time()).connect(fake.address())));
    assert_eq!(said, "interrupted");
    assert!(took < Duration::from_secs(1), "{took:?}");
    drop(fake);

    let fake = Fake::new(move |mut peer| {
        peer.greet("Hi");
        peer.expect("day\n");
        trickle(peer);
    });
    let mut client = patient().interrupt(at_the_second_time()).connect(fake.address()).unwrap();
    let (said, took) = timed(|| failed(client.request("day")));
    assert_eq!(said, "interrupted");
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn an_interrupt_that_is_not_meant_disturbs_nothing() {
    let server = settings().start().unwrap();
    let mut client = patient().interrupt(|| false).connect(&server.addresses()[0]).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
    assert_eq!(client.pipeline(["day"; 1000]).unwrap().len(), 1000);
    client.quit().unwrap();
}

#[test]
fn patience_can_be_changed() {
    let fake = Fake::new(|mut peer| {
        peer.greet("Hi");
        peer.fall_silent();
    });
    let mut client = patient().connect(fake.address()).unwrap();
    client.set_timeout(Duration::from_millis(100));
    let (result, took) = timed(|| client.day());
    assert_eq!(failed(result), "timeout");
    assert!((Duration::from_millis(100)..SLACK).contains(&took), "{took:?}");
}

#[test]
fn patience_without_end_is_allowed() {
    let server = settings().start().unwrap();
    let mut client = Client::builder().timeout(Duration::MAX).connect(&server.addresses()[0]).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
    assert_eq!(failed(Client::builder().timeout(Duration::ZERO).connect(&server.addresses()[0])), "timeout");
}

// What a reply must look like to be typed.

/// What a typed question makes of this reply to `command`.
fn typed<T: ToString>(command: &'static str, reply: &str, ask: fn(&mut Client) -> Result<T, Error>) -> String {
    let reply = reply.to_owned();
    let (fake, _) =
        Fake::lines("Hi", move |asked| Some(if asked == command { reply.clone() } else { errors::INVALID.into() }));
    let mut client = patient().connect(fake.address()).unwrap();
    let result = ask(&mut client).map(|value| value.to_string());
    if matches!(result, Err(Error::Protocol(_))) {
        assert_broken(client);
    }
    told(result)
}

/// Those of the replies to `command` that are taken for something, though they are nothing.
fn wrongly_taken<T: ToString>(
    command: &'static str,
    replies: &[&str],
    ask: fn(&mut Client) -> Result<T, Error>,
) -> Vec<(String, String)> {
    let told = replies.iter().map(|reply| (reply.to_string(), typed(command, reply, ask)));
    told.filter(|(reply, told)| *told != format!("protocol: {}", reply.as_bytes().escape_ascii())).collect()
}

#[test]
fn replies_to_datetime() {
    for text in [
        "2026-11-22T15:44:57+00:00",
        "2026-11-22T15:44:57-03:30",
        "2028-02-29T00:00:00+14:00",
        "1999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+00:00",
        "9999-12-31T23:59:59+23:59",
    ] {
        assert_eq!(typed("datetime", text, Client::datetime), text);
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
    assert_eq!(wrongly_taken("datetime", &wrong, Client::datetime), []);
}

#[test]
fn replies_to_day_date_and_time() {
    for day in ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"] {
        assert_eq!(typed("day", day, Client::day), day);
    }
    for (text, date) in [("28-02-29", "2028-02-29"), ("69-01-01", "1969-01-01"), ("68-12-31", "2068-12-31")] {
        assert_eq!(typed("date", text, Client::date), date);
    }
    for time in ["00:00:00", "15:44:57", "23:59:59"] {
        assert_eq!(typed("time", time, Client::time), time);
    }
    let days = ["", "sunday", "SUNDAY", "Sun", "Sunday ", " Sunday", "Caturday", "Sonntag", "0"];
    assert_eq!(wrongly_taken("day", &days, Client::day), []);
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
    assert_eq!(wrongly_taken("date", &dates, Client::date), []);
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
    assert_eq!(wrongly_taken("time", &times, Client::time), []);
}

#[test]
fn a_server_of_lines_without_datetime_is_asked_for_it_once() {
    let (fake, asked) = Fake::lines("Hi", |command| {
        Some(match command {
            "day" | "date" | "time" => stopped(command),
            _ => errors::INVALID.into(),
        })
    });
    let mut client = patient().connect(fake.address()).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sunday);
    assert_eq!(client.datetime().unwrap().to_string(), "2026-11-22T15:44:57");
    assert_eq!(client.datetime().unwrap().offset, None);
    drop(client);
    fake.finish();
    let asked: Vec<_> = asked.iter().collect();
    assert_eq!(asked, ["datetime", "day", "date", "time", "date", "date", "time", "date"]);
}

#[test]
fn every_call_has_one_deadline() {
    // Each reply comes within the deadline, the third of them would come after it.
    let (fake, _) = Fake::lines("Hi", |command| {
        thread::sleep(Duration::from_millis(400));
        Some(if command == "datetime" { errors::INVALID.into() } else { stopped(command) })
    });
    let mut client = hasty(1000).connect(fake.address()).unwrap();
    let began = Instant::now();
    assert_eq!(failed(client.datetime()), "timeout");
    assert!(began.elapsed() < Duration::from_millis(1300), "{:?}", began.elapsed());
}

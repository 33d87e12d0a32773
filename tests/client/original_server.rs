//! The client with the original classroom server, which `src/protocol/protocol.md` describes.

use std::{thread, time::Duration};

use daytime::{
    Error,
    chrono::{Datelike, NaiveDate, Weekday},
    protocol::{GREETING, QUIET, errors},
};

use crate::common::{
    fake_server::{FakeServer, original_reply},
    outcome, timed,
};
use crate::helpers::{SLACK, assert_broken, client_builder, error_of, with_timeout};

#[test]
fn the_original_is_detected() {
    let (original, received) = FakeServer::original(original_reply);
    let (client, took) = timed(|| client_builder().connect(original.address()).unwrap());
    assert!((QUIET..QUIET + SLACK).contains(&took), "{took:?}");
    assert_eq!(client.greeting(), GREETING);
    client.quit().unwrap();
    original.finish();
    assert_eq!(received.iter().collect::<Vec<_>>(), ["\n", "quit"]);
}

#[test]
fn the_original_may_send_any_greeting() {
    let error = errors::INVALID;
    for (pieces, greeting) in [
        (vec![error.into()], String::new()),
        (vec!["Hé".into(), error.into()], "Hé".into()),
        (vec!["Wel".into(), "come".into(), "You entered an inval".into(), "id command".into()], "Welcome".into()),
        (vec![format!("{error}? No: "), error.into()], format!("{error}? No: ")),
        ("Welcome".chars().chain(error.chars()).map(String::from).collect(), "Welcome".into()),
        (vec!["x".repeat(60_000), error.into()], "x".repeat(60_000)),
    ] {
        let original = FakeServer::new(|mut peer| {
            peer.expect("\n");
            peer.send_pieces(pieces);
            peer.expect("day");
            peer.send("Sunday");
            peer.stay_silent();
        });
        let mut client = client_builder().connect(original.address()).unwrap();
        assert_eq!(client.greeting(), greeting);
        assert_eq!(client.day().unwrap(), Weekday::Sun);
    }
}

#[test]
fn the_original_is_detected_only_after_the_quiet_time() {
    let original = FakeServer::new(|mut peer| {
        // A pause longer than the quiet time, which begins with the server's first bytes and not with the request.
        thread::sleep(Duration::from_millis(400));
        for piece in ["One: ", errors::INVALID, ". Two: ", errors::INVALID] {
            peer.send(piece);
            thread::sleep(Duration::from_millis(50));
        }
        peer.stay_silent();
    });
    let client = client_builder().connect(original.address()).unwrap();
    assert_eq!(client.greeting(), format!("One: {}. Two: ", errors::INVALID));
}

#[test]
fn replies_of_the_original_are_typed() {
    let (original, _) = FakeServer::original(original_reply);
    let mut client = client_builder().connect(original.address()).unwrap();
    let moment = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap().and_hms_opt(15, 44, 57).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sun);
    assert_eq!(client.date().unwrap(), moment.date());
    assert_eq!(client.time().unwrap(), moment.time());
    let error = client.datetime().unwrap_err();
    let message = "the server does not send its offset from UTC; its clock shows 2026-11-22T15:44:57";
    assert_eq!(error.to_string(), message);
    assert!(matches!(error, Error::NoOffset(local) if local == moment));
    assert_eq!(client.day().unwrap(), Weekday::Sun, "the client stays usable");
}

#[test]
fn years_of_the_original_pivot_as_in_posix() {
    let years = [(69, 1969), (70, 1970), (98, 1998), (99, 1999), (0, 2000), (1, 2001), (26, 2026), (68, 2068)];
    let mut dates = years.into_iter().map(|(two_digits, _)| format!("{two_digits:02}-02-28"));
    let (original, _) = FakeServer::original(move |_| dates.next().unwrap());
    let mut client = client_builder().connect(original.address()).unwrap();
    for (_, year) in years {
        let date = client.date().unwrap();
        assert_eq!((date.year(), date.month(), date.day()), (year, 2, 28));
    }
}

#[test]
fn a_midnight_between_date_and_time_of_the_original_is_noticed() {
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
    for (replies, moment, commands) in scripts {
        let mut replies = replies.iter();
        let (original, received) = FakeServer::original(move |_| replies.next().unwrap().to_string());
        let mut client = client_builder().connect(original.address()).unwrap();
        let Err(Error::NoOffset(local)) = client.datetime() else { panic!("a guessed offset") };
        assert_eq!(local.format("%FT%T").to_string(), moment);
        drop(client);
        original.finish();
        let received: Vec<_> = received.iter().collect();
        assert_eq!(received[1..received.len() - 1], *commands);
    }
}

#[test]
fn a_date_that_keeps_changing_ends_with_the_deadline() {
    // Each reply arrives well before the deadline, but the call has one deadline for all replies.
    let mut days = (2..=28).flat_map(|day| [day, 1]);
    let (original, _) = FakeServer::original(move |command| {
        thread::sleep(Duration::from_millis(100));
        if command == "date" { format!("26-01-{:02}", days.next().unwrap_or(29)) } else { original_reply(command) }
    });
    let mut client = with_timeout(1000).connect(original.address()).unwrap();
    let (result, took) = timed(|| client.datetime());
    assert_eq!(error_of(result), "timeout");
    assert!(took < Duration::from_secs(1) + SLACK, "{took:?}");
}

#[test]
fn the_original_refuses_unknown_commands() {
    let (original, received) = FakeServer::original(original_reply);
    let mut client = client_builder().connect(original.address()).unwrap();
    let refused = format!("refused: {}", errors::INVALID);
    for command in ["nonsense", "datetime", "help", "day UTC", " day"] {
        assert_eq!(error_of(client.request(command)), refused, "{command:?}");
    }
    assert_eq!(error_of(client.day_in("UTC")), refused);
    assert_eq!(error_of(client.date_in("UTC")), refused);
    assert_eq!(error_of(client.time_in("UTC")), refused);
    assert_eq!(error_of(client.datetime_in("UTC")), refused);
    assert_eq!(error_of(client.request("quit")), "invalid");
    assert_eq!(client.request("DAY").unwrap(), "Sunday");
    client.quit().unwrap();
    original.finish();
    let received: Vec<_> = received.iter().collect();
    assert_eq!(received[received.len() - 2..], ["day", "quit"]);
}

#[test]
fn the_original_gets_pipelined_commands_one_by_one() {
    let (original, received) = FakeServer::original(original_reply);
    let mut client = client_builder().connect(original.address()).unwrap();
    let cycle = [("day", "Sunday"), ("", "invalid"), ("DATE", "26-11-22"), ("quit", "invalid"), ("time", "15:44:57")];
    let exchanges = cycle.repeat(100);
    let replies = client.pipeline(exchanges.iter().map(|(command, _)| *command)).unwrap();
    let replies: Vec<String> = replies.into_iter().map(outcome).collect();
    assert_eq!(replies, exchanges.iter().map(|(_, reply)| *reply).collect::<Vec<_>>());
    client.quit().unwrap();
    original.finish();
    let received: Vec<_> = received.iter().collect();
    assert_eq!(received.len(), 302);
    assert_eq!(received[1..301], ["day", "date", "time"].repeat(100));
}

#[test]
fn an_invalid_reply_of_the_original_breaks_the_client() {
    for (command, reply, error) in [
        ("day", "Caturday", "protocol: Caturday"),
        ("day", "sunday", "protocol: sunday"),
        ("date", "2026-11-22", "protocol: 2026-11-22"),
        ("time", "3:44:57 p", "protocol: 3:44:57 p"),
        ("nonsense", "Sunday", "protocol: Sunday"),
        ("day", "Sun\n", "protocol: Sun\\n"),
    ] {
        let original = FakeServer::new(move |mut peer| {
            peer.expect("\n");
            peer.send(errors::INVALID);
            peer.expect(command);
            peer.send(reply);
            peer.stay_silent();
        });
        let mut client = client_builder().connect(original.address()).unwrap();
        assert_eq!(error_of(client.request(command)), error);
        assert_broken(client);
    }
}

#[test]
fn replies_of_the_original_may_arrive_in_any_segments() {
    let refused = format!("refused: {}", errors::INVALID);
    let error = ["You entered an invalid", " command"];
    let exchanges = [
        ("day", ["Sun", "day"], "Sunday"),
        ("day", ["T", "hursday"], "Thursday"),
        ("date", ["26-", "11-22"], "26-11-22"),
        ("time", ["15:44:5", "7"], "15:44:57"),
        // The original knows these commands, but a variant of it may not.
        ("day", error, &refused),
        ("date", error, &refused),
        ("time", error, &refused),
        ("timestamp", error, &refused),
        ("tz", error, &refused),
        ("next", error, &refused),
    ];
    let script = exchanges.map(|(command, pieces, _)| (command, pieces));
    let original = FakeServer::new(move |mut peer| {
        peer.send(GREETING);
        peer.expect("\n");
        peer.send(errors::INVALID);
        for (command, pieces) in script {
            peer.expect(command);
            peer.send_pieces(pieces);
        }
        peer.stay_silent();
    });
    let mut client = client_builder().connect(original.address()).unwrap();
    for (command, _, reply) in exchanges {
        assert_eq!(outcome(client.request(command)), reply);
    }
}

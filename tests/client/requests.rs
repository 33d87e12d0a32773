//! Requests and replies with this crate's server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use daytime::{
    Event, Reason, Server,
    chrono::Weekday,
    protocol::{COMMAND_MAX, REPLY_MAX, errors},
};

use crate::common::{TIMEOUT, builder, fake_server::FakeServer, outcome};
use crate::helpers::{FRAMINGS, assert_broken, client_builder, connect, error_of, with_timeout};

#[test]
fn each_request_gets_its_reply() {
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
        let server = builder().framing(framing).start().unwrap();
        let mut client = connect(&server);
        for (command, reply) in cases {
            assert_eq!(outcome(client.request(command)), reply, "{command:?} {framing:?}");
        }
        let help = client.request("help").unwrap();
        assert!(help.contains("datetime [ZONE]") && help.contains("quit"), "{help}");
        assert_eq!(server.stats().commands, cases.len() as u64 + 1);
    }
}

#[test]
fn invalid_commands_are_not_sent() {
    let server = builder().start().unwrap();
    let mut client = connect(&server);
    let overlong = "x".repeat(COMMAND_MAX + 1);
    let invalid = [
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
    for command in invalid {
        assert_eq!(error_of(client.request(command)), "invalid", "{command:?}");
    }
    assert!(client.pipeline(invalid).unwrap().into_iter().all(|result| error_of(result) == "invalid"));
    assert_eq!(client.request("day").unwrap(), "Sunday");
    assert_eq!(server.stats().commands, 1);
}

#[test]
fn a_server_may_have_any_greeting() {
    let longest = "é".repeat(REPLY_MAX / 2);
    for greeting in ["", "Hi", " Hi ", errors::INVALID, "day", "日曜日", &longest] {
        for framing in FRAMINGS {
            let server = builder().greeting(greeting).framing(framing).start().unwrap();
            match client_builder().connect(&server.addresses()[0]) {
                Ok(mut client) => {
                    assert_eq!(client.greeting(), greeting);
                    assert_eq!(client.day().unwrap(), Weekday::Sun);
                }
                Err(error) => assert_eq!(error_of::<()>(Err(error)), format!("refused: {greeting}")),
            }
        }
    }
}

#[test]
fn quit_waits_until_the_server_closes() {
    let server = builder().start().unwrap();
    let events = server.events();
    let mut client = connect(&server);
    client.pipeline(["day"; 1000]).unwrap();
    client.quit().unwrap();
    let event = events.iter().find(|event| matches!(event, Event::Disconnected { .. }));
    let Some(Event::Disconnected { reason, commands, .. }) = event else { panic!("{event:?}") };
    assert_eq!((reason, commands), (Reason::Quit, 1001));

    let closing = Arc::new(AtomicBool::new(false));
    let fake = FakeServer::new({
        let closing = closing.clone();
        move |mut peer| {
            peer.complete_greeting("Hi");
            peer.expect("quit\n");
            peer.send("what was owed\n");
            thread::sleep(Duration::from_millis(200));
            closing.store(true, SeqCst);
        }
    });
    client_builder().connect(fake.address()).unwrap().quit().unwrap();
    assert!(closing.load(SeqCst));

    let fake = FakeServer::new(|mut peer| {
        peer.complete_greeting("Hi");
        peer.stay_silent();
    });
    let client = with_timeout(200).connect(fake.address()).unwrap();
    assert_eq!(error_of(client.quit()), "timeout");
}

#[test]
fn a_server_that_goes_away_closes_its_clients() {
    for end_server in [|server: &Server| server.stop(), |server: &Server| server.drain(TIMEOUT)] {
        let server = builder().start().unwrap();
        let mut client = connect(&server);
        assert_eq!(client.day().unwrap(), Weekday::Sun);
        end_server(&server);
        // Requests succeed until the client reads the half-close of the drain, or the close.
        let events = server.events();
        let mut last = error_of(client.request("day"));
        while last == "no error" {
            last = error_of(client.request("day"));
        }
        assert_eq!(last, "closed");
        assert_broken(client);
        assert!(server.wait(Some(TIMEOUT)));
        drop(events);
    }
}

#[test]
fn an_interrupt_that_stays_false_changes_nothing() {
    let server = builder().start().unwrap();
    let mut client = client_builder().interrupt(|| false).connect(&server.addresses()[0]).unwrap();
    assert_eq!(client.day().unwrap(), Weekday::Sun);
    assert_eq!(client.pipeline(["day"; 1000]).unwrap().len(), 1000);
    client.quit().unwrap();
}

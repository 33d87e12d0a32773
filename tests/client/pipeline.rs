//! Pipelined requests.

use daytime::protocol::{COMMAND_MAX, errors};

use crate::common::{
    builder,
    fake_server::{FakeServer, Script},
    outcome,
    peer::Peer,
};
use crate::helpers::{FRAMINGS, assert_broken, client_builder, connect, error_of, with_timeout};

#[test]
fn a_pipeline_may_have_200_000_commands() {
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
        let server = builder().framing(framing).start().unwrap();
        let mut client = connect(&server);
        let exchanges = cycle.iter().cycle().take(200_000);
        let replies = client.pipeline(exchanges.clone().map(|(command, _)| *command)).unwrap();
        assert_eq!(replies.len(), 200_000);
        for (i, (reply, (_, expected))) in replies.into_iter().zip(exchanges).enumerate() {
            assert_eq!(reply.unwrap(), *expected, "{i}");
        }
        assert_eq!(server.stats().commands, 200_000);
        client.quit().unwrap();
    }
}

#[test]
fn a_pipeline_may_contain_errors() {
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
    let server = builder().start().unwrap();
    let mut client = connect(&server);
    for repeats in [0, 1, 100] {
        let exchanges = cycle.repeat(repeats);
        let replies = client.pipeline(exchanges.iter().map(|(command, _)| *command)).unwrap();
        let replies: Vec<String> = replies.into_iter().map(outcome).collect();
        assert_eq!(replies, exchanges.iter().map(|(_, reply)| *reply).collect::<Vec<_>>());
    }
    assert_eq!(client.request("day").unwrap(), "Sunday");
}

#[test]
fn a_pipeline_keeps_4_kib_in_flight_and_reads_between() {
    let fake = FakeServer::new(|mut peer| {
        peer.complete_greeting("Hi");
        let mut answered = 0;
        while answered < 1000 {
            let received = peer.receive_until_idle(100);
            assert!((1..=4096).contains(&received.len()), "{}", received.len());
            let commands = received.iter().filter(|byte| **byte == b'\n').count();
            peer.send((answered..answered + commands).map(|i| format!("{i}\n")).collect::<String>());
            answered += commands;
        }
        peer.stay_silent();
    });
    let mut client = client_builder().connect(fake.address()).unwrap();
    let replies = client.pipeline(["time Europe/Berlin"; 1000]).unwrap();
    for (i, reply) in replies.into_iter().enumerate() {
        assert_eq!(reply.unwrap(), i.to_string());
    }
}

#[test]
fn a_pipeline_that_breaks_returns_its_error() {
    let cases: [(&str, Script); 3] =
        [("closed", drop), ("timeout", Peer::stay_silent), ("protocol: \\xff\\n", |mut peer| peer.send(b"\xff\n"))];
    for (expected, script) in cases {
        let fake = FakeServer::new(move |mut peer| {
            peer.complete_greeting("Hi");
            peer.expect("day\nday\nday\n");
            peer.send("Sunday\nSunday\n");
            script(peer);
        });
        let mut client = with_timeout(500).connect(fake.address()).unwrap();
        assert_eq!(error_of(client.pipeline(["day"; 3])), expected);
        assert_broken(client);
    }
}

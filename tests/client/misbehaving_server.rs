//! Servers that send wrong bytes, or send bytes at a wrong time.

use std::{
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use daytime::{
    Client, Error,
    protocol::{GREETING, errors},
};

use crate::common::{
    TIMEOUT,
    fake_server::{FakeServer, Script},
    peer::Peer,
    timed,
};
use crate::helpers::{SLACK, ask_day, assert_broken, client_builder, error_of, with_timeout};

// ---- Greetings: K1 of tests/server/faults.rs

#[test]
fn a_silent_server_times_out() {
    for milliseconds in [1, 100, 600] {
        let fake = FakeServer::new(Peer::stay_silent);
        let (result, took) = timed(|| with_timeout(milliseconds).connect(fake.address()));
        assert_eq!(error_of(result), "timeout");
        let timeout = Duration::from_millis(milliseconds);
        assert!((timeout..timeout + SLACK).contains(&took), "{took:?}");
    }
}

#[test]
fn a_greeting_may_arrive_in_pieces() {
    for pieces in [
        vec!["Welcome to the server\n"],
        vec!["Welcome to the server", "\n"],
        vec!["Welcome to the server", "\r", "\n"],
        vec!["Welcome", " to the", " server\r\n"],
        GREETING.split("").chain(["\n"]).collect(),
    ] {
        let fake = FakeServer::new(|mut peer| {
            peer.send_pieces(pieces);
            peer.expect("\nday\n");
            peer.send("Sunday\n");
            peer.stay_silent();
        });
        let mut client = client_builder().connect(fake.address()).unwrap();
        assert_eq!(client.greeting(), GREETING);
        assert_eq!(client.request("day").unwrap(), "Sunday");
    }
}

#[test]
fn a_reply_right_after_the_greeting_breaks_the_client() {
    for (sent, error) in [
        ("Hi\nSunday\n", "protocol: Sunday\\n"),
        ("Hi\n\n", "protocol: \\n"),
        ("Hi\r\nS", "protocol: S"),
        ("Hi\nYou entered an invalid command\n", "protocol: You entered an invalid command\\n"),
    ] {
        for request in [
            |client: &mut Client| error_of(client.request("day")),
            |client: &mut Client| error_of(client.pipeline(["day", "day"])),
        ] {
            let fake = FakeServer::new(move |mut peer| {
                peer.send(sent);
                peer.stay_silent();
            });
            let mut client = client_builder().connect(fake.address()).unwrap();
            assert_eq!(client.greeting(), "Hi");
            assert_eq!(request(&mut client), error);
            assert_broken(client);
        }
    }
}

#[test]
fn an_endless_greeting_is_bounded() {
    for length in [70_000, 10 << 20] {
        for end in ["", "\n"] {
            let fake = FakeServer::new(move |mut peer| {
                let mut greeting = vec![b'x'; length];
                greeting.extend_from_slice(end.as_bytes());
                peer.try_send(&greeting);
                peer.stay_silent();
            });
            let (result, took) = timed(|| client_builder().connect(fake.address()));
            let Err(Error::Protocol(bytes)) = result else { panic!("{length} {end:?}: {result:?}") };
            assert!(took < TIMEOUT / 2, "{took:?}");
            assert!(bytes.len() <= 64 * 1024 && bytes.iter().all(|byte| *byte == b'x'), "{}", bytes.len());
        }
    }
    let fake = FakeServer::new(|mut peer| {
        peer.complete_greeting(&"x".repeat(60_000));
        peer.stay_silent();
    });
    assert_eq!(client_builder().connect(fake.address()).unwrap().greeting().len(), 60_000);
}

#[test]
fn an_invalid_greeting_is_an_error_that_contains_it() {
    let endings: [(&str, Script); 2] = [("end of file", drop), ("deadline", Peer::stay_silent)];
    for (ending, end) in endings {
        for (sent, on_eof, on_deadline) in [
            (&b""[..], "closed", "timeout"),
            (b"Welcome", "protocol: Welcome", "protocol: Welcome"),
            (b"220 mail.example ESMTP", "protocol: 220 mail.example ESMTP", "protocol: 220 mail.example ESMTP"),
            (b"\xff\xfd\x18", "protocol: \\xff\\xfd\\x18", "protocol: \\xff\\xfd\\x18"),
            (b"\xff\n", "protocol: \\xff\\n", "protocol: \\xff\\n"),
            (b"You entered an invalid comman", "protocol: You entered an invalid comman", ""),
        ] {
            let fake = FakeServer::new(move |mut peer| {
                peer.expect("\n");
                peer.send(sent);
                end(peer);
            });
            let (result, took) = timed(|| with_timeout(500).connect(fake.address()));
            let expected = if ending == "deadline" && !on_deadline.is_empty() { on_deadline } else { on_eof };
            assert_eq!(error_of(result), expected, "{ending} after {}", sent.escape_ascii());
            assert!(took < Duration::from_millis(500) + SLACK, "{took:?}");
        }
    }
}

#[test]
fn a_reset_in_place_of_a_greeting_closes_the_client() {
    let fake = FakeServer::new(|mut peer| {
        peer.expect("\n");
        peer.reset();
    });
    assert_eq!(error_of(client_builder().connect(fake.address())), "closed");
}

#[test]
fn an_error_line_in_place_of_a_greeting_refuses_the_client() {
    for line in errors::ALL {
        for end in ["\n", "\r\n"] {
            for split in [0, 7, line.len()] {
                let fake = FakeServer::new(move |mut peer| {
                    peer.expect("\n");
                    let text = format!("{line}{end}");
                    let (head, tail) = text.split_at(split);
                    peer.send_pieces([head, tail]);
                });
                let result = client_builder().connect(fake.address());
                assert_eq!(error_of(result), format!("refused: {line}"));
            }
        }
    }
    // A line that only resembles an error line is a greeting.
    for line in ["The server is full.", "the server is full", " The server is full"] {
        let fake = FakeServer::new(move |mut peer| peer.complete_greeting(line));
        assert_eq!(client_builder().connect(fake.address()).unwrap().greeting(), line);
    }
}

// ---- Each reply belongs to its command, or the client is broken: K4 of tests/server/faults.rs

#[test]
fn a_late_reply_is_never_returned() {
    for (early, late) in [("", "Sunday\n"), ("Sun", "day\n"), ("Sunday\r", "\n")] {
        let (timed_out, timeout) = channel();
        let (outcome, fake, client) = ask_day(200, move |mut peer| {
            peer.send(early);
            timeout.recv().unwrap();
            peer.try_send(late.as_bytes());
            peer.stay_silent();
        });
        assert_eq!(outcome, "timeout");
        timed_out.send(()).unwrap();
        assert_broken(client);
        fake.finish();
    }
}

#[test]
fn unexpected_bytes_break_the_client() {
    /// A server that sends unexpected bytes when the returned function is called. That function returns after the send.
    fn on_demand(unexpected: &'static str) -> (FakeServer, impl Fn()) {
        let (demand, demanded) = channel();
        let (sent, done): (_, Receiver<()>) = channel();
        let fake = FakeServer::new(move |mut peer| {
            peer.complete_greeting("Hi");
            peer.expect("day\n");
            peer.send("Sunday\n");
            demanded.recv().unwrap();
            peer.send(unexpected);
            sent.send(()).unwrap();
            peer.stay_silent();
        });
        (fake, move || {
            demand.send(()).unwrap();
            done.recv().unwrap();
        })
    }
    for unexpected in ["Monday\n", "\n", "M"] {
        for request in [
            |client: &mut Client| error_of(client.request("day")),
            |client: &mut Client| error_of(client.datetime()),
            |client: &mut Client| error_of(client.pipeline(["day", "day"])),
        ] {
            let (fake, send) = on_demand(unexpected);
            let mut client = client_builder().connect(fake.address()).unwrap();
            assert_eq!(client.request("day").unwrap(), "Sunday");
            send();
            assert_eq!(request(&mut client), format!("protocol: {}", unexpected.escape_default()));
            assert_broken(client);
        }
    }
}

#[test]
fn a_second_reply_to_one_command_breaks_the_client() {
    let (outcome, _fake, mut client) = ask_day(30_000, |mut peer| {
        peer.send("Sunday\nMonday\n");
        peer.stay_silent();
    });
    assert_eq!(outcome, "Sunday");
    assert_eq!(error_of(client.request("day")), "protocol: Monday\\n");
    assert_broken(client);
}

#[test]
fn a_server_that_ends_before_its_reply_closes_the_client() {
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
        let (outcome, fake, client) = ask_day(30_000, script);
        assert_eq!(outcome, "closed");
        assert_broken(client);
        fake.finish();
    }
}

#[test]
fn replies_may_arrive_in_any_segments() {
    for pieces in [
        vec!["Sunday\n"],
        vec!["Sun", "day\n"],
        vec!["Sunday", "\n"],
        vec!["Sunday", "\r", "\n"],
        vec!["S", "u", "n", "d", "a", "y", "\r\n"],
    ] {
        let (outcome, _fake, _client) = ask_day(30_000, |mut peer| {
            peer.send_pieces(pieces);
            peer.stay_silent();
        });
        assert_eq!(outcome, "Sunday");
    }
}

#[test]
fn an_endless_reply_is_bounded() {
    for (length, fits) in [(60_000, true), (70_000, false), (10 << 20, false)] {
        let (outcome, _fake, client) = ask_day(30_000, move |mut peer| {
            let mut reply = vec![b'x'; length];
            if fits {
                reply.push(b'\n');
            }
            peer.try_send(&reply);
            peer.stay_silent();
        });
        if fits {
            assert_eq!(outcome.len(), length);
        } else {
            assert!(
                outcome.starts_with("protocol: x") && outcome.len() <= "protocol: ".len() + 64 * 1024,
                "{}",
                outcome.len()
            );
            assert_broken(client);
        }
    }
}

#[test]
fn a_reply_that_is_not_utf_8_breaks_the_client() {
    let (outcome, _fake, client) = ask_day(30_000, |mut peer| {
        peer.send(b"\xffSunday\n");
        peer.stay_silent();
    });
    assert_eq!(outcome, "protocol: \\xffSunday\\n");
    assert_broken(client);
}

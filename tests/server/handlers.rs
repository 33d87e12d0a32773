//! What an embedder has of the server: own commands and the threads they run on, handles, events, limits, statistics.

use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use crate::common::peer::{PATIENCE, Peer, builder, eventually, server, server_threads, skip, status};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use daytime::{
    Client, ClientId, Clock, Error, Event, Reason, Reply, Server, ServerBuilder,
    protocol::{GREETING, errors},
};
use socket2::{Domain, Socket, Type};

/// A handler that tells that it runs, and goes on when it is let.
fn gate(builder: ServerBuilder) -> (ServerBuilder, Receiver<String>, Sender<()>) {
    let (entered, entries) = unbounded();
    let (leave, left) = bounded::<()>(0);
    let builder = builder.command("wait", move |request| {
        entered.send(request.argument.to_owned())?;
        left.recv_timeout(PATIENCE)?;
        Ok(format!("waited {}", request.argument).into())
    });
    (builder, entries, leave)
}

fn next(events: &Receiver<Event>) -> Event {
    events.recv_timeout(PATIENCE).unwrap()
}

fn callers() -> usize {
    server_threads().iter().filter(|(_, name)| name.starts_with("daytime-caller")).count()
}

// ---- own commands

#[test]
fn handlers_overlap_and_delay_nobody_else() {
    let together = Arc::new(Barrier::new(2));
    let meeting = together.clone();
    let (builder, entries, leave) = gate(builder());
    let server = builder
        .command("meet", move |_| {
            meeting.wait();
            Ok("met".into())
        })
        .start()
        .unwrap();
    let [mut first, mut second, mut third] = [(); 3].map(|()| Peer::greeted(server.port()));
    // Each waits for the other inside its handler.
    first.send("meet");
    second.send("meet");
    first.expect("met");
    second.expect("met");
    // One that waits and waits: the third is answered from the same workers, and by another caller.
    first.send("wait a\n");
    assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), "a");
    third.ask("day", "Sunday");
    third.send("wait b\n");
    assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), "b");
    second.ask("time", "15:44:57");
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    first.expect("\nwaited a\n");
    third.expect("\nwaited b\n");
}

#[test]
fn replies_of_one_client_stay_in_order_and_nothing_is_lost() {
    let (builder, entries, leave) = gate(builder());
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("day\nwait 1\r\ntime\nwait 2\n\nDATE\nwait 3");
    peer.finish();
    peer.expect("\nSunday\n");
    for turn in ["1", "2", "3"] {
        assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), turn);
        assert!(entries.is_empty(), "the next one runs after the reply to this one");
        leave.send(()).unwrap();
    }
    peer.expect("waited 1\r\n15:44:57\nwaited 2\n\n26-11-22\nwaited 3");
    peer.expect_eof();
}

#[test]
fn an_own_command_is_framed_as_any_other() {
    let server = builder().command("Uptime", |request| Ok(format!("[{}]", request.argument).into())).start().unwrap();
    for (sent, told) in [
        ("uptime", "[]"),
        ("UPTIME\n", "\n[]\n"),
        (" uptime \t a  B \r\n", "\r\n[a  B]\r\n"),
        ("day\nuptime x", "\nSunday\n[x]"),
        ("up", errors::INVALID),
    ] {
        assert_eq!(
            crate::common::peer::converse(server.port(), sent.as_bytes()),
            [GREETING, told].concat().as_bytes(),
            "{sent:?}"
        );
    }
}

#[test]
fn callers_start_on_demand_are_bounded_and_end_when_idle() {
    if !crate::common::peer::alone("callers_start_on_demand_are_bounded_and_end_when_idle") {
        return;
    }
    let (builder, entries, leave) = gate(builder().callers(2));
    let server = builder.start().unwrap();
    let mut peers = [(); 3].map(|()| Peer::greeted(server.port()));
    peers[0].ask("day", "Sunday");
    assert_eq!(callers(), 0, "none until one is needed");
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("wait {n}\n"));
    }
    entries.recv_timeout(PATIENCE).unwrap();
    entries.recv_timeout(PATIENCE).unwrap();
    assert!(entries.is_empty());
    assert_eq!(callers(), 2, "never more than asked for");
    for _ in 0..3 {
        leave.send(()).unwrap();
    }
    entries.recv_timeout(PATIENCE).unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.expect(format!("\nwaited {n}\n"));
    }
    eventually("idle callers end", || callers() == 0);
    peers[0].send("wait again\n");
    entries.recv_timeout(PATIENCE).unwrap();
    leave.send(()).unwrap();
    peers[0].expect("waited again\n");
}

#[test]
fn a_failing_handler_is_answered_and_told_and_the_connection_lives() {
    let server = builder()
        .command("err", |_| Err("no \u{1b}[31mluck".into()))
        .command("panic", |_| panic!("out of cheese"))
        .command("empty", |_| Ok("".into()))
        .command("lines", |_| Ok("two\nlines".into()))
        .command("long", |_| Ok("x".repeat(1024).into()))
        .command("fits", |_| Ok("x".repeat(1023).into()))
        .start()
        .unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    assert!(matches!(next(&events), Event::Connected { .. }));
    for (command, reason) in [
        ("err", "no \u{1b}[31mluck"),
        ("PANIC", "the handler panicked: out of cheese"),
        ("empty", "the handler's reply is none: it is empty"),
        ("lines", "the handler's reply is none: it has the control character '\\n'"),
        ("long", "the handler's reply is none: it has 1024 bytes, and 1023 is the most"),
    ] {
        peer.ask(format!("{command}\n"), "The command failed\n");
        let event = next(&events);
        assert!(!event.to_string().contains('\u{1b}'), "a log shows no control characters");
        let Event::CommandFailed { command: name, why, .. } = event else { panic!("{event:?}") };
        assert_eq!((name.as_str(), why.as_str()), (command.to_lowercase().as_str(), reason));
    }
    peer.ask("fits\n", "x".repeat(1023) + "\n");
    peer.ask("day\n", "Sunday\n");
    let stats = server.stats();
    assert_eq!((stats.commands, stats.invalid), (7, 5));
}

#[test]
fn a_reply_can_close() {
    let server = builder().command("bye", |_| Ok(Reply::closing("see you"))).start().unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.send("bye\nday\n");
    peer.expect("\nsee you\n");
    peer.expect_eof();
    drop(peer);
    assert!(matches!(next(&events), Event::Connected { .. }));
    assert!(matches!(next(&events), Event::Disconnected { reason: Reason::Quit, commands: 1, .. }));
}

#[test]
fn names_are_checked_where_they_are_given() {
    let nothing = |_: &daytime::Request<'_>| Ok("x".into());
    for (name, why) in [
        ("", "is empty"),
        ("two words", "has a blank or a control character"),
        ("a\u{7}", "has a blank or a control character"),
        ("DAY", "is taken"),
        ("exit", "is taken"),
        ("twice", "is taken"),
    ] {
        let refused = builder().command("Twice", nothing).command(name, nothing).bind().unwrap_err();
        assert_eq!(refused.to_string(), format!("the command name {name:?} {why}"));
    }
    let mut bound = builder().command("one", nothing).bind().unwrap();
    bound.command("two", nothing).unwrap();
    assert!(matches!(bound.command("ONE", nothing), Err(Error::Invalid(_))));
    assert!(matches!(bound.command("x".repeat(1000), nothing), Err(Error::Invalid(_))), "help must stay a reply");
    let server = bound.start().unwrap();
    let help = Client::connect(&server.addresses()[0]).unwrap().request("help").unwrap();
    assert!(help.ends_with("exit, one, two"), "{help}");
}

#[test]
fn a_handler_gets_who_asks_and_what() {
    let (seen, requests) = mpsc::channel();
    let server = builder()
        .command("Who", move |request| {
            let request =
                (request.command.to_owned(), request.argument.to_owned(), request.peer.clone(), request.client);
            seen.send(request)?;
            Ok("ok".into())
        })
        .start()
        .unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("WHO  are\tyou \n", "\nok\n");
    let listed = server.clients();
    assert_eq!(listed.len(), 1);
    let expected = ("who".into(), "are\tyou".into(), peer.address().into(), listed[0].id);
    assert_eq!(requests.recv_timeout(PATIENCE).unwrap(), expected);
    assert_eq!((&listed[0].peer, listed[0].commands), (&peer.address().into(), 1));
    let age = SystemTime::now().duration_since(listed[0].connected_at).unwrap();
    assert!(age < PATIENCE);
}

#[test]
fn no_reply_goes_to_a_later_client() {
    let (builder, entries, leave) = gate(builder().callers(1));
    let server = builder.start().unwrap();
    let mut busy = Peer::greeted(server.port());
    busy.send("wait busy\n");
    entries.recv_timeout(PATIENCE).unwrap();
    // While the only caller is busy, each of these asks, and leaves before its handler can run; the next one takes its
    // slot and must get its own replies alone.
    for round in 0..1000 {
        let mut leaver = Peer::greeted(server.port());
        leaver.send(format!("wait {round}\n"));
        leaver.expect("\n");
        leaver.reset();
        let mut heir = Peer::greeted(server.port());
        heir.ask("day\nquit\n", "\nSunday\n");
        heir.expect_eof();
    }
    eventually("they are gone", || server.stats().clients == 1);
    leave.send(()).unwrap();
    busy.expect("\nwaited busy\n");
    assert!(entries.is_empty(), "the calls of those who left were taken back");
    // And with the handler running when its client leaves.
    for round in 0..100 {
        let mut leaver = Peer::greeted(server.port());
        leaver.send(format!("wait {round}\n"));
        assert_eq!(entries.recv_timeout(PATIENCE).unwrap(), round.to_string());
        leaver.reset();
        eventually("it is gone", || server.stats().clients == 1);
        let mut heir = Peer::greeted(server.port());
        leave.send(()).unwrap();
        heir.ask("time\nquit\n", "\n15:44:57\n");
        heir.expect_eof();
        drop(heir);
        eventually("the heir is gone", || server.stats().clients == 1);
    }
}

// ---- handles

#[test]
fn a_handler_may_use_its_server() {
    let server = builder()
        .command("clients", |request| Ok(request.server().clients().len().to_string().into()))
        .command("served", |request| Ok(request.server().stats().commands.to_string().into()))
        .command("later", |request| {
            request.server().set_clock(Clock::fixed_unix(crate::common::peer::MOMENT + 1));
            Ok("set".into())
        })
        .command("kick", |request| {
            let others = request.server().clients().into_iter().filter(|other| other.id != request.client);
            let kicked = others.filter(|other| request.server().disconnect(other.id)).count();
            Ok(kicked.to_string().into())
        })
        .command("suicide", |request| {
            assert!(request.server().disconnect(request.client));
            Ok("never read".into())
        })
        .start()
        .unwrap();
    let mut first = Peer::greeted(server.port());
    let mut second = Peer::greeted(server.port());
    first.ask("time\nclients\nserved\nlater\ntime\n", "\n15:44:57\n2\n2\nset\n15:44:58\n");
    first.ask("kick\n", "1\n");
    second.wait_closed();
    first.send("suicide\n");
    first.wait_closed();
    eventually("nobody is left", || server.stats().clients == 0);
}

#[test]
fn a_handler_may_stop_its_server() {
    let server = builder()
        .command("stop", |request| {
            request.server().stop();
            request.server().stop();
            Ok("stopping".into())
        })
        .start()
        .unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("stop\n");
    assert!(server.wait(Some(PATIENCE)));
    peer.wait_closed();
    assert_eq!(server.stats().clients, 0);
}

#[test]
fn a_handler_may_drain_its_server_and_is_answered() {
    let server = builder()
        .command("drain", |request| {
            request.server().drain(PATIENCE);
            Ok("draining".into())
        })
        .start()
        .unwrap();
    let mut idle = Peer::greeted(server.port());
    let mut peer = Peer::greeted(server.port());
    peer.send("drain\n");
    peer.expect("\ndraining\n");
    peer.expect_eof();
    idle.expect_eof();
    drop((peer, idle));
    assert!(server.wait(Some(PATIENCE)));
}

#[test]
fn a_server_may_be_dropped_inside_its_handler() {
    let kept: Arc<Mutex<Option<Server>>> = Arc::default();
    let (done, dropped) = mpsc::channel();
    let own = kept.clone();
    let server = builder()
        .command("drop", move |_| {
            let server = own.lock().unwrap().take().ok_or("dropped already")?;
            let waited = server.wait(None);
            drop(server);
            done.send(waited)?;
            Ok("dropped".into())
        })
        .start()
        .unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    *kept.lock().unwrap() = Some(server);
    peer.send("drop\n");
    assert_eq!(dropped.recv_timeout(PATIENCE), Ok(false), "it must not wait for itself");
    peer.wait_closed();
    // The subscription ends when the last thread has, so that did not take for ever.
    while events.recv_timeout(PATIENCE).is_ok() {}
    assert_eq!(events.recv_timeout(PATIENCE), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
}

#[test]
fn stop_may_come_twice_from_two_threads_and_early() {
    for _ in 0..50 {
        let server = builder().workers(2).start().unwrap();
        let handle = server.handle();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| handle.stop());
            }
        });
        assert!(server.wait(Some(PATIENCE)));
        handle.stop();
        assert!(handle.clients().is_empty());
        assert!(!handle.disconnect(ClientId::from(1)));
    }
}

#[test]
fn a_running_handler_is_waited_for() {
    let (builder, entries, leave) = gate(builder());
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("wait x\n");
    entries.recv_timeout(PATIENCE).unwrap();
    server.stop();
    assert!(!server.wait(Some(Duration::from_millis(50))), "the handler still runs");
    peer.wait_closed();
    leave.send(()).unwrap();
    assert!(server.wait(Some(PATIENCE)));
}

#[test]
fn disconnect_hits_whom_it_names_and_nobody_else() {
    let server = server();
    let events = server.events();
    let mut stale = Peer::greeted(server.port());
    let Event::Connected { client: first, .. } = next(&events) else { panic!() };
    stale.send("quit");
    stale.expect_eof();
    drop(stale);
    assert!(matches!(next(&events), Event::Disconnected { client, .. } if client == first));
    let mut heirs: Vec<Peer> = (0..4).map(|_| Peer::greeted(server.port())).collect();
    for never in [first, ClientId::from(0), ClientId::from(999), ClientId::from(u64::MAX)] {
        assert!(!server.disconnect(never), "{never:?}");
    }
    for heir in &mut heirs {
        heir.ask("day", "Sunday");
    }
    let listed = server.clients();
    assert_eq!(listed.len(), 4);
    assert!(listed.is_sorted_by_key(|client| client.id), "in the order of their numbers");
    let victim = heirs.remove(2);
    let id = listed.iter().find(|client| client.peer == victim.address().into()).unwrap().id;
    assert!(server.disconnect(id));
    assert!(!server.disconnect(id));
    let mut victim = victim;
    victim.wait_closed();
    for heir in &mut heirs {
        heir.ask("day", "Sunday");
    }
    let disconnected = events.iter().find(|event| matches!(event, Event::Disconnected { .. })).unwrap();
    assert!(
        matches!(disconnected, Event::Disconnected { client, reason: Reason::Kicked, commands: 1, .. } if client == id)
    );
}

// ---- events and statistics

#[test]
fn each_subscription_is_its_own_and_commands_are_told_where_asked_for() {
    let server = builder().command("own", |_| Ok("x".into())).command("bad", |_| Err("y".into())).start().unwrap();
    let (plain, all, deaf) = (server.events(), server.events_with(100, true), server.events_with(1, true));
    let mut peer = Peer::greeted(server.port());
    peer.send("day\nTIME Asia/Tokyo\n\ntime nowhere\n bad\x01 word\nown 1\nbad\nquit\n");
    peer.rest();
    drop(peer);
    eventually("it has left", || server.stats().clients == 0);
    let dropped = server.stats().events_dropped;
    drop(server);
    let commands: Vec<(String, bool)> = all
        .iter()
        .filter_map(|event| if let Event::Command { command, ok, .. } = event { Some((command, ok)) } else { None })
        .collect();
    let expected = [
        ("day", true),
        ("time", true),
        ("time", false),
        ("bad\\u{1}", false),
        ("own", true),
        ("bad", false),
        ("quit", true),
    ];
    assert_eq!(commands, expected.map(|(name, ok)| (name.to_owned(), ok)));
    let plain: Vec<Event> = plain.iter().collect();
    assert!(
        matches!(
            plain[..],
            [Event::Connected { .. }, Event::CommandFailed { .. }, Event::Disconnected { commands: 7, .. }]
        ),
        "{plain:?}"
    );
    assert_eq!(deaf.iter().count(), 1, "what fits is kept");
    assert_eq!(dropped, 9, "and the rest is counted");
}

#[test]
fn a_subscription_begins_when_it_is_made_and_may_be_given_up() {
    let server = server();
    drop(server.events());
    let mut peer = Peer::greeted(server.port());
    let late = server.events();
    peer.send("quit");
    peer.expect_eof();
    drop(peer);
    assert!(matches!(next(&late), Event::Disconnected { reason: Reason::Quit, .. }));
    server.stop();
    assert!(server.wait(Some(PATIENCE)));
    assert!(server.events().recv_timeout(PATIENCE).is_err(), "after the end it is over at once");
    assert_eq!(server.stats().events_dropped, 0);
}

#[test]
fn counters_are_exact_and_back_at_zero_after_a_storm() {
    let server = builder().max_clients_per_source(10_000).start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("day\r\nfoo\r\n", "\r\nSunday\r\nYou entered an invalid command\r\n");
    // What was sent is counted right after it was sent, so the reply may be here first.
    eventually("all is counted", || server.stats().bytes_out == 21 + 2 + 8 + 32);
    let stats = server.stats();
    assert_eq!((stats.clients, stats.accepted, stats.commands, stats.invalid, stats.bytes_in), (1, 1, 2, 1, 10));
    drop(peer);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut peer = Peer::connect(server.port());
                    peer.send("day\nti");
                    peer.reset();
                }
            });
        }
    });
    eventually("all are gone", || server.stats().clients == 0 && server.stats().accepted == 2001);
    assert!(server.clients().is_empty());
    let mut peer = Peer::greeted(server.port());
    peer.ask("day", "Sunday");
    assert!(server.stats().uptime > Duration::ZERO);
}

// ---- limits

#[test]
fn a_full_server_says_so_and_takes_the_next_when_one_leaves() {
    let server = builder().max_clients(2).start().unwrap();
    let events = server.events();
    let (mut first, mut second) = (Peer::greeted(server.port()), Peer::greeted(server.port()));
    for round in 1..=100 {
        let mut third = Peer::connect(server.port());
        // What it sends meanwhile does not destroy the line on its way.
        third.send("day\ntime\n");
        third.expect("The server is full\n");
        third.expect_eof();
        assert_eq!(server.stats().refused, round);
    }
    first.ask("day", "Sunday");
    second.send("quit");
    second.expect_eof();
    drop(second);
    eventually("the seat is free", || server.stats().clients == 1);
    let mut third = Peer::greeted(server.port());
    third.ask("day", "Sunday");
    let refused =
        events.try_iter().filter(|event| matches!(event, Event::Refused { reason: Reason::Full, .. })).count();
    assert_eq!(refused, 100);
    assert_eq!(server.stats().accepted, 3);
}

#[test]
fn those_turned_away_hold_no_more_than_their_share() {
    let server = builder().workers(1).max_clients(1).start().unwrap();
    let mut seated = Peer::greeted(server.port());
    // They read nothing and do not leave. Each has had its line, or a close.
    let mut stubborn: Vec<Peer> = (0..200).map(|_| Peer::connect(server.port())).collect();
    eventually("all were turned away", || server.stats().refused == 200);
    seated.ask("day", "Sunday");
    let told = stubborn.iter_mut().filter(|peer| {
        let mut line = [0; 19];
        std::io::Read::read_exact(&mut peer.0.try_clone().unwrap(), &mut line).is_ok()
    });
    let told = told.count();
    assert!((1..=64).contains(&told), "{told}");
    assert_eq!(server.stats().clients, 1);
}

#[test]
fn the_client_reports_a_refusal_with_the_servers_words() {
    let server = builder().max_clients(1).start().unwrap();
    let seated = Client::connect(&server.addresses()[0]).unwrap();
    let refused = Client::connect(&server.addresses()[0]).unwrap_err();
    assert!(matches!(&refused, Error::Refused(line) if line == errors::FULL), "{refused:?}");
    seated.quit().unwrap();
}

#[test]
fn a_source_has_so_many_seats() {
    let server = builder().max_clients_per_source(2).start().unwrap();
    let from = |source: [u8; 4]| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect(&SocketAddr::from(([127, 0, 0, 1], server.port())).into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Peer(socket.into())
    };
    let mut guests: Vec<Peer> = (0..2).map(|_| from([127, 0, 0, 2])).collect();
    guests.iter_mut().for_each(|guest| guest.expect(GREETING));
    let mut third = from([127, 0, 0, 2]);
    third.expect("Too many connections from your address\n");
    third.expect_eof();
    from([127, 0, 0, 3]).expect(GREETING);
    guests.pop();
    eventually("the seat is free", || server.stats().clients == 2 || server.stats().clients == 1);
    eventually("another has it", || {
        let mut peer = from([127, 0, 0, 2]);
        let mut first = [0; 1];
        std::io::Read::read_exact(&mut peer.0, &mut first).unwrap();
        first == *b"W"
    });
}

#[test]
fn silence_ends_in_time_and_says_why() {
    // The slow ones are never silent, and never say a whole command either.
    let server = builder()
        .idle_timeout(Duration::from_millis(300))
        .first_command_timeout(Duration::from_millis(1200))
        .start()
        .unwrap();
    let events = server.events();
    let mut silent = Peer::greeted(server.port());
    silent.expect_eof();
    drop(silent);
    let mut slow = Peer::greeted(server.port());
    slow.ask("\n", "\n");
    let mut trickle = slow.again();
    let writer = thread::spawn(move || {
        while std::io::Write::write_all(&mut trickle.0, b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    slow.expect_eof();
    drop(slow);
    writer.join().unwrap();
    let mut talker = Peer::greeted(server.port());
    talker.ask("day\n", "\nSunday\n");
    talker.expect_eof();
    drop(talker);
    let reasons: Vec<Reason> = events
        .iter()
        .filter_map(|event| if let Event::Disconnected { reason, .. } = event { Some(reason) } else { None })
        .take(3)
        .collect();
    assert_eq!(reasons, [Reason::Idle, Reason::NoCommand, Reason::Idle]);
}

#[test]
fn a_client_that_waits_for_its_handler_is_not_idle() {
    let (builder, entries, leave) =
        gate(builder().idle_timeout(Duration::from_millis(200)).first_command_timeout(Duration::from_millis(200)));
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("wait long\n");
    entries.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(600));
    leave.send(()).unwrap();
    peer.expect("\nwaited long\n");
    peer.expect_eof();
}

#[test]
fn slow_clients_delay_nobody() {
    let server = builder().first_command_timeout(Duration::from_secs(2)).start().unwrap();
    let mut slow: Vec<Peer> = (0..500).map(|_| Peer::greeted(server.port())).collect();
    // In line framing: before it, a pause would make a command of what they send.
    slow.iter_mut().for_each(|peer| peer.ask("\n", "\n"));
    let mut quick = Peer::greeted(server.port());
    quick.ask("\nday\n", "\nSunday\n");
    for _ in 0..20 {
        slow.iter_mut().for_each(|peer| {
            let _ = std::io::Write::write_all(&mut peer.0, b"d");
        });
        quick.ask("day\n", "Sunday\n");
    }
    eventually("the slow ones were closed", || server.stats().clients == 1);
    quick.ask("day\n", "Sunday\n");
}

#[test]
fn limits_are_checked_when_they_are_set() {
    let zero = Duration::ZERO;
    for (refused, words) in [
        (builder().max_clients(0), "a maximum of 0 clients"),
        (builder().max_clients_per_source(0), "a maximum of 0 clients per source"),
        (builder().idle_timeout(zero), "idle timeout of zero"),
        (builder().first_command_timeout(zero), "first-command timeout of zero"),
        (builder().write_timeout(zero), "write timeout of zero"),
        (builder().workers(0), "0 workers"),
        (builder().callers(5000), "5000 callers"),
        (builder().backlog(0), "a backlog of 0"),
    ] {
        let error = refused.check().unwrap_err();
        assert!(matches!(&error, Error::Invalid(why) if why.contains(words)), "{error}");
        assert_eq!(refused.bind().unwrap_err().to_string(), error.to_string());
    }
    builder().max_clients(None).idle_timeout(None).workers(None).check().unwrap();
}

// ---- life in a process

#[test]
fn an_idle_server_uses_no_time() {
    if !crate::common::peer::alone("an_idle_server_uses_no_time") {
        return;
    }
    let switches = || -> u64 {
        let switches = |(task, _): &(String, String)| status(&format!("self/task/{task}"), "voluntary_ctxt_switches");
        server_threads().iter().map(|thread| switches(thread).parse::<u64>().unwrap()).sum()
    };
    let nanoseconds = || -> u64 {
        let spent = |(task, _): &(String, String)| fs::read_to_string(format!("/proc/self/task/{task}/schedstat"));
        server_threads()
            .iter()
            .map(|thread| spent(thread).map_or(0, |text| text.split(' ').next().unwrap().parse().unwrap()))
            .sum()
    };
    // A worker that spins before it sleeps sleeps none the less.
    for spin in [None, Some(Duration::from_micros(200))] {
        let server = builder().idle_timeout(Duration::from_secs(3600)).busy_poll(spin).start().unwrap();
        let mut peers: Vec<Peer> = (0..500).map(|_| Peer::greeted(server.port())).collect();
        peers.iter_mut().for_each(|peer| peer.ask("day", "Sunday"));
        let (before, spent) = (switches(), nanoseconds());
        thread::sleep(Duration::from_secs(1));
        assert!(switches() - before <= 2, "no worker wakes up while nobody speaks, {spin:?}");
        assert!(nanoseconds() - spent < 500_000_000, "nor does any spin, {spin:?}");
    }
}

#[test]
fn a_forked_child_has_no_part_in_the_server() {
    if !crate::common::peer::alone("a_forked_child_has_no_part_in_the_server") {
        return;
    }
    // Only a child that replaces itself is safe to make here; what one does that goes on is tested in C and Python.
    let server = server();
    let child = std::process::Command::new("sh").args(["-c", "ls -l /proc/self/fd | grep -c socket"]).output();
    let Ok(child) = child else { return skip("there is no sh") };
    assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "0", "every descriptor is closed on exec");
    drop(server);
}

static NEXT: AtomicUsize = AtomicUsize::new(0);

#[test]
fn what_a_handler_holds_is_released_once() {
    struct Held;
    impl Drop for Held {
        fn drop(&mut self) {
            NEXT.fetch_add(1, SeqCst);
        }
    }
    let held = Held;
    let server = builder()
        .command("hold", move |_| {
            let _ = &held;
            Ok("held".into())
        })
        .start()
        .unwrap();
    let handle = server.handle();
    Peer::greeted(server.port()).ask("hold", "held");
    assert_eq!(NEXT.load(SeqCst), 0);
    drop(server);
    assert_eq!(NEXT.load(SeqCst), 1, "a handle keeps nothing alive");
    drop(handle);
    assert_eq!(NEXT.load(SeqCst), 1);
}

//! Custom commands: the threads that run their handlers, failures, and handlers that use their server.

use std::{
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, SystemTime},
};

use daytime::{
    Client, Clock, Error, Event, HandlerResult, Reason, Reply, Server,
    protocol::{GREETING, errors},
};

use crate::common::{
    MOMENT, TIMEOUT, builder, eventually, in_own_process, next_event,
    peer::{Peer, converse},
    proc_fs::server_threads,
};
use crate::helpers::blocking_command;

fn handler_threads() -> usize {
    server_threads().iter().filter(|(_, name)| name.starts_with("daytime-handler")).count()
}

// ---- Replies

#[test]
fn handlers_overlap_and_delay_nobody_else() {
    let together = Arc::new(Barrier::new(2));
    let meeting = together.clone();
    let (builder, entries, leave) = blocking_command(builder());
    let server = builder
        .command("meet", move |_| {
            meeting.wait();
            "met"
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
    assert_eq!(entries.recv_timeout(TIMEOUT).unwrap(), "a");
    third.ask("day", "Sunday");
    third.send("wait b\n");
    assert_eq!(entries.recv_timeout(TIMEOUT).unwrap(), "b");
    second.ask("time", "15:44:57");
    leave.send(()).unwrap();
    leave.send(()).unwrap();
    first.expect("\nwaited a\n");
    third.expect("\nwaited b\n");
}

#[test]
fn replies_of_one_client_stay_in_order_and_nothing_is_lost() {
    let (builder, entries, leave) = blocking_command(builder());
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("day\nwait 1\r\ntime\nwait 2\n\nDATE\nwait 3");
    peer.finish();
    peer.expect("\nSunday\n");
    for turn in ["1", "2", "3"] {
        assert_eq!(entries.recv_timeout(TIMEOUT).unwrap(), turn);
        assert!(entries.is_empty(), "the next one runs after the reply to this one");
        leave.send(()).unwrap();
    }
    peer.expect("waited 1\r\n15:44:57\nwaited 2\n\n26-11-22\nwaited 3");
    peer.expect_eof();
}

#[test]
fn an_custom_command_is_framed_as_any_other() {
    let server = builder().command("Uptime", |request| format!("[{}]", request.argument)).start().unwrap();
    for (sent, actual) in [
        ("uptime", "[]"),
        ("UPTIME\n", "\n[]\n"),
        (" uptime \t a  B \r\n", "\r\n[a  B]\r\n"),
        ("day\nuptime x", "\nSunday\n[x]"),
        ("up", errors::INVALID),
    ] {
        assert_eq!(converse(server.port(), sent.as_bytes()), [GREETING, actual].concat().as_bytes(), "{sent:?}");
    }
}

#[test]
fn handler_threads_start_on_demand_are_bounded_and_end_when_idle() {
    if !in_own_process() {
        return;
    }
    let (builder, entries, leave) = blocking_command(builder().handler_threads(2));
    let server = builder.start().unwrap();
    let mut peers = [(); 3].map(|()| Peer::greeted(server.port()));
    peers[0].ask("day", "Sunday");
    assert_eq!(handler_threads(), 0, "none until one is needed");
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("wait {n}\n"));
    }
    entries.recv_timeout(TIMEOUT).unwrap();
    entries.recv_timeout(TIMEOUT).unwrap();
    assert!(entries.is_empty());
    assert_eq!(handler_threads(), 2, "never more than asked for");
    for _ in 0..3 {
        leave.send(()).unwrap();
    }
    entries.recv_timeout(TIMEOUT).unwrap();
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.expect(format!("\nwaited {n}\n"));
    }
    eventually("idle handler threads end", || handler_threads() == 0);
    peers[0].send("wait again\n");
    entries.recv_timeout(TIMEOUT).unwrap();
    leave.send(()).unwrap();
    peers[0].expect("waited again\n");
}

#[test]
fn a_failing_handler_is_answered_and_reported_and_the_connection_lives() {
    let server = builder()
        .command("err", |_| Err::<Reply, _>("no \u{1b}[31mluck"))
        .command("panic", |_| -> HandlerResult { panic!("out of cheese") })
        .command("empty", |_| "")
        .command("lines", |_| "two\nlines")
        .command("long", |_| "x".repeat(1024))
        .command("fits", |_| "x".repeat(1023))
        .start()
        .unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    assert!(matches!(next_event(&events), Event::Connected { .. }));
    for (command, reason) in [
        ("err", "no \u{1b}[31mluck"),
        ("PANIC", "the handler panicked: out of cheese"),
        ("empty", "the handler returned an invalid reply: it is empty"),
        ("lines", "the handler returned an invalid reply: it has the control character '\\n'"),
        ("long", "the handler returned an invalid reply: it has 1024 bytes, and the maximum is 1023"),
    ] {
        peer.ask(format!("{command}\n"), "The command failed\n");
        let event = next_event(&events);
        assert!(!event.to_string().contains('\u{1b}'), "a log shows no control characters");
        let Event::CommandFailed { command: name, error: why, .. } = event else { panic!("{event:?}") };
        assert_eq!((name.as_str(), why.as_str()), (command.to_lowercase().as_str(), reason));
    }
    peer.ask("fits\n", "x".repeat(1023) + "\n");
    peer.ask("day\n", "Sunday\n");
    let stats = server.stats();
    assert_eq!((stats.commands, stats.invalid), (7, 5));
}

#[test]
fn a_reply_can_close() {
    let server = builder().command("bye", |_| Reply::closing("see you")).start().unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.send("bye\nday\n");
    peer.expect("\nsee you\n");
    peer.expect_eof();
    drop(peer);
    assert!(matches!(next_event(&events), Event::Connected { .. }));
    assert!(matches!(next_event(&events), Event::Disconnected { reason: Reason::Quit, commands: 1, .. }));
}

#[test]
fn names_are_checked_where_they_are_given() {
    let nothing = |_: &daytime::Request<'_>| "x";
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
        .command("Who", move |request| -> HandlerResult {
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
    assert_eq!(requests.recv_timeout(TIMEOUT).unwrap(), expected);
    assert_eq!((&listed[0].peer, listed[0].commands), (&peer.address().into(), 1));
    let age = SystemTime::now().duration_since(listed[0].connected_at).unwrap();
    assert!(age < TIMEOUT);
}

#[test]
fn no_reply_goes_to_a_later_client() {
    let (builder, entries, leave) = blocking_command(builder().handler_threads(1));
    let server = builder.start().unwrap();
    let mut busy = Peer::greeted(server.port());
    busy.send("wait busy\n");
    entries.recv_timeout(TIMEOUT).unwrap();
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
        assert_eq!(entries.recv_timeout(TIMEOUT).unwrap(), round.to_string());
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

// ---- Handlers and their server

#[test]
fn a_handler_may_use_its_server() {
    let server = builder()
        .command("clients", |request| request.server().clients().len().to_string())
        .command("served", |request| request.server().stats().commands.to_string())
        .command("later", |request| {
            request.server().set_clock(Clock::fixed_unix(MOMENT + 1));
            "set"
        })
        .command("kick", |request| {
            let others = request.server().clients().into_iter().filter(|other| other.id != request.client);
            let kicked = others.filter(|other| request.server().disconnect(other.id)).count();
            kicked.to_string()
        })
        .command("suicide", |request| {
            assert!(request.server().disconnect(request.client));
            "never read"
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
            "stopping"
        })
        .start()
        .unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("stop\n");
    assert!(server.wait(Some(TIMEOUT)));
    peer.wait_closed();
    assert_eq!(server.stats().clients, 0);
}

#[test]
fn a_handler_may_drain_its_server_and_is_answered() {
    let server = builder()
        .command("drain", |request| {
            request.server().drain(TIMEOUT);
            "draining"
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
    assert!(server.wait(Some(TIMEOUT)));
}

#[test]
fn a_server_may_be_dropped_inside_its_handler() {
    let kept: Arc<Mutex<Option<Server>>> = Arc::default();
    let (done, dropped) = mpsc::channel();
    let own = kept.clone();
    let server = builder()
        .command("drop", move |_| -> HandlerResult {
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
    assert_eq!(dropped.recv_timeout(TIMEOUT), Ok(false), "it must not wait for itself");
    peer.wait_closed();
    // The subscription ends with the last thread, so dropping the server did not block.
    while events.recv_timeout(TIMEOUT).is_ok() {}
    assert_eq!(events.recv_timeout(TIMEOUT), Err(crossbeam_channel::RecvTimeoutError::Disconnected));
}

#[test]
fn a_running_handler_is_waited_for() {
    let (builder, entries, leave) = blocking_command(builder());
    let server = builder.start().unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("wait x\n");
    entries.recv_timeout(TIMEOUT).unwrap();
    server.stop();
    assert!(!server.wait(Some(Duration::from_millis(50))), "the handler still runs");
    peer.wait_closed();
    leave.send(()).unwrap();
    assert!(server.wait(Some(TIMEOUT)));
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
            "held"
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

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
    Address, Client, Clock, Error, Event, EventOptions, HandlerResult, Reason, Reply, Server, Service,
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
    // While the handler of the first client blocks, another handler thread and both workers serve the third client.
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
fn a_custom_command_is_framed_as_any_other() {
    let server = builder().command("Uptime", |request| format!("[{}]", request.argument)).start().unwrap();
    for (input, reply) in [
        ("uptime", "[]"),
        ("UPTIME\n", "\n[]\n"),
        (" uptime \t a  B \r\n", "\r\n[a  B]\r\n"),
        ("day\nuptime x", "\nSunday\n[x]"),
        ("up", errors::INVALID),
    ] {
        assert_eq!(converse(server.port(), input.as_bytes()), [GREETING, reply].concat().as_bytes(), "{input:?}");
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
    // While the only handler thread is busy, each of these clients sends a custom command, and leaves before its handler
    // can run. The next client takes its slot, and must get only the replies to its own commands.
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
    assert!(entries.is_empty(), "no handler runs for a client that left before");
    // The same for clients that leave while their handlers run.
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
    assert!(!String::from_utf8_lossy(&peer.rest()).contains("stopping"));
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

// ---- Error lines, usage

#[test]
fn an_error_line_is_an_error_for_the_client_and_a_line_for_others() {
    let server = builder()
        .command("age", |request| match request.argument.parse::<u8>() {
            Ok(age) => Reply::from(format!("{age} years")),
            Err(error) => Reply::error(error.to_string()),
        })
        .command("fake", |_| "The command failed: not by the handler")
        .command("fake2", |_| "The server is full")
        .command("close", |_| Reply::closing("The command failed: bye"))
        .command("empty", |_| Reply::error(""))
        .command("fits", |_| Reply::error("x".repeat(1003)))
        .command("long", |_| Reply::error("x".repeat(1004)))
        .start()
        .unwrap();
    let events = server.events_with(EventOptions::new().capacity(64).commands(true));
    let mut client = Client::connect(&server.addresses()[0]).unwrap();
    assert_eq!(client.request("age 7").unwrap(), "7 years");
    for (command, error) in [
        ("age x", "invalid digit found in string"),
        ("fake", "The command failed"),
        ("fake2", "The command failed"),
        ("close", "The command failed"),
        ("empty", "The command failed"),
        ("long", "The command failed"),
        ("fits", &"x".repeat(1003)),
    ] {
        assert!(matches!(client.request(command), Err(Error::Refused(text)) if text == error), "{command}");
        if command == "close" {
            client = Client::connect(&server.addresses()[0]).unwrap();
        }
    }
    let replies = client.pipeline(["age 1", "age", "age 2"]).unwrap();
    let texts = replies.into_iter().map(|reply| reply.unwrap_or_else(|error| format!("! {error}")));
    assert_eq!(texts.collect::<Vec<_>>(), ["1 years", "! cannot parse integer from empty string", "2 years"]);
    let mut peer = Peer::greeted(server.port());
    peer.ask("age x\n", "\nThe command failed: invalid digit found in string\n");
    peer.send("close\nage 1\n");
    peer.expect("The command failed\n");
    peer.expect_eof();
    // An error line on purpose is not a failure of the handler.
    let (mut failed, mut refused) = (0, 0);
    drop(server);
    for event in events {
        match event {
            Event::CommandFailed { error, .. } => {
                assert!(error.starts_with("the handler returned an invalid reply: it "), "{error}");
                failed += 1;
            }
            Event::CommandServed { ok: false, .. } => refused += 1,
            _ => {}
        }
    }
    assert_eq!((failed, refused), (6, 10));
}

#[test]
fn help_shows_usages() {
    let reply = |_: &daytime::Request<'_>| "ok";
    let server =
        builder().command("Score", reply).usage("score NAME [POINTS]").command("plain", reply).start().unwrap();
    let mut client = Client::connect(&server.addresses()[0]).unwrap();
    assert!(client.request("help").unwrap().ends_with("help, quit, exit, score NAME [POINTS], plain"));
    for (asked, reply) in [
        ("help score", "score NAME [POINTS]"),
        ("HELP  SCORE ", "score NAME [POINTS]"),
        ("help plain", "plain"),
        ("help day", "day [ZONE]"),
        ("help Quit", "quit"),
        ("help help", "help"),
    ] {
        assert_eq!(client.request(asked).unwrap(), reply, "{asked}");
    }
    for unknown in ["help x", "help score NAME", "help day day"] {
        assert!(matches!(client.request(unknown), Err(Error::Refused(text)) if text == errors::INVALID), "{unknown}");
    }
    for (usage, error) in [
        ("", "does not begin with the name of a custom command"),
        ("day ZONE", "does not begin with the name of a custom command"),
        ("scores", "does not begin with the name of a custom command"),
        (" score", "does not begin with the name of a custom command"),
        ("score \u{7}", "has a control character"),
        (&format!("score {}", "x".repeat(1000)), "makes the reply to help too long"),
    ] {
        let refused = builder().command("score", reply).usage(usage).check().unwrap_err();
        assert_eq!(refused.to_string(), format!("the usage {usage:?} {error}"));
        let mut bound = builder().command("score", reply).bind().unwrap();
        assert!(matches!(bound.usage(usage), Err(Error::Invalid(_))));
        bound.usage("score A B").unwrap();
    }
}

// ---- Deferred replies

#[test]
fn a_deferred_reply_comes_from_any_thread_and_occupies_none() {
    let (deferred, responders) = mpsc::channel();
    let deferred = Mutex::new(deferred);
    let server = builder()
        .handler_threads(1)
        .command_deferred("later", move |request, responder| {
            deferred.lock().unwrap().send((request.argument.to_owned(), responder)).unwrap();
        })
        .command("now", |_| "now")
        .start()
        .unwrap();
    let mut peers = [(); 20].map(|()| Peer::greeted(server.port()));
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.send(format!("later {n}\nnow\ntime\nlater again\nday\n"));
    }
    let mut waiting: Vec<_> = (0..20).map(|_| responders.recv_timeout(TIMEOUT).unwrap()).collect();
    // All of them wait, and the only handler thread is free.
    Peer::greeted(server.port()).ask("now\n", "\nnow\n");
    waiting.reverse();
    for (text, responder) in waiting {
        assert!(!responder.is_cancelled());
        std::thread::spawn(move || responder.reply(format!("reply {text}")));
    }
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.expect(format!("\nreply {n}\nnow\n15:44:57\n"));
    }
    for _ in 0..20 {
        responders.recv_timeout(TIMEOUT).unwrap().1.reply(Reply::error("no"));
    }
    for peer in &mut peers {
        peer.expect("The command failed: no\nSunday\n");
    }
    assert_eq!((server.stats().commands, server.stats().invalid), (101, 20));
}

#[test]
fn a_responder_that_is_dropped_fails_its_command() {
    let server = builder()
        .command_deferred("drop", |_, responder| drop(responder))
        .command_deferred("panic", |_, _responder| panic!("out of cheese"))
        .command_deferred("bad", |_, responder| responder.reply("two\nlines"))
        .command_deferred("err", |_, responder| responder.reply(Err::<Reply, _>("no luck")))
        .command_deferred("bye", |_, responder| responder.reply(Reply::closing("see you")))
        .start()
        .unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.ask("\n", "\n");
    assert!(matches!(next_event(&events), Event::Connected { .. }));
    for (command, error) in [
        ("drop", "the responder was dropped without a reply"),
        ("panic", "the handler panicked"),
        ("bad", "the handler returned an invalid reply: it has the control character '\\n'"),
        ("err", "no luck"),
    ] {
        peer.ask(format!("{command}\nday\n"), "The command failed\nSunday\n");
        let Event::CommandFailed { error: actual, .. } = next_event(&events) else { panic!() };
        assert_eq!(actual, error);
    }
    peer.send("bye\nday\n");
    peer.expect("see you\n");
    peer.expect_eof();
}

#[test]
fn a_responder_sees_that_its_client_left() {
    let (deferred, responders) = mpsc::channel();
    let deferred = Mutex::new(deferred);
    let server = builder()
        .command_deferred("later", move |_, responder| deferred.lock().unwrap().send(responder).unwrap())
        .start()
        .unwrap();
    for way in ["reset", "kick", "stop"] {
        let mut peer = Peer::greeted(server.port());
        peer.send("later\n");
        let responder = responders.recv_timeout(TIMEOUT).unwrap();
        assert!(!responder.is_cancelled());
        match way {
            "reset" => peer.reset(),
            "kick" => assert!(server.disconnect(responder.client())),
            _ => server.stop(),
        }
        eventually("the client has left", || server.stats().clients == 0);
        assert!(responder.is_cancelled(), "{way}");
        responder.reply("too late");
    }
    assert!(server.wait(Some(TIMEOUT)));
}

#[test]
fn a_drain_waits_for_deferred_replies_within_its_grace() {
    let (deferred, responders) = mpsc::channel();
    let deferred = Mutex::new(deferred);
    let server = builder()
        .command_deferred("later", move |_, responder| deferred.lock().unwrap().send(responder).unwrap())
        .start()
        .unwrap();
    let [mut answered, mut forgotten] = [(); 2].map(|()| Peer::greeted(server.port()));
    answered.send("later\n");
    let first = responders.recv_timeout(TIMEOUT).unwrap();
    forgotten.send("later\n");
    let second = responders.recv_timeout(TIMEOUT).unwrap();
    server.drain(Duration::from_millis(300));
    assert!(!server.wait(Some(Duration::from_millis(20))), "replies are owed");
    first.reply("in time");
    answered.expect("\nin time\n");
    answered.expect_eof();
    assert!(server.wait(Some(TIMEOUT)), "the grace has an end");
    forgotten.expect("\n");
    forgotten.wait_closed();
    assert!(second.is_cancelled());
    drop(second);
}

#[test]
fn a_responder_outlives_its_server() {
    let (deferred, responders) = mpsc::channel();
    let deferred = Mutex::new(deferred);
    let server = builder()
        .command_deferred("later", move |_, responder| deferred.lock().unwrap().send(responder).unwrap())
        .start()
        .unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.send("later\n");
    let responder = responders.recv_timeout(TIMEOUT).unwrap();
    drop(server);
    peer.wait_closed();
    assert!(responder.is_cancelled());
    responder.reply("too late");
}

// ---- State and hooks

/// Counts its values that have not been dropped.
struct Counted(Arc<AtomicUsize>, AtomicUsize);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, SeqCst);
        Counted(count.clone(), AtomicUsize::new(0))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert!(std::thread::current().name().is_some_and(|name| name == "daytime-handler"));
        self.0.fetch_sub(1, SeqCst);
    }
}

#[test]
fn the_state_of_a_client_is_its_own_and_is_dropped_when_it_leaves() {
    let alive = Arc::<AtomicUsize>::default();
    let (made, gone) = (alive.clone(), Arc::new(Mutex::new(Vec::new())));
    let log = gone.clone();
    let (wait_builder, entries, leave) = blocking_command(builder().workers(2));
    let server = wait_builder
        .on_connect(move |_| Counted::new(&made))
        .on_disconnect(move |client, reason| {
            let count = client.state::<Counted>().map(|state| state.1.load(SeqCst));
            assert!(client.server().clients().iter().all(|other| other.id != client.client));
            log.lock().unwrap().push((reason, count));
        })
        .command("count", |request| match request.state::<Counted>() {
            Some(state) => (state.1.fetch_add(1, SeqCst) + 1).to_string(),
            None => "nothing".into(),
        })
        .command("wrong", |request| format!("{:?}", request.state::<String>()))
        .start()
        .unwrap();
    let [mut quits, mut resets, mut kicked, mut waits] = [(); 4].map(|()| Peer::greeted(server.port()));
    quits.ask("count\ncount\nwrong\ncount\n", "\n1\n2\nNone\n3\n");
    resets.ask("count\n", "\n1\n");
    kicked.ask("day\n", "\nSunday\n");
    waits.ask("count\n", "\n1\n");
    assert_eq!(alive.load(SeqCst), 4);
    quits.send("quit\n");
    quits.expect_eof();
    drop(quits);
    eventually("the first state is dropped", || alive.load(SeqCst) == 3);
    resets.reset();
    eventually("the second state is dropped", || alive.load(SeqCst) == 2);
    let id = server.clients()[0].id;
    assert!(server.disconnect(id));
    eventually("the third state is dropped", || alive.load(SeqCst) == 1);
    // The state outlives a handler that runs.
    waits.send("wait x\n");
    entries.recv_timeout(TIMEOUT).unwrap();
    waits.reset();
    eventually("the client has left", || server.stats().clients == 0);
    assert_eq!(alive.load(SeqCst), 1);
    leave.send(()).unwrap();
    eventually("the last state is dropped", || alive.load(SeqCst) == 0);
    let reasons = gone.lock().unwrap().clone();
    let expected =
        [(Reason::Quit, Some(3)), (Reason::Error, Some(1)), (Reason::Kicked, Some(0)), (Reason::Error, Some(1))];
    assert_eq!(reasons, expected);
}

#[test]
fn a_stop_calls_the_hook_for_each_client_and_drops_each_state() {
    for deferred in [false, true] {
        let alive = Arc::<AtomicUsize>::default();
        let (made, left) = (alive.clone(), Arc::<AtomicUsize>::default());
        let count = left.clone();
        let responders = Arc::new(Mutex::new(Vec::new()));
        let kept = responders.clone();
        let server = builder()
            .on_connect(move |_| Counted::new(&made))
            .on_disconnect(move |_, _| {
                count.fetch_add(1, SeqCst);
            })
            .command_deferred("later", move |_, responder| kept.lock().unwrap().push(responder))
            .start()
            .unwrap();
        let mut peers: Vec<_> = (0..50).map(|_| Peer::greeted(server.port())).collect();
        for peer in &mut peers {
            peer.ask("day\n", "\nSunday\n");
            if deferred {
                peer.send("later\n");
            }
        }
        eventually("all wait", || !deferred || responders.lock().unwrap().len() == 50);
        assert_eq!(alive.load(SeqCst), 50);
        drop(server);
        assert_eq!(left.load(SeqCst), 50);
        assert_eq!(alive.load(SeqCst), 0, "a responder does not keep the state");
    }
}

#[test]
fn hooks_that_panic_are_reported_and_their_clients_served() {
    let server = builder()
        .on_connect(|_| -> u8 { panic!("no state") })
        .on_disconnect(|_, _| panic!("no farewell"))
        .command("state", |request| format!("{:?}", request.state::<u8>()))
        .start()
        .unwrap();
    let events = server.events();
    let mut peer = Peer::greeted(server.port());
    peer.ask("state\nquit\n", "\nNone\n");
    peer.expect_eof();
    drop(peer);
    let mut failures = Vec::new();
    while failures.len() < 2 {
        if let Event::CommandFailed { command, error, .. } = next_event(&events) {
            failures.push((command, error));
        }
    }
    assert_eq!(failures[0], ("on_connect".into(), "the handler panicked: no state".into()));
    assert_eq!(failures[1], ("on_disconnect".into(), "the handler panicked: no farewell".into()));
}

#[test]
fn commands_after_a_deferred_reply_have_the_state() {
    let server = builder()
        .on_connect(|_| 7_u8)
        .command_deferred("later", |_, responder| responder.reply("later"))
        .command("state", |request| format!("{:?}", request.state::<u8>()))
        .start()
        .unwrap();
    let mut peer = Peer::greeted(server.port());
    peer.ask("state\nlater\nstate\nlater\nlater\nstate\n", "\nSome(7)\nlater\nSome(7)\nlater\nlater\nSome(7)\n");
}

#[test]
fn a_client_that_leaves_during_its_first_hook_has_a_state_in_its_last() {
    let (gone, left) = crossbeam_channel::unbounded();
    let server = builder()
        .on_connect(|client| {
            client.server().disconnect(client.client);
            7_u8
        })
        .on_disconnect(move |client, reason| gone.send((client.state::<u8>().copied(), reason)).unwrap())
        .start()
        .unwrap();
    for _ in 0..50 {
        let peer = Peer::connect(server.port());
        assert_eq!(left.recv_timeout(TIMEOUT).unwrap(), (Some(7), Reason::Kicked));
        drop(peer);
    }
}

#[test]
fn hooks_are_for_clients_of_the_text_protocol() {
    let (events, log) = mpsc::channel();
    let (connects, disconnects) = (Mutex::new(events.clone()), Mutex::new(events));
    let server = builder()
        .listen_as(Service::Rfc867, "127.0.0.1:0")
        .on_connect(move |client| connects.lock().unwrap().send(("connect", client.client)).unwrap())
        .on_disconnect(move |client, _| disconnects.lock().unwrap().send(("disconnect", client.client)).unwrap())
        .start()
        .unwrap();
    let Address::Tcp(rfc867) = server.addresses_of(Service::Rfc867)[0] else { panic!() };
    let mut asks = Peer::connect_to(rfc867);
    asks.rest();
    // This one leaves by a reset, and for another reason than that it was answered.
    Peer::connect_to(rfc867).reset();
    drop(asks);
    eventually("they are gone", || server.stats().accepted == 2 && server.stats().clients == 0);
    Peer::greeted(server.port()).ask("quit\n", "\n");
    drop(server);
    let log: Vec<_> = log.iter().collect();
    assert_eq!(log, [("connect", 3.into()), ("disconnect", 3.into())]);
}

#[test]
fn clients_count_until_their_hook_has_returned() {
    let (enter, entered) = crossbeam_channel::unbounded();
    let (leave, left) = crossbeam_channel::unbounded::<()>();
    let server = builder()
        .max_clients(1)
        .on_disconnect(move |_, _| {
            enter.send(()).unwrap();
            left.recv_timeout(TIMEOUT).unwrap();
        })
        .start()
        .unwrap();
    let mut first = Peer::greeted(server.port());
    first.ask("quit\n", "\n");
    first.expect_eof();
    drop(first);
    entered.recv_timeout(TIMEOUT).unwrap();
    assert_eq!(converse(server.port(), b"day\n"), b"The server is full\n");
    leave.send(()).unwrap();
    eventually("there is room again", || converse(server.port(), b"day\n").starts_with(GREETING.as_bytes()));
    leave.send(()).unwrap();
}

// ---- Sharing the threads

#[test]
fn a_slow_command_leaves_threads_for_others() {
    let (enter, entered) = crossbeam_channel::unbounded();
    let (leave, left) = crossbeam_channel::unbounded::<()>();
    let slow = move |_: &daytime::Request<'_>| -> HandlerResult {
        enter.send(())?;
        left.recv_timeout(TIMEOUT)?;
        Ok("slow".into())
    };
    let server = builder().command("slow", slow.clone()).command("other", slow).command("quick", |_| "quick");
    let server = server.start().unwrap();
    let mut peers: Vec<_> = (0..40).map(|_| Peer::greeted(server.port())).collect();
    for peer in &mut peers[..20] {
        peer.send("slow\n");
    }
    for _ in 0..12 {
        entered.recv_timeout(TIMEOUT).unwrap();
    }
    for peer in &mut peers[20..] {
        peer.send("other\n");
    }
    for _ in 0..3 {
        entered.recv_timeout(TIMEOUT).unwrap();
    }
    // Fifteen threads are held by the two, and one is left, again and again.
    let mut quick = Peer::greeted(server.port());
    quick.ask("quick\n", "\nquick\n");
    for _ in 0..100 {
        quick.ask("quick\ntime\n", "quick\n15:44:57\n");
    }
    assert!(entered.is_empty());
    for _ in 0..40 {
        leave.send(()).unwrap();
    }
    for peer in &mut peers[..40] {
        peer.expect("\nslow\n");
    }
}

#[test]
fn one_command_alone_gets_every_thread() {
    let (builder, entries, leave) = blocking_command(builder().handler_threads(5));
    let server = builder.start().unwrap();
    let mut peers = [(); 6].map(|()| Peer::greeted(server.port()));
    for peer in &mut peers {
        peer.send("wait x\n");
    }
    for _ in 0..5 {
        entries.recv_timeout(TIMEOUT).unwrap();
    }
    for _ in 0..6 {
        leave.send(()).unwrap();
    }
    entries.recv_timeout(TIMEOUT).unwrap();
    for peer in &mut peers {
        peer.expect("\nwaited x\n");
    }
}

#[test]
fn a_quick_handler_that_turns_slow_holds_up_no_other_client() {
    let (blocks, gate) = (Arc::<AtomicUsize>::default(), Arc::new(Barrier::new(2)));
    let (blocked, entered) = (blocks.clone(), gate.clone());
    let server = builder()
        .command("moody", move |request| {
            if blocked.compare_exchange(1, 2, SeqCst, SeqCst).is_ok() {
                entered.wait();
            }
            request.argument.to_owned()
        })
        .command("other", |_| "other")
        .start()
        .unwrap();
    let mut peers = [(); 4].map(|()| Peer::greeted(server.port()));
    for peer in &mut peers {
        peer.ask("\n", "\n");
    }
    for round in 0..20 {
        // Known to be quick: one thread serves all.
        for _ in 0..50 {
            for peer in &mut peers {
                peer.ask("moody a\nother\n", "a\nother\n");
            }
        }
        blocks.store(1, SeqCst);
        for peer in &mut peers {
            peer.send(format!("moody {round}\nother\n"));
        }
        let reply = format!("{round}\nother\n");
        let (answered, received) = mpsc::channel();
        std::thread::scope(|scope| {
            for peer in &mut peers {
                let (answered, reply) = (answered.clone(), &reply);
                scope.spawn(move || {
                    peer.expect(reply);
                    answered.send(()).unwrap();
                });
            }
            for _ in 0..3 {
                received.recv_timeout(TIMEOUT).unwrap();
            }
            assert!(received.try_recv().is_err(), "one handler is blocked");
            gate.wait();
        });
        blocks.store(0, SeqCst);
    }
}

#[test]
fn replies_that_the_peer_does_not_read_come_in_order() {
    // Built-in replies fill the socket's buffers; then custom ones are due.
    let server = builder().workers(1).command("echo", |request| request.argument.to_owned()).start().unwrap();
    let mut peer = Peer::greeted(server.port());
    let help = Client::connect(&server.addresses()[0]).unwrap().request("help").unwrap();
    let mut expected = vec![b'\n'];
    let mut writer = peer.again();
    let sender = std::thread::spawn(move || {
        for n in 0..20_000 {
            writer.send(format!("help\necho {n}\nhelp\nhelp\ntime\n"));
        }
        writer.send("quit\n");
    });
    for n in 0..20_000 {
        expected.extend_from_slice(format!("{help}\n{n}\n{help}\n{help}\n15:44:57\n").as_bytes());
    }
    eventually("the server waits for its peer", || {
        let before = server.stats().bytes_out;
        std::thread::yield_now();
        before > 1_000_000 && server.stats().bytes_out == before
    });
    peer.expect(expected);
    peer.expect_eof();
    sender.join().unwrap();
}

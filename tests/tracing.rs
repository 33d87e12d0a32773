//! The bridge to tracing, which an embedder switches on by the feature `tracing`.

mod common;

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use common::{builder, peer::Peer};
use daytime::EventOptions;
use tracing_subscriber::fmt::{self, MakeWriter};

/// Collects what a subscriber writes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

#[test]
fn events_become_those_of_tracing() {
    let log = Log::default();
    let subscriber = fmt::Subscriber::builder()
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .with_max_level(tracing::Level::DEBUG);
    let (peer, thread) = tracing::subscriber::with_default(subscriber.finish(), || {
        let fails = |_: &daytime::Request<'_>| -> daytime::HandlerResult { Err("out of order".into()) };
        let bound = builder().command("fails", fails).bind().unwrap();
        let thread = bound.log_events(EventOptions::new().commands(true)).unwrap();
        let server = bound.start().unwrap();
        let mut peer = Peer::greeted(server.port());
        peer.ask("day\nfails\nquit\n", "\nSunday\nThe command failed\n");
        peer.expect_eof();
        drop(server);
        (peer.address(), thread)
    });
    // It ends after the server.
    thread.join().unwrap();
    let (ip, port) = (peer.ip(), peer.port());
    let expected = [
        format!(
            " INFO daytime: Connection has been established with client IP {ip} and port is {port} client=1 peer={peer}"
        ),
        "DEBUG daytime: Command of client 1 was answered: day client=1 command=\"day\" ok=true".into(),
        " WARN daytime: Command fails of client 1 failed: out of order client=1 command=\"fails\" error=\"out of order\""
            .into(),
        "DEBUG daytime: Command of client 1 was an error: fails client=1 command=\"fails\" ok=false".into(),
        "DEBUG daytime: Command of client 1 was answered: quit client=1 command=\"quit\" ok=true".into(),
        format!(
            " INFO daytime: Connection with {peer} has been closed after 3 commands: the client quit client=1 \
             peer={peer} reason=the client quit commands=3"
        ),
    ];
    assert_eq!(log.lines(), expected);
}

//! Servers that play a script to one client, and addresses at which no server answers.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    panic::resume_unwind,
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::Duration,
};

use daytime::protocol::{GREETING, errors};
use socket2::{Domain, Socket, Type};

use super::peer::Peer;

/// The script of a fake server that captures nothing.
pub(crate) type Script = fn(Peer);

/// A server that accepts one client on a new thread and plays its script to it. A panic of the script fails the test.
pub(crate) struct FakeServer {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl FakeServer {
    pub(crate) fn new(script: impl FnOnce(Peer) + Send + 'static) -> FakeServer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        FakeServer::on(listener, script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl FnOnce(Peer) + Send + 'static) -> FakeServer {
        let acceptor = listener.try_clone().unwrap();
        let thread = thread::spawn(move || script(Peer::new(acceptor.accept().unwrap().0)));
        FakeServer { listener, thread: Some(thread) }
    }

    /// Frames lines as this crate's server does: the client's first line completes the greeting, and each later line is
    /// a command. If `answer` returns `None`, the server closes. The receiver gets the commands.
    pub(crate) fn line_based(
        greeting: &'static str,
        mut answer: impl FnMut(&str) -> Option<String> + Send + 'static,
    ) -> (FakeServer, Receiver<String>) {
        let (sender, commands) = channel();
        let fake = FakeServer::new(move |mut peer| {
            peer.complete_greeting(greeting);
            while let Some(line) = peer.next_line() {
                let reply = answer(&line);
                let _ = sender.send(line);
                match reply {
                    Some(reply) => peer.send(format!("{reply}\n")),
                    None => return,
                }
            }
        });
        (fake, commands)
    }

    /// Behaves as the original classroom server: a greeting and replies without line ends, and one command a receive.
    /// `answer` returns the replies to `day`, `date` and `time`. The receiver gets all commands.
    pub(crate) fn original(mut answer: impl FnMut(&str) -> String + Send + 'static) -> (FakeServer, Receiver<String>) {
        let (sender, commands) = channel();
        let fake = FakeServer::new(move |mut peer| {
            peer.send(GREETING);
            loop {
                let bytes = peer.receive();
                let command = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
                let _ = sender.send(command.clone());
                match command.as_str() {
                    "" | "quit" | "exit" => return,
                    "day" | "date" | "time" => peer.send(answer(&command)),
                    _ => peer.send(errors::INVALID),
                }
            }
        });
        (fake, commands)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits until the script has ended.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // This connection ends the wait for a client that has not connected. A script with a client does not see it.
        drop(TcpStream::connect(self.address()));
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.join();
    }
}

/// The original server's reply at [`MOMENT`](super::MOMENT).
pub(crate) fn original_reply(command: &str) -> String {
    match command {
        "day" => "Sunday".into(),
        "date" => "26-11-22".into(),
        _ => "15:44:57".into(),
    }
}

/// An address at which connecting never completes: the backlog is full, and no thread accepts.
pub(crate) struct BlackHole {
    listener: Socket,
    _queue: Vec<TcpStream>,
}

impl BlackHole {
    pub(crate) fn new(address: impl Into<SocketAddr>) -> BlackHole {
        let address = address.into();
        let listener = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        listener.bind(&address.into()).unwrap();
        listener.listen(0).unwrap();
        let mut hole = BlackHole { listener, _queue: Vec::new() };
        while let Ok(stream) = TcpStream::connect_timeout(&hole.address(), Duration::from_millis(100)) {
            hole._queue.push(stream);
            assert!(hole._queue.len() < 1000, "a backlog of 0 is limited");
        }
        hole
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// An address that refuses connections. The bound socket prevents another process from listening there.
pub(crate) fn refusing_address() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

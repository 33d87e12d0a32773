//! Servers that play a script to one client, and time that passes on purpose.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    panic::resume_unwind,
    sync::mpsc::{Receiver, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use daytime::protocol::{GREETING, errors};
use socket2::{Domain, SockRef, Socket, Type};

/// How long anything that must happen may take on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Sunday 2026-11-22 15:44:57 UTC.
pub(crate) const MOMENT: i64 = 1_795_362_297;

/// A server on a thread of its own that accepts one client and plays its script to it. A script that fails, fails the
/// test that has the fake.
pub(crate) struct Fake {
    listener: TcpListener,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    pub(crate) fn new(script: impl FnOnce(Peer) + Send + 'static) -> Fake {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Fake::on(listener, script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl FnOnce(Peer) + Send + 'static) -> Fake {
        let door = listener.try_clone().unwrap();
        let thread = thread::spawn(move || script(Peer::new(door.accept().unwrap().0)));
        Fake { listener, thread: Some(thread) }
    }

    /// Frames lines as this crate's server does: the greeting is completed by the client's first line, each later one
    /// is answered. `None` closes. What was asked can be read once the client has gone.
    pub(crate) fn lines(
        greeting: &'static str,
        mut answer: impl FnMut(&str) -> Option<String> + Send + 'static,
    ) -> (Fake, Receiver<String>) {
        let (heard, asked) = channel();
        let fake = Fake::new(move |mut peer| {
            peer.greet(greeting);
            while let Some(line) = peer.line() {
                let reply = answer(&line);
                let _ = heard.send(line);
                match reply {
                    Some(reply) => peer.send(format!("{reply}\n")),
                    None => return,
                }
            }
        });
        (fake, asked)
    }

    /// Behaves as the original: the greeting without an end, each receive one command, replies without an end.
    /// `answer` tells the day, the date and the time. What was received can be read once the client has gone.
    pub(crate) fn original(mut answer: impl FnMut(&str) -> String + Send + 'static) -> (Fake, Receiver<String>) {
        let (heard, received) = channel();
        let fake = Fake::new(move |mut peer| {
            peer.send(GREETING);
            loop {
                let bytes = peer.receive();
                let command = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
                let _ = heard.send(command.clone());
                match command.as_str() {
                    "" | "quit" | "exit" => return,
                    "day" | "date" | "time" => peer.send(answer(&command)),
                    _ => peer.send(errors::INVALID),
                }
            }
        });
        (fake, received)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Waits until the script has been played.
    pub(crate) fn finish(mut self) {
        self.join();
    }

    fn join(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Ends the wait for a client that never came; nobody sees it where one has come.
        drop(TcpStream::connect(self.address()));
        if let Err(panic) = thread.join()
            && !thread::panicking()
        {
            resume_unwind(panic);
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.join();
    }
}

/// What the original would answer at [`MOMENT`].
pub(crate) fn stopped(command: &str) -> String {
    match command {
        "day" => "Sunday".into(),
        "date" => "26-11-22".into(),
        _ => "15:44:57".into(),
    }
}

/// What is done to a client, where it needs nothing of its surroundings.
pub(crate) type Script = fn(Peer);

/// The client, seen from a script.
pub(crate) struct Peer(TcpStream);

impl Peer {
    fn new(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Peer(stream)
    }

    /// Says hello back, in lines.
    pub(crate) fn greet(&mut self, greeting: &str) {
        self.expect("\n");
        self.send(format!("{greeting}\n"));
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).expect("the client takes what is sent");
    }

    /// Sends to a client that may go away; true if it took everything.
    pub(crate) fn pour(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends in segments with a pause between them: long enough to be read one by one, and no longer.
    pub(crate) fn send_pieces<P: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = P>) {
        for (i, piece) in pieces.into_iter().enumerate() {
            if i > 0 {
                self.pause(10);
            }
            self.send(piece);
        }
    }

    pub(crate) fn pause(&self, milliseconds: u64) {
        thread::sleep(Duration::from_millis(milliseconds));
    }

    pub(crate) fn expect(&mut self, bytes: impl AsRef<[u8]>) {
        let mut come = vec![0; bytes.as_ref().len()];
        self.0.read_exact(&mut come).expect("the client sends what is expected");
        assert_eq!(come.escape_ascii().to_string(), bytes.as_ref().escape_ascii().to_string());
    }

    /// One receive, as the original makes it; nothing once the client has gone.
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut come = vec![0; 1024];
        match self.0.read(&mut come) {
            Ok(n) => come.truncate(n),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => come.clear(),
            Err(error) => panic!("{error}"),
        }
        come
    }

    /// Everything that comes until nothing comes for so long.
    pub(crate) fn receive_until_quiet(&mut self, milliseconds: u64) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_millis(milliseconds))).unwrap();
        let mut come = Vec::new();
        let quiet = self.0.read_to_end(&mut come).unwrap_err();
        assert!(matches!(quiet.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{quiet}");
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        come
    }

    /// The next line without its end; `None` once the client has gone.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(1) if byte[0] == b'\n' => return Some(String::from_utf8(line).unwrap()),
                Ok(1) => line.push(byte[0]),
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Says nothing more, until the client has gone.
    pub(crate) fn fall_silent(mut self) {
        while !self.receive().is_empty() {}
    }

    /// Breaks the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// An address at which connecting takes for ever: its backlog is full and nobody accepts.
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
            assert!(hole._queue.len() < 1000, "a backlog of 0 has an end");
        }
        hole
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap().as_socket().unwrap()
    }
}

/// An address at which nobody listens, kept from everybody else.
pub(crate) fn nobody() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

pub(crate) fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = call();
    (result, began.elapsed())
}

/// Says why the test that calls this cannot be made here, past the capture of what tests print.
pub(crate) fn skip(why: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "SKIPPED: {}: {}", thread::current().name().unwrap_or("?"), why.as_ref());
}

//! One end of a connection, which sends and reads raw bytes.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use daytime::protocol::{GREETING, QUIET};
use socket2::{Domain, SockRef, Socket, Type};

use super::TIMEOUT;

/// A pause that surely ends a command before the first line end.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// One end of a connection, without knowledge of the protocol: a client of the server under test, or the server of a
/// client under test. Each read and write waits at most [`TIMEOUT`].
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn connect(port: u16) -> Peer {
        Self::connect_to(([127, 0, 0, 1], port).into())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Peer {
        Self::new(TcpStream::connect_timeout(&address, TIMEOUT).unwrap())
    }

    /// A client that has read the greeting.
    pub(crate) fn greeted(port: u16) -> Peer {
        let mut peer = Self::connect(port);
        peer.expect(GREETING);
        peer
    }

    /// A client for which the kernel buffers less than 64 kB on both sides, because its window is small.
    ///
    /// Its segments are small too. Otherwise the kernel would wait until a large segment fits.
    pub(crate) fn narrow(port: u16) -> Peer {
        Self::prepared(port, |socket| {
            socket.set_recv_buffer_size(2048)?;
            socket.set_tcp_mss(1000)
        })
    }

    /// A client with this source address.
    pub(crate) fn connect_from(ip: [u8; 4], port: u16) -> Peer {
        Self::prepared(port, |socket| socket.bind(&SocketAddr::from((ip, 0)).into()))
    }

    fn prepared(port: u16, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        prepare(&socket).unwrap();
        socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), TIMEOUT).unwrap();
        Self::new(socket.into())
    }

    pub(crate) fn new(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Peer(stream)
    }

    /// A second owner of the same socket.
    pub(crate) fn again(&self) -> Peer {
        Peer(self.0.try_clone().unwrap())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends to a peer that may leave. Returns true if the kernel took all bytes.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).is_ok()
    }

    /// Sends each piece separately. The pause between two pieces is long enough for the peer to read them one by one.
    #[track_caller]
    pub(crate) fn send_pieces<P: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = P>) {
        for (i, piece) in pieces.into_iter().enumerate() {
            if i > 0 {
                thread::sleep(Duration::from_millis(10));
            }
            self.send(piece);
        }
    }

    /// Cuts the bytes at these places, and sends the pieces with a pause before each.
    #[track_caller]
    pub(crate) fn send_cut(&mut self, bytes: impl AsRef<[u8]>, cuts: &[usize], pause: Duration) {
        let bytes = bytes.as_ref();
        let mut at = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            thread::sleep(pause);
            self.send(&bytes[at..cut]);
            at = cut;
        }
    }

    /// Sends each byte separately, with a pause before each.
    #[track_caller]
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        let cuts: Vec<usize> = (1..bytes.as_ref().len()).collect();
        self.send_cut(bytes, &cuts, pause);
    }

    /// Greets as a server that frames lines: after the client's first line end.
    #[track_caller]
    pub(crate) fn complete_greeting(&mut self, greeting: &str) {
        self.expect("\n");
        self.send(format!("{greeting}\n"));
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut actual = vec![0; expected.len()];
        let mut n = 0;
        while n < expected.len() && actual[..n] == expected[..n] {
            match self.0.read(&mut actual[n..]) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("expected {}, got {error} after {}", show(expected), show(&actual[..n])),
            }
        }
        assert_bytes(&actual[..n], expected);
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
        self.send(command);
        self.expect(reply);
    }

    /// Reads a line, and returns it without its line end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.next_line().expect("a line")
    }

    /// Reads a line, and returns it without its line end. Returns `None` once the peer has closed or reset the socket.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Ok(1) if byte == *b"\n" => return Some(String::from_utf8(line).unwrap()),
                Ok(1) => line.push(byte[0]),
                Ok(_) => return None,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Receives at most 1,024 bytes, as the original server does. Returns no bytes once the peer has left.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> Vec<u8> {
        let mut received = vec![0; 1024];
        match self.0.read(&mut received) {
            Ok(n) => received.truncate(n),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => received.clear(),
            Err(error) => panic!("{error}"),
        }
        received
    }

    /// Reads until nothing arrives for this long.
    #[track_caller]
    pub(crate) fn receive_until_idle(&mut self, milliseconds: u64) -> Vec<u8> {
        self.0.set_read_timeout(Some(Duration::from_millis(milliseconds))).unwrap();
        let mut received = Vec::new();
        let idle = self.0.read_to_end(&mut received).unwrap_err();
        assert!(matches!(idle.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{idle}");
        self.0.set_read_timeout(Some(TIMEOUT)).unwrap();
        received
    }

    /// Reads the end of the stream, with nothing before it.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        assert_bytes(&self.rest(), b"");
    }

    /// Reads up to the end of the stream.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            panic!("expected the end of the stream, got {error} after {}", show(&rest));
        }
        rest
    }

    /// Reads until the connection is closed or reset.
    pub(crate) fn wait_closed(&mut self) {
        let mut scratch = [0; 65536];
        loop {
            match self.0.read(&mut scratch) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("still open"),
                Err(_) => return,
            }
        }
    }

    /// Reads until the connection is closed or reset, and sends nothing meanwhile.
    pub(crate) fn stay_silent(mut self) {
        while !self.receive().is_empty() {}
    }

    /// Asserts that nothing arrives before the connection is closed or reset.
    #[track_caller]
    pub(crate) fn expect_nothing(mut self) {
        match self.0.read(&mut [0; 100]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }

    /// Closes the sending side.
    pub(crate) fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Resets the connection.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Repeats an act that takes as long as the quiet time. After such a pause, the server may end a bare command.
pub(crate) fn retry_if_slow<T>(mut act: impl FnMut() -> T) -> T {
    loop {
        let began = Instant::now();
        let result = act();
        if began.elapsed() < QUIET {
            return result;
        }
    }
}

/// Everything that a server sends to a client that sends `input` at once and then closes its side.
#[track_caller]
pub(crate) fn converse(port: u16, input: &[u8]) -> Vec<u8> {
    let mut peer = Peer::connect(port);
    let mut writer = peer.again();
    thread::scope(|scope| {
        scope.spawn(move || {
            writer.send(input);
            writer.finish();
        });
        peer.rest()
    })
}

#[track_caller]
pub(crate) fn assert_bytes(actual: &[u8], expected: &[u8]) {
    if actual == expected {
        return;
    }
    let at = actual.iter().zip(expected).take_while(|(a, b)| a == b).count();
    let (from, to) = (at.saturating_sub(40), at + 80);
    let part = |bytes: &[u8]| show(&bytes[from.min(bytes.len())..to.min(bytes.len())]);
    panic!(
        "got {} bytes, expected {}, different from byte {at} on; around it\n  actual: {}\nexpected: {}",
        actual.len(),
        expected.len(),
        part(actual),
        part(expected)
    );
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

//! What the tests over sockets share: a server whose clock stands still, a peer that speaks raw bytes, the state of a
//! process as `/proc` shows it.

use std::{
    collections::HashMap,
    fs,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use daytime::{
    Clock, Framing, Server, ServerBuilder,
    protocol::{Commands, Formats, GREETING, Host, Next, QUIET, Session, Stamp, Zone},
};
use socket2::{Domain, SockRef, Socket, Type};

/// Sunday, 2026-11-22 15:44:57 UTC.
pub(crate) const MOMENT: i64 = 1_795_362_297;
/// The reply to `help`.
pub(crate) const HELP: &str = "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, help, quit, exit";
/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// A pause that surely ends a command before the first line end.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// The settings of a server on a free port that always answers from [`MOMENT`].
pub(crate) fn builder() -> ServerBuilder {
    Server::builder().listen("127.0.0.1:0").clock(Clock::fixed_unix(MOMENT)).timezone("UTC").workers(2)
}

pub(crate) fn server() -> Server {
    builder().start().unwrap()
}

/// A client that knows nothing of the protocol. Whatever it waits for, it waits [`PATIENCE`] at most.
pub(crate) struct Peer(pub(crate) TcpStream);

impl Peer {
    pub(crate) fn connect(port: u16) -> Peer {
        Self::connect_to(([127, 0, 0, 1], port).into())
    }

    pub(crate) fn connect_to(address: SocketAddr) -> Peer {
        Self::adopt(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// One that has read the greeting.
    pub(crate) fn greeted(port: u16) -> Peer {
        let mut peer = Self::connect(port);
        peer.expect(GREETING);
        peer
    }

    /// One for which the kernel keeps less than 64 kB on both sides: a small window, and small segments, lest a few large
    /// ones be waited for.
    pub(crate) fn narrow(port: u16) -> Peer {
        Self::prepared(port, |socket| {
            socket.set_recv_buffer_size(2048)?;
            socket.set_tcp_mss(1000)
        })
    }

    /// One that comes from this address.
    pub(crate) fn connect_from(ip: [u8; 4], port: u16) -> Peer {
        Self::prepared(port, |socket| socket.bind(&SocketAddr::from((ip, 0)).into()))
    }

    fn prepared(port: u16, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> Peer {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        prepare(&socket).unwrap();
        socket.connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)).into(), PATIENCE).unwrap();
        Self::adopt(socket.into())
    }

    fn adopt(stream: TcpStream) -> Peer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Peer(stream)
    }

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

    /// Sends the pieces that these cuts make, a pause before each.
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

    /// Sends each byte by itself, a pause before each.
    #[track_caller]
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        let cuts: Vec<usize> = (1..bytes.as_ref().len()).collect();
        self.send_cut(bytes, &cuts, pause);
    }

    /// Reads exactly these bytes.
    #[track_caller]
    pub(crate) fn expect(&mut self, wanted: impl AsRef<[u8]>) {
        let wanted = wanted.as_ref();
        let mut come = vec![0; wanted.len()];
        let mut n = 0;
        while n < wanted.len() && come[..n] == wanted[..n] {
            match self.0.read(&mut come[n..]) {
                Ok(0) => break,
                Ok(more) => n += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error} in place of {}, after {}", show(wanted), show(&come[..n])),
            }
        }
        same(&come[..n], wanted);
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: impl AsRef<[u8]>, reply: impl AsRef<[u8]>) {
        self.send(command);
        self.expect(reply);
    }

    /// Reads up to a line end, which is left out.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while self.0.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Reads the end, and nothing before it.
    #[track_caller]
    pub(crate) fn expect_eof(&mut self) {
        same(&self.rest(), b"");
    }

    /// Reads up to the end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            panic!("{error} in place of the end, after {}", show(&rest));
        }
        rest
    }

    /// Reads until the connection is closed in whatever way.
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

    /// Has nothing more to say.
    pub(crate) fn finish(&mut self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Leaves with a reset.
    pub(crate) fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// Repeats what took this machine as long as the quiet time: a pause of its own may rightly have ended a command.
pub(crate) fn swiftly<T>(mut act: impl FnMut() -> T) -> T {
    loop {
        let began = Instant::now();
        let done = act();
        if began.elapsed() < QUIET {
            return done;
        }
    }
}

/// Everything that a server says to a client that sends `input` at once and then closes its side.
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

/// The same from the wire core alone, at [`MOMENT`].
pub(crate) fn model(framing: Framing, input: &[u8]) -> Vec<u8> {
    #[derive(Default)]
    struct Still(Commands, HashMap<String, Option<Stamp>>);
    impl Host for Still {
        fn commands(&self) -> &Commands {
            &self.0
        }
        fn stamp(&mut self, zone: Option<&str>) -> Option<&Stamp> {
            let make = |name: &str| Zone::parse(name).map(|zone| Stamp::new(MOMENT, &zone, &Formats::default()));
            let name = zone.unwrap_or("UTC");
            self.1.entry(name.to_owned()).or_insert_with(|| make(name)).as_ref()
        }
    }
    let (mut host, mut session) = (Still::default(), Session::new(framing));
    let (mut told, mut out) = (Vec::new(), Vec::new());
    session.greet(GREETING, &mut out);
    let (mut at, mut next) = (0, Next::Read);
    while at < input.len() && next != Next::Close {
        let taken;
        (taken, next) = session.receive(&input[at..], &mut host, &mut out);
        at += taken;
        // Sent.
        told.append(&mut out);
    }
    session.end(&mut host, &mut out);
    told.append(&mut out);
    told
}

#[track_caller]
pub(crate) fn same(come: &[u8], wanted: &[u8]) {
    if come == wanted {
        return;
    }
    let at = come.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    let (from, to) = (at.saturating_sub(40), at + 80);
    let part = |bytes: &[u8]| show(&bytes[from.min(bytes.len())..to.min(bytes.len())]);
    panic!(
        "{} bytes in place of {}, different from byte {at} on; around it\n come: {}\nwanted: {}",
        come.len(),
        wanted.len(),
        part(come),
        part(wanted)
    );
}

fn show(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// Waits for what nobody tells of.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "in vain: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Says why the test that calls this cannot be made here, though it passes: `eprintln!` would be captured.
pub(crate) fn skip(reason: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "SKIPPED: {}: {}", thread::current().name().unwrap_or("?"), reason.as_ref());
}

/// Whether this process runs the named test and nothing else. Where it does not, one that does is started and waited
/// for: some things can only be counted in a process that has no other test in it.
pub(crate) fn alone(test: &str) -> bool {
    alone_with(test, &[])
}

/// The same, and that process is told this in its environment.
pub(crate) fn alone_with(test: &str, environment: &[(&str, &Path)]) -> bool {
    let thread = thread::current();
    let path = thread.name().unwrap();
    assert!(path.ends_with(test));
    let test = path;
    const KEY: &str = "DAYTIME_TEST_ALONE";
    if std::env::var_os(KEY).is_some_and(|name| name == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command
        .args(["--exact", test, "--nocapture"])
        .env(KEY, test)
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
    false
}

/// A field of `/proc/PID/status`, or of a thread's; `PID` may be `self`.
pub(crate) fn status(pid: &str, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

/// The memory of a process, in bytes.
pub(crate) fn memory(pid: &str) -> u64 {
    let text = status(pid, "VmRSS");
    text.trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The number of descriptors that a process has open.
pub(crate) fn descriptors(pid: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The processor time that a process has taken, in hundredths of a second.
pub(crate) fn processor_time(pid: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may have blanks; after it come 11 other fields.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}

/// The threads of a server in this process: the number of each and its name.
pub(crate) fn server_threads() -> Vec<(String, String)> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().file_name().into_string().unwrap());
    // One that ends meanwhile is none.
    let named = tasks.filter_map(|task| {
        let name = fs::read_to_string(format!("/proc/self/task/{task}/comm")).ok()?;
        Some((task, name.trim_end().to_owned()))
    });
    named.filter(|(_, name)| name.starts_with("daytime-")).collect()
}

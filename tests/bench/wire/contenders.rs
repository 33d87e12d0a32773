//! The servers that the benchmark compares: how each is started, and the exchange with each.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use daytime::protocol::GREETING;

use crate::{
    Result, machine,
    serve::{PORT, SERVE},
};

/// The time that any wait may take before the benchmark fails.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The request of a client and the reply that the server must send.
#[derive(Clone)]
pub(crate) struct Exchange {
    /// The first bytes that the server sends. May be empty.
    pub(crate) greeting: String,
    pub(crate) request: String,
    /// The expected reply. `#` stands for any digit.
    pub(crate) reply: String,
}

/// The workloads in which a contender takes part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// W1-1 only, which measures a round trip.
    Alone,
    /// All workloads except those beyond the settings of such servers: a thousand requests at a time, 18,000 clients.
    Peer,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    exchange: Exchange,
    /// The arguments of `--serve`. `{port}` stands for a port, if the server cannot choose one by itself.
    arguments: Vec<String>,
}

impl Exchange {
    /// An exchange with a server that greets as those of this crate do.
    pub(crate) fn new(request: &str, reply: &str) -> Exchange {
        Exchange { greeting: format!("{GREETING}\n"), request: format!("{request}\n"), reply: format!("{reply}\n") }
    }

    pub(crate) fn time() -> Exchange {
        Exchange::new("time", "##:##:##")
    }
}

/// A server of this crate, or one that has the same exchange.
fn ours(name: &'static str, arguments: &[&str]) -> Contender {
    let exchange = Exchange::time();
    let arguments = arguments.iter().map(|&argument| argument.into()).collect();
    Contender { name, part: Part::All, exchange, arguments }
}

fn peer(name: &'static str, request: &str, reply: String, arguments: String) -> Contender {
    let exchange = Exchange { greeting: String::new(), request: request.into(), reply };
    // Two blanks in a row have an empty argument between them.
    Contender { name, part: Part::Peer, exchange, arguments: arguments.split(' ').map(str::to_owned).collect() }
}

/// The event loop with which the report compares all others.
pub(crate) fn floor() -> Contender {
    ours("floor", &["floor"])
}

/// `daytime-server` with one worker.
pub(crate) fn program() -> Contender {
    workers("daytime-server", 1)
}

/// `daytime-server`.
pub(crate) fn workers(name: &'static str, n: usize) -> Contender {
    let server = env!("CARGO_BIN_EXE_daytime-server");
    let arguments = ["program", server, "--quiet", "--framing", "line", "--listen", "127.0.0.1:0", "--workers"];
    ours(name, &[&arguments[..], &[&n.to_string()]].concat())
}

/// `daytime-server` with `--busy-poll`: it waits for the next request without sleeping.
pub(crate) fn spinning() -> Contender {
    let mut contender = Contender { part: Part::Alone, ..workers("daytime-server, spinning", 1) };
    contender.arguments.extend(["--busy-poll".into(), "200".into()]);
    contender
}

/// The library in a program that uses most of its settings.
pub(crate) fn embedded() -> Contender {
    ours("embedded, all on", &["embedded"])
}

/// The other servers that are installed. Each answers a short line with a short line, and accepts so many clients.
pub(crate) fn peers(clients: usize) -> Vec<Contender> {
    let redis = version("redis-server", "--version").map(|_| {
        let arguments = "program redis-server --port {port} --bind 127.0.0.1 --save  --appendonly no --protected-mode no \
                         --tcp-backlog 4096 --maxclients";
        peer("redis-server", "PING\r\n", "+PONG\r\n".into(), format!("{arguments} {clients}"))
    });
    let memcached = version("memcached", "-V").map(|text| {
        let reply = format!("VERSION {}\r\n", text.trim().rsplit(' ').next().unwrap_or_default());
        let arguments = "program memcached -u root -l 127.0.0.1 -p {port} -U 0 -t 1 -b 4096 -c";
        peer("memcached", "version\r\n", reply, format!("{arguments} {clients}"))
    });
    present([("redis-server", redis), ("memcached", memcached)])
}

/// The library with custom commands.
pub(crate) fn custom() -> Contender {
    ours("custom commands", &["custom"])
}

/// Servers with the command `echo` alone, written with tokio.
pub(crate) fn tokio() -> [Contender; 2] {
    [ours("tokio", &["tokio"]), ours("tokio, buffered", &["tokio", "buffered"])]
}

/// Servers in Python with the command `echo`: some of a few lines, and one with the Python module of this crate. The
/// interpreter is that of the module's tests, or `python3`.
pub(crate) fn python() -> Vec<Contender> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let candidates = [root.join("target/venv/bin/python"), "python3".into()];
    let path = "import sys; print(sys.executable)";
    let Some(python) = candidates.iter().find_map(|python| run_python(python.to_str()?, path).ok()) else {
        println!("SKIPPED: the servers in Python: python3 is not installed");
        return Vec::new();
    };
    let contender = |name, module: &str, file: &str, option: &[&str]| {
        let file = root.join("tests/bench/commands").join(file);
        let arguments =
            [&["program", &python, file.to_str().ok_or("its path is not text")?, "{port}"], option].concat();
        match run_python(&python, &format!("import {module}")) {
            _ if !file.exists() => Err(format!("{} is missing", file.display()).into()),
            Err(_) => Err(format!("{python} has no module {module}").into()),
            Ok(_) => Ok(ours(name, &arguments)),
        }
    };
    let contenders: [(_, Result<_>); 4] = [
        ("daytime, Python", contender("daytime, Python", "daytime", "server.py", &[])),
        ("asyncio", contender("asyncio", "asyncio", "with_asyncio.py", &[])),
        ("uvloop", contender("uvloop", "uvloop", "with_asyncio.py", &["uvloop"])),
        ("socketserver", contender("socketserver", "socketserver", "with_socketserver.py", &[])),
    ];
    present(contenders)
}

fn run_python(python: &str, code: &str) -> Result<String> {
    let output = Command::new(python).args(["-c", code]).output()?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?.trim().into()),
        false => Err(output.status.to_string().into()),
    }
}

/// The contenders that can run. Prints a line for each other.
fn present(contenders: impl IntoIterator<Item = (&'static str, Result<Contender>)>) -> Vec<Contender> {
    let present = contenders
        .into_iter()
        .filter_map(|(name, peer)| peer.inspect_err(|error| println!("SKIPPED: {name}: {error}")).ok());
    present.collect()
}

fn version(program: &str, option: &str) -> Result<String> {
    let output = Command::new(program).arg(option).output().map_err(|_| "it is not installed")?;
    Ok(String::from_utf8(output.stdout)?)
}

/// A contender's process, which listens. Dropping it kills the process.
pub(crate) struct Running {
    process: Child,
    pub(crate) port: u16,
    pub(crate) exchange: Exchange,
}

impl Contender {
    /// Starts the contender on these cores and waits until it listens.
    pub(crate) fn start(&self, cores: &[usize]) -> Result<Running> {
        let port = match self.arguments.iter().any(|argument| argument == "{port}") {
            // No other process gets this port in the meantime: the system hands out other ports first.
            true => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()),
            false => None,
        };
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        let mut command = Command::new(env::current_exe()?);
        command.args([SERVE, &cores.join(",")]);
        let number = port.unwrap_or(0).to_string();
        command.args(self.arguments.iter().map(|argument| argument.replace("{port}", &number)));
        command.stdin(Stdio::null()).stdout(if port.is_some() { Stdio::null() } else { Stdio::piped() });
        let mut running =
            Running { process: command.spawn()?, port: port.unwrap_or(0), exchange: self.exchange.clone() };
        match port {
            Some(port) => running.wait_for(port)?,
            None => running.port = running.printed_port()?,
        }
        Ok(running)
    }
}

impl Running {
    /// The port that the process prints.
    fn printed_port(&mut self) -> Result<u16> {
        let (sender, line) = mpsc::channel();
        let mut stdout = BufReader::new(self.process.stdout.take().ok_or("it has no standard output")?);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(TIMEOUT).map_err(|_| "it did not print its port")?;
        let port = line.trim().split_once(PORT).ok_or_else(|| format!("it printed {line:?} in place of its port"))?;
        Ok(port.1.parse()?)
    }

    /// Waits until the port accepts connections.
    fn wait_for(&mut self, port: u16) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("it ended: {status}").into());
            }
            if began.elapsed() > TIMEOUT {
                return Err("it does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The processor time that the process has used, in nanoseconds.
    pub(crate) fn processor_time(&self) -> Result<u64> {
        machine::processor_time(self.process.id())
    }

    /// The memory that the process uses, in bytes.
    pub(crate) fn memory(&self) -> Result<u64> {
        machine::memory(self.process.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Who is measured, how each is started, and how each is spoken to.

use std::{
    env,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
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

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What is said to a server and what it must answer.
#[derive(Clone)]
pub(crate) struct Speech {
    /// What it sends first; may be empty.
    pub(crate) greeting: String,
    pub(crate) request: String,
    /// `#` is any digit.
    pub(crate) reply: String,
}

/// What a contender takes part in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    All,
    /// W1-1, where waiting is what it is about.
    Alone,
    /// All but what asks more than such servers are set up for: a thousand requests at a time, 18,000 clients.
    Peer,
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) part: Part,
    speech: Speech,
    /// What it is started with, `{port}` standing for a port where it cannot choose one by itself.
    words: Vec<String>,
}

/// A server of ours, or one that behaves like it.
fn ours(name: &'static str, words: &[&str]) -> Contender {
    let speech = Speech { greeting: format!("{GREETING}\n"), request: "time\n".into(), reply: "##:##:##\n".into() };
    Contender { name, part: Part::All, speech, words: words.iter().map(|&word| word.into()).collect() }
}

fn peer(name: &'static str, request: &str, reply: String, words: String) -> Contender {
    let speech = Speech { greeting: String::new(), request: request.into(), reply };
    // Of two blanks, what is between them is an empty word.
    Contender { name, part: Part::Peer, speech, words: words.split(' ').map(str::to_owned).collect() }
}

/// What all others are compared with.
pub(crate) fn floor() -> Contender {
    ours("floor", &["floor"])
}

/// Our program with one worker.
pub(crate) fn program() -> Contender {
    workers("daytime-server", 1)
}

/// Our program.
pub(crate) fn workers(name: &'static str, n: usize) -> Contender {
    let server = env!("CARGO_BIN_EXE_daytime-server");
    let words = ["program", server, "--quiet", "--framing", "line", "--listen", "127.0.0.1:0", "--workers"];
    ours(name, &[&words[..], &[&n.to_string()]].concat())
}

/// Our program, as it waits for the next request without sleeping.
pub(crate) fn spinning() -> Contender {
    let mut contender = Contender { part: Part::Alone, ..workers("daytime-server, spinning", 1) };
    contender.words.extend(["--busy-poll".into(), "200".into()]);
    contender
}

/// Our library, in a program that uses much of it.
pub(crate) fn embedded() -> Contender {
    ours("embedded, all on", &["embedded"])
}

/// Other servers that answer a short line with a short line, those that are installed; they make room for so many clients.
pub(crate) fn peers(clients: usize) -> Vec<Contender> {
    let redis = version("redis-server", "--version").map(|_| {
        let words = "program redis-server --port {port} --bind 127.0.0.1 --save  --appendonly no --protected-mode no \
                     --tcp-backlog 4096 --maxclients";
        peer("redis-server", "PING\r\n", "+PONG\r\n".into(), format!("{words} {clients}"))
    });
    let memcached = version("memcached", "-V").map(|text| {
        let reply = format!("VERSION {}\r\n", text.trim().rsplit(' ').next().unwrap_or_default());
        let words = "program memcached -u root -l 127.0.0.1 -p {port} -U 0 -t 1 -b 4096 -c";
        peer("memcached", "version\r\n", reply, format!("{words} {clients}"))
    });
    [("redis-server", redis), ("memcached", memcached)]
        .into_iter()
        .filter_map(|(name, peer)| peer.inspect_err(|why| println!("SKIPPED: {name}: {why}")).ok())
        .collect()
}

fn version(program: &str, option: &str) -> Result<String> {
    let output = Command::new(program).arg(option).output().map_err(|_| "it is not installed")?;
    Ok(String::from_utf8(output.stdout)?)
}

/// A contender that listens; killed when dropped.
pub(crate) struct Running {
    process: Child,
    pub(crate) port: u16,
    pub(crate) speech: Speech,
}

impl Contender {
    /// Starts it on these cores and waits until it listens.
    pub(crate) fn start(&self, cores: &[usize]) -> Result<Running> {
        let port = match self.words.iter().any(|word| word == "{port}") {
            // Nobody else takes it in the meantime: the system goes on to other ports.
            true => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port()),
            false => None,
        };
        let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
        let mut command = Command::new(env::current_exe()?);
        command.args([SERVE, &cores.join(",")]);
        command.args(self.words.iter().map(|word| word.replace("{port}", &port.unwrap_or(0).to_string())));
        command.stdin(Stdio::null()).stdout(if port.is_some() { Stdio::null() } else { Stdio::piped() });
        let mut running = Running { process: command.spawn()?, port: port.unwrap_or(0), speech: self.speech.clone() };
        match port {
            Some(port) => running.answers(port)?,
            None => running.port = running.actual()?,
        }
        Ok(running)
    }
}

impl Running {
    /// The port that it prints.
    fn actual(&mut self) -> Result<u16> {
        let (sender, line) = mpsc::channel();
        let mut stdout = BufReader::new(self.process.stdout.take().ok_or("it has no standard output")?);
        thread::spawn(move || {
            let mut line = String::new();
            let _ = stdout.read_line(&mut line);
            let _ = sender.send(line);
        });
        let line = line.recv_timeout(PATIENCE).map_err(|_| "it does not say where it listens")?;
        let port = line.trim().split_once(PORT).ok_or_else(|| format!("it said {line:?} in place of its port"))?;
        Ok(port.1.parse()?)
    }

    /// Waits until somebody answers there.
    fn answers(&mut self, port: u16) -> Result<()> {
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = self.process.try_wait()? {
                return Err(format!("it ended: {status}").into());
            }
            if began.elapsed() > PATIENCE {
                return Err("it does not listen".into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// The processor time that it has taken, in nanoseconds.
    pub(crate) fn processor_time(&self) -> Result<u64> {
        machine::processor_time(self.process.id())
    }

    /// The memory that it has in use, in bytes.
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

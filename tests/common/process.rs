//! The two programs, run: what they say, as it comes, and how they end.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpStream},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Instant,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::fake_server::PATIENCE;

pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_daytime-server");
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_daytime-client");

/// A program that runs, and what it has said so far. It is killed with its owner.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) out: Output,
    pub(crate) err: Output,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Program {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let (input, out, err) = (child.stdin.take(), child.stdout.take().unwrap(), child.stderr.take().unwrap());
        Program { child, input, out: Output::of(out), err: Output::of(err) }
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).expect("it reads its input");
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for its end, and gives its exit code and what it said since the last look at it.
    pub(crate) fn finish(&mut self) -> Outcome {
        drop(self.input.take());
        let (out, err) = (self.out.rest(), self.err.rest());
        Outcome { code: self.wait().code(), out, err }
    }

    /// Its outputs are closed: now it ends.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program ended. No code: a signal ended it.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    #[track_caller]
    pub(crate) fn assert(&self, code: i32, out: &str, err: &str) {
        assert_eq!((self.code, &*self.out, &*self.err), (Some(code), out, err));
    }
}

/// One output of a program, read as it comes.
pub(crate) struct Output {
    pieces: Receiver<Vec<u8>>,
    come: Vec<u8>,
}

impl Output {
    fn of(mut source: impl Read + Send + 'static) -> Output {
        let (sender, pieces) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = source.read(&mut buffer)
                && sender.send(buffer[..n].to_vec()).is_ok()
            {}
        });
        Output { pieces, come: Vec::new() }
    }

    /// Waits until `text` comes, and gives everything before it; both are taken.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.come.windows(text.len()).position(|window| window == text.as_bytes()) {
                let before = self.come.drain(..at + text.len()).take(at).collect();
                return String::from_utf8(before).unwrap();
            }
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.come.extend(piece),
                Err(error) => panic!("no {text:?} but {:?}: {error}", self.come.escape_ascii().to_string()),
            }
        }
    }

    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.until("\n")
    }

    /// Everything up to its end.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.pieces.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.come.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("no end, but {:?}", self.come.escape_ascii().to_string())
                }
            }
        }
        String::from_utf8(std::mem::take(&mut self.come)).unwrap()
    }
}

/// Runs a program to its end, with this input.
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Outcome {
    let mut program = Program::start(Command::new(program).args(arguments));
    // One that ends early need not read it.
    let _ = program.input.take().unwrap().write_all(input.as_bytes());
    program.finish()
}

/// The server program, listening on a free port of 127.0.0.1.
pub(crate) fn daytime_server(arguments: &[&str]) -> (Program, u16) {
    let mut command = Command::new(SERVER);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).env_remove("TZ");
    listening(&mut command)
}

#[track_caller]
pub(crate) fn listening(command: &mut Command) -> (Program, u16) {
    let mut server = Program::start(command);
    let port = port_in(&server.out.line());
    (server, port)
}

#[track_caller]
pub(crate) fn port_in(line: &str) -> u16 {
    let port = line.strip_prefix("Server is listening on IP: 127.0.0.1 and Port: ");
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

/// Everything that the server says to this, up to its close.
pub(crate) fn converse(address: (Ipv4Addr, u16), text: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

pub(crate) fn local(port: u16) -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, port)
}

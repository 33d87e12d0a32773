//! Programs that run beside the tests: their output as it arrives, and how they end.

#[cfg(feature = "cli")]
use std::{fs, net::Ipv4Addr, net::TcpStream, sync::OnceLock};
use std::{
    io::{self, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::Instant,
};
use std::{mem, os::unix::process::CommandExt};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use super::{TIMEOUT, eventually};

#[cfg(feature = "cli")]
pub(crate) const SERVER: &str = env!("CARGO_BIN_EXE_daytime-server");
#[cfg(feature = "cli")]
pub(crate) const CLIENT: &str = env!("CARGO_BIN_EXE_daytime-client");

/// A running program with pipes to it. Dropping it kills the program, also while a test panics.
///
/// A program that may start others (a shell, `strace`, `script`) leads a new process group, and the drop kills the
/// group. The two programs of this crate start no others. They stay in the group of the tests, so that Ctrl-C reaches
/// them.
pub(crate) struct Program {
    child: Child,
    /// Whether it leads a group that may still have members.
    leads_group: bool,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) out: Output,
    pub(crate) err: Output,
}

impl Program {
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Program {
        Self::start_with(command, Stdio::piped(), Stdio::piped())
    }

    /// The same, with other outputs. An output that is not a pipe of the test is empty.
    #[track_caller]
    pub(crate) fn start_with(command: &mut Command, out: Stdio, err: Stdio) -> Program {
        let leads_group = !is_ours(command);
        if leads_group {
            command.process_group(0);
        }
        command.stdin(Stdio::piped()).stdout(out).stderr(err);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let input = child.stdin.take();
        let out = child.stdout.take().map_or_else(|| Output::on_demand(io::empty()), Output::on_demand);
        let err = child.stderr.take().map_or_else(|| Output::read_ahead(io::empty()), Output::read_ahead);
        Program { child, leads_group, input, out, err }
    }

    /// Starts a server program and waits until it listens: the program and its port at 127.0.0.1.
    #[cfg(feature = "cli")]
    #[track_caller]
    pub(crate) fn listening(command: &mut Command) -> (Program, u16) {
        Self::start(command).and_port(command)
    }

    #[cfg(feature = "cli")]
    #[track_caller]
    pub(crate) fn and_port(self, command: &Command) -> (Program, u16) {
        let mut program = self;
        let port = match program.out.next_line() {
            Some(line) => port_in(&line),
            // Some tests close the program's output.
            None if program.is_running() => program.listening_port(),
            None => panic!("{command:?} has ended: {:?}", program.wait()),
        };
        (program, port)
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.input.as_mut().unwrap().write_all(text.as_bytes()).expect("the program reads its input");
    }

    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Stops the program with SIGSTOP, and waits until all its threads have stopped.
    #[cfg(feature = "cli")]
    pub(crate) fn stop(&self) {
        self.signal(Signal::SIGSTOP);
        eventually("every thread has stopped", || {
            let tasks = fs::read_dir(format!("/proc/{}/task", self.id())).unwrap().flatten();
            tasks.flat_map(|task| fs::read_to_string(task.path().join("stat"))).all(|stat| stat.contains(") T "))
        });
    }

    /// Closes the program's input, reads its output to the end and waits for its exit.
    #[track_caller]
    pub(crate) fn finish(&mut self) -> Outcome {
        drop(self.input.take());
        let (out, err) = (self.out.rest(), self.err.rest());
        Outcome { code: self.exit_code(), out, err }
    }

    /// Waits until the program ends, without reading its output. Returns the exit code, and the rest of its standard
    /// error.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> (Option<i32>, String) {
        let code = self.exit_code();
        (code, self.err.rest().trim_end_matches('\n').to_owned())
    }

    #[track_caller]
    fn exit_code(&mut self) -> Option<i32> {
        eventually("the program ends", || !self.is_running());
        self.leads_group = false;
        self.child.wait().unwrap().code()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The port of its one TCP listener, from `/proc`.
    #[cfg(feature = "cli")]
    fn listening_port(&self) -> u16 {
        let mut port = None;
        eventually("the program listens", || {
            let links = fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().flatten();
            let targets: Vec<_> = links.flat_map(|link| fs::read_link(link.path())).collect();
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            port = table.lines().skip(1).find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (local, state, inode) = (fields[1], fields[3], fields[9]);
                let found = state == "0A" && targets.contains(&format!("socket:[{inode}]").into());
                found.then(|| u16::from_str_radix(local.rsplit(':').next().unwrap(), 16).unwrap())
            });
            port.is_some()
        });
        port.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.leads_group {
            let _ = killpg(self.pid(), Signal::SIGKILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(feature = "cli")]
fn is_ours(command: &Command) -> bool {
    [SERVER, CLIENT].iter().any(|program| command.get_program() == *program)
}

#[cfg(not(feature = "cli"))]
fn is_ours(_: &Command) -> bool {
    false
}

/// How a program ended. A program without a code was ended by a signal.
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

/// One output of a program.
pub(crate) struct Output {
    /// `None` once it is closed.
    pieces: Option<Receiver<Vec<u8>>>,
    buffered: Vec<u8>,
}

impl Output {
    /// Reads at most 4 KiB more than the test takes, so that a program can meet a full pipe.
    fn on_demand(source: impl Read + Send + 'static) -> Output {
        Self::of(source, sync_channel(0))
    }

    /// Reads up to 40 MiB before the test takes anything, so that a program does not meet a full pipe.
    fn read_ahead(source: impl Read + Send + 'static) -> Output {
        Self::of(source, sync_channel(10_000))
    }

    fn of(
        mut source: impl Read + Send + 'static,
        (sender, pieces): (SyncSender<Vec<u8>>, Receiver<Vec<u8>>),
    ) -> Output {
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = source.read(&mut buffer)
                && sender.send(buffer[..n].to_vec()).is_ok()
            {}
        });
        Output { pieces: Some(pieces), buffered: Vec::new() }
    }

    /// Closes this end of the pipe, at the latest when the program next writes.
    pub(crate) fn close(&mut self) {
        self.pieces = None;
    }

    /// Waits until `text` arrives. Removes everything up to its end, and returns the part before `text`.
    #[track_caller]
    pub(crate) fn until(&mut self, text: &str) -> String {
        self.try_until(text).unwrap_or_else(|| {
            panic!("expected {text:?}, got {:?} and the end", self.buffered.escape_ascii().to_string())
        })
    }

    /// The same, or `None` at the end of the output.
    #[track_caller]
    fn try_until(&mut self, text: &str) -> Option<String> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(at) = self.buffered.windows(text.len()).position(|window| window == text.as_bytes()) {
                let before = self.buffered.drain(..at + text.len()).take(at).collect();
                return Some(String::from_utf8(before).unwrap());
            }
            match self.next_piece(deadline) {
                Ok(piece) => self.buffered.extend(piece),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("expected {text:?}, got only {:?}", self.buffered.escape_ascii().to_string())
                }
            }
        }
    }

    /// The next line, without its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        self.until("\n")
    }

    /// The next line, or `None` at the end of the output.
    #[track_caller]
    pub(crate) fn next_line(&mut self) -> Option<String> {
        self.try_until("\n")
    }

    /// Everything up to the end of the output.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.next_piece(deadline) {
                Ok(piece) => self.buffered.extend(piece),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("expected the end of the output, got only {:?}", self.buffered.escape_ascii().to_string())
                }
            }
        }
        String::from_utf8(mem::take(&mut self.buffered)).unwrap()
    }

    fn next_piece(&self, deadline: Instant) -> Result<Vec<u8>, RecvTimeoutError> {
        let pieces = self.pieces.as_ref().ok_or(RecvTimeoutError::Disconnected)?;
        pieces.recv_timeout(deadline.saturating_duration_since(Instant::now()))
    }
}

/// Runs a program to its end, with this input.
#[track_caller]
pub(crate) fn run(program: &str, arguments: &[&str], input: &str) -> Outcome {
    let mut program = Program::start(Command::new(program).args(arguments));
    // A program that ends early need not read its input.
    let _ = program.input.take().unwrap().write_all(input.as_bytes());
    program.finish()
}

/// The server program on a free port of 127.0.0.1.
#[cfg(feature = "cli")]
#[track_caller]
pub(crate) fn daytime_server(arguments: &[&str]) -> (Program, u16) {
    let mut command = Command::new(SERVER);
    command.args(["--listen", "127.0.0.1:0"]).args(arguments).env_remove("TZ");
    Program::listening(&mut command)
}

/// The command of a server program with constant replies to `day`, `date` and `time`, on a free port.
///
/// The wrapper is the command line of a program that runs the server, or empty.
#[cfg(feature = "cli")]
pub(crate) fn fixed_server<S: AsRef<str>>(wrapper: &[S], arguments: &[&str]) -> Command {
    let formats = ["--day-format", "Sunday", "--date-format", "26-11-22", "--time-format", "15:44:57"];
    let server = [SERVER, "--listen", "127.0.0.1:0"].into_iter().chain(formats).chain(arguments.iter().copied());
    let mut line = wrapper.iter().map(AsRef::as_ref).chain(server);
    let mut command = Command::new(line.next().unwrap());
    command.args(line);
    command
}

/// An empty wrapper.
pub(crate) const PLAIN: [&str; 0] = [];

#[cfg(feature = "cli")]
#[track_caller]
pub(crate) fn port_in(line: &str) -> u16 {
    let port = line.strip_prefix("Server is listening on IP: 127.0.0.1 and Port: ");
    port.and_then(|port| port.parse().ok()).unwrap_or_else(|| panic!("{line:?}"))
}

/// Everything that the server sends in reply to this text, up to its close.
#[cfg(feature = "cli")]
#[track_caller]
pub(crate) fn replies_to(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(local(port)).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut replies = String::new();
    stream.read_to_string(&mut replies).unwrap();
    replies
}

#[cfg(feature = "cli")]
pub(crate) fn local(port: u16) -> (Ipv4Addr, u16) {
    (Ipv4Addr::LOCALHOST, port)
}

/// The wrapper that injects faults into system calls, such as `accept4:error=EMFILE:when=1`. Skips the test where
/// processes cannot be traced.
#[cfg(feature = "cli")]
pub(crate) fn inject(faults: &[&str]) -> Option<Vec<String>> {
    let calls: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    let mut wrapper = traced(&calls.join(","), "/dev/null")?;
    wrapper.extend(faults.iter().map(|fault| format!("--inject={fault}")));
    Some(wrapper)
}

/// The wrapper that records some system calls in a file. Skips the test where processes cannot be traced.
#[cfg(feature = "cli")]
pub(crate) fn traced(calls: &str, file: &str) -> Option<Vec<String>> {
    if !can_trace() {
        return None;
    }
    // -D: the program is the direct child, so that it can be signalled, and the tracer is a grandchild.
    let command = ["strace", "-D", "-f", "-qq", "-y", "-s", "256", "-o", file, "-e"];
    Some(command.map(str::to_owned).into_iter().chain([format!("trace={calls}")]).collect())
}

/// Whether strace is installed and may trace. Otherwise skips the test.
#[cfg(feature = "cli")]
pub(crate) fn can_trace() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    let possible =
        || Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success());
    let possible = *POSSIBLE.get_or_init(possible);
    if !possible {
        super::skip("strace is missing, or may not trace anything");
    }
    possible
}

//! The server program as a process of its own.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::peer::{PATIENCE, eventually, skip};

/// The program under a wrapper (such as `strace …`; nothing is none), on a free port, with replies that stand still.
pub(crate) fn command<S: AsRef<str>>(wrapper: &[S], args: &[&str]) -> Command {
    let own = [env!("CARGO_BIN_EXE_daytime-server"), "--listen", "127.0.0.1:0"];
    let still = ["--day-format", "Sunday", "--date-format", "26-11-22", "--time-format", "15:44:57"];
    let mut words = wrapper.iter().map(AsRef::as_ref).chain(own).chain(still).chain(args.iter().copied());
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// Under no wrapper.
pub(crate) const PLAIN: [&str; 0] = [];

/// A running program, killed when dropped. Of what it prints only one line more is read than was asked for, and what a
/// reader holds.
pub(crate) struct Program {
    child: Child,
    told: Option<Receiver<String>>,
    complaints: Receiver<String>,
}

impl Program {
    /// Starts it and waits until it listens.
    pub(crate) fn start(command: Command) -> (Program, u16) {
        let mut program = Self::spawn(command);
        let port = match program.told.as_ref().unwrap().recv_timeout(PATIENCE) {
            Ok(line) => {
                let port = line.strip_prefix("Server is listening on IP: 127.0.0.1 and Port: ");
                port.unwrap_or_else(|| panic!("it said {line:?}")).parse().unwrap()
            }
            // It cannot say so.
            Err(RecvTimeoutError::Disconnected) if program.lives() => program.listening_port(),
            Err(RecvTimeoutError::Disconnected) => panic!("it ended: {:?}", program.end()),
            Err(RecvTimeoutError::Timeout) => panic!("it does not say where it listens"),
        };
        (program, port)
    }

    pub(crate) fn spawn(mut command: Command) -> Program {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let told = lines(child.stdout.take().unwrap(), 0);
        let complaints = lines(child.stderr.take().unwrap(), 10_000);
        Program { child, told: Some(told), complaints }
    }

    /// Whether it says that it listens, rather than ends.
    pub(crate) fn listens(&self) -> bool {
        match self.told.as_ref().unwrap().recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => panic!("it neither listens nor ends"),
            told => told.is_ok(),
        }
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.told.as_ref().unwrap().recv_timeout(PATIENCE).unwrap()
    }

    /// The next line on its standard error.
    #[track_caller]
    pub(crate) fn complaint(&self) -> String {
        self.complaints.recv_timeout(PATIENCE).unwrap()
    }

    /// Whatever it prints from now on has nobody to go to.
    pub(crate) fn close_stdout(&mut self) {
        self.told = None;
    }

    pub(crate) fn pid(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Waits until it ends by itself: its exit code, and what it complained of and nobody has read.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        eventually("the program ends", || !self.lives());
        let complaints: Vec<String> = self.complaints.iter().collect();
        (self.child.wait().unwrap().code(), complaints.join("\n"))
    }

    fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn listening_port(&self) -> u16 {
        let mut port = None;
        eventually("it listens", || {
            let links = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().flatten();
            let targets: Vec<_> = links.flat_map(|link| fs::read_link(link.path())).collect();
            let table = fs::read_to_string("/proc/net/tcp").unwrap();
            port = table.lines().skip(1).find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                let (local, state, inode) = (fields[1], fields[3], fields[9]);
                let own = state == "0A" && targets.contains(&format!("socket:[{inode}]").into());
                own.then(|| u16::from_str_radix(local.rsplit(':').next().unwrap(), 16).unwrap())
            });
            port.is_some()
        });
        port.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static, ahead: usize) -> Receiver<String> {
    let (sender, lines) = sync_channel(ahead);
    let stream = BufReader::new(stream);
    thread::spawn(move || stream.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    lines
}

/// The wrapper that injects faults into system calls, such as `accept4:error=EMFILE:when=1`. Skips the test where
/// processes cannot be traced.
pub(crate) fn inject(faults: &[&str]) -> Option<Vec<String>> {
    let calls: Vec<&str> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    let mut wrapper = traced(&calls.join(","), "/dev/null")?;
    wrapper.extend(faults.iter().map(|fault| format!("--inject={fault}")));
    Some(wrapper)
}

/// The wrapper that writes down some system calls. Skips the test where processes cannot be traced.
pub(crate) fn traced(calls: &str, file: &str) -> Option<Vec<String>> {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    let possible =
        || Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status().is_ok_and(|s| s.success());
    if !POSSIBLE.get_or_init(possible) {
        skip("strace is missing, or may trace nothing");
        return None;
    }
    // -D: the program is this process's own child, so that it can be killed, and the tracer follows it.
    let words = ["strace", "-D", "-f", "-qq", "-y", "-s", "256", "-o", file, "-e"];
    Some(words.map(str::to_owned).into_iter().chain([format!("trace={calls}")]).collect())
}

//! Helpers of all test crates. Each crate includes this module with `mod common`.
//!
//! libtest runs the tests of a crate in parallel threads of one process. Some tests need a process for themselves: they
//! count the threads or descriptors of the process, or lower a limit. Others change the directory, set the environment,
//! or look at the signals of the process. Such a test begins with [`in_own_process`], which runs it again as the only
//! test of a new process.
#![allow(dead_code, reason = "each test crate uses a part of it")]

pub(crate) mod fake_server;
pub(crate) mod peer;
pub(crate) mod proc_fs;
pub(crate) mod process;

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use daytime::{Address, ClientId, Clock, Error, Event, Reason, Server, ServerBuilder};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

/// Sunday, 2026-11-22 15:44:57 UTC.
pub(crate) const MOMENT: i64 = 1_795_362_297;
/// The reply to `help`.
pub(crate) const HELP: &str =
    "day [ZONE], date [ZONE], time [ZONE], datetime [ZONE], timestamp, tz [ZONE], next [ZONE], help, quit, exit";
/// The time after which a wait fails, on the slowest machine too.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The settings of a server on a free port that always answers from [`MOMENT`].
pub(crate) fn builder() -> ServerBuilder {
    unbound_builder().listen("127.0.0.1:0")
}

/// The same settings without an address.
pub(crate) fn unbound_builder() -> ServerBuilder {
    Server::builder().clock(Clock::fixed_unix(MOMENT)).timezone("UTC").workers(2)
}

pub(crate) fn server() -> Server {
    builder().start().unwrap()
}

/// A port of 127.0.0.1 for servers that share it. The socket reserves the port, and does not listen.
pub(crate) fn shared_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

/// The address of a TCP socket.
#[track_caller]
pub(crate) fn tcp(address: &Address) -> SocketAddr {
    match address {
        Address::Tcp(address) => *address,
        other => panic!("{other:?} is not a TCP address"),
    }
}

/// The next event.
#[track_caller]
pub(crate) fn next_event(events: &Receiver<Event>) -> Event {
    next_event_or_end(events).expect("another event before the end of the subscription")
}

/// The next event, or `None` at the end of the subscription.
#[track_caller]
pub(crate) fn next_event_or_end(events: &Receiver<Event>) -> Option<Event> {
    match events.recv_timeout(TIMEOUT) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Disconnected) => None,
        Err(RecvTimeoutError::Timeout) => panic!("neither an event nor the end of the subscription"),
    }
}

/// Skips events up to the next [`Event::Disconnected`]: the client's number, the reason, the number of its commands.
#[track_caller]
pub(crate) fn next_disconnect(events: &Receiver<Event>) -> (ClientId, Reason, u64) {
    loop {
        if let Event::Disconnected { client, reason, commands, .. } = next_event(events) {
            return (client, reason, commands);
        }
    }
}

/// The result of a client's call as a text, for tables.
pub(crate) fn outcome<T: ToString>(result: Result<T, Error>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(Error::Refused(line)) => format!("refused: {line}"),
        Err(Error::Invalid(_)) => "invalid".into(),
        Err(Error::Protocol(bytes)) => format!("protocol: {}", bytes.escape_ascii()),
        Err(Error::Timeout) => "timeout".into(),
        Err(Error::Closed) => "closed".into(),
        Err(Error::Interrupted) => "interrupted".into(),
        Err(error) => format!("{error:?}"),
    }
}

/// Polls until the condition holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < TIMEOUT, "timed out waiting until {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sets a flag when dropped, also while a test panics. The threads of a scope end then, because they look at the flag.
/// Otherwise the scope of a test that fails would never end.
pub(crate) struct SetOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// A call's result, and the time that the call took.
pub(crate) fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = call();
    (result, began.elapsed())
}

/// Prints why the calling test cannot run on this machine. The test passes. libtest would capture `eprintln!`.
pub(crate) fn skip(reason: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "SKIPPED: {}: {}", thread::current().name().unwrap_or("?"), reason.as_ref());
}

/// Whether these third-party programs are installed. Prints the first missing one as [`skip`] does.
pub(crate) fn installed(programs: &[&str]) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let missing = |program: &&&str| !env::split_paths(&path).any(|folder| folder.join(program).is_file());
    match programs.iter().find(missing) {
        Some(program) => {
            skip(format!("{program} is not installed"));
            false
        }
        None => true,
    }
}

/// Whether this process runs only the calling test. Otherwise runs the test again in a new process, waits until that
/// run passes, and returns false.
pub(crate) fn in_own_process() -> bool {
    in_own_process_with(&[])
}

/// The same, with an addition to the new process's environment.
pub(crate) fn in_own_process_with(environment: &[(&str, &Path)]) -> bool {
    again(&[], environment)
}

/// The same, in a network of its own, which has the loopback device only, and in which this command of a shell succeeds. The
/// test may send packets of any kind. Skips the test where the system does not permit that.
pub(crate) fn in_own_network(needs: &str) -> bool {
    let setup = format!("ip link set lo up && {needs} && exec \"$0\" \"$@\"");
    let privileged = ["unshare", "--net", "sh", "-c", &setup];
    let unprivileged = ["unshare", "--net", "--map-root-user", "sh", "-c", &setup];
    let works = |wrapper: &&&[&str]| {
        let probe = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").output();
        probe.is_ok_and(|output| output.status.success())
    };
    match [&privileged[..], &unprivileged].iter().find(works) {
        Some(wrapper) => again(wrapper, &[]),
        None => {
            skip(format!("unshare(1) and ip(8) may not set up a network with: {needs}"));
            false
        }
    }
}

fn again(wrapper: &[&str], environment: &[(&str, &Path)]) -> bool {
    const KEY: &str = "DAYTIME_TEST_IN_OWN_PROCESS";
    let thread = thread::current();
    let test = thread.name().expect("libtest names a test's thread after the test");
    if env::var_os(KEY).is_some_and(|name| name == test) {
        return true;
    }
    let program = env::current_exe().unwrap();
    let mut line = wrapper.iter().map(OsStr::new).chain([program.as_os_str()]);
    let mut command = Command::new(line.next().unwrap());
    command.args(line).args(["--exact", test, "--nocapture"]).env(KEY, test).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    false
}

/// A temporary folder, removed when dropped.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Folder {
        Folder(tempfile::Builder::new().prefix("daytime-").tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// The path of a file in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The same as text, for arguments.
    pub(crate) fn name(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.at(name), text).unwrap();
        self.name(name)
    }

    /// A path of exactly so many bytes, or `None` if the path of the folder alone is longer.
    pub(crate) fn path_of_length(&self, bytes: usize) -> Option<PathBuf> {
        let free = bytes.checked_sub(self.path().as_os_str().len() + 1).filter(|free| *free > 0)?;
        Some(self.at(&"x".repeat(free)))
    }
}

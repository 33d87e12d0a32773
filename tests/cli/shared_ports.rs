//! Ports that several processes of `daytime-server` share, and their hand-over from one to the next.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use daytime::protocol::GREETING;
use nix::sys::signal::Signal;
use socket2::SockRef;

use crate::common::{
    Folder, SetOnDrop, TIMEOUT, eventually, in_own_network,
    peer::Peer,
    process::{Program, SERVER, local, port_in, run},
    shared_port, skip,
};
use crate::systemd::activated;

/// Whether Linux gives the clients in the queue of a closed listener to another one of its port.
const MIGRATE: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

fn sharing(port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(SERVER);
    command.args(["--quiet", "--reuse-port", "--listen", &format!("127.0.0.1:{port}")]).args(arguments);
    command
}

#[track_caller]
fn started(command: &mut Command) -> Program {
    Program::listening(command).0
}

#[test]
fn every_process_of_a_port_has_the_flag_and_the_same_user() {
    let (_reserved, port) = shared_port();
    let address = format!("127.0.0.1:{port}");
    let in_use = "Address already in use (os error 98)";
    let error = format!("daytime-server: bind {address}: {in_use}\n");
    let shared = format!(
        "daytime-server: bind {address}, which is taken, or shared by a program without reuse_port or of another user: \
         {in_use}\n"
    );
    let servers = [(); 2].map(|()| started(&mut sharing(port, &[])));
    let retry = format!("Server socket binding threw an error: bind {address}: {in_use}\nRetrying ....\n");
    let outcome = run(SERVER, &["--listen", &address, "--bind-timeout=0.1"], "");
    outcome.assert(1, "", &format!("{retry}{error}"));

    let another_user = |command: &mut Command| Program::start(command.uid(65534).gid(65534)).finish();
    if Command::new(SERVER).arg("--version").uid(65534).gid(65534).output().is_err() {
        skip("another user may not start the program, or the test may not become another user");
    } else {
        another_user(&mut sharing(port, &["--bind-timeout=0"])).assert(1, "", &shared);
    }
    drop(servers);

    let _alone = started(Command::new(SERVER).args(["--listen", &address]));
    Program::start(&mut sharing(port, &["--bind-timeout=0"])).finish().assert(1, "", &shared);
}

#[test]
fn a_shared_port_is_a_setting_of_the_file_and_of_the_check() {
    let folder = Folder::new();
    let (_reserved, port) = shared_port();
    let text = format!("listen = [\"127.0.0.1:{port}\"]\nreuse-port = true\n");
    let file = folder.write("daytime.toml", &text);
    let _servers = [(); 2].map(|()| started(Command::new(SERVER).args(["--config", &file])));
    let checked = run(SERVER, &["--config", &file, "--check"], "");
    assert!(checked.out.starts_with(&format!("listen: 127.0.0.1:{port}\nreuse-port: yes\nnetworks: ")), "{checked:?}");
    assert!(!run(SERVER, &["--check"], "").out.contains("reuse-port"));
    let printed = run(SERVER, &["--config", &file, "--print-config"], "");
    assert!(printed.out.contains("reuse-port = true\n"), "{printed:?}");
    run(SERVER, &["--config", &file, "--check", "--listen=localhost:0"], "").assert(
        2,
        "",
        "daytime-server: reuse_port expects a port other than 0, got localhost:0\n",
    );
}

/// Asks one question with a new connection. Returns how the client was lost, if it was.
fn ask(port: u16) -> Result<(), String> {
    let lost = |at: &'static str| move |error: std::io::Error| format!("{at}: {error}");
    let mut stream = TcpStream::connect(local(port)).map_err(lost("connect"))?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(lost("connect"))?;
    stream.read_exact(&mut [0; GREETING.len()]).map_err(lost("greeting"))?;
    stream.write_all(b"timestamp\nquit\n").map_err(lost("command"))?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).map_err(lost("reply"))?;
    reply.trim().parse::<i64>().map(drop).map_err(|_| format!("reply: {reply:?}"))
}

/// Restarts a server ten times while clients come and go. Each of them must be answered.
fn restart_under_load(port: u16, mut restart: impl FnMut()) {
    let (done, answered, lost) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        let _done = SetOnDrop(&done);
        for _ in 0..8 {
            scope.spawn(|| {
                while !done.load(Relaxed) {
                    match ask(port) {
                        Ok(()) => _ = answered.fetch_add(1, Relaxed),
                        Err(error) => lost.lock().unwrap().push(error),
                    }
                }
            });
        }
        for n in 0..=10 {
            let before = answered.load(Relaxed);
            eventually("clients are answered", || answered.load(Relaxed) > before + 300);
            if n < 10 {
                restart();
            }
        }
    });
    let (answered, lost) = (answered.into_inner(), lost.into_inner().unwrap());
    assert!(lost.is_empty(), "{} of {answered} clients are lost: {lost:?}", lost.len());
}

#[test]
fn a_shared_port_is_handed_over_without_a_lost_client() {
    if !in_own_network(&format!("echo 0 >{MIGRATE}")) {
        return;
    }
    fs::write(MIGRATE, "1").unwrap();
    let (_reserved, port) = shared_port();
    let mut server = started(&mut sharing(port, &[]));
    restart_under_load(port, || {
        let next = started(&mut sharing(port, &[]));
        server.signal(Signal::SIGTERM);
        server.finish().assert(0, "", "");
        server = next;
    });
}

/// As systemd does for a socket unit. Clients that come while no server runs wait for the next one.
#[test]
fn a_socket_that_a_parent_holds_survives_restarts_without_a_lost_client() {
    let listener = TcpListener::bind(local(0)).unwrap();
    SockRef::from(&listener).listen(4096).unwrap();
    let port = listener.local_addr().unwrap().port();
    let start = || {
        let mut server = activated(&[("daytime.socket", &listener)], "$$", "--quiet");
        assert_eq!(port_in(&server.out.line()), port);
        server
    };
    let mut server = start();
    restart_under_load(port, || {
        server.signal(Signal::SIGTERM);
        server.finish().assert(0, "", "");
        server = start();
    });
}

/// The clients in the queue of a process that is killed are another one's with `tcp_migrate_req`, and reset without it.
#[test]
fn queued_clients_of_a_killed_process_need_the_setting_of_the_system() {
    if !in_own_network(&format!("echo 0 >{MIGRATE}")) {
        return;
    }
    for migrate in [false, true] {
        fs::write(MIGRATE, if migrate { "1" } else { "0" }).unwrap();
        let (_reserved, port) = shared_port();
        let [mut killed, _stays] = [(); 2].map(|()| started(&mut sharing(port, &[])));
        killed.stop();
        let mut peers: Vec<Peer> = (0..60).map(|_| Peer::connect(port)).collect();
        peers.iter_mut().for_each(|peer| peer.send("timestamp\nquit\n"));
        killed.signal(Signal::SIGKILL);
        assert_eq!(killed.finish().code, None);
        let answers = peers.into_iter().map(|mut peer| {
            let mut answer = String::new();
            peer.0.read_to_string(&mut answer).is_ok_and(|_| answer.starts_with(GREETING))
        });
        let answered = answers.filter(|answered| *answered).count();
        match migrate {
            true => assert_eq!(answered, 60),
            // With chance, the killed process has none of 60 clients once in 2^60 times.
            false => assert!((1..60).contains(&answered), "{answered}"),
        }
    }
}

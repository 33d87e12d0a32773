//! The examples, run as a reader would run them, a crate that uses the library alone, and the links of the documents.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
};

use common::{peer::Peer, process::Program};

/// An example, built as `cargo run --example` builds it.
fn example(name: &str) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        output_of(
            Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--examples"])
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        );
    });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    Command::new(target.join("debug/examples").join(name))
}

/// Runs a command to its end: its standard output.
fn output_of(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?} {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `embed` until a client shuts it down: the replies, and the program's output.
fn embed(mut command: Command) -> (String, String) {
    let mut program = Program::start(&mut command);
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut peer = Peer::connect(port);
    peer.send("echo hello  there\nsum 1 2 39\nsum up\nvisits\nvisits\nshutdown\n");
    let replies = String::from_utf8(peer.rest()).unwrap();
    drop(peer);
    let ended = program.finish();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    (replies, ended.out)
}

fn check_embed((replies, log): (String, String)) {
    assert_eq!(replies, "Welcome to the server\nhello  there\n42\nThe command failed\n1\n2\nuntil next time\n");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("Connection has been established with client IP 127.0.0.1 and port is "), "{log}");
    assert_eq!(lines[1], "sum failed: invalid digit found in string");
    assert!(lines[2].ends_with("has been closed after 6 commands: the client quit"), "{log}");
    assert_eq!(lines[3], "6 commands for 1 clients");
}

#[test]
fn embed_runs() {
    check_embed(embed(example("embed")));
}

#[test]
fn tokio_commands_runs() {
    let mut program = Program::start(&mut example("tokio_commands"));
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut peer = Peer::connect(port);
    peer.send("timer 5\ntimer soon\n");
    for line in ["Welcome to the server", "5 ms have passed", "The command failed: expected milliseconds"] {
        assert_eq!(peer.line(), line);
    }
    let [mut leaving, mut staying] = [(); 2].map(|()| Peer::greeted(port));
    leaving.send("timer 3600000\n");
    for line in ["timer 5 starts", "timer soon starts", "timer 3600000 starts"] {
        assert_eq!(program.out.line(), line);
    }
    leaving.reset();
    assert_eq!(program.out.line(), "timer 3600000 is cancelled");
    // A task that runs while the server stops still replies.
    staying.send("timer 500\n");
    assert_eq!(program.out.line(), "timer 500 starts");
    peer.ask("stop\n", "goodbye\n");
    peer.expect_eof();
    staying.expect("\n500 ms have passed\n");
    staying.expect_eof();
    program.finish().assert(0, "the server has stopped\n", "");
}

#[test]
fn select_loop_runs() {
    let mut program = Program::start(&mut example("select_loop"));
    let port = program.out.line().strip_prefix("port ").unwrap().parse().unwrap();
    let mut first = Peer::connect(port);
    first.send("point Ada\npoint Ada\npoint\nquit\n");
    let replies = "Welcome to the server\n1\n2\nThe command failed: a name is missing\n";
    assert_eq!(String::from_utf8(first.rest()).unwrap(), replies);
    assert!(program.out.line().starts_with("Connection has been established with client IP "));
    assert_eq!(program.out.line(), "client 1 has left after 4 commands: the client quit");
    let mut second = Peer::connect(port);
    second.send("point Bob\nhelp point\nstop\n");
    assert_eq!(String::from_utf8(second.rest()).unwrap(), "Welcome to the server\n1\npoint NAME\ngoodbye\n");
    program.out.line();
    let printed = "client 2 has left after 3 commands: the client quit\nAda: 2\nBob: 1\n";
    program.finish().assert(0, printed, "");
}

#[test]
fn fake_clock_runs() {
    assert_eq!(output_of(&mut example("fake_clock")), "midnight has passed\n");
}

#[test]
fn many_clients_runs() {
    let printed = output_of(example("many_clients").arg("200"));
    assert!(printed.starts_with("200 clients connected in "), "{printed}");
    assert!(printed.contains("200 clients answered in "), "{printed}");
    assert!(printed.contains("100000 pipelined questions answered in "), "{printed}");
    assert!(printed.ends_with("200 clients in the list, 100200 commands\n"), "{printed}");
}

/// The student's client frames nothing: it sends a bare command, and the bytes of one read are the reply.
#[test]
fn the_classroom_client_runs() {
    if !common::installed(&["python3"]) {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let server = common::builder().timezone("UTC").start().unwrap();
    let mut python = Command::new("python3");
    let port = server.port().to_string();
    python.arg(root.join("examples/python/classroom_client.py")).args(["127.0.0.1", port.as_str()]);
    let mut client = Program::start(&mut python);
    client.send("day\nDATE\n\nnonsense\nquit\n");
    let ended = client.finish();
    let prompt = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: ";
    let printed = format!(
        "Welcome to the server\n{prompt}Sunday\n{prompt}26-11-22\n{prompt}{prompt}You entered an invalid command\n{prompt}"
    );
    assert_eq!((ended.code, ended.out.trim_end_matches('\n')), (Some(0), printed.as_str()), "{ended:?}");
    let programs = fs::read_to_string(root.join("src/bin/daytime-client.rs")).unwrap();
    assert!(programs.contains(prompt), "daytime-client has the same prompt");
}

/// Every relative link of a document leads to a file of the repository.
#[test]
fn the_links_of_the_documents_have_targets() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documents = [
        "README.md",
        ".github/CONTRIBUTING.md",
        "examples/c/README.md",
        "examples/container/README.md",
        "examples/haproxy/README.md",
        "examples/kubernetes/README.md",
        "examples/nginx/README.md",
        "examples/systemd/README.md",
        "python/README.md",
        "src/protocol/protocol.md",
        "tests/bench/README.md",
    ];
    for document in documents {
        let text = fs::read_to_string(root.join(document)).unwrap_or_else(|error| panic!("{document}: {error}"));
        let folder = root.join(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.starts_with("http") {
                assert!(folder.join(target).exists(), "{document} links to {link}");
            }
        }
    }
}

#[test]
fn an_external_crate_builds_without_the_programs_dependencies() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // The target directory stays, so that the next build is quicker.
    let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("outside");
    fs::create_dir_all(place.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"outside\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n\n\
         [dependencies]\ndaytime = {{ path = {root:?}, default-features = false }}\n"
    );
    fs::write(place.join("Cargo.toml"), manifest).unwrap();
    fs::copy(root.join("Cargo.lock"), place.join("Cargo.lock")).unwrap();
    fs::copy(root.join("examples/rust/embed.rs"), place.join("src/main.rs")).unwrap();
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(arguments).current_dir(&place).env("CARGO_TARGET_DIR", place.join("target"));
        cargo
    };
    let tree = output_of(&mut cargo(&["tree", "--edges", "normal", "--prefix", "none"]));
    for unwanted in ["clap", "rustyline", "signal-hook", "pyo3", "proptest", "tokio"] {
        assert!(!tree.contains(unwanted), "{tree}");
    }
    assert!(tree.contains("mio v"), "{tree}");
    output_of(&mut cargo(&["build", "--quiet"]));
    check_embed(embed(Command::new(place.join("target/debug/outside"))));
}

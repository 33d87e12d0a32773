//! The examples in Rust, run as a reader would run them, and a crate outside of this one that uses the library alone.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Once,
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

/// An example, built as `cargo run --example` builds it.
fn example(name: &str) -> Command {
    static BUILT: Once = Once::new();
    BUILT.call_once(|| {
        told(
            Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--examples"])
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        );
    });
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    Command::new(target.join("debug/examples").join(name))
}

fn told(command: &mut Command) -> String {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?} {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs `embed` until a client shuts it down, and gives the client's and the program's words.
fn embed(mut command: Command) -> (String, String) {
    let mut program = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(program.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let port: u16 = first.trim().strip_prefix("port ").unwrap().parse().unwrap();
    let mut peer = TcpStream::connect(("127.0.0.1", port)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    peer.write_all(b"echo hello  there\nsum 1 2 39\nsum up\nvisits\nvisits\nshutdown\n").unwrap();
    let (mut replies, mut log) = (String::new(), String::new());
    peer.read_to_string(&mut replies).unwrap();
    drop(peer);
    out.read_to_string(&mut log).unwrap();
    assert!(program.wait().unwrap().success());
    (replies, log)
}

fn check_embed((replies, log): (String, String)) {
    assert_eq!(replies, "Welcome to the server\nhello  there\n42\nThe command failed\n1\n2\nuntil next time\n");
    let lines: Vec<&str> = log.lines().collect();
    assert!(lines[0].starts_with("Connection has been established with client IP 127.0.0.1 and port is "), "{log}");
    assert_eq!(lines[1], "sum failed: invalid digit found in string");
    assert!(lines[2].ends_with("has been closed after 6 commands: it said quit"), "{log}");
    assert_eq!(lines[3], "6 commands for 1 clients");
}

#[test]
fn embed_runs() {
    check_embed(embed(example("embed")));
}

#[test]
fn fake_clock_runs() {
    assert_eq!(told(&mut example("fake_clock")), "midnight has passed\n");
}

#[test]
fn many_clients_runs() {
    let told = told(example("many_clients").arg("200"));
    assert!(told.starts_with("200 clients connected in "), "{told}");
    assert!(told.contains("200 clients answered in "), "{told}");
    assert!(told.contains("100000 pipelined questions answered in "), "{told}");
    assert!(told.ends_with("200 clients in the list, 100200 commands\n"), "{told}");
}

#[test]
fn a_crate_outside_builds_without_the_programs_dependencies() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
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
    let tree = told(&mut cargo(&["tree", "--edges", "normal", "--prefix", "none"]));
    for unwanted in ["clap", "rustyline", "signal-hook", "pyo3", "proptest"] {
        assert!(!tree.contains(unwanted), "{tree}");
    }
    assert!(tree.contains("mio v"), "{tree}");
    told(&mut cargo(&["build", "--quiet"]));
    check_embed(embed(Command::new(place.join("target/debug/outside"))));
}

//! The examples in Rust, run as a reader would run them, and a crate that uses the library alone.

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

/// Runs it to its end: its standard output.
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
    assert!(lines[2].ends_with("has been closed after 6 commands: it said quit"), "{log}");
    assert_eq!(lines[3], "6 commands for 1 clients");
}

#[test]
fn embed_runs() {
    check_embed(embed(example("embed")));
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

#[test]
fn a_crate_outside_builds_without_the_programs_dependencies() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // Kept from run to run: the next build has less to do.
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
    for unwanted in ["clap", "rustyline", "signal-hook", "pyo3", "proptest"] {
        assert!(!tree.contains(unwanted), "{tree}");
    }
    assert!(tree.contains("mio v"), "{tree}");
    output_of(&mut cargo(&["build", "--quiet"]));
    check_embed(embed(Command::new(place.join("target/debug/outside"))));
}

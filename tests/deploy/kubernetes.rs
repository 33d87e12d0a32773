//! `examples/kubernetes`: the settings in the ConfigMap, and the probes. `tests/python/test_deploy.py` checks the rest.

use std::{collections::BTreeSet, fs, process::Command};

use crate::{
    common::{
        Folder,
        process::{Program, SERVER, port_in, replies_to, run},
    },
    example,
};

#[test]
fn the_server_accepts_the_settings_of_the_config_map() {
    let folder = Folder::new();
    let file = settings(&folder);
    let checked = run(SERVER, &["--config", &file, "--check"], "");
    assert_eq!((checked.code, &*checked.err), (Some(0), ""));
    assert!(checked.out.starts_with("listen: [::]:9990\n"), "{}", checked.out);
}

#[test]
fn the_server_answers_the_probes() {
    let folder = Folder::new();
    let mut command = Command::new(SERVER);
    command.args(["--config", &settings(&folder), "--listen", "127.0.0.1:0", "--listen-metrics", "127.0.0.1:0"]);
    let mut server = Program::start(&mut command);
    port_in(&server.out.line());
    let line = server.out.line();
    let port =
        line.strip_prefix("Server is listening on 127.0.0.1:").and_then(|line| line.strip_suffix(" for metrics"));
    let port = port.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
    let manifest = manifest();
    let paths = manifest.split("httpGet: {path: ").skip(1).map(|rest| rest.split(',').next().unwrap());
    let paths: BTreeSet<&str> = paths.collect();
    assert_eq!(paths, BTreeSet::from(["/healthz", "/readyz"]));
    for (path, status) in paths.into_iter().map(|path| (path, "200")).chain([("/health", "404")]) {
        let reply = replies_to(port, &format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
        assert!(reply.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {reply}");
    }
}

fn manifest() -> String {
    fs::read_to_string(example("kubernetes/daytime.yaml")).unwrap()
}

/// The settings in the ConfigMap, as a file.
#[track_caller]
fn settings(folder: &Folder) -> String {
    let manifest = manifest();
    let (_, rest) = manifest.split_once("  daytime.toml: |\n").unwrap();
    let settings: Vec<&str> = rest.lines().map_while(|line| line.strip_prefix("    ")).collect();
    assert!(settings.len() >= 5, "{settings:?}");
    folder.write("daytime.toml", &settings.join("\n"))
}

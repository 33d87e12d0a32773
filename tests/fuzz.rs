//! The committed inputs of the fuzz targets, replayed with the same oracles: the seeds, and the inputs that once failed.
//!
//! CONTRIBUTING.md says how to run a target, and how to add an input.

mod oracles;

use std::{fs, path::Path};

/// Passes each committed input of a target to its oracle, and the empty input.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    if !folder.exists() {
        println!("SKIPPED: a published package does not have the inputs");
        return;
    }
    check(b"");
    let mut inputs = 0;
    for kind in ["seeds", "regressions"] {
        let Ok(files) = fs::read_dir(folder.join(kind).join(target)) else { continue };
        for file in files {
            let path = file.expect("the folder can be read").path();
            // Shown by a test that fails.
            println!("{}", path.display());
            check(&fs::read(&path).expect("the file can be read"));
            inputs += 1;
        }
    }
    assert!(inputs > 2, "{inputs} inputs");
}

#[test]
fn server_session() {
    replay("server_session", oracles::server_session::check);
}

#[test]
fn client_session() {
    replay("client_session", oracles::client_session::check);
}

#[test]
fn texts() {
    replay("texts", oracles::texts::check);
}

#[cfg(feature = "cli")]
#[test]
fn settings() {
    replay("settings", oracles::settings::check);
}

#[test]
fn networks() {
    replay("networks", oracles::networks::check);
}

#[test]
fn proxy_header() {
    replay("proxy_header", oracles::proxy_header::check);
}

#[cfg(feature = "capi")]
#[test]
fn capi() {
    replay("capi", oracles::capi::check);
}

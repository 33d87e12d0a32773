//! What the compiler says about wrong handlers. The error must name the mistake, and what a handler can return.
//!
//! `TRYBUILD=overwrite cargo test --test compile_errors` writes the expected errors again. For a new compiler, set
//! [`COMPILER`] first.

mod common;

use std::{env, process::Command};

/// The compiler that wrote `tests/compile_errors/*.stderr`. Another version words its errors in other ways.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn a_wrong_handler_gets_a_readable_error() {
    // Cargo and trybuild choose the compiler in the same way.
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(&rustc).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    match version {
        Ok(version) if version.starts_with(COMPILER) => {
            trybuild::TestCases::new().compile_fail("tests/compile_errors/*.rs");
        }
        Ok(version) => common::skip(format!("the expected errors are those of {COMPILER}*, got {version}")),
        Err(error) => common::skip(format!("{}: {error}", rustc.display())),
    }
}

//! A server and the children of its process. tests/c/fork.c and tests/python/test_process.py test a child without exec.

use crate::common::{in_own_process, server, skip};

#[test]
fn a_child_process_inherits_no_descriptor() {
    if !in_own_process() {
        return;
    }
    // A child without exec is not safe in Rust, so this child replaces itself. C and Python test the other kind.
    let server = server();
    let child = std::process::Command::new("sh").args(["-c", "ls -l /proc/self/fd | grep -c socket"]).output();
    let Ok(child) = child else { return skip("sh is missing") };
    assert_eq!(String::from_utf8_lossy(&child.stdout).trim(), "0", "every descriptor is closed on exec");
    drop(server);
}

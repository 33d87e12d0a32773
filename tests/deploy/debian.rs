//! The Debian package, built by the commands of its README from the tests' programs, and judged by lintian.

use std::{fs, path::Path, process::Command};

use crate::{
    common::{
        Folder, installed,
        process::{CLIENT, SERVER},
    },
    example,
};

/// Runs a line of a shell in the repository, for five minutes at most: its standard output.
#[track_caller]
fn shell(line: &str, target: &Path) -> String {
    let mut command = Command::new("timeout");
    command.args(["300", "sh", "-ec", line]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.env("CARGO_TARGET_DIR", target).output().unwrap();
    assert!(output.status.success(), "{line}\n{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn lintian_finds_no_error_in_the_package() {
    if !installed(&["cargo-deb", "dpkg-deb", "dpkg-shlibdeps", "lintian"]) {
        return;
    }
    let target = Folder::new();
    fs::create_dir(target.at("release")).unwrap();
    for program in [SERVER, CLIENT] {
        let name = Path::new(program).file_name().unwrap();
        fs::copy(program, target.at("release").join(name)).unwrap();
    }
    // The commands up to `cargo deb`, without the build.
    let readme = fs::read_to_string(example("debian/README.md")).unwrap();
    let commands: Vec<&str> = readme.lines().filter_map(|line| line.strip_prefix("$ ")).take(5).collect();
    assert!(commands[0].starts_with("cargo build --release ") && commands[4].starts_with("cargo deb "), "{readme}");
    for command in &commands[1..] {
        let here = command.replace("target/", &format!("{}/", target.path().display()));
        shell(&here, target.path());
    }

    let mut package = fs::read_dir(target.at("debian")).unwrap().map(|entry| entry.unwrap().path());
    let package = package.find(|path| path.extension().is_some_and(|extension| extension == "deb")).unwrap();
    let package = package.display();
    let contents = shell(&format!("dpkg-deb --contents {package}"), target.path());
    for file in [
        "etc/daytime.toml",
        "usr/lib/systemd/system/daytime.service",
        "usr/lib/systemd/system/daytime.socket",
        "usr/bin/daytime-client",
        "usr/bin/daytime-server",
        "usr/share/bash-completion/completions/daytime-client",
        "usr/share/bash-completion/completions/daytime-server",
        "usr/share/fish/vendor_completions.d/daytime-client.fish",
        "usr/share/fish/vendor_completions.d/daytime-server.fish",
        "usr/share/man/man1/daytime-client.1.gz",
        "usr/share/man/man8/daytime-server.8.gz",
        "usr/share/zsh/vendor-completions/_daytime-client",
        "usr/share/zsh/vendor-completions/_daytime-server",
    ] {
        assert!(contents.lines().any(|line| line.ends_with(&format!("/{file}"))), "{file} is missing:\n{contents}");
    }
    assert_eq!(shell(&format!("dpkg-deb --info {package} conffiles"), target.path()), "/etc/daytime.toml\n");
    assert_eq!(shell(&format!("dpkg-deb --field {package} Recommends"), target.path()), "tzdata\n");
    // Shown with `--nocapture`: the warnings that stay.
    println!("{}", shell(&format!("lintian --allow-root --fail-on error {package}"), target.path()));
}

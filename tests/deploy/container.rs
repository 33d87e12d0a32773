//! `examples/container`: the image FROM scratch, built by buildah, and asked inside a chroot.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use nix::sys::signal::Signal;

use crate::{
    common::{
        Folder, installed,
        process::{CLIENT, Program, port_in, run},
        skip,
    },
    example,
};

#[test]
fn the_image_from_scratch_serves_without_root_and_without_files() {
    if !installed(&["buildah", "cc", "chroot"]) {
        return;
    }
    if run("chroot", &["--userspec=65532:65532", "/", "true"], "").code != Some(0) {
        return skip("this user may not use chroot");
    }
    if !Path::new("/usr/share/zoneinfo/Asia/Tokyo").is_file() {
        return skip("/usr/share/zoneinfo is missing");
    }
    let folder = Folder::new();
    let source = folder.write("main.c", "int main(void) { return 0; }");
    if run("cc", &["-static", "-o", &folder.name("main"), &source], "").code != Some(0) {
        return skip("a static C library is missing");
    }
    let image = Image::build(folder);
    assert_eq!(image.inspect("User"), "65532:65532");
    let entrypoint = image.inspect("Entrypoint");
    let program = entrypoint.trim_matches(['[', ']']);

    let cmd = image.inspect("Cmd");
    let arguments = cmd.trim_matches(['[', ']']).split(' ');
    let checked = image.command(program).args(arguments).arg("--check").output().unwrap();
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(printed.starts_with("listen: [::]:9990\n"), "{printed}");

    let mut server = Program::start(image.command(program).args(["--listen", "127.0.0.1:0", "--quiet"]));
    let port = port_in(&server.out.line());
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    assert!(status.contains("\nUid:\t65532\t65532\t65532\t65532\n"), "{status}");
    let address = format!("127.0.0.1:{port}");
    let asked = run(CLIENT, &["--connect", &address, "datetime Asia/Tokyo"], "");
    assert!(asked.code == Some(0) && asked.out.ends_with("+09:00\n"), "{asked:?}");
    let client = PathBuf::from(program).with_file_name("daytime-client");
    let asked = image.command(client).args(["--connect", &address, "day", "time Europe/Berlin"]).output().unwrap();
    assert!(asked.status.success(), "{asked:?}");
    server.signal(Signal::SIGTERM);
    server.finish().assert(0, "", "");
}

/// A built image in a storage of its own.
struct Image {
    folder: Folder,
    /// Its root folder.
    root: String,
}

impl Image {
    /// Builds the stage `minimal`. A folder takes the place of the stage `static`, which needs a registry.
    #[track_caller]
    fn build(folder: Folder) -> Image {
        let place = static_programs();
        let root = folder.at("static/image");
        fs::create_dir_all(root.join("usr/local/bin")).unwrap();
        fs::create_dir_all(root.join("usr/share")).unwrap();
        for program in ["daytime-server", "daytime-client"] {
            fs::copy(place.join(program), root.join("usr/local/bin").join(program)).unwrap();
        }
        let copied = run("cp", &["-r", "/usr/share/zoneinfo", root.join("usr/share").to_str().unwrap()], "");
        assert_eq!(copied.code, Some(0), "{copied:?}");
        let mut image = Image { folder, root: String::new() };
        let file = example("container/Containerfile");
        let stage = format!("static={}", image.folder.name("static"));
        image.buildah(
            &[
                &["bud", "--isolation", "chroot", "--target", "minimal", "--build-context", &stage, "--tag", "daytime"]
                    [..],
                &["--file", file.to_str().unwrap(), image.folder.path().to_str().unwrap()],
            ]
            .concat(),
        );
        let container = image.buildah(&["from", "--pull-never", "localhost/daytime"]);
        image.root = image.buildah(&["mount", &container]);
        image
    }

    /// Runs buildah, which must succeed. Returns its output.
    #[track_caller]
    fn buildah(&self, arguments: &[&str]) -> String {
        let [root, run_root] = ["storage", "run"].map(|name| self.folder.name(name));
        let storage = ["--root", &root, "--runroot", &run_root, "--storage-driver", "vfs"];
        let ended = run("buildah", &[&storage[..], arguments].concat(), "");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.out.trim_end().to_owned()
    }

    /// A part of the image's configuration.
    fn inspect(&self, part: &str) -> String {
        let format = format!("{{{{.OCIv1.Config.{part}}}}}");
        self.buildah(&["inspect", "--type", "image", "--format", &format, "localhost/daytime"])
    }

    /// A program in the image, as the image's user and with its environment.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("chroot");
        let variables = self.inspect("Env");
        let variables = variables.trim_matches(['[', ']']).split(' ').filter_map(|pair| pair.split_once('='));
        command.env_clear().envs(variables);
        command.args(["--userspec=65532:65532", "--groups=65532", &self.root]).arg(program.as_ref());
        command
    }
}

/// The folder of both programs, built as the Containerfile builds them, but without optimization. Cargo sees the files
/// that the Containerfile copies, and no others. The target folder stays, so that the next build is quicker.
#[track_caller]
fn static_programs() -> PathBuf {
    let host = run("rustc", &["--print", "host-tuple"], "").out;
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("static");
    let source = target.join("source");
    let _ = fs::remove_dir_all(&source);
    fs::create_dir_all(&source).unwrap();
    for name in copied_files() {
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name), source.join(&name)).unwrap();
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked", "--bins", "--target", host.trim_end()]);
    cargo.current_dir(&source).env("CARGO_TARGET_DIR", &target);
    cargo.env("RUSTFLAGS", "-C target-feature=+crt-static -C debuginfo=0").stderr(Stdio::inherit());
    assert!(cargo.status().unwrap().success(), "{cargo:?}");
    target.join(host.trim_end()).join("debug")
}

/// The files and folders of the repository that the Containerfile copies. The last word of a line is their destination.
fn copied_files() -> Vec<String> {
    let text = fs::read_to_string(example("container/Containerfile")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.starts_with("--"));
    let words = lines.flat_map(|line| line.rsplit(' ').skip(1));
    let names: Vec<String> = words.map(str::to_owned).collect();
    assert!(names.len() >= 4, "{names:?}");
    names
}

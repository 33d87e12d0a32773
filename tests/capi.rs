//! The C API: the library as `cargo clib` builds it, C programs that use it, and tools that check them. A tool that is
//! not installed is reported in a line that begins with "SKIPPED".

mod common;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use common::{Folder, installed, process::Program};
use nix::sys::signal::Signal;

const SUITE: [&str; 13] = [
    "lifecycle",
    "arguments",
    "errors",
    "strings",
    "commands",
    "deferred",
    "hooks",
    "events",
    "sockets",
    "rfc",
    "changes",
    "host",
    "fork",
];
const EXAMPLES: [&str; 4] = ["server", "client", "custom_command", "events"];
/// What the example in C++ prints.
const RAII: &str = "double 21: 42\nerror: stoi\n";
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
/// `cargo rustc … -- --print native-static-libs`
const STATIC_LIBS: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];
/// The time within which a program must end, under Valgrind too.
const TIMEOUT: Duration = Duration::from_secs(120);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a command to its end: the exit status, and the output.
fn finish(command: &mut Command) -> (ExitStatus, String) {
    // Cargo sets it for a test. A library of another build in its target directory would take the place of the tested one.
    if command.get_envs().all(|(name, _)| name != "LD_LIBRARY_PATH") {
        command.env_remove("LD_LIBRARY_PATH");
    }
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    let [output, errors] = [(); 2].map(|()| file.try_clone().expect("a descriptor can be duplicated"));
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("it can be started");
    let mut printed = || {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).expect("the file can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let began = Instant::now();
    loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => return (status, printed()),
            None if began.elapsed() > TIMEOUT => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} does not end: {}", printed());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    }
}

fn run(command: &mut Command) -> String {
    let (status, output) = finish(command);
    assert!(status.success(), "{command:?}: {status}\n{output}");
    output
}

fn cargo() -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", target());
    cargo
}

/// The target directory of the library, a separate one: the build does not wait for the lock of the tests.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target directory").join("clib")
}

/// The folder of the library, built by the command in the README.
fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let status = cargo().args(["clib", "--locked", "--quiet"]).status().expect("cargo can be run");
        assert!(status.success(), "cargo clib: {status}");
        target().join("release")
    })
}

fn static_link() -> Vec<String> {
    let mut link = vec![library().join("libdaytime.a").display().to_string()];
    link.extend(STATIC_LIBS.map(String::from));
    link
}

fn shared_link() -> Vec<String> {
    let directory = library().display();
    vec![
        format!("-L{directory}"),
        "-ldaytime".into(),
        format!("-Wl,-rpath,{directory}"),
        "-lm".into(),
        "-pthread".into(),
    ]
}

fn compile(compiler: &str, flags: &[&str], source: &str, program: &Path, link: &[String]) {
    let mut command = Command::new(compiler);
    command.args(STRICT).args(flags).arg("-g").arg("-I").arg(root().join("include")).arg("-o").arg(program);
    run(command.arg(root().join(source)).args(link));
}

/// Compiles the C suite and runs each program behind `runner`.
fn suite(flags: &[&str], link: &[String], runner: impl Fn(&str, &Path) -> Command) {
    let folder = Folder::new();
    let flags = [&["-std=gnu11"], flags].concat();
    for test in SUITE {
        let program = folder.at(test);
        compile("cc", &flags, &format!("tests/c/{test}.c"), &program, link);
        run(&mut runner(test, &program));
    }
}

#[test]
fn the_suite_runs_against_the_shared_library() {
    if installed(&["cc"]) {
        suite(&[], &shared_link(), |_, program| Command::new(program));
    }
}

#[test]
fn the_suite_is_clean_under_sanitizers_against_the_static_library() {
    if installed(&["cc"]) {
        let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        suite(&flags, &static_link(), |_, program| Command::new(program));
    }
}

#[test]
fn the_suite_frees_every_block() {
    if installed(&["cc", "valgrind"]) {
        suite(&[], &shared_link(), |test, program| {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--error-exitcode=1", "--show-leak-kinds=all", "--errors-for-leak-kinds=all"]);
            // A child of fork() has the memory of threads that do not exist in it.
            valgrind.arg(if test == "fork" { "--leak-check=no" } else { "--leak-check=full" }).arg(program);
            valgrind
        });
    }
}

#[test]
fn the_header_stands_alone_in_c_and_cpp() {
    let folder = Folder::new();
    let source = folder.at("header.c");
    fs::write(
        &source,
        "#include \"daytime.h\"\n#include \"daytime.h\"\nint main(void) { return daytime_version() == 0; }\n",
    )
    .expect("the folder can be written");
    let languages = [
        ("cc", ["-xc", "-std=gnu89"]),
        ("cc", ["-xc", "-std=c99"]),
        ("c++", ["-xc++", "-std=c++98"]),
        ("c++", ["-xc++", "-std=c++17"]),
    ];
    for (compiler, flags) in languages {
        if installed(&[compiler]) {
            let program = folder.at(flags[1]);
            compile(compiler, &flags, &source.display().to_string(), &program, &shared_link());
            run(&mut Command::new(program));
        }
    }
}

#[test]
fn the_program_of_the_readme_prints_the_day() {
    if !installed(&["cc"]) {
        return;
    }
    let readme = fs::read_to_string(root().join("README.md")).expect("it is committed");
    let program =
        readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("the README has a program in C");
    let manual = fs::read_to_string(root().join("examples/c/README.md")).expect("it is committed");
    assert!(manual.contains(&STATIC_LIBS.join(" ")), "the manual says how to link the static library");
    let folder = Folder::new();
    let source = folder.at("day.c");
    fs::write(&source, program).expect("the folder can be written");
    for (name, link) in [("shared", shared_link()), ("static", static_link())] {
        compile("cc", &["-std=c11"], &source.display().to_string(), &folder.at(name), &link);
        assert!(run(&mut Command::new(folder.at(name))).ends_with("day\n"));
    }
}

#[test]
fn every_declared_function_is_exported_and_called_with_null() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("it is committed");
    let (header, arguments) = (read("include/daytime.h"), read("tests/c/arguments.c"));
    let functions =
        header.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('('));
    let name = |line: &str| line.split('(').next()?.split([' ', '*']).next_back().map(str::to_owned);
    let declared: BTreeSet<String> = functions.filter(|line| !line.starts_with("typedef")).filter_map(name).collect();
    assert!(declared.len() > 50, "{declared:?}");
    let oracle = read("tests/oracles/capi.rs");
    let names: Vec<&str> = oracle.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for function in &declared {
        assert!(arguments.contains(&format!("{function}(")), "{function} has no line in arguments.c");
        // Its declaration, and a call.
        assert!(names.iter().filter(|name| *name == function).count() > 1, "the fuzz oracle does not call {function}");
    }
    if installed(&["nm"]) {
        let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("libdaytime.so")));
        let exported = symbols.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
        assert_eq!(declared, exported);
    }
}

#[test]
fn the_library_works_as_a_plug_in() {
    if installed(&["cc"]) {
        let folder = Folder::new();
        let (program, first, second) =
            (folder.at("unload"), library().join("libdaytime.so"), folder.at("libsecond.so"));
        fs::copy(&first, &second).expect("the folder can be written");
        compile("cc", &["-std=gnu11"], "tests/c/unload.c", &program, &["-ldl".into(), "-pthread".into()]);
        run(Command::new(program).arg(first).arg(second));
    }
}

#[test]
fn an_exception_in_a_handler_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    if installed(&["c++"]) {
        let folder = Folder::new();
        let program = folder.at("throw");
        compile("c++", &["-std=c++11"], "tests/c/throw.cpp", &program, &shared_link());
        let (status, output) = finish(&mut Command::new(program));
        assert_eq!(status.signal(), Some(nix::libc::SIGABRT), "{output}");
    }
}

#[test]
fn the_examples_run_as_described() {
    if !installed(&["cc", "c++", "make"]) {
        return;
    }
    for library_kind in [None, Some("STATIC=1")] {
        let folder = Folder::new();
        let mut make = Command::new("make");
        make.arg("-C").arg(root().join("examples/c")).arg(format!("OUT={}", folder.path().display()));
        run(make.arg(format!("LIB={}", library().display())).args(library_kind));
        assert!(EXAMPLES.iter().all(|example| folder.at(example).is_file()));

        let printed = run(&mut Command::new(folder.at("custom_command")));
        assert_eq!(
            printed,
            "greet: Good day, client 1\ndouble 21: 42\ndouble it: expected double NUMBER\n\
             help double: double NUMBER\ncount: 1\ncount: 2\nshutdown: until next time\n"
        );
        assert_eq!(run(&mut Command::new(folder.at("raii"))), RAII);
        let printed = run(&mut Command::new(folder.at("events")));
        assert!(
            printed.contains("was an error: tea\n") && printed.ends_with("the client quit\n3 commands\n"),
            "{printed}"
        );
        converse(&folder);
    }
}

/// Runs the examples `server` and `client`, which replace the two programs of the original. A signal ends the server.
fn converse(folder: &Folder) {
    let mut server = Program::start(Command::new(folder.at("server")).arg("127.0.0.1:0"));
    let line = server.out.line();
    let address = line.strip_prefix("Server is listening on ").expect("the server prints its address");
    let mut client = Program::start(Command::new(folder.at("client")).arg(address));
    client.send("tea\ntimestamp\nquit\n");
    let ended = client.finish();
    assert!(ended.code == Some(0) && ended.out.starts_with("Welcome to the server\nEnter the command"), "{ended:?}");
    assert!(ended.out.contains(": You entered an invalid command\n"), "{ended:?}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.finish().code, Some(0));
}

/// The console lines that a heading of the C manual has, without prompts.
fn console(heading: &str) -> Vec<String> {
    let manual = fs::read_to_string(root().join("examples/c/README.md")).expect("it is committed");
    let section = manual.split(&format!("\n## {heading}\n")).nth(1).expect("the manual has this heading");
    let block = section.split("```console\n").nth(1).and_then(|rest| rest.split("```").next());
    block.expect("it has a block").lines().map(|line| line.trim_start_matches("$ ").to_owned()).collect()
}

/// The recipe of the manual, with another prefix, and without what only root can do.
#[test]
fn the_recipe_installs_what_pkg_config_cmake_and_meson_find() {
    if !installed(&["cc", "c++", "pkg-config", "readelf", "install", "sed", "sh"]) {
        return;
    }
    let folder = Folder::new();
    let prefix = folder.path().join("prefix");
    let lines = console("Install");
    assert_eq!(lines[0], concat!("PREFIX=/usr/local VERSION=", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines.last().map(String::as_str), Some("ldconfig"));
    let install = target().join("install");
    let script = lines[1..lines.len() - 1]
        .join("\n")
        .replace("--target-dir target/install", "--locked --quiet --target-dir \"$INSTALL\"")
        .replace("target/install/release", "\"$INSTALL\"/release");
    let mut shell = Command::new("sh");
    shell.current_dir(root()).args(["-euc", &script]).env("INSTALL", &install);
    // A quick build: the flags of the linker and the files are what matters.
    shell.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    run(shell.env("PREFIX", &prefix).env("VERSION", env!("CARGO_PKG_VERSION")));

    let libraries = prefix.join("lib");
    let dynamic = run(Command::new("readelf").arg("-d").arg(libraries.join("libdaytime.so")));
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    assert!(dynamic.contains(&format!("soname: [libdaytime.so.{major}.{minor}]")), "{dynamic}");

    let tool = |name: &str| {
        let mut command = Command::new(name);
        command.env("PKG_CONFIG_PATH", libraries.join("pkgconfig")).env("LD_LIBRARY_PATH", &libraries);
        command
    };
    let version = run(tool("pkg-config").args(["--modversion", "daytime"]));
    assert_eq!(version.trim(), env!("CARGO_PKG_VERSION"));
    for linking in [&["--cflags", "--libs"][..], &["--cflags", "--libs", "--static"]] {
        let flags = run(tool("pkg-config").args(linking).arg("daytime"));
        let program = folder.at("linked");
        let mut compiler = Command::new("c++");
        compiler.arg("-std=c++17").arg(root().join("examples/c/raii.cpp")).arg("-o").arg(&program);
        run(compiler.args(flags.split_whitespace()));
        assert_eq!(run(&mut tool(&program.display().to_string())), RAII);
    }
    let examples = root().join("examples/c");
    if installed(&["cmake"]) {
        let build = folder.path().join("cmake");
        run(tool("cmake").arg("-B").arg(&build).arg("-S").arg(&examples));
        run(tool("cmake").arg("--build").arg(&build));
        assert_eq!(run(&mut tool(&build.join("raii").display().to_string())), RAII);
    }
    if installed(&["meson", "ninja"]) {
        let build = folder.path().join("meson");
        run(tool("meson").arg("setup").arg(&build).arg(&examples));
        run(tool("meson").args(["compile", "-C"]).arg(&build));
        assert_eq!(run(&mut tool(&build.join("raii").display().to_string())), RAII);
    }
}

#[test]
fn an_installed_library_is_found_by_pkg_config() {
    if !installed(&["cc", "cargo-cinstall", "pkg-config", "readelf"]) {
        return;
    }
    let folder = Folder::new();
    let stage = folder.path();
    let mut install = Command::new("cargo");
    install.current_dir(root()).env("CARGO_TARGET_DIR", target());
    install.args(["cinstall", "--release", "--locked", "--offline", "--prefix=/usr", "--libdir=/usr/lib", "--destdir"]);
    assert!(install.arg(stage).status().expect("cargo-c can be run").success());
    let libraries = stage.join("usr/lib");
    let dynamic = run(Command::new("readelf").arg("-d").arg(libraries.join("libdaytime.so")));
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    assert!(dynamic.contains(&format!("soname: [libdaytime.so.{major}.{minor}]")), "{dynamic}");
    assert!(libraries.join("libdaytime.a").is_file() && stage.join("usr/include/daytime.h").is_file());

    for linking in [&["--cflags", "--libs"][..], &["--cflags", "--libs", "--static"]] {
        let flags = run(Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", stage)
            .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
            .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
            .args(linking)
            .arg("daytime"));
        let program = stage.join("custom_command");
        let mut cc = Command::new("cc");
        cc.arg(root().join("examples/c/custom_command.c")).arg("-o").arg(&program).args(flags.split_whitespace());
        run(&mut cc);
        let printed = run(Command::new(&program).env("LD_LIBRARY_PATH", OsStr::new(&libraries)));
        assert!(printed.ends_with("shutdown: until next time\n"), "{printed}");
    }
}

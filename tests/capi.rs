//! The C face from outside: the library as `cargo clib` makes it, C programs that use it, and the tools that watch them.
//! What a machine lacks is told in a line that begins with "SKIPPED".

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

const SUITE: [&str; 10] =
    ["lifecycle", "arguments", "strings", "commands", "told", "sockets", "rfc", "changes", "host", "fork"];
const EXAMPLES: [&str; 4] = ["server", "client", "own_command", "events"];
const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pedantic"];
/// `cargo rustc … -- --print native-static-libs`
const STATIC_LIBS: [&str; 7] = ["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl", "-lc"];
const PATIENCE: Duration = Duration::from_secs(120);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A directory of a test's own.
fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi").join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&directory).expect("the target directory can be written");
    directory
}

/// Whether the tools are there; where not, says so past the test harness.
fn have(tools: &[&str], test: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let missing = |tool: &&&str| !env::split_paths(&path).any(|directory| directory.join(tool).is_file());
    match tools.iter().find(missing) {
        Some(tool) => writeln!(std::io::stderr(), "SKIPPED: {test}: {tool} is not installed").is_err(),
        None => true,
    }
}

/// Runs to its end, or for as long as patience lasts; its output is kept for who asks why.
fn finish(command: &mut Command) -> (ExitStatus, String) {
    static RUNS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("output-{}-{run}", std::process::id()));
    let output = File::create(&path).expect("the target directory can be written");
    let errors = output.try_clone().expect("a descriptor can be had");
    let mut child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().expect("it can be run");
    let began = Instant::now();
    let status = loop {
        match child.try_wait().expect("it can be waited for") {
            Some(status) => break status,
            None if began.elapsed() > PATIENCE => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{command:?} does not end: {}", fs::read_to_string(&path).unwrap_or_default());
            }
            None => thread::sleep(Duration::from_millis(5)),
        }
    };
    let output = String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).into_owned();
    let _ = fs::remove_file(&path);
    (status, output)
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

/// Of the library's own, so that no build waits for another's lock.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it is below the target directory").join("clib")
}

/// Where the library is, built by the README's line.
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
fn suite(name: &str, flags: &[&str], link: &[String], runner: impl Fn(&str, &Path) -> Command) {
    let directory = scratch(name);
    let flags = [&["-std=gnu11"], flags].concat();
    for test in SUITE {
        let program = directory.join(test);
        compile("cc", &flags, &format!("tests/c/{test}.c"), &program, link);
        run(&mut runner(test, &program));
    }
}

#[test]
fn the_suite_runs_against_the_shared_library() {
    if have(&["cc"], "the C suite") {
        suite("shared", &[], &shared_link(), |_, program| Command::new(program));
    }
}

#[test]
fn the_suite_is_clean_under_sanitizers_against_the_static_library() {
    if have(&["cc"], "the C suite under sanitizers") {
        let flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
        suite("sanitized", &flags, &static_link(), |_, program| Command::new(program));
    }
}

#[test]
fn the_suite_leaves_no_block_behind() {
    if have(&["cc", "valgrind"], "the C suite under valgrind") {
        suite("valgrind", &[], &shared_link(), |test, program| {
            let mut valgrind = Command::new("valgrind");
            valgrind.args(["--quiet", "--error-exitcode=1", "--show-leak-kinds=all", "--errors-for-leak-kinds=all"]);
            // A child has what the threads that it does not have held.
            valgrind.arg(if test == "fork" { "--leak-check=no" } else { "--leak-check=full" }).arg(program);
            valgrind
        });
    }
}

#[test]
fn the_header_stands_alone_in_c_and_cpp() {
    let directory = scratch("header");
    let source = directory.join("header.c");
    fs::write(
        &source,
        "#include \"daytime.h\"\n#include \"daytime.h\"\nint main(void) { return daytime_version() == 0; }\n",
    )
    .expect("the target directory can be written");
    for (compiler, flags) in [("cc", ["-xc", "-std=c99"]), ("c++", ["-xc++", "-std=c++11"])] {
        if have(&[compiler], "the header alone") {
            let program = directory.join(compiler);
            compile(compiler, &flags, &source.display().to_string(), &program, &shared_link());
            run(&mut Command::new(program));
        }
    }
}

#[test]
fn the_readmes_program_tells_the_day() {
    if !have(&["cc"], "the README's program in C") {
        return;
    }
    let readme = fs::read_to_string(root().join("README.md")).expect("it is committed");
    let program = readme.split("```c\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has one in C");
    assert!(readme.contains(&STATIC_LIBS.join(" ")), "it tells how to link the static library");
    let directory = scratch("readme");
    let source = directory.join("day.c");
    fs::write(&source, program).expect("the target directory can be written");
    for (name, link) in [("shared", shared_link()), ("static", static_link())] {
        compile("cc", &["-std=c11"], &source.display().to_string(), &directory.join(name), &link);
        assert!(run(&mut Command::new(directory.join(name))).ends_with("day\n"));
    }
}

#[test]
fn what_is_declared_is_exported_and_called_with_null() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("it is committed");
    let (header, arguments) = (read("include/daytime.h"), read("tests/c/arguments.c"));
    let functions =
        header.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains('('));
    let name = |line: &str| line.split('(').next()?.split([' ', '*']).next_back().map(str::to_owned);
    let declared: BTreeSet<String> = functions.filter(|line| !line.starts_with("typedef")).filter_map(name).collect();
    assert!(declared.len() > 50, "{declared:?}");
    for function in &declared {
        assert!(arguments.contains(&format!("{function}(")), "{function} has no line in arguments.c");
    }
    if have(&["nm"], "the exported functions") {
        let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("libdaytime.so")));
        let exported = symbols.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_owned).collect();
        assert_eq!(declared, exported);
    }
}

#[test]
fn the_library_may_be_a_plug_in() {
    if have(&["cc"], "the library as a plug-in") {
        let directory = scratch("unload");
        let (program, first, second) =
            (directory.join("unload"), library().join("libdaytime.so"), directory.join("libsecond.so"));
        fs::copy(&first, &second).expect("the target directory can be written");
        compile("cc", &["-std=gnu11"], "tests/c/unload.c", &program, &["-ldl".into(), "-pthread".into()]);
        run(Command::new(program).arg(first).arg(second));
    }
}

#[test]
fn an_exception_in_a_handler_ends_the_process() {
    use std::os::unix::process::ExitStatusExt;
    if have(&["c++"], "an exception in a handler") {
        let program = scratch("throw").join("throw");
        compile("c++", &["-std=c++11"], "tests/c/throw.cpp", &program, &shared_link());
        let (status, output) = finish(&mut Command::new(program));
        assert_eq!(status.signal(), Some(nix::libc::SIGABRT), "{output}");
    }
}

#[test]
fn the_examples_do_what_they_say() {
    if !have(&["cc", "make"], "the examples in C") {
        return;
    }
    for (name, library_kind) in [("examples-shared", None), ("examples-static", Some("STATIC=1"))] {
        let directory = scratch(name);
        let mut make = Command::new("make");
        make.arg("-C").arg(root().join("examples/c")).arg(format!("OUT={}", directory.display()));
        run(make.arg(format!("LIB={}", library().display())).args(library_kind));
        assert!(EXAMPLES.iter().all(|example| directory.join(example).is_file()));

        let told = run(&mut Command::new(directory.join("own_command")));
        assert_eq!(
            told,
            "greet: Good day, client 1\ndouble 21: 42\ndouble it: The command failed\nshutdown: until next time\n"
        );
        let told = run(&mut Command::new(directory.join("events")));
        assert!(told.contains("was an error: tea\n") && told.ends_with("it said quit\n3 commands\n"), "{told}");
        converse(&directory);
    }
}

/// The two programs of the original talk to each other, and a signal ends the server.
fn converse(directory: &Path) {
    let mut server = Command::new(directory.join("server"));
    let mut server = server.arg("127.0.0.1:0").stdout(Stdio::piped()).spawn().expect("the server can be run");
    let mut line = String::new();
    BufReader::new(server.stdout.take().expect("it is piped")).read_line(&mut line).expect("the server says where");
    let address = line.trim_end().strip_prefix("Server is listening on ").expect("in these words");
    let client =
        Command::new(directory.join("client")).arg(address).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut client = client.expect("the client can be run");
    let mut input = client.stdin.take().expect("it is piped");
    input.write_all(b"tea\ntimestamp\nquit\n").expect("the client reads");
    let output = client.wait_with_output().expect("the client ends");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.starts_with("Welcome to the server\nEnter the command"), "{said}");
    assert!(said.contains(": You entered an invalid command\n"), "{said}");
    let pid = nix::unistd::Pid::from_raw(server.id().try_into().expect("a process number"));
    nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).expect("the server runs");
    assert!(server.wait().expect("the server ends").success());
}

#[test]
fn an_installed_library_is_found_by_pkg_config() {
    if !have(&["cc", "cargo-cinstall", "pkg-config", "readelf"], "the staged install") {
        return;
    }
    let stage = scratch("stage");
    let mut install = Command::new("cargo");
    install.current_dir(root()).env("CARGO_TARGET_DIR", target());
    install.args(["cinstall", "--release", "--locked", "--offline", "--prefix=/usr", "--libdir=/usr/lib", "--destdir"]);
    assert!(install.arg(&stage).status().expect("cargo-c can be run").success());
    let libraries = stage.join("usr/lib");
    let dynamic = run(Command::new("readelf").arg("-d").arg(libraries.join("libdaytime.so")));
    let (major, minor) = (env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"));
    assert!(dynamic.contains(&format!("soname: [libdaytime.so.{major}.{minor}]")), "{dynamic}");
    assert!(libraries.join("libdaytime.a").is_file() && stage.join("usr/include/daytime.h").is_file());

    for linking in [&["--cflags", "--libs"][..], &["--cflags", "--libs", "--static"]] {
        let flags = run(Command::new("pkg-config")
            .env("PKG_CONFIG_PATH", libraries.join("pkgconfig"))
            .env("PKG_CONFIG_SYSROOT_DIR", &stage)
            .env("PKG_CONFIG_ALLOW_SYSTEM_CFLAGS", "1")
            .env("PKG_CONFIG_ALLOW_SYSTEM_LIBS", "1")
            .args(linking)
            .arg("daytime"));
        let program = stage.join("own_command");
        let mut cc = Command::new("cc");
        cc.arg(root().join("examples/c/own_command.c")).arg("-o").arg(&program).args(flags.split_whitespace());
        run(&mut cc);
        let told = run(Command::new(&program).env("LD_LIBRARY_PATH", OsStr::new(&libraries)));
        assert!(told.ends_with("shutdown: until next time\n"), "{told}");
    }
}

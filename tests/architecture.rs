//! The architecture: which module may use which, and which folders have no import circles.
//!
//! Every path in `src/` is resolved through the `use` declarations of its file and the re-exports of `lib.rs`, then looked
//! up in the tables below. Paths in the tokens of macros count too. `unsafe_code = "deny"` in Cargo.toml can be overridden
//! by an attribute anywhere, so the places of `unsafe` are checked here as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, iter,
    path::Path,
    process::Command,
    slice,
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Item, UseTree, Visibility, visit::Visit};

/// The modules of the crate's root, and the others that each may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("error", &["protocol"]),
    ("escape", &[]),
    ("address", &["error", "escape", "protocol"]),
    ("networks", &["error", "protocol"]),
    ("thread", &["error", "protocol"]),
    ("channel", &[]),
    ("sync", &[]),
    ("cli", &["clock", "escape"]),
    ("clock", &["error", "protocol", "sync"]),
    ("client", &["address", "channel", "error", "protocol", "thread"]),
    ("server", &["address", "channel", "clock", "error", "escape", "networks", "protocol", "sync", "thread"]),
];

/// Modules that must exist: their absence means that this test no longer finds the sources.
const LANDMARKS: &[&str] = &["protocol", "client", "server", "clock"];

/// The bindings use what `lib.rs` exports, and nothing else. Only they may have `unsafe`.
const BINDINGS: &[&str] = &["capi", "python"];

/// The protocol does no I/O, starts no thread and reads no clock.
const NOT_IN_PROTOCOL: &[&str] = &[
    "std::net",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::time::*",
    "mio",
    "socket2",
    "nix",
];

/// The crate that knows the time zones, and the only files that may name it: none of its types is public.
const ZONES: &str = "jiff";
const ZONES_USERS: &[&str] = &["src/protocol/zone.rs", "src/clock.rs"];

/// The files that include another by `#[path]`, and that path. No file may use `include!`.
const INCLUDES: &[(&str, &str)] = &[];

/// Folders in which no files import each other in a circle. The re-exports of a folder's `mod.rs` do not count.
const WITHOUT_CIRCLES: &[&str] = &["src/server", "src/python"];

#[test]
fn every_module_uses_only_allowed_modules() {
    let sources = sources();
    let exports = exports(&sources["src/lib.rs"]);
    for landmark in LANDMARKS {
        assert!(
            sources.keys().any(|file| module_of(file).get(1).is_some_and(|name| name == landmark)),
            "no {landmark}"
        );
    }
    let violations: Vec<String> =
        sources.iter().flat_map(|(file, source)| violations(file, source, &exports)).collect();
    assert!(violations.is_empty(), "\n{}", violations.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let sources = sources();
    let circles: Vec<String> = WITHOUT_CIRCLES.iter().flat_map(|folder| circles(folder, &sources)).collect();
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
}

/// A file that a tool leaves at the top level would also be in the package.
#[test]
fn the_top_level_has_only_the_agreed_files() {
    let agreed = [
        "Cargo.toml",
        "Cargo.lock",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "src",
        "include",
        "python",
        "tests",
        "examples",
    ];
    let git =
        Command::new("git").args(["ls-tree", "--name-only", "HEAD"]).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let Ok(git) = git else { return };
    let names = String::from_utf8(git.stdout).unwrap();
    let others: Vec<&str> = names.lines().filter(|name| !name.starts_with('.') && !agreed.contains(name)).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// The table at the head of tests/server/faults.rs names tests of Rust, C and Python as `FOLDER/FILE::NAME`.
#[test]
fn the_table_of_faults_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &str| {
        let path = if file.starts_with("src/") { root.join(file) } else { root.join("tests").join(file) };
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let table = read("server/faults.rs");
    let references: Vec<(&str, &str)> = table
        .lines()
        .filter(|line| line.starts_with("//! |"))
        .flat_map(|line| line.split('`'))
        .filter_map(|text| text.split_once(".").and(text.split_once("::")))
        .collect();
    assert!(references.len() > 80, "{} references", references.len());
    for (file, name) in references {
        let source = read(file);
        let is_defined = ["fn ", "def ", "void ", "int "].iter().any(|kind| source.contains(&format!("{kind}{name}(")));
        assert!(is_defined, "{file} has no {name}");
    }
}

/// The fuzz targets are a package of their own, which nothing here compiles, and which includes files of this one.
#[test]
fn the_fuzz_package_depends_on_the_crates_that_it_uses() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |file: &Path| fs::read_to_string(file).unwrap();
    let crates = |manifest: &str| -> Vec<String> {
        let names = manifest.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned());
        names.filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))).collect()
    };
    let known = crates(&read(&root.join("Cargo.toml")));
    let available = crates(&read(&root.join("tests/fuzz/Cargo.toml")));
    let oracles = fs::read_dir(root.join("tests/oracles")).unwrap().map(|entry| entry.unwrap().path());
    let mut used = BTreeSet::new();
    for file in oracles.chain([root.join("src/bin/daytime-server/args.rs")]) {
        let paths = Uses::of(&read(&file), &module_of("src/oracle.rs")).resolved();
        used.extend(paths.iter().map(|path| first(path).to_owned()).filter(|name| known.contains(name)));
    }
    assert!(used.contains("clap") && used.contains("nix"), "{used:?}");
    let missing: Vec<&String> = used.iter().filter(|name| !available.contains(name)).collect();
    assert!(missing.is_empty(), "tests/fuzz/Cargo.toml lacks {missing:?}");
}

#[test]
fn a_circle_is_found() {
    let circles_of = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(name, source)| (format!("src/server/{name}"), source.to_string()));
        circles("src/server", &files.chain([("src/lib.rs".into(), "pub use server::Server;".into())]).collect())
    };
    for files in [
        &[("a.rs", "use super::b::B;"), ("b.rs", "use super::a::A;")][..],
        &[("a.rs", "use super::b;"), ("b.rs", "use super::c::C;"), ("c.rs", "fn f() { crate::server::a::f() }")],
        // A circle through re-exports and an import of the folder's module.
        &[
            ("mod.rs", "mod a; mod b; pub use a::A; use b::B;"),
            ("a.rs", "use super::B;"),
            ("b.rs", "use crate::server::A;"),
        ],
        // A circle of a definition in the folder's module and a file that the module uses.
        &[("mod.rs", "mod a; pub struct Server; fn f() { a::f() }"), ("a.rs", "use crate::Server;")],
        &[("w/mod.rs", "mod a; use a::A; pub struct W;"), ("w/a.rs", "use super::W;")],
        &[("w/mod.rs", "mod a; pub use a::A;"), ("w/a.rs", "use crate::server::b::B;"), ("b.rs", "use super::w::A;")],
    ] {
        assert_eq!(circles_of(files).len(), 1, "{files:?}");
    }
    for files in [
        &[("mod.rs", "mod a; mod b; pub use a::A; pub use b::B;"), ("a.rs", "use super::B;"), ("b.rs", "")][..],
        &[("mod.rs", "mod a; pub use a::A; pub struct S;"), ("a.rs", "use super::S;")],
        &[("a.rs", "use super::b::B; mod tests { use super::*; }"), ("b.rs", "mod tests { use super::super::a::A; }")],
    ] {
        assert_eq!(circles_of(files), [""; 0], "{files:?}");
    }
}

#[test]
fn a_forbidden_import_is_found() {
    let exports = exports(
        "pub mod protocol; mod error; pub use clock::Clock; pub use error::Error; \
         pub use server::{Bound, Server}; pub use client::Client; pub use address::Address as Place;",
    );
    for (file, source, violation) in [
        ("src/protocol/server_session.rs", "use crate::Error;", "uses crate::error::Error"),
        ("src/protocol/mod.rs", "use super::clock;", "uses crate::clock"),
        ("src/protocol/formatted_time.rs", "fn f() { super::super::thread::spawn() }", "uses crate::thread::spawn"),
        ("src/protocol/mod.rs", "mod tests { use super::super::Clock; }", "uses crate::clock::Clock"),
        ("src/protocol/mod.rs", "use std::{fmt, net::{IpAddr, TcpStream}};", "uses std::net::IpAddr"),
        ("src/protocol/mod.rs", "fn f() { std::thread::yield_now() }", "uses std::thread::yield_now"),
        ("src/protocol/mod.rs", "use std::time::{Duration, Instant as Now};", "uses std::time::Instant"),
        (
            "src/protocol/mod.rs",
            "use std::time; fn f() { time::SystemTime::now(); }",
            "uses std::time::SystemTime::now",
        ),
        ("src/protocol/mod.rs", "use std::{self as s}; fn f(_: s::net::IpAddr) {}", "uses std::net::IpAddr"),
        ("src/protocol/mod.rs", "use std::time::*;", "uses std::time::*"),
        ("src/protocol/mod.rs", "use mio::Poll;", "uses mio::Poll"),
        ("src/protocol/mod.rs", "fn f() -> ::socket2::Socket { todo!() }", "uses socket2::Socket"),
        ("src/protocol/mod.rs", "extern crate mio;", "uses mio"),
        (
            "src/client/mod.rs",
            "use crate::{Address, Error, protocol::ClientSession, Server};",
            "uses crate::server::Server",
        ),
        ("src/client/mod.rs", "use crate::Clock;", "uses crate::clock::Clock"),
        ("src/client/mod.rs", "use super::server::mailbox::Message;", "uses crate::server::mailbox::Message"),
        ("src/clock.rs", "use crate::{Error, protocol::Zone, thread};", "uses crate::thread"),
        ("src/server/worker/mod.rs", "use crate::client::Client;", "uses crate::client::Client"),
        ("src/networks.rs", "use crate as us; fn f(_: us::Place) {}", "uses crate::address::Address"),
        ("src/server/mod.rs", "macro_rules! m { () => { $crate::Client } }", "uses crate::client::Client"),
        ("src/server/worker/time_cache.rs", "use jiff::Timestamp;", "uses jiff::Timestamp"),
        ("src/address.rs", "fn f() { jiff::tz::TimeZone::system(); }", "uses jiff::tz::TimeZone::system"),
        ("src/capi.rs", "use crate::server::Shared;", "uses crate::server::Shared"),
        ("src/python.rs", "use crate::{Server, clock::Zones};", "uses crate::clock::Zones"),
        ("src/bin/daytime-client/main.rs", "fn f() { unsafe { g() } }", "is unsafe"),
        ("src/server/mod.rs", "unsafe impl Send for X {}", "is unsafe"),
        ("src/cli.rs", "#[path = \"clock.rs\"] mod clock;", "includes a file"),
        ("src/server/mod.rs", "#[path = \"../common/mod.rs\"] mod common;", "includes a file"),
        ("src/bin/daytime-server.rs", "include!(\"../server/mod.rs\");", "includes a file"),
        ("src/novelty.rs", "", "is in no layer"),
    ] {
        let found = violations(file, source, &exports);
        let expected = format!("{file} {violation}");
        assert!(found.contains(&expected), "{expected:?} is not among {found:?}");
    }
    for (file, source) in [
        (
            "src/protocol/mod.rs",
            "// use std::net::TcpStream;\n/* mio::Poll /* nested */ unsafe */ use std::time::Duration;",
        ),
        ("src/protocol/mod.rs", "//! [`std::net`]\nconst A: &str = \"\\\"use mio::Poll; unsafe\";"),
        ("src/protocol/mod.rs", "const A: &str = r#\"\" mio::Poll \"#; const B: char = '\"'; const C: u8 = b'\\'';"),
        (
            "src/protocol/mod.rs",
            "mod tests { use super::*; use crate::protocol::errors; } use super::protocol::errors;",
        ),
        ("src/protocol/server_session.rs", "use super::{COMMAND_MAX, is_blank}; impl<'a> X<'a> { fn f(&'a self) {} }"),
        ("src/protocol/zone.rs", "use jiff::{Timestamp, tz::TimeZone}; fn f() { Timestamp::now() }"),
        ("src/client/mod.rs", "use std::net::TcpStream; use crate::{Error, Place, protocol::ClientSession, thread};"),
        ("src/server/mod.rs", "mod client; use client::Slot; use crate::{Clock, Error, clock::Zones};"),
        ("src/server/mod.rs", "use crate::thread; fn f() { thread::spawn(); std::thread::yield_now() }"),
        (
            "src/capi.rs",
            "use crate::{Error, Server, protocol::Framing}; unsafe extern \"C\" fn f() {} use super::Client;",
        ),
        ("src/bin/daytime-server.rs", "mod args; use args::Args; use daytime::{Server, protocol::Framing};"),
        ("src/cli.rs", "#![deny(unsafe_code)] const HELP: &str = include_str!(\"help\");"),
        ("src/lib.rs", "mod client; mod server; pub use client::Client; pub use server::Server;"),
    ] {
        assert_eq!(violations(file, source, &exports), [""; 0], "{file}: {source}");
    }
}

/// Every source file by its path.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, sources: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    walk(&root.join("src"), root, &mut sources);
    sources
}

/// The forbidden imports and constructs of a file.
fn violations(file: &str, source: &str, exports: &BTreeMap<String, String>) -> Vec<String> {
    let module = module_of(file);
    let module_name = module.get(1).map(String::as_str);
    let is_program = file.starts_with("src/bin/");
    let is_binding = !is_program && module_name.is_some_and(|module_name| BINDINGS.contains(&module_name));
    let allowed = module_name
        .and_then(|module_name| LAYERS.iter().find(|(layer, _)| *layer == module_name))
        .map(|(_, allowed)| *allowed);
    let uses = Uses::of(source, &module);

    let mut violations = Vec::new();
    if module_name.is_some() && !is_program && !is_binding && allowed.is_none() {
        violations.push(format!("{file} is in no layer"));
    }
    if uses.has_unsafe && !is_binding {
        violations.push(format!("{file} is unsafe"));
    }
    if uses.includes.iter().any(|path| !INCLUDES.contains(&(file, path))) {
        violations.push(format!("{file} includes a file"));
    }
    for path in uses.resolved() {
        let name = path.strip_prefix("crate::").map(first).filter(|_| !is_program);
        let home = name.map(|name| exports.get(name).map_or(name, |home| first(&home["crate::".len()..])));
        let is_wrong = match (module_name, name, home) {
            // The compiler checks what the root may use.
            (None, ..) => false,
            _ if is_in(&path, &[ZONES]) => is_program || !ZONES_USERS.contains(&file),
            // Each program is a separate crate.
            _ if is_program => false,
            (Some(module_name), Some(name), _) if is_binding => name != module_name && !exports.contains_key(name),
            (Some(module_name), _, Some(home)) => {
                home != module_name && !allowed.is_some_and(|allowed| allowed.contains(&home))
            }
            (Some(module_name), ..) => module_name == "protocol" && is_in(&path, NOT_IN_PROTOCOL),
        };
        if is_wrong {
            let exported = name.and_then(|name| exports.get(name)).filter(|_| !is_binding);
            violations.push(format!("{file} uses {}", exported.unwrap_or(&path)));
        }
    }
    violations
}

/// The circles of a folder: for each file in one, the shortest way back to it. A circle is reported once.
fn circles(folder: &str, sources: &BTreeMap<String, String>) -> Vec<String> {
    let exports = exports(&sources["src/lib.rs"]);
    let files: BTreeMap<Vec<String>, Uses> = sources
        .iter()
        .filter(|(file, _)| file.starts_with(&format!("{folder}/")))
        .map(|(file, source)| (module_of(file), Uses::of(source, &module_of(file))))
        .collect();
    // The file that defines a path's item, through re-exports and through imports of the files' modules.
    let defining = |path: &str| -> Option<&Vec<String>> {
        let mut path = path.to_owned();
        for _ in 0..8 {
            if let Some(exported) = path.strip_prefix("crate::").and_then(|path| exports.get(first(path))) {
                let rest = path["crate::".len()..].split_once("::").map(|(_, rest)| format!("::{rest}"));
                let resolved = exported.clone() + &rest.unwrap_or_default();
                if resolved != path {
                    path = resolved;
                    continue;
                }
            }
            let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
            let (module, uses) = (1..=parts.len()).rev().find_map(|n| files.get_key_value(&parts[..n]))?;
            match parts.get(module.len()).and_then(|name| uses.names.get(name)) {
                Some(import) => {
                    path = iter::once(import).chain(&parts[module.len() + 1..]).cloned().collect::<Vec<_>>().join("::")
                }
                None => return Some(module),
            }
        }
        None
    };
    let arrows: BTreeMap<&Vec<String>, BTreeSet<&Vec<String>>> = files
        .iter()
        .map(|(module, uses)| {
            let targets = uses.resolved_outside_tests().into_iter().filter_map(|path| defining(&path));
            (module, targets.filter(|target| *target != module).collect())
        })
        .collect();
    let mut reported = BTreeSet::new();
    let mut circles = Vec::new();
    for start in files.keys() {
        // Breadth first, so the first way back is the shortest one.
        let mut ways: Vec<Vec<&Vec<String>>> = vec![vec![start]];
        let mut seen = BTreeSet::new();
        let mut at = 0;
        while at < ways.len() {
            let way = ways[at].clone();
            at += 1;
            for target in &arrows[way[way.len() - 1]] {
                let longer = [&way[..], &[*target]].concat();
                if *target == start {
                    if reported.insert(way.iter().copied().collect::<BTreeSet<_>>()) {
                        circles.push(longer.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> "));
                    }
                    ways.clear();
                    break;
                }
                if seen.insert(*target) {
                    ways.push(longer);
                }
            }
        }
    }
    circles
}

fn is_in(path: &str, known: &[&str]) -> bool {
    known.iter().any(|known| path == *known || path.starts_with(&format!("{known}::")))
}

fn first(path: &str) -> &str {
    path.split("::").next().unwrap_or_default()
}

/// What `lib.rs` exports: the path of each name.
fn exports(source: &str) -> BTreeMap<String, String> {
    let uses = Uses::of(source, &["crate".to_owned()]);
    let absolute = |path: String| if path.starts_with("crate::") { path } else { format!("crate::{path}") };
    let modules = uses.public_modules.iter().map(|name| (name.clone(), name.clone()));
    uses.names.clone().into_iter().chain(modules).map(|(name, path)| (name, absolute(path))).collect()
}

/// The module of a file: `["crate", "protocol", "command"]` for `src/protocol/command.rs`. Each program is a crate.
fn module_of(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let parts = path.split('/').filter(|part| !["lib", "mod", "bin"].contains(part));
    iter::once("crate").chain(parts).map(str::to_owned).collect()
}

/// The paths that a file uses, and other facts about it.
#[derive(Default)]
struct Uses {
    /// The module of the file, and of the inline module that is visited.
    file: Vec<String>,
    module: Vec<String>,
    children: Vec<String>,
    public_modules: Vec<String>,
    /// The paths, each with whether it is a re-export or within tests.
    paths: Vec<(Vec<String>, bool)>,
    is_apart: bool,
    /// The paths by the names that `use` declares in the file's module.
    names: BTreeMap<String, String>,
    has_unsafe: bool,
    /// The files that the file includes.
    includes: Vec<String>,
}

impl Uses {
    fn of(source: &str, module: &[String]) -> Uses {
        let mut uses = Uses { file: module.to_vec(), module: module.to_vec(), ..Uses::default() };
        let file = syn::parse_file(source).unwrap();
        for item in &file.items {
            if let Item::Mod(module) = item {
                uses.children.push(module.ident.to_string());
                if matches!(module.vis, Visibility::Public(_)) {
                    uses.public_modules.push(module.ident.to_string());
                }
            }
        }
        uses.visit_file(&file);
        uses.raw(source.parse().unwrap());
        uses
    }

    fn resolved(&self) -> Vec<String> {
        self.paths.iter().map(|(path, _)| self.resolve(path)).collect()
    }

    /// The resolved paths, without re-exports and without the paths of `mod tests`.
    fn resolved_outside_tests(&self) -> Vec<String> {
        self.paths.iter().filter(|(_, apart)| !apart).map(|(path, _)| self.resolve(path)).collect()
    }

    /// Resolves a path. It may begin with a name that `use` declares, and that path with another such name.
    fn resolve(&self, path: &[String]) -> String {
        let mut path = path.join("::");
        for _ in 0..8 {
            let Some((name, rest)) = path.split_once("::") else { break };
            match self.names.get(name) {
                Some(full) if *full != path && first(full) != name => path = format!("{full}::{rest}"),
                _ => break,
            }
        }
        path
    }

    /// The path from the crate's root, if the path leads into this crate.
    fn absolute(&self, path: &[String]) -> Vec<String> {
        let path = if path.len() > 1 && path[0] == "self" && path[1] == "super" { &path[1..] } else { path };
        let up = path.iter().take_while(|part| *part == "super").count();
        match &*path[0] {
            "crate" => path.to_vec(),
            "self" => [&self.module, &path[1..]].concat(),
            "super" => [&self.module[..self.module.len().saturating_sub(up).max(1)], &path[up..]].concat(),
            name if self.children.iter().any(|child| child == name) => [&self.file, path].concat(),
            _ => path.to_vec(),
        }
    }

    fn add(&mut self, path: &[String]) {
        self.paths.push((self.absolute(path), self.is_apart));
    }

    fn tree(&mut self, tree: &UseTree, prefix: &[String]) {
        let join = |name: &str| [prefix, &[name.to_owned()]].concat();
        let (path, name) = match tree {
            UseTree::Path(path) => return self.tree(&path.tree, &join(&path.ident.to_string())),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.tree(tree, prefix)),
            UseTree::Glob(_) => return self.add(&join("*")),
            UseTree::Name(name) if name.ident == "self" => (prefix.to_vec(), prefix.last().unwrap().clone()),
            UseTree::Name(name) => (join(&name.ident.to_string()), name.ident.to_string()),
            UseTree::Rename(name) if name.ident == "self" => (prefix.to_vec(), name.rename.to_string()),
            UseTree::Rename(name) => (join(&name.ident.to_string()), name.rename.to_string()),
        };
        let full = self.absolute(&path);
        self.names.insert(name, full.join("::"));
        self.paths.push((full, self.is_apart));
    }

    /// The paths in a macro's tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(name) if path.is_empty() || colons == 2 => path.push(name.to_string()),
                TokenTree::Punct(sign) if sign.as_char() == ':' => {
                    colons = if colons == 2 { 1 } else { colons + 1 };
                    continue;
                }
                token => {
                    if path.len() > 1 {
                        self.add(&std::mem::take(&mut path));
                    }
                    path.clear();
                    match token {
                        TokenTree::Group(group) => self.tokens(group.stream()),
                        TokenTree::Ident(name) => path.push(name.to_string()),
                        _ => {}
                    }
                }
            }
            colons = 0;
        }
        if path.len() > 1 {
            self.add(&path);
        }
    }

    /// `unsafe`, `#[path = ".."]` and `include!(..)`, in macros too.
    fn raw(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.to_string() == text);
        let literal = |token: Option<&TokenTree>| token.map(|token| token.to_string().trim_matches('"').to_owned());
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Ident(name) if name == "unsafe" => self.has_unsafe = true,
                TokenTree::Ident(name) if name == "include" && is(at + 1, "!") => {
                    self.includes.push(literal(tokens.get(at + 2)).unwrap_or_default());
                }
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    if at > 0 && is(at - 1, "#") && inner.first().is_some_and(|name| name.to_string() == "path") {
                        self.includes.push(literal(inner.get(2)).unwrap_or_default());
                    }
                    self.raw(group.stream());
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let was_apart = self.is_apart;
        self.is_apart |= module.ident == "tests";
        self.module.push(module.ident.to_string());
        syn::visit::visit_item_mod(self, module);
        self.module.pop();
        self.is_apart = was_apart;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let was_apart = self.is_apart;
        self.is_apart |= !matches!(item.vis, Visibility::Inherited);
        self.tree(&item.tree, &[]);
        self.is_apart = was_apart;
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.add(slice::from_ref(&item.ident.to_string()));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let parts: Vec<_> = path.segments.iter().map(|part| part.ident.to_string()).collect();
        if parts.len() > 1 {
            self.add(&parts);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.tokens(item.tokens.clone());
    }
}

//! Reads the sources and fails on an arrow that the architecture forbids: who may use what of ours, and of others.
//!
//! The sources are taken for text: comments and literals are dropped, every path is resolved through the `use`
//! declarations of its file and the re-exports of `lib.rs`, and the tables below are asked.

use std::{collections::BTreeMap, fs, iter, path::Path};

/// The modules of the crate's root, and those of its others that each may use.
const LAYERS: [(&str, &[&str]); 10] = [
    ("protocol", &[]),
    ("error", &["protocol"]),
    ("address", &["error", "protocol"]),
    ("civil", &["error", "protocol"]),
    ("networks", &["error", "protocol"]),
    ("thread", &["error", "protocol"]),
    ("waiting", &[]),
    ("clock", &["error", "protocol"]),
    ("client", &["address", "civil", "error", "protocol", "thread", "waiting"]),
    ("server", &["address", "clock", "error", "networks", "protocol", "thread", "waiting"]),
];

/// What uses the crate from its inside as others do from their outside: what `lib.rs` exports, and nothing else.
const FACES: [&str; 2] = ["capi", "python"];

/// What the core does not know.
const WORLD: [&str; 8] =
    ["std::net", "std::thread", "std::time::Instant", "std::time::SystemTime", "std::time::*", "mio", "socket2", "nix"];

/// Where the calendar is read, and hidden from everybody else.
const CALENDAR: [&str; 3] = ["src/protocol/stamp.rs", "src/clock.rs", "src/civil.rs"];

#[test]
fn every_arrow_points_the_right_way() {
    let sources = sources();
    let exports = exports(&sources["src/lib.rs"]);
    for module in ["protocol", "client", "server", "clock"] {
        assert!(sources.keys().any(|file| module_of(file).get(1).is_some_and(|name| name == module)), "no {module}");
    }
    let complaints: Vec<String> =
        sources.iter().flat_map(|(file, source)| complaints(file, source, &exports)).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_wrong_arrow_is_seen() {
    let exports = exports(
        "pub mod protocol; mod error; pub use clock::Clock; pub use error::Error; \
         pub use server::{Bound, Server}; pub use client::Client; pub use civil::Date as Day;",
    );
    for (file, source, complaint) in [
        ("src/protocol/session.rs", "use crate::Error;", "uses crate::error::Error"),
        ("src/protocol/mod.rs", "use super::clock;", "uses crate::clock"),
        ("src/protocol/stamp.rs", "fn f() { super::super::thread::spawn() }", "uses crate::thread::spawn"),
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
            "use crate::{Date, Error, protocol::ClientSession, Server};",
            "uses crate::server::Server",
        ),
        ("src/client/mod.rs", "use crate::Clock;", "uses crate::clock::Clock"),
        ("src/client/mod.rs", "use super::server::worker::Mail;", "uses crate::server::worker::Mail"),
        ("src/clock.rs", "use crate::{Error, protocol::Zone, thread};", "uses crate::thread"),
        ("src/server/worker.rs", "use crate::client::Client;", "uses crate::client::Client"),
        ("src/server/mod.rs", "use crate as us; fn f(_: us::Day) {}", "uses crate::civil::Date"),
        ("src/server/mod.rs", "macro_rules! m { () => { $crate::Client } }", "uses crate::client::Client"),
        ("src/server/texts.rs", "use jiff::Timestamp;", "uses jiff::Timestamp"),
        ("src/address.rs", "fn f() { jiff::civil::date(1, 1, 1); }", "uses jiff::civil::date"),
        ("src/capi.rs", "use crate::server::Control;", "uses crate::server::Control"),
        ("src/python.rs", "use crate::{Server, clock::Zones};", "uses crate::clock::Zones"),
        ("src/bin/daytime-client.rs", "fn f() { unsafe { g() } }", "is unsafe"),
        ("src/server/mod.rs", "unsafe impl Send for X {}", "is unsafe"),
        ("src/bin/common/mod.rs", "#[path = \"../../clock.rs\"] mod clock;", "takes in a file"),
        ("src/server/mod.rs", "#[path = \"../common/mod.rs\"] mod common;", "takes in a file"),
        ("src/bin/daytime-server.rs", "include!(\"../server/mod.rs\");", "takes in a file"),
        ("src/novelty.rs", "", "is in no layer"),
    ] {
        let complaints = complaints(file, source, &exports);
        let told = format!("{file} {complaint}");
        assert!(complaints.contains(&told), "{told:?} is not among {complaints:?}");
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
        ("src/protocol/session.rs", "use super::{COMMAND_MAX, is_blank}; impl<'a> X<'a> { fn f(&'a self) {} }"),
        ("src/protocol/stamp.rs", "use jiff::{Timestamp, tz::TimeZone}; fn f() { Timestamp::now() }"),
        ("src/client/mod.rs", "use std::net::TcpStream; use crate::{Error, Day, protocol::ClientSession, thread};"),
        ("src/server/mod.rs", "mod client; use client::Slot; use crate::{Clock, Error, clock::Zones};"),
        ("src/server/mod.rs", "use crate::thread; fn f() { thread::spawn(); std::thread::yield_now() }"),
        (
            "src/capi.rs",
            "use crate::{Error, Server, protocol::Framing}; unsafe extern \"C\" fn f() {} use super::Client;",
        ),
        ("src/bin/daytime-server.rs", "mod common; use common::seconds; use daytime::{Server, protocol::Framing};"),
        ("src/bin/daytime-server/main.rs", "#[path = \"../common/mod.rs\"] mod common; use crate::common::seconds;"),
        ("src/bin/common/mod.rs", "const HELP: &str = include_str!(\"help\"); #![deny(unsafe_code)]"),
        ("src/lib.rs", "mod client; mod server; pub use client::Client; pub use server::Server;"),
    ] {
        assert_eq!(complaints(file, source, &exports), [""; 0], "{file}: {source}");
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
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                sources.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = BTreeMap::new();
    walk(&root.join("src"), root, &mut sources);
    sources
}

/// Everything that is wrong with a file.
fn complaints(file: &str, source: &str, exports: &Exports) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut complain = |what: String| complaints.push(format!("{file} {what}"));
    let tokens = tokens(source);
    let is_face = |name: &str| FACES.contains(&name);

    let module = module_of(file);
    let own = module.get(1).map(String::as_str);
    let binary = file.starts_with("src/bin/");
    let may = own.and_then(|own| LAYERS.iter().find(|(layer, _)| *layer == own)).map(|(_, may)| *may);
    if let (Some(own), None, false) = (own, may, binary)
        && !is_face(own)
    {
        complain("is in no layer".into());
    }
    if !own.is_some_and(|own| is_face(own) && !binary) && tokens.iter().any(|token| token == "unsafe") {
        complain("is unsafe".into());
    }
    let taken_in = |window: &[String]| window == ["#", "[", "path"] || window[..2] == ["include", "!"];
    // What the programs share is no module of either's own folder.
    let shared = usize::from(binary && source.contains("#[path = \"../common/mod.rs\"]"));
    if tokens.windows(3).filter(|window| taken_in(window)).count() > shared {
        complain("takes in a file".into());
    }

    for path in Uses::of(&tokens, module.clone()).paths {
        let is_of = |known: &str| path == known || path.starts_with(&format!("{known}::"));
        let ours = path.strip_prefix("crate::").filter(|_| !binary);
        let name = ours.map(|ours| ours.split("::").next().unwrap_or_default());
        let wrong = match (own, name) {
            // The root, and the programs: for them the compiler itself sees to it.
            (None, _) => false,
            _ if binary => is_of("jiff"),
            (Some(_), None) => {
                own == Some("protocol") && WORLD.iter().any(|world| is_of(world))
                    || is_of("jiff") && !CALENDAR.contains(&file)
            }
            (Some(own), Some(name)) if is_face(own) => name != own && !exports.contains_key(name),
            (Some(own), Some(name)) => {
                let home = exports.get(name).map_or(name, |path| module_name(path));
                home != own && !may.is_some_and(|may| may.contains(&home))
            }
        };
        if wrong {
            let exported = name.and_then(|name| exports.get(name).filter(|_| !own.is_some_and(is_face)));
            complain(format!("uses {}", exported.unwrap_or(&path)));
        }
    }
    complaints
}

/// What the crate's root exports, by its name there.
type Exports = BTreeMap<String, String>;

fn exports(root: &str) -> Exports {
    let tokens = tokens(root);
    let mut exports = Uses::of(&tokens, vec!["crate".into()]).names;
    for window in tokens.windows(3).filter(|window| window[..2] == ["pub", "mod"]) {
        exports.insert(window[2].clone(), format!("crate::{}", window[2]));
    }
    let absolute = |(name, path): (String, String)| {
        let path = if path.starts_with("crate::") { path } else { format!("crate::{path}") };
        (name, path)
    };
    exports.into_iter().map(absolute).collect()
}

/// `server` of `crate::server::Server`.
fn module_name(path: &str) -> &str {
    path.split("::").nth(1).unwrap_or_default()
}

/// The module that a file is: `crate`, `protocol` and `stamp` for `src/protocol/stamp.rs`. Each program is a crate.
fn module_of(file: &str) -> Vec<String> {
    let path = file.strip_prefix("src/").unwrap_or(file).trim_end_matches(".rs").trim_end_matches("/mod");
    let module = path.split('/').filter(|part| !["lib", "bin"].contains(part));
    iter::once("crate").chain(module).map(str::to_owned).collect()
}

/// What a file uses: every path that it writes, resolved as far as the file itself tells.
struct Uses {
    /// Paths as they are used.
    paths: Vec<String>,
    /// Paths by the names that `use` gives them.
    names: BTreeMap<String, String>,
}

impl Uses {
    fn of(tokens: &[String], module: Vec<String>) -> Uses {
        let mut found = Vec::new();
        let mut names = BTreeMap::new();
        let mut module = module;
        let mut depth = 0;
        // Inline modules, by the depth of what they hold.
        let mut inline = Vec::new();
        let children: Vec<&String> =
            tokens.windows(2).filter(|window| window[0] == "mod").map(|window| &window[1]).collect();
        let mut at = 0;
        while at < tokens.len() {
            match &*tokens[at] {
                "mod" if tokens.get(at + 2).is_some_and(|token| token == "{") => {
                    module.push(tokens[at + 1].clone());
                    depth += 1;
                    inline.push(depth);
                    at += 3;
                    continue;
                }
                "{" => depth += 1,
                "}" => {
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                    depth -= 1;
                }
                "use" => {
                    let end = at + tokens[at..].iter().position(|token| token == ";").unwrap_or(tokens.len() - at - 1);
                    for (path, name) in flatten(&tokens[at + 1..end]) {
                        let path = absolute(&path, &module, &children);
                        found.push(path.clone());
                        names.insert(name, path);
                    }
                    at = end;
                }
                "crate" if at > 0 && tokens[at - 1] == "extern" => found.push(tokens[at + 1].clone()),
                first if is_name(first) && (at == 0 || tokens[at - 1] != "::" || starts_path(tokens, at - 1)) => {
                    let mut path = vec![first.to_owned()];
                    while tokens.get(at + 1).is_some_and(|token| token == "::")
                        && tokens.get(at + 2).is_some_and(|token| is_name(token))
                    {
                        path.push(tokens[at + 2].clone());
                        at += 2;
                    }
                    if path.len() > 1 {
                        found.push(absolute(&path, &module, &children));
                    }
                }
                _ => {}
            }
            at += 1;
        }
        // A path may begin with a name that `use` gave, which may itself begin with another.
        let resolve = |mut path: String| {
            for _ in 0..8 {
                let (first, rest) = path.split_once("::").unwrap_or((&path, ""));
                match names.get(first) {
                    Some(full) if !rest.is_empty() && *full != path && !full.starts_with(&format!("{first}::")) => {
                        path = format!("{full}::{rest}");
                    }
                    _ => break,
                }
            }
            path
        };
        Uses { paths: found.into_iter().map(resolve).collect(), names }
    }
}

/// Whether the `::` here begins a path: `::std::net`, but not `<T as X>::f` or `f::<T>`.
fn starts_path(tokens: &[String], at: usize) -> bool {
    at == 0 || !(is_name(&tokens[at - 1]) || [">", ")", "]"].contains(&&*tokens[at - 1]))
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_') && !["as", "use", "mod", "extern"].contains(&token)
}

/// A path from the crate's root, if it is one of ours: `self`, `super` and the file's own modules are resolved.
fn absolute(path: &[String], module: &[String], children: &[&String]) -> String {
    let mut base = module.to_vec();
    let mut rest = path;
    match &*path[0] {
        "crate" => base.truncate(1),
        "self" => {}
        "super" => base.truncate(base.len().saturating_sub(1).max(1)),
        _ if children.contains(&&path[0]) => return [module, path].concat().join("::"),
        _ => return path.join("::"),
    }
    rest = &rest[1..];
    while rest.first().is_some_and(|part| part == "super") {
        base.truncate(base.len().saturating_sub(1).max(1));
        rest = &rest[1..];
    }
    [&base, rest].concat().join("::")
}

/// The paths of one `use` tree, each with the name that it gives.
fn flatten(tree: &[String]) -> Vec<(Vec<String>, String)> {
    fn branch(tree: &[String], at: &mut usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
        let mut path = prefix.to_vec();
        let mut name = None;
        while let Some(token) = tree.get(*at) {
            *at += 1;
            match &**token {
                "::" => {}
                "{" => {
                    while tree.get(*at).is_some_and(|token| token != "}") {
                        branch(tree, at, &path, found);
                    }
                    *at += 1;
                    if tree.get(*at).is_some_and(|token| token == ",") {
                        *at += 1;
                    }
                    return;
                }
                "," => break,
                "}" => {
                    *at -= 1;
                    break;
                }
                "as" => {
                    name = tree.get(*at).cloned();
                    *at += 1;
                }
                "self" if !path.is_empty() => {}
                part => path.push(part.to_owned()),
            }
        }
        if let Some(last) = path.last().cloned() {
            found.push((path, name.unwrap_or(last)));
        }
    }
    let mut found = Vec::new();
    branch(tree, &mut 0, &[], &mut found);
    found
}

/// The words and signs of a source, without comments and literals.
fn tokens(source: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = literal(rest).unwrap_or_else(|| {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let double = ["::", "->", "=>"].iter().any(|sign| rest.starts_with(sign));
            let length = if word > 0 { word } else { first.len_utf8() + usize::from(double) };
            if !first.is_whitespace() {
                tokens.push(rest[..length].to_owned());
            }
            length
        });
        rest = &rest[length..];
    }
    tokens
}

/// The length of the comment, literal or lifetime that a text begins with, if it does.
fn literal(text: &str) -> Option<usize> {
    let up_to = |start: usize, end: &str| text[start..].find(end).map_or(text.len(), |at| start + at + end.len());
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        let (mut depth, mut at) = (0, 0);
        loop {
            match &text.as_bytes()[at..] {
                [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                [b'*', b'/', ..] if depth == 1 => return Some(at + 2),
                [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                [] => return Some(at),
                _ => at += 1,
            }
        }
    }
    let prefix = text.find(|c: char| !"bcr".contains(c)).filter(|length| *length <= 2)?;
    let (kind, body) = text.split_at(prefix);
    if kind.contains('r') {
        let hashes = body.find(|c| c != '#').filter(|at| body[*at..].starts_with('"'))?;
        return Some(up_to(prefix + hashes + 1, &format!("\"{}", &body[..hashes])));
    }
    let quote = body.chars().next().filter(|c| "\"'".contains(*c))?;
    let mut characters = body.char_indices().skip(1);
    if quote == '\'' && !body.starts_with("'\\") && body.chars().nth(2) != Some('\'') {
        // A lifetime: its sign alone.
        return Some(prefix + 1);
    }
    while let Some((at, c)) = characters.next() {
        match c {
            '\\' => drop(characters.next()),
            c if c == quote => return Some(prefix + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

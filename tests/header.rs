//! `include/daytime.h` is generated from `src/capi/` by cbindgen, has the version of the package, and documents the
//! contract of each function. `DAYTIME_BLESS=1 cargo test --features capi --test header` writes the header.

use std::{env, fs, path::Path};

fn path(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

fn committed() -> String {
    fs::read_to_string(path("include/daytime.h")).expect("the header is committed")
}

#[test]
fn the_header_is_generated_from_the_sources() {
    let config = cbindgen::Config::from_file(path("include/cbindgen.toml")).expect("the settings are valid");
    let builder = cbindgen::Builder::new().with_config(config).with_src(path("src/capi/mod.rs"));
    let mut generated = Vec::new();
    builder.generate().expect("cbindgen understands the sources").write(&mut generated);
    // C89 does not allow a comma after the last enumerator, nor comments of C++.
    let generated = String::from_utf8(generated).expect("the header is UTF-8");
    let generated = generated.replace(",\n}", "\n}").replace("// __cplusplus", "/* __cplusplus */");
    let generated = generated.replace("}  // extern \"C\"", "} /* extern \"C\" */");
    if env::var_os("DAYTIME_BLESS").is_some() {
        fs::write(path("include/daytime.h"), &generated).expect("the header can be written");
    }
    assert!(
        generated == committed(),
        "include/daytime.h is out of date: DAYTIME_BLESS=1 cargo test --features capi --test header"
    );
}

#[test]
fn the_version_is_that_of_the_package() {
    let header = committed();
    let number = |name: &str| -> u32 {
        let define = format!("#define DAYTIME_VERSION_{name} ");
        let value = header.split(&define).nth(1).and_then(|rest| rest.lines().next()).expect("the version is defined");
        value.parse().expect("a literal")
    };
    let [major, minor, patch] = ["MAJOR", "MINOR", "PATCH"].map(number);
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
    assert_eq!(number("NUMBER"), major * 1_000_000 + minor * 1_000 + patch);
}

#[test]
fn each_function_documents_its_whole_contract() {
    let header = committed();
    assert!(header.contains("extern \"C\" {"));
    let mut comment = String::new();
    let mut functions = 0;
    for line in header.lines() {
        match line.trim_start() {
            text if text.starts_with("/**") => comment = text.to_owned(),
            text if text.starts_with('*') => comment.push_str(&text.replacen('*', " ", 1)),
            text if is_function(text) => {
                functions += 1;
                for part in ["Ownership: ", "Lifetime: ", "Threads: ", "Errors: "] {
                    assert!(comment.contains(part), "{text} does not document its {part}");
                }
            }
            _ => {}
        }
    }
    assert!(functions > 50, "{functions} functions were found");
}

/// Whether a function's declaration begins on this line.
fn is_function(line: &str) -> bool {
    let Some((before, _)) = line.split_once('(') else { return false };
    !before.starts_with("typedef") && (before.contains(" daytime_") || before.contains(" *daytime_"))
}

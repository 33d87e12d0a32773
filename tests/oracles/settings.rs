//! The configuration file of `daytime-server`: a file is rejected with a line that exists, or its settings are printed as a
//! file that means the same.
//!
//! The input is the text of the file.

use daytime::Error;

#[path = "../../src/bin/daytime-server/args.rs"]
mod args;

use args::Args;

pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let args = match Args::parse_file(&text) {
        Ok(args) => args,
        Err((line, error)) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&line), "{text:?}:{line}: {error}");
            assert!(!error.is_empty());
            return;
        }
    };
    let printed = print(&args);
    assert_eq!(print(&parse(&printed)), printed);

    let builder = match args.builder() {
        Ok(builder) => builder,
        Err(error) => return invalid(&error),
    };
    if let Err(error) = builder.check() {
        return invalid(&error);
    }
    // What `--print-config` prints is accepted, and has the same defaults.
    let printed = print(&args.with_defaults(&builder));
    let again = parse(&printed);
    let builder = again.builder().unwrap_or_else(|error| panic!("{printed}: {error}"));
    builder.check().unwrap_or_else(|error| panic!("{printed}: {error}"));
    assert_eq!(print(&again.with_defaults(&builder)), printed);
}

fn print(args: &Args) -> String {
    toml::to_string(args).expect("every setting can be printed")
}

fn parse(printed: &str) -> Args {
    Args::parse_file(printed).unwrap_or_else(|(line, error)| panic!("{printed}:{line}: {error}"))
}

fn invalid(error: &Error) {
    assert!(matches!(error, Error::Invalid(text) if !text.is_empty()), "{error:?}");
}

//! `--generate`: the manual pages and the completions, as the programs that read them judge them.

use crate::common::{
    Folder, installed,
    process::{CLIENT, SERVER, run},
};

fn generated(program: &str, what: &str) -> String {
    let outcome = run(program, &["--generate", what], "");
    assert_eq!((outcome.code, &*outcome.err), (Some(0), ""), "{what}");
    outcome.out
}

/// Runs the program that judges a file.
fn judge(program: &str, arguments: &[&str]) {
    if installed(&[program]) {
        run(program, arguments, "").assert(0, "", "");
    }
}

#[test]
fn the_manual_pages_are_valid() {
    let folder = Folder::new();
    for (program, page) in [(CLIENT, "daytime-client.1"), (SERVER, "daytime-server.8")] {
        let text = generated(program, "man");
        let headings = text.lines().filter_map(|line| line.strip_prefix(".SH "));
        let headings: Vec<&str> = headings.map(|heading| heading.trim_matches('"')).collect();
        let required =
            ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT"];
        for heading in required.into_iter().chain(["SIGNALS", "SEE ALSO"]) {
            assert!(headings.contains(&heading), "{page} has the sections {headings:?}");
        }
        let file = folder.write(page, &text);
        judge("mandoc", &["-T", "lint", "-W", "error", &file]);
        judge("groff", &["-man", "-ww", "-z", &file]);
        // The page has every flag of the help.
        let help = run(program, &["--help"], "").out;
        let flags = help.split_whitespace().filter(|word| word.starts_with("--"));
        for flag in flags.map(|word| word.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').next().unwrap()) {
            assert!(text.contains(&flag.replace('-', "\\-")), "{page} does not have {flag}");
        }
    }
}

#[test]
fn the_completions_are_valid() {
    let folder = Folder::new();
    for (program, name) in [(CLIENT, "daytime-client"), (SERVER, "daytime-server")] {
        for (shell, what) in [("bash", "complete-bash"), ("zsh", "complete-zsh"), ("fish", "complete-fish")] {
            let text = generated(program, what);
            assert!(text.contains(name), "{what} of {name}");
            judge(shell, &["-n", &folder.write(&format!("{name}.{shell}"), &text)]);
        }
    }
}

/// Sources the completions as bash-completion does, and asks for the completions of a line's last word.
#[test]
fn bash_completes_flags_and_their_values() {
    if !installed(&["bash"]) {
        return;
    }
    let folder = Folder::new();
    for (program, name, words, completed) in [
        (SERVER, "daytime-server", "--idl", "--idle-timeout"),
        (SERVER, "daytime-server", "--quiet --log-f", "--log-format"),
        (SERVER, "daytime-server", "--log-format j", "json"),
        (SERVER, "daytime-server", "--generate complete-z", "complete-zsh"),
        (CLIENT, "daytime-client", "--wat", "--watch"),
        (CLIENT, "daytime-client", "--json --cou", "--count"),
        (CLIENT, "daytime-client", "--generate m", "man"),
    ] {
        let file = folder.write(name, &generated(program, "complete-bash"));
        let script = r#"source "$1"
            COMP_WORDS=($2 $3); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            function=$(complete -p "$2" | sed 's/.*-F \([^ ]*\).*/\1/')
            "$function" "$2" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
            printf '%s\n' "${COMPREPLY[@]}""#;
        let outcome = run("bash", &["--norc", "-c", script, "bash", &file, name, words], "");
        outcome.assert(0, &format!("{completed}\n"), "");
    }
}

#[test]
fn a_reader_of_a_page_may_stop_early() {
    let line = r#"{ "$0" --generate man; echo $? >&2; } | head -1 > /dev/null"#;
    run("sh", &["-c", line, CLIENT], "").assert(0, "", "0\n");
}

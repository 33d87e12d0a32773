//! `--generate`: the manual page and the completions of a program, made from its flags.
//!
//! A package calls the program when it is built. The repository keeps none of these files, so that none can be out of
//! date.

use std::io::{self, Write};

use clap::{Command, ValueEnum};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

/// What `--generate` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Generate {
    /// The manual page, for man(1)
    Man,
    /// Completions for bash
    CompleteBash,
    /// Completions for zsh
    CompleteZsh,
    /// Completions for fish
    CompleteFish,
}

/// What a manual page has besides the description and the flags.
pub struct Page {
    /// The section of the manual, such as `1`.
    pub section: &'static str,
    /// The arguments of each form of the command line.
    pub synopsis: &'static [&'static str],
    /// The further sections: a heading, and its entries, each a term and what it means.
    pub sections: &'static [(&'static str, &'static [(&'static str, &'static str)])],
    /// The last section, SEE ALSO.
    pub see_also: &'static str,
}

/// The text that `--generate` prints.
///
/// # Errors
/// None in practice: the text is written to memory.
pub fn generate(what: Generate, mut command: Command, page: &Page) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    let name = command.get_name().to_owned();
    let shell = match what {
        Generate::Man => {
            manual(command, page, &mut out)?;
            return Ok(out);
        }
        Generate::CompleteBash => Shell::Bash,
        Generate::CompleteZsh => Shell::Zsh,
        Generate::CompleteFish => Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, name, &mut out);
    Ok(out)
}

fn manual(command: Command, page: &Page, out: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_name().to_owned();
    let version = command.get_version().unwrap_or_default();
    // clap_mangen leaves an empty date out, so that each later argument moves up. The date of a build would make each build
    // another one.
    writeln!(out, ".TH {} {} \"\" \"daytime {version}\" \"daytime\"", name.to_uppercase(), page.section)?;
    let man = Man::new(command);
    man.render_name_section(out)?;
    // clap_mangen's synopsis lists every flag, and the value of none.
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    for (index, form) in page.synopsis.iter().enumerate() {
        if index > 0 {
            roff.control("br", []);
        }
        roff.text([bold(&*name), roman(format!(" {form}"))]);
    }
    roff.to_writer(out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    let mut roff = Roff::new();
    for (heading, entries) in page.sections {
        roff.control("SH", [*heading]);
        for (term, meaning) in *entries {
            roff.control("TP", []).text([bold(*term)]).text([roman(*meaning)]);
        }
    }
    roff.control("SH", ["SEE ALSO"]).text([roman(page.see_also)]);
    roff.to_writer(out)
}

//! `framecast man` and `framecast completions`: the manual and the shells' completions, made from the definition of the
//! command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{BAD_USAGE, FAILED, OK, print, print_error};

/// Prints the page of the command `name`, or of the whole program, for `man -l -`. Returns the exit code.
pub(super) fn print_page(program: Command, name: Option<&str>) -> u8 {
    let program = built(program);
    let Some(command) = name.map_or(Some(&program), |name| program.find_subcommand(name)) else {
        let names: Vec<&str> = program.get_subcommands().map(Command::get_name).collect();
        print_error(&format!("there is no such command; the commands are {}", names.join(", ")));
        return BAD_USAGE;
    };
    print(page(command, &program).trim_end());
    OK
}

/// Writes the page of the program and one for each command into `folder`, by the names that `man` looks for. Returns
/// the exit code.
pub(super) fn write_pages(program: Command, folder: &Path) -> u8 {
    let program = built(program);
    let write = |command: &Command| -> io::Result<()> {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name());
        fs::write(folder.join(format!("{name}.1")), page(command, &program))
    };
    match fs::create_dir_all(folder)
        .and_then(|()| std::iter::once(&program).chain(program.get_subcommands()).try_for_each(write))
    {
        Ok(()) => OK,
        Err(error) => {
            print_error(&format!("cannot write the manual into {}: {error}", folder.display()));
            FAILED
        }
    }
}

/// Prints what `shell` needs to complete the program's command line. Returns the exit code.
pub(super) fn print_completions(mut program: Command, shell: Shell) -> u8 {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut program, name, &mut script);
    print(String::from_utf8_lossy(&script).trim_end());
    OK
}

/// Completes the definition, as clap does before it reads a command line: with each command's full name.
fn built(program: Command) -> Command {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    program
}

/// Returns the page of `command`, which is the program itself or one of its commands, in the language of roff.
fn page(command: &Command, program: &Command) -> String {
    let version = program.get_version().unwrap_or_default();
    let man = Man::new(command.clone()).source(format!("Framecast {version}")).manual("Framecast");
    let mut page = Vec::new();
    let mut write = || -> io::Result<()> {
        man.render_title(&mut page)?;
        man.render_name_section(&mut page)?;
        man.render_synopsis_section(&mut page)?;
        man.render_description_section(&mut page)?;
        man.render_options_section(&mut page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut page)?;
        }
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        sections(&text).to_writer(&mut page)?;
        if command.get_name() != program.get_name() {
            let mut related = Roff::new();
            related.control("SH", ["SEE ALSO"]).text([roman(format!("{}(1)", program.get_name()))]);
            related.to_writer(&mut page)?;
        }
        Ok(())
    };
    write().expect("memory takes every byte");
    String::from_utf8(page).expect("the texts of the command line are UTF-8")
}

/// Makes sections of the text after the options. There, a heading is a line that ends in a colon, and its section's
/// lines are indented and stay as they are.
fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    let mut is_table = false;
    let mut is_first = true;
    for line in text.lines() {
        let is_indented = line.starts_with(' ');
        if is_table && !is_indented {
            roff.control("fi", []);
            is_table = false;
        }
        if let Some(heading) = line.strip_suffix(':').filter(|_| !is_indented) {
            roff.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
            is_table = true;
        } else if line.is_empty() {
            roff.control("PP", []);
        } else {
            if is_first && !is_table {
                roff.control("SH", ["NOTES"]);
            }
            roff.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
        }
        is_first = false;
    }
    if is_table {
        roff.control("fi", []);
    }
    roff
}

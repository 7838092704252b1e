//! `prunebench completions`.

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::output::print;
use crate::{Cli, Outcome};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  prunebench completions bash > ~/.local/share/bash-completion/completions/prunebench
  prunebench completions zsh > ~/.zfunc/_prunebench")]
pub struct Completions {
    /// Shell
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Outcome {
        let mut script = Vec::new();
        generate(self.shell, &mut Cli::command(), "prunebench", &mut script);
        print(&String::from_utf8_lossy(&script))?;
        Ok(true)
    }
}

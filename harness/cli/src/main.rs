//! `prunebench`: compresses language models, measures them, and keeps what it measured.

mod cmd;
mod output;
mod progress;
mod terminal;

use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use prunebench_results::PublishedError;
use prunebench_sweep::{PretrainError, Problems, QUIET_WAITS};

use crate::terminal::{Colour, Pager};

/// Compress language models by published methods, on two tensor engines, and compare what is left.
#[derive(Debug, Parser)]
#[command(name = "prunebench", version, after_help = EXIT_CODES, after_long_help = LONG_HELP)]
struct Cli {
    /// When to colour what people read
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "WHEN",
        default_value_t,
        hide_possible_values = true
    )]
    color: Colour,
    /// Show results in PAGER
    #[arg(long, global = true)]
    pager: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXIT_CODES: &str = "Exit codes: 0 ok, 1 something failed, 2 wrong usage (also of a file that the user wrote); of `gate` also 10, 11 and 12";
const LONG_HELP: &str = "\
Examples:
  prunebench doctor
  prunebench list experiments
  prunebench run quick
  prunebench report quick --tasks
  prunebench open quick
  prunebench eval --model smollm2-135m --protocol wikitext2/stream-512@1 --windows 16
  prunebench eval --model smollm2-135m --tasks llm-pruner-7 --limit 100
  prunebench compress --model smollm2-135m --recipe 'shortgpt(ratio=0.2)' --out smaller

Exit codes: 0 ok, 1 something failed, 2 wrong usage (also of a file that the user wrote); of `gate` also 10 regression,
11 no baseline, 12 inconclusive";

#[derive(Debug, Subcommand)]
enum Command {
    List(cmd::list::List),
    Doctor(cmd::doctor::Doctor),
    Fetch(cmd::fetch::Fetch),
    New(cmd::new::New),
    Run(cmd::run::Run),
    Submit(cmd::submit::Submit),
    Cancel(cmd::submit::Cancel),
    DepthMap(cmd::depth_map::DepthMap),
    Eval(cmd::eval::Eval),
    Compress(cmd::compress::Compress),
    Pretrain(cmd::pretrain::Pretrain),
    Throughput(cmd::throughput::Throughput),
    Status(cmd::status::Status),
    Report(cmd::report::Report),
    Open(cmd::open::Open),
    Compare(cmd::compare::Compare),
    Gate(cmd::gate::Gate),
    Paper(cmd::paper::Paper),
    Claims(cmd::claims::Claims),
    Store(cmd::store::Store),
    Schema(cmd::schema::Schema),
    Completions(cmd::completions::Completions),
    #[command(hide = true)]
    Task(cmd::task::Task),
    #[command(hide = true)]
    Probe(cmd::probe::Probe),
    /// Measure one cell for `run`, which asks on standard input.
    #[command(hide = true)]
    Worker,
}

impl Command {
    /// Whether an engine computes in this process, and not in those of cells.
    fn computes(&self) -> bool {
        matches!(self, Self::Compress(_) | Self::Pretrain(_) | Self::Worker)
    }
}

/// Whether everything that was asked for went well.
type Outcome = anyhow::Result<bool>;

/// Starts the program again with [`QUIET_WAITS`], which the engines read before `main`; what the user set stays. It takes
/// as long as loading the engines once more.
fn restart_quietly() -> std::io::Result<()> {
    let unset: Vec<_> = QUIET_WAITS
        .into_iter()
        .filter(|(name, _)| std::env::var_os(name).is_none())
        .collect();
    if unset.is_empty() {
        return Ok(());
    }
    let program = std::env::current_exe()?;
    Err(std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .envs(unset)
        .exec())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.color.apply();
    if cli.command.as_ref().is_some_and(Command::computes)
        && let Err(error) = restart_quietly()
    {
        output::note(&format!(
            "the engines' threads will spin while they wait, which is slow on a busy machine: {error}"
        ));
    }
    let pager = if cli.pager { Pager::start() } else { Ok(None) };
    let _pager = match pager {
        Ok(pager) => pager,
        Err(error) => {
            output::error(&error);
            return ExitCode::FAILURE;
        }
    };
    let Some(command) = cli.command else {
        return ended(cmd::start::start());
    };
    if !matches!(command, Command::Worker) {
        progress::show_downloads();
    }
    let outcome = match command {
        Command::List(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Fetch(command) => command.run(),
        Command::New(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Submit(command) => command.run(),
        Command::Cancel(command) => command.run(),
        Command::Task(command) => command.run(),
        Command::Probe(command) => command.run(),
        Command::DepthMap(command) => command.run(),
        Command::Eval(command) => command.run(),
        Command::Compress(command) => command.run(),
        Command::Pretrain(command) => command.run(),
        Command::Throughput(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Open(command) => command.run(),
        Command::Compare(command) => command.run(),
        Command::Gate(command) => match command.run() {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Command::Paper(command) => command.run(),
        Command::Claims(command) => command.run(),
        Command::Store(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Completions(command) => command.run(),
        Command::Worker => prunebench_sweep::worker::serve().map(|()| true).map_err(Into::into),
    };
    ended(outcome)
}

/// Tells an error, and gives the exit code.
fn ended(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::error(&error);
            let usage = error.downcast_ref::<Problems>().is_some_and(Problems::is_usage)
                || error
                    .downcast_ref::<prunebench_methods::Error>()
                    .is_some_and(cmd::is_usage)
                || matches!(error.downcast_ref(), Some(PretrainError::Config { .. }))
                || matches!(error.downcast_ref(), Some(PublishedError::Unknown { .. }))
                || error.is::<prunebench_reports::DefinitionError>()
                || error.is::<cmd::Usage>()
                || cmd::gate::is_usage(&error);
            if usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                help.contains(&format!("prunebench {}", command.get_name())),
                "{}",
                command.get_name()
            );
        }
    }
}

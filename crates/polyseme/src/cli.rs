//! The command line from its words to its exit code.

use crate::args::{Cli, Command};
use crate::commands::{self, Context};
use crate::render::errors::{Ending, ending, print_error};
use clap::Parser;
use clap::error::ErrorKind;
use std::io::Write;
use std::process::ExitCode;

/// Runs the command line of this process. Exit codes: 0 fine, 1 something given to the program is
/// wrong, 2 the system or the program is, 130 interrupted; a reader that went away is fine.
/// `before_training` is called by commands that train, before any thread of theirs runs.
pub fn main(before_training: fn()) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    if trains(&cli.command) {
        before_training();
    }
    let result = run(cli).and_then(|()| std::io::stdout().flush().map_err(Into::into));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => match ending(&e) {
            Ending::Fine => ExitCode::SUCCESS,
            Ending::Interrupted => ExitCode::from(130),
            Ending::Failed(code) => {
                print_error(&e);
                ExitCode::from(code)
            }
        },
    }
}

fn trains(command: &Command) -> bool {
    match command {
        Command::Tour(_) | Command::Pretrain(_) | Command::Finetune(_) | Command::Sweep(_) | Command::Shrink(_) => true,
        Command::Bench(args) => args.model.is_none(),
        _ => false,
    }
}

/// Help and version are fine; anything else is wrong words.
fn usage(e: &clap::Error) -> ExitCode {
    let fine = matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    _ = e.print(); // nobody to tell if this fails
    if fine { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    // These two need no device.
    match &cli.command {
        Command::Completions(args) => return commands::completions::run(args),
        Command::Man(args) => return commands::man::run(args),
        _ => {}
    }
    let context = Context::new(&cli.global)?;
    match cli.command {
        Command::Tour(args) => commands::tour::run(&args, &context),
        Command::Pretrain(args) => commands::pretrain::run(&args, &context),
        Command::Finetune(args) => commands::finetune::run(&args, &context),
        Command::Sweep(args) => commands::sweep::run(&args, &context),
        Command::Eval(args) => commands::eval::run(&args, &context),
        Command::Predict(args) => commands::predict::run(&args, &context),
        Command::Search(args) => commands::search::run(&args, &context),
        Command::Embed(args) => commands::embed::run(&args, &context),
        Command::Bench(args) => commands::bench::run(&args, &context),
        Command::Export(args) => commands::export::run(&args, &context),
        Command::Merge(args) => commands::merge::run(&args, &context),
        Command::Shrink(args) => commands::shrink::run(&args, &context),
        Command::Inspect(args) => commands::inspect::run(&args, &context),
        Command::Fill(args) => commands::fill::run(&args, &context),
        Command::Completions(_) | Command::Man(_) => unreachable!("answered above"),
    }
}

//! `train`: weights of the default estimator from poses or from the built-in pose prior.

use std::process::ExitCode;

use clap::Args;

use super::{events, interrupt, print_line};
use crate::tasks::run_here;
use crate::tasks::training::TrainTask;
use crate::training::TrainConfig;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    config: TrainConfig,

    /// Events as JSON lines on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut task = TrainTask { config: arguments.config };
    let outcome = run_here(&mut task, &events::reporter(arguments.json), &interrupt::cancel_on_interrupt())?;
    if !arguments.json {
        outcome.files.iter().for_each(|file| print_line(&file.display().to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

//! `evaluate`: errors and spreads of the default estimator, as a table or as JSON.

use std::process::ExitCode;

use clap::Args;

use super::{events, interrupt, print_line};
use crate::evaluation::EvaluateConfig;
use crate::tasks::run_here;
use crate::tasks::training::EvaluateTask;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    config: EvaluateConfig,

    /// The numbers as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut task = EvaluateTask { config: arguments.config, report: None };
    run_here(&mut task, &events::reporter(false), &interrupt::cancel_on_interrupt())?;
    let report = task.report.unwrap_or_default();
    print_line(&if arguments.json { serde_json::to_string_pretty(&report)? } else { report.to_string() });
    Ok(ExitCode::SUCCESS)
}

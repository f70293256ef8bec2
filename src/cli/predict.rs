//! `predict`: photos to folders of results.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{events, interrupt, print_line};
use crate::tasks::predict::{PredictConfig, PredictTask};
use crate::tasks::run_here;

#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    config: PredictConfig,

    /// Events and results as JSON lines on stdout
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let mut task = PredictTask::new(arguments.config);
    let reporter = events::reporter(arguments.json);
    let outcome = run_here(&mut task, &reporter, &interrupt::cancel_on_interrupt());
    for result in &task.results {
        if arguments.json {
            print_line(&json!({"result": result.folder, "summary": result.summary}).to_string());
        } else {
            print_line(&result.folder.display().to_string());
        }
    }
    if arguments.json {
        for (path, reason) in &task.problems {
            print_line(&json!({"problem": reason, "photo": path}).to_string());
        }
    } else if task.problems.len() > 1 || (!task.problems.is_empty() && !task.results.is_empty()) {
        // Said again at the end, where they are not lost among the progress of many photos.
        eprintln!("without a result:");
        for (_, reason) in &task.problems {
            eprintln!("  {reason}");
        }
    }
    let outcome = outcome?;
    Ok(if outcome.problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

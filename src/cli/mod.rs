//! The command line: flags → task → printed events. One file a command; no command opens the window.
//!
//! Results and `--json` events go to stdout, progress and warnings to stderr.
//! Exit code 0: all done; 1: something failed, said on stderr; 2: wrong usage; 130: stopped by Ctrl-C (143: SIGTERM).

mod completions;
mod convert;
mod evaluate;
mod events;
mod info;
mod interrupt;
mod keypoints;
mod predict;
mod train;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::formats::model_files;

/// A photo of a person in, the whole distribution of 3D bodies that it allows out.
#[derive(Parser, Debug)]
#[command(name = "humanifold", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,

    /// Photos to open in the window
    #[arg(value_name = "PHOTO")]
    photos: Vec<PathBuf>,

    /// Estimator weights for the window; those that ship without it
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,

    /// Folder with model files, searched first
    #[arg(long, global = true, value_name = "DIR")]
    models: Option<PathBuf>,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Photos to bodies: a folder with figure, numbers and mesh for each person
    Predict(predict::Arguments),
    /// Photos to keypoints: JSON in COCO's layout
    Keypoints(keypoints::Arguments),
    /// Trains the default estimator, or the pose prior
    Train(Box<train::Arguments>),
    /// Measures the default estimator on rendered people or labelled photos
    Evaluate(evaluate::Arguments),
    /// Motions of one kind of file to another: npz, BVH, AMC, 3DPW to npz, GLB, BVH, OBJ
    Convert(convert::Arguments),
    /// What was found: models, weights, devices
    Info(info::Arguments),
    /// A script that completes commands and flags in a shell
    Completions(completions::Arguments),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(folder) = arguments.models {
        if !folder.is_dir() {
            return failed(&anyhow::anyhow!("no such folder (--models): {}", folder.display()));
        }
        model_files::set_models_dir(folder);
    }
    let result = match arguments.command {
        Some(Command::Predict(arguments)) => predict::run(arguments),
        Some(Command::Train(arguments)) => train::run(*arguments),
        Some(Command::Evaluate(arguments)) => evaluate::run(arguments),
        Some(Command::Keypoints(arguments)) => keypoints::run(&arguments),
        Some(Command::Convert(arguments)) => convert::run(&arguments),
        Some(Command::Info(arguments)) => info::run(&arguments),
        Some(Command::Completions(arguments)) => completions::run(&arguments),
        None => return window(arguments.photos, arguments.weights),
    };
    result.unwrap_or_else(|error| failed(&error))
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", told(error));
    interrupt::exit_code().unwrap_or(ExitCode::FAILURE)
}

/// An error and its causes, each said once.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(feature = "viewer")]
fn window(photos: Vec<PathBuf>, weights: Option<PathBuf>) -> ExitCode {
    crate::app::run(crate::app::WindowOptions { photos, weights })
}

#[cfg(not(feature = "viewer"))]
fn window(photos: Vec<PathBuf>, weights: Option<PathBuf>) -> ExitCode {
    use clap::CommandFactory;
    if photos.is_empty() && weights.is_none() {
        // Help that cannot be written has no other place to go.
        let _ = Arguments::command().print_help();
        return ExitCode::SUCCESS;
    }
    failed(&anyhow::anyhow!("this build has no window: use `humanifold predict PHOTO --out DIR`"))
}

/// Writes a line to stdout; a reader that went away is no error.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn flags_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn causes_are_said_once() {
        let error = anyhow::anyhow!("no space left").context("cannot write: no space left: /x");
        assert_eq!(told(&error), "cannot write: no space left: /x");
        assert_eq!(told(&anyhow::anyhow!("b").context("a")), "a: b");
    }

    #[test]
    fn photos_open_the_window_and_commands_do_not() {
        let parsed = Arguments::try_parse_from(["humanifold", "a.jpg", "b.jpg"]).unwrap();
        assert!(parsed.command.is_none() && parsed.photos.len() == 2);
        let parsed =
            Arguments::try_parse_from(["humanifold", "keypoints", "a.jpg", "--models", "/x"]).unwrap();
        assert!(matches!(parsed.command, Some(Command::Keypoints(_))) && parsed.models.is_some());
        assert!(Arguments::try_parse_from(["humanifold", "predict"]).is_err());
        assert!(Arguments::try_parse_from(["humanifold", "predict", "a.jpg", "--device", "tpu"]).is_err());
    }
}

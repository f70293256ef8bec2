//! `train`: weights of the default estimator from poses or from the built-in pose prior, or that prior itself.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{events, interrupt, print_line};
use crate::synthetic::PriorFitConfig;
use crate::tasks::training::{PriorTask, TrainTask};
use crate::tasks::{Task, run_here};
use crate::training::TrainConfig;

/// What a run makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum What {
    /// The default estimator's weights
    #[default]
    Estimator,
    /// The distribution over poses that training takes where no poses are given
    PosePrior,
}

#[derive(Args, Debug)]
pub struct Arguments {
    /// What is trained
    #[arg(long, value_enum, default_value_t)]
    what: What,

    #[command(flatten)]
    config: TrainConfig,

    #[command(flatten, next_help_heading = "With --what pose-prior")]
    prior: PriorFitConfig,

    /// Events as JSON lines on stdout
    #[arg(long, help_heading = None)]
    json: bool,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let json = arguments.json;
    let mut task = task(arguments)?;
    let outcome = run_here(&mut *task, &events::reporter(json), &interrupt::cancel_on_interrupt())?;
    if !json {
        outcome.files.iter().for_each(|file| print_line(&file.display().to_string()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Flags that mean nothing for what is trained are refused: a run of hours must not ignore one.
fn task(Arguments { what, config, prior, .. }: Arguments) -> anyhow::Result<Box<dyn Task>> {
    let plain = TrainConfig::default();
    match what {
        What::Estimator => {
            let untouched = PriorFitConfig { poses: prior.poses.clone(), ..flags_of_prior() };
            anyhow::ensure!(
                prior == untouched,
                "--components, --floor-deg, --iterations and --held-out go with --what pose-prior"
            );
            Ok(Box::new(TrainTask { config }))
        }
        What::PosePrior => {
            let (poses, out, seed) = (config.poses.clone(), config.out.clone(), config.seed);
            let own = TrainConfig { poses: poses.clone(), out: out.clone(), seed, ..plain.clone() };
            anyhow::ensure!(
                config == own,
                "--what pose-prior takes --poses, --out, --seed, --components, --floor-deg, --iterations and \
                 --held-out; the other flags go with --what estimator"
            );
            let poses = poses.ok_or_else(|| {
                anyhow::anyhow!("a pose prior is fitted to captured poses: name them with --poses FILE (npz)")
            })?;
            let out = if out == plain.out { PriorFitConfig::default().out } else { out };
            Ok(Box::new(PriorTask { config: PriorFitConfig { poses, out, seed, ..prior } }))
        }
    }
}

/// The prior's settings as they come from a command line without its flags.
fn flags_of_prior() -> PriorFitConfig {
    PriorFitConfig { out: Default::default(), seed: 0, ..PriorFitConfig::default() }
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, Command, FromArgMatches};

    use super::*;

    fn parsed(flags: &[&str]) -> anyhow::Result<Box<dyn Task>> {
        let command = Arguments::augment_args(Command::new("train"));
        let matches = command.try_get_matches_from([&["train"], flags].concat())?;
        task(Arguments::from_arg_matches(&matches)?)
    }

    #[test]
    fn flags_of_the_other_training_are_refused() {
        let refused = |flags: &[&str], text: &str| match parsed(flags) {
            Ok(_) => panic!("accepted: {flags:?}"),
            Err(error) => assert!(error.to_string().contains(text), "{flags:?}: {error}"),
        };
        assert!(parsed(&[]).is_ok_and(|task| task.title().contains("lifter.safetensors")));
        assert!(parsed(&["--steps", "5", "--seed", "3", "--out", "x.safetensors"]).is_ok());
        refused(&["--components", "4"], "--what pose-prior");
        refused(&["--what", "pose-prior"], "--poses FILE");
        refused(&["--what", "pose-prior", "--poses", "p.npz", "--steps", "5"], "--what estimator");
        refused(&["--what", "weather"], "pose-prior");
        let task = parsed(&["--what", "pose-prior", "--poses", "p.npz", "--components", "4", "--seed", "9"]);
        assert!(task.is_ok_and(|task| task.title().contains("pose_prior.npz")));
    }
}

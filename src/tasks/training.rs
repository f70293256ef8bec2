//! Training, fitting of the pose prior and evaluation as tasks.

use std::path::Path;

use super::task::{Outcome, Task};
use crate::evaluation::{EvaluateConfig, Report, evaluate};
use crate::formats::atomic::check_writable;
use crate::progress::{Cancel, Reporter};
use crate::synthetic::{PriorFitConfig, fit_prior};
use crate::training::{TrainConfig, train};

/// Trains the default estimator. Its curve comes as metrics; cancelled, it leaves a checkpoint to go on from.
pub struct TrainTask {
    pub config: TrainConfig,
}

impl Task for TrainTask {
    fn title(&self) -> String {
        format!("Train {}", name(&self.config.out))
    }

    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
        anyhow::ensure!(
            !(self.config.resume && self.config.from.is_some()),
            "a run starts from its checkpoint (--resume) or from other weights (--from), not from both"
        );
        // Better now than after hours.
        check_writable(&self.config.out)?;
        train(&self.config, reporter, cancel)?;
        Ok(written("weights", &self.config.out))
    }
}

/// Fits the pose prior to captured poses. Cancelled, it leaves nothing.
pub struct PriorTask {
    pub config: PriorFitConfig,
}

impl Task for PriorTask {
    fn title(&self) -> String {
        format!("Fit {}", name(&self.config.out))
    }

    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
        check_writable(&self.config.out)?;
        fit_prior(&self.config, reporter, cancel)?;
        Ok(written("pose prior", &self.config.out))
    }
}

/// Measures the default estimator.
pub struct EvaluateTask {
    pub config: EvaluateConfig,
    /// There when the task has finished.
    pub report: Option<Report>,
}

impl Task for EvaluateTask {
    fn title(&self) -> String {
        format!("Evaluate on {} people", self.config.n)
    }

    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
        let report = evaluate(&self.config, reporter, cancel)?;
        let outcome = Outcome::new(format!("{} numbers", report.numbers.len()));
        self.report = Some(report);
        Ok(outcome)
    }
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn written(what: &str, file: &Path) -> Outcome {
    Outcome {
        message: format!("{what} written: {}", file.display()),
        files: vec![file.to_owned()],
        problems: 0,
    }
}

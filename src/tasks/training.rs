//! Training and evaluation as tasks.

use super::task::{Outcome, Task};
use crate::evaluation::{EvaluateConfig, Report, evaluate};
use crate::progress::{Cancel, Reporter};
use crate::training::{TrainConfig, train};

/// Trains the default estimator. Its curve comes as metrics; cancelled, it leaves a checkpoint to go on from.
pub struct TrainTask {
    pub config: TrainConfig,
}

impl Task for TrainTask {
    fn title(&self) -> String {
        format!("Train {}", self.config.out.file_name().unwrap_or_default().to_string_lossy())
    }

    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
        train(&self.config, reporter, cancel)?;
        Ok(Outcome {
            message: format!("weights written: {}", self.config.out.display()),
            files: vec![self.config.out.clone()],
            problems: 0,
        })
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

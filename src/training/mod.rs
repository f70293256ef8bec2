//! Training: examples made on the fly, one loop, checkpoints that a later run goes on from.
//!
//! [`TrainConfig`] ──[`train`]──▶ weights + `.json` (config, curve) + checkpoint; metrics go to the `Reporter`

pub mod adamw;
pub mod checkpoint;
pub mod config;
pub mod lifter;

pub use config::TrainConfig;
pub use lifter::train;

#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    #[error("cancelled; the checkpoint holds what was learnt")]
    Cancelled,
    #[error("the loss is not a finite number at step {step}: try a lower learning rate")]
    Diverged { step: u64 },
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

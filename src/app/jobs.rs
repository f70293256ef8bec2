//! Long jobs of the window: starting a training from its form, listing, cancelling, using what came out.

use std::time::Duration;

use bevy::app::AppExit;
use bevy::prelude::*;
use clap::{Args, Command, FromArgMatches};

use super::action::Action;
use super::panels::form::Form;
use super::session::Session;
use super::{Acting, Waker};
use crate::tasks::TaskQueue;
use crate::tasks::training::TrainTask;
use crate::training::TrainConfig;

/// Jobs at once; further ones wait.
const AT_ONCE: usize = 2;

pub struct JobsPlugin;

/// The queue and the form of the next training.
#[derive(Resource)]
pub struct Jobs {
    pub queue: TaskQueue,
    pub training: Form,
    pub training_open: bool,
}

impl Plugin for JobsPlugin {
    fn build(&self, app: &mut App) {
        app.add_systems(Startup, |mut commands: Commands, waker: Res<Waker>| {
            commands.insert_resource(Jobs {
                queue: TaskQueue::new(AT_ONCE, waker.0.clone()),
                training: Form::new(train_command()),
                training_open: false,
            });
        })
        .add_systems(PostUpdate, act.in_set(Acting))
        .add_systems(Last, stop_at_exit);
    }
}

fn act(mut actions: MessageReader<Action>, mut session: ResMut<Session>, jobs: Option<ResMut<Jobs>>) {
    let Some(mut jobs) = jobs else { return };
    for action in actions.read() {
        match action {
            Action::ToggleTasks => session.tasks_open = !session.tasks_open,
            Action::OpenTraining => jobs.training_open = !jobs.training_open,
            Action::StartTraining => match train_config(&jobs.training.arguments()) {
                Ok(config) => {
                    jobs.queue.start(Box::new(TrainTask { config }));
                    jobs.training.error = None;
                    jobs.training_open = false;
                    session.tasks_open = true;
                }
                Err(error) => jobs.training.error = Some(error.to_string()),
            },
            Action::CancelTask(id) => {
                if let Some(task) = jobs.queue.get(*id) {
                    task.cancel();
                }
            }
            Action::ClearTasks => jobs.queue.clear_finished(),
            _ => {}
        }
    }
}

/// The command whose options the form shows: the config that `humanifold train` parses.
fn train_command() -> Command {
    TrainConfig::augment_args(Command::new("train").about("Train the estimator on people made on the fly"))
}

fn train_config(arguments: &[String]) -> Result<TrainConfig, clap::Error> {
    let line = std::iter::once("train".to_owned()).chain(arguments.iter().cloned());
    TrainConfig::from_arg_matches(&train_command().try_get_matches_from(line)?)
}

/// A training that is cancelled writes its last checkpoint first.
fn stop_at_exit(exits: MessageReader<AppExit>, jobs: Option<Res<Jobs>>) {
    if !exits.is_empty()
        && let Some(jobs) = jobs
    {
        jobs.queue.stop_all(Duration::from_secs(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_training_gives_its_config() {
        let mut form = Form::new(train_command());
        assert_eq!(train_config(&form.arguments()).expect("defaults"), TrainConfig::default());
        form.set("steps", "12");
        assert_eq!(train_config(&form.arguments()).expect("parses").steps, 12);
        form.set("steps", "many");
        assert!(train_config(&form.arguments()).is_err());
    }
}

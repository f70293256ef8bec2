//! Photos to folders of results. The command line runs it as `predict`; the window runs the same task.
//!
//! photo ──people──▶ persons ──estimator, refiner──▶ Estimate ──results──▶ figure, params, mesh, summary

pub mod config;
pub mod people;
pub mod results;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub use config::{KeypointsFrom, PredictConfig};
pub use results::{PersonResult, write_person};

use super::engine::{load_engine_on, load_finder};
use super::inputs::{self, Photo};
use super::live::Engine;
use super::task::{Outcome, Task};
use crate::body::BodyModel;
use crate::estimators::{Estimate, EstimateOptions};
use crate::formats::Picture;
use crate::formats::keypoint_json::KeypointFile;
use crate::keypoints::{Finder, Network, Person};
use crate::progress::{Cancel, Reporter};

/// The job: every photo, one after the other. A photo that cannot be used is a warning and a problem at the end;
/// weights that cannot be used and folders that cannot be written end it.
pub struct PredictTask {
    pub config: PredictConfig,
    /// What was written, in order.
    pub results: Vec<PersonResult>,
    /// Photos (or people in them) without a result, and why.
    pub problems: Vec<(PathBuf, String)>,
}

impl PredictTask {
    pub fn new(config: PredictConfig) -> Self {
        Self { config, results: Vec::new(), problems: Vec::new() }
    }
}

/// Models, each read when first needed or by [`Tools::warm_up`].
struct Tools<'a> {
    config: &'a PredictConfig,
    keypoints: Option<KeypointFile>,
    finder: OnceLock<Result<Finder, String>>,
    body: OnceLock<Result<Arc<BodyModel>, String>>,
    engine: OnceLock<Result<Engine, String>>,
}

impl<'a> Tools<'a> {
    fn new(config: &'a PredictConfig) -> anyhow::Result<Self> {
        let keypoints = match &config.keypoints {
            KeypointsFrom::File(path) => Some(KeypointFile::read(path)?),
            KeypointsFrom::Network(_) => None,
        };
        Ok(Self {
            config,
            keypoints,
            finder: OnceLock::new(),
            body: OnceLock::new(),
            engine: OnceLock::new(),
        })
    }

    fn finder(&self) -> anyhow::Result<&Finder> {
        ready(self.finder.get_or_init(|| {
            let network = match &self.config.keypoints {
                KeypointsFrom::Network(network) => *network,
                // Only for the mask.
                KeypointsFrom::File(_) => Network::MoveNet,
            };
            load_finder(network, self.config.device).map_err(|error| format!("{error:#}"))
        }))
    }

    fn body(&self) -> anyhow::Result<&Arc<BodyModel>> {
        ready(self.body.get_or_init(|| {
            match &self.config.body {
                Some(path) => BodyModel::load_from(path, self.config.gender).map(Arc::new),
                None => BodyModel::default_body(),
            }
            .map_err(|error| error.to_string())
        }))
    }

    fn engine(&self) -> anyhow::Result<&Engine> {
        let body = self.body()?;
        ready(self.engine.get_or_init(|| {
            load_engine_on(self.config.weights.as_deref(), body, self.config.device)
                .map_err(|error| format!("{error:#}"))
        }))
    }

    /// Reads body and weights while the first photo is looked at.
    fn warm_up(&self) {
        // Errors show up where the tool is used.
        let _ = self.engine();
    }
}

fn ready<T>(loaded: &Result<T, String>) -> anyhow::Result<&T> {
    loaded.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// Why a photo has no result, told apart by whether others would fare better.
enum Failure {
    Photo(String),
    Fatal(anyhow::Error),
}

impl Task for PredictTask {
    fn title(&self) -> String {
        match self.config.photos.as_slice() {
            [photo] => {
                format!("Predict {}", photo.file_name().unwrap_or(photo.as_os_str()).to_string_lossy())
            }
            photos => format!("Predict {} photos or folders", photos.len()),
        }
    }

    fn run(&mut self, reporter: &Reporter, cancel: &Cancel) -> anyhow::Result<Outcome> {
        self.results.clear();
        self.problems.clear();
        self.config.check()?;
        std::fs::create_dir_all(&self.config.out).map_err(|error| {
            anyhow::anyhow!("cannot make the output folder ({error}): {}", self.config.out.display())
        })?;
        let (photos, missing) = inputs::collect(&self.config.photos);
        for (path, reason) in missing {
            self.problem(reporter, path, reason);
        }
        let config = self.config.clone();
        let tools = Tools::new(&config)?;
        let total = photos.len() as u64;
        reporter.progress(0, total, "photos");
        for (at, photo) in photos.iter().enumerate() {
            if cancel.is_cancelled() {
                anyhow::bail!("cancelled after {at} of {total} photos");
            }
            let (made, failure) = one_photo(&tools, photo, reporter, cancel);
            self.results.extend(made);
            match failure {
                None => {}
                Some(Failure::Photo(reason)) => self.problem(reporter, photo.path.clone(), reason),
                Some(Failure::Fatal(error)) => return Err(error),
            }
            reporter.progress(at as u64 + 1, total, "photos");
        }
        Ok(self.outcome(photos.len()))
    }
}

impl PredictTask {
    fn problem(&mut self, reporter: &Reporter, path: PathBuf, reason: String) {
        reporter.warn(reason.clone());
        self.problems.push((path, reason));
    }

    fn outcome(&self, photos: usize) -> Outcome {
        let mut message = format!(
            "{} in {}",
            counted(self.results.len(), "person", "people"),
            counted(photos, "photo", "photos")
        );
        if !self.problems.is_empty() {
            message += &format!(", {}", counted(self.problems.len(), "problem", "problems"));
        }
        Outcome {
            message,
            files: self.results.iter().map(|result| result.folder.clone()).collect(),
            problems: self.problems.len(),
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Everything for one photo: the people that worked out and what stopped the rest.
fn one_photo(
    tools: &Tools,
    photo: &Photo,
    reporter: &Reporter,
    cancel: &Cancel,
) -> (Vec<PersonResult>, Option<Failure>) {
    let config = tools.config;
    let mut results = Vec::new();
    let (found, ()) = rayon::join(|| find_people(tools, photo, cancel), || tools.warm_up());
    let (picture, mut people) = match found {
        Ok(found) => found,
        Err(failure) => return (results, Some(failure)),
    };
    if people.len() > 1 && !config.all {
        tracing::debug!("{} people, taking the most prominent", people.len());
        people.truncate(1);
    }
    let count = people.len();
    for (at, person) in people.iter().enumerate() {
        if cancel.is_cancelled() {
            return (results, Some(Failure::Fatal(anyhow::anyhow!("cancelled"))));
        }
        let name = if config.all { format!("{}-{}", photo.name, at + 1) } else { photo.name.clone() };
        match one_person(tools, &picture, person, &name, (at + 1, count), reporter, cancel) {
            Ok(result) => results.push(result),
            Err(failure) => return (results, Some(failure)),
        }
    }
    (results, None)
}

fn find_people(tools: &Tools, photo: &Photo, cancel: &Cancel) -> Result<(Picture, Vec<Person>), Failure> {
    let of_photo = |error: String| Failure::Photo(error);
    let picture = Picture::read(&photo.path).map_err(|error| of_photo(error.to_string()))?;
    let people = match &tools.keypoints {
        Some(file) => people::from_file(file, &photo.path, &picture),
        None => {
            let finder = tools.finder().map_err(Failure::Fatal)?;
            people::detected(finder, &picture, tools.config, cancel).map_err(Failure::Fatal)?
        }
    };
    if people.is_empty() {
        let advice = match &tools.keypoints {
            Some(_) => "the keypoint file has no person for this photo",
            None => {
                "no person found: place keypoints by hand in the window, or give them with --keypoints FILE"
            }
        };
        return Err(of_photo(format!("{advice}: {}", photo.path.display())));
    }
    Ok((picture, people))
}

fn one_person(
    tools: &Tools,
    picture: &Picture,
    person: &Person,
    name: &str,
    (number, count): (usize, usize),
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<PersonResult, Failure> {
    let config = tools.config;
    let body = tools.body().map_err(Failure::Fatal)?;
    let path = picture.path.as_deref().unwrap_or(Path::new("photo"));
    let warning = people::doubt(person);
    if let Some(warning) = &warning {
        reporter.warn(format!("{warning}: {}", path.display()));
    }
    // The mask is only shown; it is made while the estimate is.
    let (estimate, mask) = rayon::join(
        || estimated(tools, picture, person, cancel),
        || tools.finder().ok().and_then(|finder| finder.detector.mask(picture, person).ok()),
    );
    let estimate = estimate?;
    let engine = tools.engine().map_err(Failure::Fatal)?;
    let person = Person { mask, ..person.clone() };
    let folder = config.out.join(name);
    write_person(&results::Request {
        folder: &folder,
        picture,
        person: &person,
        estimate: &estimate,
        body,
        title: &results::title(path, number, count),
        warning: warning.as_deref(),
        temperature: config.temperature,
        refined: !config.no_refine && engine.refiner.is_some(),
        device: &engine.device,
    })
    .map_err(Failure::Fatal)
}

fn estimated(
    tools: &Tools,
    picture: &Picture,
    person: &Person,
    cancel: &Cancel,
) -> Result<Estimate, Failure> {
    use crate::estimators::EstimateError;
    let config = tools.config;
    let engine = tools.engine().map_err(Failure::Fatal)?;
    let options =
        EstimateOptions { samples: config.samples, seed: config.seed, temperature: config.temperature };
    let failed = |error: EstimateError| match error {
        EstimateError::TooFewKeypoints { .. } => {
            let place = picture.path.as_deref().unwrap_or(Path::new("photo"));
            Failure::Photo(format!("{error}: {}", place.display()))
        }
        other => Failure::Fatal(other.into()),
    };
    let estimate = engine.estimator.estimate(picture, person, &options, cancel).map_err(failed)?;
    match &engine.refiner {
        Some(refiner) if !config.no_refine => refiner.refine(&estimate, person, cancel).map_err(failed),
        _ => Ok(estimate),
    }
}

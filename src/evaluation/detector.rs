//! How good the detector is: on photos with labelled joints, and on renders, where the sampler of its errors
//! (`synthetic::detector_noise`) is held against what it imitates.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::people_2d::evaluate_people;
use super::{EvaluateConfig, EvaluateError, Report};
use crate::body::BodyModel;
use crate::formats::atomic::write_atomic;
use crate::keypoints::{DetectOptions, Detector};
use crate::progress::{Cancel, Reporter};
use crate::synthetic::noise_fit::{Observation, Summary, drawn, fit};
use crate::synthetic::noise_measure::{Lead, observe};
use crate::synthetic::scene::{SceneBuffers, SceneConfig, SceneMaker};
use crate::synthetic::{DetectorNoise, PoseSource, SyntheticError};

/// One render in so many is searched for people; the others are led by a box, which is three times as fast.
const SEARCHED: u64 = 5;

/// The detector on labelled photos.
pub(super) fn on_photos(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Report, EvaluateError> {
    let folder = config.people.as_deref().ok_or_else(|| {
        EvaluateError::Config("name the folder with people.json and its pictures (--people)".into())
    })?;
    let detector = Detector::load().map_err(anyhow::Error::from)?;
    let labels = folder.join("people.json");
    let scores = evaluate_people(&detector, &labels, &DetectOptions::default(), reporter, cancel)
        .map_err(anyhow::Error::from)?;
    let mut report = Report::default();
    add(&mut report, "", &scores)?;
    Ok(report)
}

/// The detector on renders: measured errors, what the shipped tables draw, what tables fitted to these renders
/// would draw, and these tables.
pub(super) fn on_renders(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<Report, EvaluateError> {
    let cache = config.keypoints_cache.as_deref();
    let (observations, missed) = match cache.filter(|path| path.exists()) {
        Some(path) => (read_observations(path)?, None),
        None => {
            let (observations, missed) = render_and_detect(config, reporter, cancel)?;
            if let Some(path) = cache {
                let bytes = serde_json::to_vec(&observations).map_err(anyhow::Error::from)?;
                write_atomic(path, &bytes).map_err(anyhow::Error::from)?;
            }
            (observations, Some(missed))
        }
    };
    let fitted = fit(&observations);
    let mut report = Report::default();
    if let Some(missed) = missed {
        let searched = (config.n as u64).div_ceil(SEARCHED);
        report.numbers.insert("missed_share".into(), missed as f64 / searched as f64);
    }
    add(&mut report, "measured", &Summary::of(&observations))?;
    let shipped = DetectorNoise::default();
    add(&mut report, "shipped", &Summary::of(&drawn(&observations, &shipped, config.seed)))?;
    add(&mut report, "fitted", &Summary::of(&drawn(&observations, &fitted, config.seed)))?;
    add(&mut report, "table", &fitted)?;
    Ok(report)
}

fn read_observations(path: &Path) -> Result<Vec<Observation>, EvaluateError> {
    let bytes = std::fs::read(path).map_err(anyhow::Error::from)?;
    serde_json::from_slice(&bytes).map_err(|error| {
        EvaluateError::Config(format!(
            "not keypoints of renders ({error}); delete it to make it anew: {}",
            path.display()
        ))
    })
}

fn render_and_detect(
    config: &EvaluateConfig,
    reporter: &Reporter,
    cancel: &Cancel,
) -> Result<(Vec<Observation>, usize), EvaluateError> {
    let body = BodyModel::default_body().map_err(anyhow::Error::from)?;
    let poses = PoseSource::open(config.poses.as_deref()).map_err(anyhow::Error::from)?;
    let scenes = SceneMaker::new(&body, &poses, SceneConfig::default())
        .map_err(anyhow::Error::from)?
        .with_backgrounds(config.backgrounds.as_deref())
        .map_err(anyhow::Error::from)?;
    let detector = Detector::load().map_err(anyhow::Error::from)?;
    let done = AtomicU64::new(0);
    let found: Vec<(u64, Option<Observation>)> = (0..config.n as u64)
        .into_par_iter()
        .map_init(SceneBuffers::default, |buffers, item| {
            let lead = if item % SEARCHED == 0 { Lead::Search } else { Lead::Box };
            let observation = observe(&scenes, &detector, lead, (config.seed, item), buffers, cancel)?;
            reporter.progress(done.fetch_add(1, Ordering::Relaxed) + 1, config.n as u64, "people");
            Ok((item, observation))
        })
        .collect::<Result<_, SyntheticError>>()
        .map_err(|error| match error {
            SyntheticError::Cancelled => EvaluateError::Cancelled,
            other => EvaluateError::Other(other.into()),
        })?;
    let missed = found.iter().filter(|(item, o)| item % SEARCHED == 0 && o.is_none()).count();
    Ok((found.into_iter().filter_map(|(_, observation)| observation).collect(), missed))
}

/// All numbers of a value, named by the way to them.
fn add(report: &mut Report, name: &str, value: &impl Serialize) -> Result<(), EvaluateError> {
    let value = serde_json::to_value(value).map_err(anyhow::Error::from)?;
    add_value(report, name, &value);
    Ok(())
}

fn add_value(report: &mut Report, name: &str, value: &Value) {
    let below = |part: &str| if name.is_empty() { part.to_owned() } else { format!("{name}.{part}") };
    match value {
        Value::Number(number) => {
            report.numbers.insert(name.to_owned(), number.as_f64().unwrap_or(f64::NAN));
        }
        Value::Array(values) => {
            values
                .iter()
                .enumerate()
                .for_each(|(index, value)| add_value(report, &below(&index.to_string()), value));
        }
        Value::Object(values) => values.iter().for_each(|(key, value)| add_value(report, &below(key), value)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::people_2d::PeopleReport;

    #[test]
    fn numbers_are_named_by_the_way_to_them() {
        let mut report = Report::default();
        add(&mut report, "detector", &PeopleReport::default()).expect("plain numbers");
        assert_eq!(report.numbers.get("detector.upright.pck_10"), Some(&0.0));
        add(&mut report, "table", &DetectorNoise::default()).expect("plain numbers");
        assert!(report.numbers.contains_key("table.groups.6.1.error.7"));
    }
}

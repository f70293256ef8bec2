//! Kinds of `keypoints`: MoveNet, its decoding, sampling, regions, merging, the mask network.

use std::collections::BTreeMap;
use std::sync::Arc;

use glam::Vec2;
use humanifold::formats::model_files;
use humanifold::formats::picture::Picture;
use humanifold::keypoints::blazepose::MaskNetwork;
use humanifold::keypoints::decode::{self, MULTIPOSE_COLUMNS, MULTIPOSE_ROWS, MapJoint, Maps};
use humanifold::keypoints::movenet::MoveNet;
use humanifold::keypoints::regions::{self, Candidate};
use humanifold::keypoints::{COCO_KEYPOINTS, Crop, FeatureMap, Keypoint, KeypointError, sampling};

use crate::case::{Case, CaseResult, Failure, Outputs};

pub fn kinds() -> Vec<(&'static str, crate::Function)> {
    vec![
        ("movenet_thunder", movenet_thunder),
        ("movenet_multipose", movenet_multipose),
        ("movenet_decode", movenet_decode),
        ("resize_pad", resize_pad),
        ("crop_square", crop_square),
        ("crop_region", crop_region),
        ("merge_people", merge_people),
        ("person_mask", person_mask),
    ]
}

fn refused(error: KeypointError) -> Failure {
    let word = match &error {
        KeypointError::Shape(_) => "shape",
        KeypointError::Weights { .. } => "malformed",
        KeypointError::Format(error) => error.word(),
        _ => "other",
    };
    Failure::refused(word, &error)
}

fn picture(case: &Case) -> Result<Picture, Failure> {
    let image = case.input("image")?;
    let [height, width, 3] = image.shape[..] else {
        return Err(Failure::broken("`image` must be [height, width, 3]"));
    };
    let rgb = image.to_i64().map_err(Failure::broken)?.into_iter().map(|v| v as u8).collect();
    Ok(Picture { width, height, rgb: Arc::new(rgb), path: None })
}

/// The picture unsampled, as a network takes it.
fn network_input(case: &Case) -> Result<FeatureMap, Failure> {
    let picture = picture(case)?;
    let values = picture.rgb.iter().map(|v| f32::from(*v)).collect();
    FeatureMap::new(picture.height, picture.width, 3, values)
        .ok_or_else(|| Failure::broken("sides of `image`"))
}

fn weights(case: &Case) -> Result<std::path::PathBuf, Failure> {
    Ok(model_files::find(&format!("keypoints/{}.safetensors", case.text("weights")?))?)
}

/// Every n-th row and column, channels first.
fn recorded(case: &Case, name: &str, map: &FeatureMap) -> (Vec<usize>, Vec<f32>) {
    let step = case.params.get("step").and_then(|steps| steps.get(name)).and_then(serde_json::Value::as_u64);
    let step = step.map_or(1, |n| n.max(1) as usize);
    let (rows, columns) = (map.height.div_ceil(step), map.width.div_ceil(step));
    let mut values = Vec::with_capacity(map.channels * rows * columns);
    for channel in 0..map.channels {
        for row in (0..map.height).step_by(step) {
            values.extend((0..map.width).step_by(step).map(|column| map.at(row, column, channel)));
        }
    }
    (vec![map.channels, rows, columns], values)
}

fn joint_values(joints: &[MapJoint; COCO_KEYPOINTS]) -> Vec<f32> {
    joints.iter().flat_map(|joint| [joint.y, joint.x, joint.score]).collect()
}

/// All maps that the case asks for.
fn run_movenet(case: &Case) -> Result<(Outputs, Maps), Failure> {
    let network = MoveNet::load(&weights(case)?).map_err(refused)?;
    let mut layers: BTreeMap<String, FeatureMap> = BTreeMap::new();
    let maps = network
        .forward_observed(&network_input(case)?, |name, map| {
            if case.tolerance.contains_key(name) {
                layers.insert(name.to_owned(), map.clone());
            }
        })
        .map_err(refused)?;
    let heads = [
        ("center", Some(&maps.center)),
        ("kpt_heatmap", Some(&maps.heatmap)),
        ("kpt_regress", Some(&maps.regress)),
        ("kpt_offset", Some(&maps.offset)),
        ("box_scale", maps.boxes.as_ref().map(|boxes| &boxes.0)),
        ("box_offset", maps.boxes.as_ref().map(|boxes| &boxes.1)),
    ];
    let mut outputs = Outputs::new();
    for (name, map) in layers.iter().map(|(name, map)| (name.as_str(), Some(map))).chain(heads) {
        if let Some(map) = map.filter(|_| case.tolerance.contains_key(name)) {
            let (shape, values) = recorded(case, name, map);
            outputs = outputs.f32(name, &shape, values);
        }
    }
    Ok((outputs, maps))
}

fn movenet_thunder(case: &Case) -> CaseResult {
    let (outputs, maps) = run_movenet(case)?;
    let joints = decode::single(&maps).map_err(refused)?;
    Ok(outputs.f32("keypoints", &[COCO_KEYPOINTS, 3], joint_values(&joints)))
}

fn movenet_multipose(case: &Case) -> CaseResult {
    let (outputs, maps) = run_movenet(case)?;
    let rows = decode::multi(&maps).map_err(refused)?.iter().flat_map(|person| person.row()).collect();
    Ok(outputs.f32("people", &[MULTIPOSE_ROWS, MULTIPOSE_COLUMNS], rows))
}

/// A recorded map, channels first.
fn map(case: &Case, name: &str) -> Result<FeatureMap, Failure> {
    let (shape, from) = (case.shape(name)?, case.f32(name)?);
    let [channels, height, width] = shape[..] else {
        return Err(Failure::broken(format!("`{name}` must be [channels, height, width]")));
    };
    let mut values = Vec::with_capacity(from.len());
    for cell in 0..height * width {
        values.extend((0..channels).map(|channel| from[channel * height * width + cell]));
    }
    FeatureMap::new(height, width, channels, values)
        .ok_or_else(|| Failure::broken(format!("sides of `{name}`")))
}

fn map_or_empty(case: &Case, name: &str) -> Result<FeatureMap, Failure> {
    if case.has(name) { map(case, name) } else { Ok(FeatureMap::zeros(0, 0, 1)) }
}

fn movenet_decode(case: &Case) -> CaseResult {
    let boxes =
        if case.has("box_scale") { Some((map(case, "box_scale")?, map(case, "box_offset")?)) } else { None };
    let maps = Maps {
        center: map_or_empty(case, "center")?,
        heatmap: map(case, "kpt_heatmap")?,
        regress: map_or_empty(case, "kpt_regress")?,
        offset: map(case, "kpt_offset")?,
        boxes,
    };
    let joints = match case.text("mode")? {
        "multi" => {
            let rows =
                decode::multi(&maps).map_err(refused)?.iter().flat_map(|person| person.row()).collect();
            return Ok(Outputs::new().f32("people", &[MULTIPOSE_ROWS, MULTIPOSE_COLUMNS], rows));
        }
        "single" => decode::single(&maps),
        "guided" => {
            let prior = case.f32("prior")?;
            if prior.len() != 2 * COCO_KEYPOINTS {
                return Err(Failure::broken("`prior` must be [17, 2]"));
            }
            decode::guided(&maps, &std::array::from_fn(|k| [prior[2 * k], prior[2 * k + 1]]))
        }
        other => return Err(Failure::broken(format!("unknown mode `{other}`"))),
    };
    Ok(Outputs::new().f32("keypoints", &[COCO_KEYPOINTS, 3], joint_values(&joints.map_err(refused)?)))
}

fn resize_pad(case: &Case) -> CaseResult {
    let (height, width) = (case.count("height")?, case.count("width")?);
    let (image, layout) =
        sampling::resize_pad(&picture(case)?, height, width, case.flag("antialias")).map_err(refused)?;
    let layout = [layout.rows, layout.columns, layout.top, layout.left].map(|v| v as i64).to_vec();
    Ok(Outputs::new().f32("image", &[height, width, 3], image.values).i64("layout", &[4], layout))
}

fn crop_square(case: &Case) -> CaseResult {
    let number = |name: &str| case.number(name).map(|v| v as f32);
    let center = Vec2::new(number("center_x")?, number("center_y")?);
    let crop = Crop { center, side: number("side")?, angle: number("angle")? };
    let size = case.count("size")?;
    let image = sampling::crop_square(&picture(case)?, &crop, size).map_err(refused)?;
    Ok(Outputs::new().f32("image", &[size, size, 3], image.values))
}

fn crop_region(case: &Case) -> CaseResult {
    let (height, width) = (case.count("height")?, case.count("width")?);
    let rows = case.f32("keypoints")?;
    if rows.len() != 3 * COCO_KEYPOINTS {
        return Err(Failure::broken("`keypoints` must be [17, 3]"));
    }
    let joints = std::array::from_fn(|k| Keypoint {
        y: rows[3 * k] * height as f32,
        x: rows[3 * k + 1] * width as f32,
        score: rows[3 * k + 2],
    });
    let square = regions::next_square(&joints, height, width);
    let (low, high) = (square.center - square.side / 2.0, square.center + square.side / 2.0);
    let (h, w) = (height as f32, width as f32);
    let region = [low.y / h, low.x / w, high.y / h, high.x / w].map(f64::from).to_vec();
    Ok(Outputs::new().f64("region", &[4], region))
}

fn merge_people(case: &Case) -> CaseResult {
    let (points, boxes, scores) = (case.f32("points")?, case.f32("boxes")?, case.f32("scores")?);
    let people: Vec<Candidate> = scores
        .iter()
        .zip(boxes.chunks_exact(4).zip(points.chunks_exact(2 * COCO_KEYPOINTS)))
        .map(|(score, (bbox, joints))| Candidate {
            joints: std::array::from_fn(|k| Vec2::new(joints[2 * k], joints[2 * k + 1])),
            bbox: [bbox[1], bbox[0], bbox[3], bbox[2]],
            score: *score,
        })
        .collect();
    let kept: Vec<i64> =
        regions::merge_people(&people, regions::PERSON).into_iter().map(|index| index as i64).collect();
    Ok(Outputs::new().i64("kept", &[kept.len()], kept))
}

fn person_mask(case: &Case) -> CaseResult {
    let network = MaskNetwork::load(&weights(case)?).map_err(refused)?;
    let mut outputs = Outputs::new();
    let mut layers = Vec::new();
    let mask = network
        .forward_observed(&network_input(case)?, |name, map| layers.push((name.to_owned(), map.clone())))
        .map_err(refused)?;
    for (name, map) in &layers {
        let (shape, values) = recorded(case, name, map);
        outputs = outputs.f32(name, &shape, values);
    }
    let (shape, values) = recorded(case, "mask", &mask);
    Ok(outputs.f32("mask", &shape[1..], values))
}

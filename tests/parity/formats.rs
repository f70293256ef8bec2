//! Kinds of `body_model` that are files: numbers, pickles, checkpoints, and the readers of data sets.

mod listing;

use humanifold::formats::json::parse_json;
use humanifold::formats::keypoint_json::{CocoKeypoints, OpenPosePerson};
use humanifold::formats::matlab::parse_matlab;
use humanifold::formats::motion::{Family, Motion};
use humanifold::formats::npy::{holds_objects, parse_npy, parse_npy_objects};
use humanifold::formats::pickle::parse_pickle;
use humanifold::formats::safetensors::SafeTensors;
use humanifold::formats::torch::Torch;
use humanifold::formats::{Limits, Npz};

use crate::case::{Case, CaseResult, Failure, Kinds, Outputs};
use listing::{Listing, escaped};

pub fn kinds() -> Kinds {
    vec![
        ("formats", formats),
        ("pickle_variants", formats),
        ("torch_checkpoints", formats),
        ("matlab", formats),
        ("safetensors", formats),
        ("unsafe_files", formats),
    ]
}

fn formats(case: &Case) -> CaseResult {
    let input = case.file("input")?;
    let bytes = std::fs::read(input).map_err(Failure::broken)?;
    match case.text("op")? {
        "load" => load(case.text("format")?, bytes, &limits(case)?),
        "motion" => Ok(motion(&Motion::read(input)?)),
        "coco_keypoints" => Ok(coco(&CocoKeypoints::parse(&bytes)?)),
        "openpose" => Ok(openpose(&OpenPosePerson::parse_all(&bytes)?)),
        op => Err(Failure::broken(format!("unknown op `{op}`"))),
    }
}

/// The default limits with those that the case replaces.
fn limits(case: &Case) -> Result<Limits, Failure> {
    let mut limits = Limits::default();
    if case.has_param("limits") {
        let given = case.param("limits")?.as_object().ok_or_else(|| Failure::broken("limits are no dict"))?;
        for (name, value) in given {
            let value = value.as_u64().ok_or_else(|| Failure::broken(format!("limit `{name}`")))?;
            match name.as_str() {
                "max_array_bytes" => limits.max_array_bytes = value,
                "max_total_bytes" => limits.max_total_bytes = value,
                "max_entries" => limits.max_entries = value,
                "max_depth" => limits.max_depth = value,
                "max_nodes" => limits.max_nodes = value,
                "max_int_bits" => limits.max_int_bits = value,
                _ => return Err(Failure::broken(format!("no limit `{name}`"))),
            }
        }
    }
    Ok(limits)
}

fn load(format: &str, bytes: Vec<u8>, limits: &Limits) -> CaseResult {
    let mut listing = Listing::default();
    match format {
        "npy" if holds_objects(&bytes) => listing.values(&parse_npy_objects(&bytes, limits)?),
        "npy" => listing.array("/", &parse_npy(&bytes, limits)?),
        "npz" => {
            let npz = Npz::with_limits(bytes, "input", *limits)?;
            listing.line("/", &["dict", &npz.names().count().to_string()]);
            for name in npz.names() {
                let path = format!("/{}", escaped(name, true));
                let member = npz.member_bytes(name)?;
                if holds_objects(&member) {
                    let values = parse_npy_objects(&member, limits)?;
                    listing.node(&path, &values, values.top(), None)?;
                } else {
                    listing.array(&path, npz.get(name)?);
                }
            }
        }
        "pkl" => listing.values(&parse_pickle(&bytes, limits)?),
        "mat" => listing.values(&parse_matlab(&bytes, limits)?),
        "torch" => {
            let torch = Torch::parse(bytes, limits)?;
            listing.node("/", torch.values(), torch.values().top(), Some(&torch))?;
        }
        "safetensors" => {
            let file = SafeTensors::parse(&bytes, limits)?;
            let count = file.tensors.len() + usize::from(!file.metadata.is_empty());
            listing.line("/", &["dict", &count.to_string()]);
            if !file.metadata.is_empty() {
                listing.line("/__metadata__", &["dict", &file.metadata.len().to_string()]);
                for (key, text) in &file.metadata {
                    let path = format!("/__metadata__/{}", escaped(key, true));
                    listing.line(&path, &["str", &escaped(text, false)]);
                }
            }
            for (name, array) in &file.tensors {
                listing.array(&format!("/{}", escaped(name, true)), array);
            }
        }
        "json" => drop(parse_json(&bytes)?),
        other => return Err(Failure::broken(format!("unknown format `{other}`"))),
    }
    Ok(listing.finish())
}

fn motion(motion: &Motion) -> Outputs {
    let frames = motion.body.len();
    let family = match motion.family {
        Family::Smpl => 0,
        Family::SmplH => 1,
        Family::SmplX => 2,
    };
    let outputs = Outputs::new()
        .i64("family", &[], vec![family])
        .f64("root", &[frames, 3], motion.root.as_flattened().to_vec())
        .f64("body", &[frames, 63], motion.body.as_flattened().to_vec())
        .f64("trans", &[frames, 3], motion.trans.as_flattened().to_vec())
        .f64("betas", &[motion.betas.len()], motion.betas.clone())
        .scalar("fps", motion.frame_rate)
        .u8("gender", &[motion.gender.len()], motion.gender.clone().into_bytes());
    match &motion.hands {
        Some(hands) => outputs.f64("hands", &[frames, 90], hands.as_flattened().to_vec()),
        None => outputs,
    }
}

fn coco(file: &CocoKeypoints) -> Outputs {
    let count = file.people.len();
    let people = || file.people.iter();
    Outputs::new()
        .i64("image_id", &[count], people().map(|person| person.image_id).collect())
        .f64(
            "keypoints",
            &[count, 17, 3],
            people()
                .flat_map(|person| *person.keypoints.as_flattened().first_chunk::<51>().unwrap())
                .collect(),
        )
        .f64("bbox", &[count, 4], people().flat_map(|person| person.bbox).collect())
}

fn openpose(people: &[OpenPosePerson]) -> Outputs {
    fn part<const N: usize>(
        people: &[OpenPosePerson],
        get: impl Fn(&OpenPosePerson) -> [[f64; 3]; N],
    ) -> Vec<f64> {
        people.iter().flat_map(|person| get(person).into_iter().flatten()).collect()
    }
    let count = people.len();
    Outputs::new()
        .f64("body", &[count, 25, 3], part(people, |person| person.body))
        .f64("left_hand", &[count, 21, 3], part(people, |person| person.left_hand))
        .f64("right_hand", &[count, 21, 3], part(people, |person| person.right_hand))
        .f64("face", &[count, 70, 3], part(people, |person| person.face))
}

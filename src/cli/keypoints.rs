//! `keypoints`: photos to JSON in COCO's layout, on stdout or into a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::print_line;
use crate::body::joint_sets::{COCO_EDGES, COCO_NAMES};
use crate::formats::Picture;
use crate::formats::atomic::write_atomic;
use crate::formats::keypoint_json::{CocoKeypoints, CocoPerson};
use crate::keypoints::{DetectOptions, Network, Person};
use crate::progress::Cancel;
use crate::tasks::engine::load_finder;
use crate::tasks::inputs;
use crate::tensors::device::DeviceChoice;

#[derive(Args, Debug)]
pub struct Arguments {
    /// Photos, or folders of photos
    #[arg(required = true, value_name = "PHOTO")]
    photos: Vec<PathBuf>,

    /// File to write; stdout without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Whose keypoints
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    keypoints: Network,

    /// Where HRNet runs
    #[arg(long, value_enum, ignore_case = true, default_value_t)]
    device: DeviceChoice,

    /// People less sure than this are left out
    #[arg(long, default_value_t = DetectOptions::default().min_score, value_name = "SCORE")]
    min_score: f32,

    /// Also looks for small people, which takes longer
    #[arg(long)]
    small_people: bool,

    /// Looks at each person once, not at the mirror image too: coarser, faster
    #[arg(long)]
    fast: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let finder = load_finder(arguments.keypoints, arguments.device)?;
    let options = DetectOptions {
        min_score: arguments.min_score,
        small_people: arguments.small_people,
        fine: !arguments.fast,
    };
    let (photos, missing) = inputs::collect(&arguments.photos);
    let mut problems = missing.len();
    missing.iter().for_each(|(_, reason)| eprintln!("warning: {reason}"));
    let mut file = CocoKeypoints::default();
    let mut sizes = BTreeMap::new();
    for (at, photo) in photos.iter().enumerate() {
        let id = at as i64 + 1;
        let picture = match Picture::read(&photo.path) {
            Ok(picture) => picture,
            Err(error) => {
                problems += 1;
                eprintln!("warning: {error}");
                continue;
            }
        };
        let people = finder.find_people(&picture, &options, &Cancel::new())?;
        if people.is_empty() {
            eprintln!("warning: no person found: {}", photo.path.display());
        }
        file.images.insert(id, photo.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        sizes.insert(id, [picture.width, picture.height]);
        file.people.extend(people.iter().map(|person| of_person(person, id)));
    }
    let edges: Vec<[usize; 2]> = COCO_EDGES.iter().map(|&(a, b)| [a, b]).collect();
    let text = format!("{:#}", file.to_json(&sizes, &COCO_NAMES, &edges));
    match &arguments.out {
        Some(path) => write_atomic(path, format!("{text}\n").as_bytes())?,
        None => print_line(&text),
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// COCO's flag is 2 for what is seen, 1 for a guess, 0 for nothing at all; confidences stand beside it.
fn of_person(person: &Person, image_id: i64) -> CocoPerson {
    let flag = |at: usize| match person.keypoints[at].score {
        score if score <= 0.0 => 0.0,
        _ if person.visible(at) => 2.0,
        _ => 1.0,
    };
    let [x0, y0, x1, y1] = person.bbox.map(f64::from);
    CocoPerson {
        image_id,
        keypoints: std::array::from_fn(|at| {
            let point = person.keypoints[at];
            [f64::from(point.x), f64::from(point.y), flag(at)]
        }),
        bbox: [x0, y0, x1 - x0, y1 - y0],
        score: Some(f64::from(person.score)),
        keypoint_scores: Some(person.keypoints.map(|point| f64::from(point.score))),
    }
}

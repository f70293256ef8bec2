//! The shipped weights and the refinement on a person whose body is known.

use glam::Vec3;

use super::*;
use crate::estimators::Refiner;
use crate::estimators::optimise::{OptimiseConfig, Reprojection};
use crate::geometry::rotations::exp_so3;
use crate::keypoints::KeypointSource;

/// Someone who stands with the arms down, seen slightly from the left, in a picture of 300 × 400 pixels.
fn person(chain: &KeypointChain) -> Person {
    let mut state = BodyState::rest(10);
    state.global_orient = exp_so3(Vec3::new(0.0, 0.5, 0.0));
    state.body_pose[15] = exp_so3(Vec3::new(0.0, 0.0, -1.1));
    state.body_pose[16] = exp_so3(Vec3::new(0.0, 0.0, 1.1));
    state.transl = Vec3::new(0.1, 0.2, -5.0);
    let mut points = chain.points();
    chain.forward_state(&state, &mut points);
    let camera = Camera::perspective(300.0, 400.0, 900.0);
    let keypoints = points.coco.map(|place| {
        let pixel = camera.project(place).expect("in front of the camera");
        Keypoint { x: pixel.x, y: pixel.y, score: 1.0 }
    });
    Person {
        bbox: [0.0, 0.0, 300.0, 400.0],
        keypoints,
        score: 1.0,
        source: KeypointSource::Truth,
        mask: None,
    }
}

fn options(seed: u64) -> EstimateOptions {
    EstimateOptions { samples: 12, seed, temperature: 1.0 }
}

fn estimate(lifter: &Lifter, person: &Person, seed: u64) -> Estimate {
    let picture = Picture::filled(300, 400, [0; 3]);
    lifter.estimate(&picture, person, &options(seed), &Cancel::new()).expect("an estimate")
}

/// Mean distance of the seen keypoints from where a body puts them, pixels.
fn error(chain: &KeypointChain, estimate: &Estimate, state: &BodyState, person: &Person) -> f32 {
    let mut points = chain.points();
    chain.forward_state(state, &mut points);
    let off: Vec<f32> = (0..COCO_KEYPOINTS)
        .filter(|k| person.keypoints[*k].score >= 0.2)
        .filter_map(|k| {
            Some(estimate.camera.project(points.coco[k])?.distance(person.keypoints[k].position()))
        })
        .collect();
    off.iter().sum::<f32>() / off.len() as f32
}

#[test]
fn refined_bodies_agree_with_what_is_seen_and_stay_free_elsewhere() {
    let lifter = Lifter::load(None).expect("the shipped weights");
    let chain = lifter.chain().clone();
    let mut person = person(&chain);
    // The left arm is hidden.
    person.keypoints[7].score = 0.0;
    person.keypoints[9].score = 0.0;
    let body = BodyModel::default_body().expect("the built-in body");
    let refiner = Reprojection::new(&body, OptimiseConfig::default()).expect("24 joints");
    let before = estimate(&lifter, &person, 3);
    let after = refiner.refine(&before, &person, &Cancel::new()).expect("a refinement");
    let steps = after.refinement.as_ref().expect("the steps");
    assert_eq!(steps.frames.len(), steps.values.len());
    assert!(error(&chain, &after, &after.mode, &person) < 3.0);
    assert!(steps.values.last() <= steps.values.first());
    let wrists = |estimate: &Estimate, joint: usize| -> f32 {
        let places: Vec<Vec3> = estimate
            .samples
            .iter()
            .map(|state| {
                let joints = body.posed_joints(state);
                joints[joint] - joints[0]
            })
            .collect();
        let mean = places.iter().sum::<Vec3>() / places.len() as f32;
        (places.iter().map(|p| p.distance_squared(mean)).sum::<f32>() / places.len() as f32).sqrt()
    };
    for sample in &after.samples {
        assert!(error(&chain, &after, sample, &person) < 8.0);
    }
    assert!(wrists(&after, 20) > 1.3 * wrists(&after, 21), "{} {}", wrists(&after, 20), wrists(&after, 21));
}

#[test]
fn the_same_seed_gives_the_same_bodies_and_another_seed_others() {
    let lifter = Lifter::load(None).expect("the shipped weights");
    let person = person(&lifter.chain().clone());
    let (one, two, other) =
        (estimate(&lifter, &person, 1), estimate(&lifter, &person, 1), estimate(&lifter, &person, 2));
    assert_eq!(one.samples, two.samples);
    assert_eq!(one.log_prob, two.log_prob);
    assert_ne!(one.samples, other.samples);
    assert_eq!(one.mode, other.mode);
    assert_eq!(one.samples.len(), 12);
}

#[test]
fn a_mirrored_person_gives_a_mirrored_point_estimate() {
    let lifter = Lifter::load(None).expect("the shipped weights");
    let straight = person(&lifter.chain().clone());
    let mut flipped = straight.clone();
    for (joint, twin) in crate::body::joint_sets::COCO_MIRROR.into_iter().enumerate() {
        flipped.keypoints[joint] =
            Keypoint { x: 300.0 - straight.keypoints[twin].x, ..straight.keypoints[twin] };
    }
    let (a, b) = (estimate(&lifter, &straight, 1).mode, estimate(&lifter, &flipped, 1).mode);
    let back = crate::geometry::rotations::mirror(b.global_orient);
    assert!(crate::geometry::rotations::geodesic(a.global_orient, back) < 1e-2);
}

#[test]
fn nothing_seen_is_an_error_and_not_a_number_is_not_a_keypoint() {
    let lifter = Lifter::load(None).expect("the shipped weights");
    let mut person = person(&lifter.chain().clone());
    person.keypoints[3].x = f32::NAN;
    assert!(estimate(&lifter, &person, 1).mode.transl.is_finite());
    person.keypoints.iter_mut().for_each(|k| k.score = 0.0);
    let picture = Picture::filled(30, 40, [0; 3]);
    let result = lifter.estimate(&picture, &person, &options(1), &Cancel::new());
    assert!(matches!(result, Err(EstimateError::TooFewKeypoints { visible: 0, .. })));
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("w.safetensors");
    let shipped = model_files::find(DEFAULT_WEIGHTS).expect("the shipped weights");
    let whole = std::fs::read(shipped).expect("readable");
    for bytes in [&whole[..whole.len() / 2], &whole[..4], b"", b"not a weight file at all"] {
        std::fs::write(&path, bytes).expect("written");
        assert!(Lifter::load(Some(&path)).is_err());
    }
    assert!(Lifter::load(Some(&folder.path().join("missing"))).is_err());
}

/// A small network that looks at pictures, with weights in which the picture counts.
fn looking(folder: &std::path::Path) -> Lifter {
    let config = LifterConfig {
        width: 32,
        inner: 24,
        blocks: 1,
        distribution_width: 8,
        input: config::InputKind::Both,
        picture_widths: [3, 4, 5, 6],
        picture_hidden: 7,
        ..LifterConfig::default()
    };
    let network = config.init(&Device::flex());
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    // None of the fresh weights stay: they differ from run to run.
    let numbers: Vec<f32> =
        network.numbers().iter().map(|_| 0.1 * rng.sample::<f32, _>(StandardNormal)).collect();
    let path = folder.join("looking.safetensors");
    weights::save(&network.with_numbers(&numbers), &config, &path).expect("written");
    Lifter::load(Some(&path)).expect("read again")
}

#[test]
fn a_network_that_looks_at_pictures_sees_the_mirror_image_mirrored() {
    let folder = tempfile::tempdir().expect("a folder");
    let lifter = looking(folder.path());
    assert!(lifter.reads_picture());
    let straight = person(&lifter.chain().clone());
    let mut flipped = straight.clone();
    for (joint, twin) in crate::body::joint_sets::COCO_MIRROR.into_iter().enumerate() {
        flipped.keypoints[joint] =
            Keypoint { x: 300.0 - straight.keypoints[twin].x, ..straight.keypoints[twin] };
    }
    let draw = |turned: bool| {
        let pixels = (0..300 * 400).flat_map(|i| {
            let (x, y) = (if turned { 299 - i % 300 } else { i % 300 }, i / 300);
            [((x * x / 40 + y) % 256) as u8, (y / 2) as u8, ((x + 2 * y) % 200) as u8]
        });
        Picture::new(300, 400, pixels.collect())
    };
    let see = |picture: &Picture, person: &Person| {
        lifter.estimate(picture, person, &options(1), &Cancel::new()).expect("an estimate")
    };
    let (a, b) = (see(&draw(false), &straight), see(&draw(true), &flipped));
    let back = crate::geometry::rotations::mirror(b.mode.global_orient);
    assert!(crate::geometry::rotations::geodesic(a.mode.global_orient, back) < 1e-2);
    let blank = see(&Picture::filled(300, 400, [90; 3]), &straight);
    assert!(crate::geometry::rotations::geodesic(a.mode.global_orient, blank.mode.global_orient) > 1e-3);
    assert_eq!(a.evidence.len(), 2);
}

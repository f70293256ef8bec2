//! Files out and back in, and skeletons of others in known poses.

use super::*;
use crate::formats::bvh::{BvhJoint, Channel};

fn states() -> (std::sync::Arc<BodyModel>, Vec<BodyState>) {
    let model = BodyModel::default_body().unwrap();
    let mut states = vec![model.rest_state(); 3];
    for (at, state) in states.iter_mut().enumerate() {
        let turn = 0.3 * at as f32;
        state.global_orient = exp_so3(Vec3::new(0.1, 0.5 + turn, 0.0));
        state.body_pose[3] = exp_so3(Vec3::new(0.8 + turn, 0.0, 0.1));
        state.body_pose[16] = exp_so3(Vec3::new(0.1, -0.4, 0.9 - turn));
        state.transl = Vec3::new(turn, 1.0, -turn);
        state.betas[0] = 0.7;
    }
    (model, states)
}

#[test]
fn motions_survive_amass_and_bvh() {
    let (model, states) = states();
    let folder = tempfile::tempdir().unwrap();
    for name in ["walk.npz", "walk.bvh"] {
        let path = folder.path().join(name);
        write_motion(&path, &model, &states, 25.0).unwrap();
        let motion = read_clips(&path).unwrap().remove(0).motion;
        assert!((motion.frame_rate - 25.0).abs() < 1e-3);
        assert_eq!(motion.z_up, name.ends_with("npz"));
        let back = model.states_of(&motion);
        assert_eq!(back.len(), 3);
        for (state, back) in states.iter().zip(&back) {
            let mut back = back.clone();
            // BVH has no betas.
            back.betas.clone_from(&state.betas);
            let (a, b) = (model.posed_joints(state), model.posed_joints(&back));
            for (a, b) in a.iter().zip(&b) {
                assert!(a.distance(*b) < 2e-4, "{name}: {a} {b}");
            }
        }
    }
    let glb = folder.path().join("walk.glb");
    write_motion(&glb, &model, &states, 25.0).unwrap();
    assert!(std::fs::read(&glb).unwrap().starts_with(b"glTF"));
    let obj = folder.path().join("walk.obj");
    write_motion(&obj, &model, &states, 25.0).unwrap();
    assert_eq!(
        std::fs::read_to_string(&obj).unwrap().lines().filter(|line| line.starts_with("v ")).count(),
        7699
    );
    assert_eq!(
        write_motion(&folder.path().join("x.fbx"), &model, &states, 25.0).unwrap_err().word(),
        "value"
    );
}

/// Legs straight down, arms level, with names as many programs use them.
fn usual_skeleton(frame: &[(&str, [f64; 3])]) -> Bvh {
    let bones: [(&str, Option<usize>, [f64; 3]); 14] = [
        ("Hips", None, [0.0, 90.0, 0.0]),
        ("LeftUpLeg", Some(0), [10.0, -5.0, 0.0]),
        ("LeftLeg", Some(1), [0.0, -40.0, 0.0]),
        ("LeftFoot", Some(2), [0.0, -40.0, 0.0]),
        ("RightUpLeg", Some(0), [-10.0, -5.0, 0.0]),
        ("RightLeg", Some(4), [0.0, -40.0, 0.0]),
        ("RightFoot", Some(5), [0.0, -40.0, 0.0]),
        ("Spine", Some(0), [0.0, 10.0, 0.0]),
        ("Neck", Some(7), [0.0, 40.0, 0.0]),
        ("Head", Some(8), [0.0, 10.0, 0.0]),
        ("LeftArm", Some(7), [15.0, 35.0, 0.0]),
        ("LeftForeArm", Some(10), [28.0, 0.0, 0.0]),
        ("RightArm", Some(7), [-15.0, 35.0, 0.0]),
        ("RightForeArm", Some(12), [-28.0, 0.0, 0.0]),
    ];
    let mut row = Vec::new();
    let joints = bones
        .iter()
        .map(|(name, parent, offset)| {
            let mut channels = [2, 0, 1].map(Channel::Rotation).to_vec();
            if parent.is_none() {
                channels.splice(0..0, [0, 1, 2].map(Channel::Position));
                row.extend(offset);
            }
            row.extend(frame.iter().find(|(own, _)| own == name).map_or([0.0; 3], |(_, turn)| *turn));
            BvhJoint {
                name: format!("mixamorig:{name}"),
                parent: *parent,
                offset: *offset,
                channels,
                end: None,
            }
        })
        .collect();
    Bvh { joints, frame_time: 0.02, frames: vec![row] }
}

#[test]
fn usual_skeletons_bend_the_same_limbs() {
    let motion = bvh_skeletons::motion(&usual_skeleton(&[("LeftLeg", [0.0, 90.0, 0.0])])).unwrap();
    let knee = Vec3::from_slice(&motion.body[0][9..12].iter().map(|v| *v as f32).collect::<Vec<_>>());
    // A knee bends about x, forwards of the shin to the back.
    assert!((knee.length().to_degrees() - 90.0).abs() < 6.0 && knee.x > 1.4, "{knee}");
    let model = BodyModel::default_body().unwrap();
    let joints = model.posed_joints(&model.states_of(&motion)[0]);
    assert!(joints[7].z < joints[4].z - 0.3 && (joints[8].x - joints[5].x).abs() < 0.05);
    let error = bvh_skeletons::motion(&Bvh { joints: Vec::new(), ..usual_skeleton(&[]) }).unwrap_err();
    assert_eq!(error.word(), "missing");
}

#[test]
fn what_is_no_motion_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let word = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_clips(&path).unwrap_err().to_string()
    };
    assert!(word(b"\x89PNG\r\n").contains("PNG"));
    assert!(word(b"").contains("empty"));
    // {'v_template': None, 'weights': None}
    let body = word(b"\x80\x02}(U\nv_templateNU\x07weightsNu.");
    assert!(body.contains("SMPL body model") && body.ends_with("x.npz"), "{body}");
}

#[test]
fn every_person_of_a_sequence_stands_before_its_camera() {
    let (model, states) = states();
    let camera = |turn: f32| {
        let r = exp_so3(Vec3::new(0.2, turn, 3.0)).transpose().to_cols_array().map(f64::from);
        // Row-major, with a shift.
        [r[0], r[1], r[2], 0.3, r[3], r[4], r[5], -0.2, r[6], r[7], r[8], 4.0, 0.0, 0.0, 0.0, 1.0]
    };
    let cameras: Vec<[f64; 16]> = (0..3).map(|at| camera(0.1 * at as f32)).collect();
    let valid = vec![true, false, true];
    let person = Pw3dPerson { motion: motion_of(&states, 30.0), valid, keypoints: Vec::new() };
    let clip = Clip::of_sequence(person, &cameras);
    assert_eq!((clip.motion.body.len(), clip.cameras.len(), clip.left_out), (2, 2, 1));
    let before = model.states_before_camera(&clip).unwrap();
    for (at, frame) in [0, 2].into_iter().enumerate() {
        let world = model.posed_joints(&states[frame]);
        for (joint, found) in world.iter().zip(model.posed_joints(&before[at])) {
            let m = cameras[frame].map(|v| v as f32);
            let row = |k: usize| Vec3::new(m[k], m[k + 1], m[k + 2]).dot(*joint) + m[k + 3];
            let wanted = Vec3::new(row(0), -row(4), -row(8));
            assert!(wanted.distance(found) < 1e-4, "{wanted} {found}");
        }
    }
    let without = Clip { cameras: Vec::new(), ..clip };
    assert!(model.states_before_camera(&without).is_none());
}

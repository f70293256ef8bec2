//! Joint sets of published systems as tables: names, trees, mirrors, and which joint of one set is which of another.
//!
//! Numbers index the source; right and left are the person's own.

use super::error::BodyError;
use super::model::Family;

/// SMPL's 24 joints.
pub const SMPL_NAMES: [&str; 24] = [
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hand",
    "right_hand",
];

/// Parents of SMPL's joints; −1 for the root.
pub const SMPL_PARENTS: [i32; 24] =
    [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21];

/// The joint that each of SMPL's joints becomes in the mirror.
pub const SMPL_MIRROR: [usize; 24] =
    [0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22];

/// COCO's 17 keypoints.
pub const COCO_NAMES: [&str; 17] = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
];

pub const COCO_MIRROR: [usize; 17] = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15];

/// Lines that make a skeleton of COCO's keypoints: limbs, shoulders, hips, sides, face.
pub const COCO_EDGES: [(usize, usize); 18] = [
    (5, 7),
    (7, 9),
    (6, 8),
    (8, 10),
    (11, 13),
    (13, 15),
    (12, 14),
    (14, 16),
    (5, 6),
    (11, 12),
    (5, 11),
    (6, 12),
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
];

/// COCO's eight limb segments (upper and lower arms, thighs, shins).
pub const COCO_LIMBS: [(usize, usize); 8] =
    [(5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16)];

/// Human3.6M's 17 joints in the data set's order; the built-in body's `h36m17` has it.
pub const H36M_NAMES: [&str; 17] = [
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "nose",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
];

/// Mirror of Human3.6M's joints; the same whichever leg comes first.
pub const H36M_MIRROR: [usize; 17] = [0, 4, 5, 6, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16, 11, 12, 13];

/// LSP's 14 joints, on which pose errors are measured.
pub const LSP_NAMES: [&str; 14] = [
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "neck",
    "head_top",
];

pub const LSP_MIRROR: [usize; 14] = [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13];

/// The 24 joints that SPIN adds to OpenPose's 25; the first 14 are LSP's.
pub const SPIN24_MIRROR: [usize; 24] =
    [5, 4, 3, 2, 1, 0, 11, 10, 9, 8, 7, 6, 12, 13, 14, 15, 16, 17, 18, 19, 21, 20, 23, 22];

pub const OPENPOSE25_MIRROR: [usize; 25] =
    [0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21];

/// The 21 points that published code picks from SMPL's and SMPL-H's mesh: nose, right and left eye, right and
/// left ear; left big toe, small toe, heel, the same right; left thumb to little finger, the same right.
pub const PICKED_SMPL: [usize; 21] = [
    332, 6260, 2800, 4071, 583, 3216, 3226, 3387, 6617, 6624, 6787, 2746, 2319, 2445, 2556, 2673, 6191, 5782,
    5905, 6016, 6133,
];

/// The same points of SMPL-X's mesh.
pub const PICKED_SMPLX: [usize; 21] = [
    9120, 9929, 9448, 616, 6, 5770, 5780, 8846, 8463, 8474, 8635, 5361, 4933, 5058, 5169, 5286, 8079, 7669,
    7794, 7905, 8022,
];

/// COCO's keypoints among SMPL's joints (below 24) and picked points (from 24).
pub const COCO_FROM_SMPL24: [usize; 17] = [24, 26, 25, 28, 27, 16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8];

/// Human3.6M's joints, in the data set's order, among SMPL's joints and picked points: an analogue by name.
pub const H36M_FROM_SMPL24: [usize; 17] = [0, 2, 5, 8, 1, 4, 7, 6, 12, 24, 15, 16, 18, 20, 17, 19, 21];

/// The joint that each joint of a set becomes in the mirror.
///
/// # Errors
/// `Value` for a set that is not known.
pub fn mirror_of(set: &str) -> Result<Vec<usize>, BodyError> {
    Ok(match set {
        "smpl24" => SMPL_MIRROR.to_vec(),
        "smpl45" => {
            let mut out = SMPL_MIRROR.to_vec();
            out.extend([24, 26, 25, 28, 27, 32, 33, 34, 29, 30, 31]);
            out.extend((40..45).chain(35..40));
            out
        }
        "smplh52" => SMPL_MIRROR[..22].iter().copied().chain(37..52).chain(22..37).collect(),
        "smplx55" => {
            SMPL_MIRROR[..22].iter().copied().chain([22, 24, 23]).chain(40..55).chain(25..40).collect()
        }
        "coco17" => COCO_MIRROR.to_vec(),
        "h36m17" => H36M_MIRROR.to_vec(),
        "lsp14" => LSP_MIRROR.to_vec(),
        "spin24" => SPIN24_MIRROR.to_vec(),
        "openpose25" => OPENPOSE25_MIRROR.to_vec(),
        "spin49" => OPENPOSE25_MIRROR.iter().copied().chain(SPIN24_MIRROR.map(|at| at + 25)).collect(),
        _ => return Err(unknown("joint set", set)),
    })
}

/// Parents of a family's joints; −1 for the root.
pub fn parents_of(family: Family) -> Vec<i32> {
    let finger_chains = |out: &mut Vec<i32>| {
        for wrist in [20, 21] {
            for _ in 0..5 {
                let first = out.len() as i32;
                out.extend([wrist, first, first + 1]);
            }
        }
    };
    match family {
        Family::Smpl => SMPL_PARENTS.to_vec(),
        Family::Smplh => {
            let mut out = SMPL_PARENTS[..22].to_vec();
            finger_chains(&mut out);
            out
        }
        Family::Smplx => {
            let mut out = SMPL_PARENTS[..22].to_vec();
            out.extend([15, 15, 15]);
            finger_chains(&mut out);
            out
        }
    }
}

/// The 21 picked points of a family's published mesh.
pub fn picked_of(family: Family) -> [usize; 21] {
    match family {
        Family::Smpl | Family::Smplh => PICKED_SMPL,
        Family::Smplx => PICKED_SMPLX,
    }
}

pub(super) fn unknown(what: &str, name: &str) -> BodyError {
    BodyError::Value(format!("no {what} is called `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn swapped(name: &str) -> String {
        if let Some(rest) = name.strip_prefix("left_") {
            format!("right_{rest}")
        } else if let Some(rest) = name.strip_prefix("right_") {
            format!("left_{rest}")
        } else {
            name.to_owned()
        }
    }

    #[test]
    fn mirrors_swap_left_and_right_by_name() {
        for (names, mirror) in [
            (&SMPL_NAMES[..], &SMPL_MIRROR[..]),
            (&COCO_NAMES, &COCO_MIRROR),
            (&H36M_NAMES, &H36M_MIRROR),
            (&LSP_NAMES, &LSP_MIRROR),
        ] {
            for (at, other) in mirror.iter().enumerate() {
                assert_eq!(names[*other], swapped(names[at]));
            }
        }
    }

    #[test]
    fn mirrors_are_their_own_inverse() {
        for set in [
            "smpl24",
            "smpl45",
            "smplh52",
            "smplx55",
            "coco17",
            "h36m17",
            "lsp14",
            "spin24",
            "openpose25",
            "spin49",
        ] {
            let mirror = mirror_of(set).unwrap();
            assert!(mirror.iter().enumerate().all(|(at, other)| mirror[*other] == at), "{set}");
        }
        assert!(mirror_of("martian9").is_err());
    }

    #[test]
    fn trees_are_symmetric_and_parents_come_first() {
        for (family, set) in
            [(Family::Smpl, "smpl24"), (Family::Smplh, "smplh52"), (Family::Smplx, "smplx55")]
        {
            let (parents, mirror) = (parents_of(family), mirror_of(set).unwrap());
            assert_eq!(parents.len(), family.joints());
            for (joint, parent) in parents.iter().enumerate().skip(1) {
                assert!((0..joint as i32).contains(parent));
                assert_eq!(parents[mirror[joint]], mirror[*parent as usize] as i32);
            }
        }
    }

    #[test]
    fn skeleton_lines_are_symmetric() {
        for edges in [&COCO_EDGES[..], &COCO_LIMBS] {
            for (a, b) in edges {
                let mirrored = (COCO_MIRROR[*a], COCO_MIRROR[*b]);
                assert!(edges.iter().any(|(c, d)| (*c, *d) == mirrored || (*d, *c) == mirrored), "{a}-{b}");
            }
        }
    }
}

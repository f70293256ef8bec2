//! Which joint of one published set is which of another.

use super::error::BodyError;
use super::joint_sets::{COCO_FROM_SMPL24, unknown};

/// How one joint set is read out of another.
#[derive(Clone, Copy, Debug)]
pub struct JointMap {
    pub name: &'static str,
    /// Joints of the source set.
    pub source: usize,
    /// The source's joint for each joint of the target.
    pub indices: &'static [usize],
}

/// How the joints of one set are put into places of a larger one.
#[derive(Clone, Copy, Debug)]
pub struct JointSpread {
    pub name: &'static str,
    /// Joints of the target set.
    pub target: usize,
    /// The target's place for each joint of the source.
    pub places: &'static [usize],
}

const H36M_LAST_17: [usize; 17] = [73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 88, 89];
const J17: [usize; 17] = [6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10, 0, 7, 9];
const SPIN_J17: [usize; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 18, 14, 16, 17];
const SPIN_COCO: [usize; 17] = [19, 20, 21, 22, 23, 9, 8, 10, 7, 11, 6, 3, 2, 4, 1, 5, 0];

/// Every map between published sets. `h36m17` here has the order of the published regressor, left leg first.
pub const MAPS: [JointMap; 19] = [
    JointMap { name: "smpl90_to_coco17", source: 90, indices: &COCO_FROM_SMPL24 },
    JointMap { name: "smpl90_to_h36m17", source: 90, indices: &H36M_LAST_17 },
    JointMap {
        name: "smpl90_to_lsp14",
        source: 90,
        indices: &[79, 78, 77, 74, 75, 76, 89, 88, 87, 84, 85, 86, 81, 83],
    },
    JointMap { name: "h36m17_to_j17", source: 17, indices: &J17 },
    JointMap { name: "h36m17_to_lsp14", source: 17, indices: J17.split_at(14).0 },
    JointMap {
        name: "smpl45_to_openpose25",
        source: 45,
        indices: &[
            24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34,
        ],
    },
    JointMap {
        name: "smplh73_to_openpose25",
        source: 73,
        indices: &[
            52, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62,
        ],
    },
    JointMap {
        name: "smplx127_to_openpose25",
        source: 127,
        indices: &[
            55, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 56, 57, 58, 59, 60, 61, 62, 63, 64, 65,
        ],
    },
    JointMap {
        name: "smplx127_to_openpose_left_hand21",
        source: 127,
        indices: &[20, 37, 38, 39, 66, 25, 26, 27, 67, 28, 29, 30, 68, 34, 35, 36, 69, 31, 32, 33, 70],
    },
    JointMap {
        name: "smplx127_to_openpose_right_hand21",
        source: 127,
        indices: &[21, 52, 53, 54, 71, 40, 41, 42, 72, 43, 44, 45, 73, 49, 50, 51, 74, 46, 47, 48, 75],
    },
    JointMap {
        name: "smplh73_to_openpose_left_hand21",
        source: 73,
        indices: &[20, 34, 35, 36, 63, 22, 23, 24, 64, 25, 26, 27, 65, 31, 32, 33, 66, 28, 29, 30, 67],
    },
    JointMap {
        name: "smplh73_to_openpose_right_hand21",
        source: 73,
        indices: &[21, 49, 50, 51, 68, 37, 38, 39, 69, 40, 41, 42, 70, 46, 47, 48, 71, 43, 44, 45, 72],
    },
    JointMap {
        name: "smpl54_to_spin49",
        source: 54,
        indices: &[
            24, 12, 17, 19, 21, 16, 18, 20, 0, 2, 5, 8, 1, 4, 7, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 8,
            5, 45, 46, 4, 7, 21, 19, 17, 16, 18, 20, 47, 48, 49, 50, 51, 52, 53, 24, 26, 25, 28, 27,
        ],
    },
    JointMap { name: "spin24_to_j17", source: 24, indices: &SPIN_J17 },
    JointMap { name: "spin24_to_lsp14", source: 24, indices: SPIN_J17.split_at(14).0 },
    JointMap { name: "spin24_to_coco17", source: 24, indices: &SPIN_COCO },
    JointMap {
        name: "body18_to_coco17",
        source: 18,
        indices: &[0, 15, 14, 17, 16, 5, 2, 6, 3, 7, 4, 11, 8, 12, 9, 13, 10],
    },
    JointMap {
        name: "openpose25_to_coco17",
        source: 25,
        indices: &[0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11],
    },
    JointMap {
        name: "cocoplus19_to_lsp14",
        source: 19,
        indices: &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13],
    },
];

/// Sets put into SPIN's 24; Human3.6M here in the data set's order, right leg first.
pub const SPREADS: [JointSpread; 2] = [
    JointSpread { name: "coco17_to_spin24", target: 24, places: &SPIN_COCO },
    JointSpread {
        name: "h36m17_to_spin24",
        target: 24,
        places: &[14, 3, 4, 5, 2, 1, 0, 16, 12, 17, 18, 9, 10, 11, 8, 7, 6],
    },
];

/// A map by name.
///
/// # Errors
/// `Value` for a name that is not in [`MAPS`].
pub fn joint_map(name: &str) -> Result<&'static JointMap, BodyError> {
    MAPS.iter().find(|map| map.name == name).ok_or_else(|| unknown("map of joints", name))
}

/// A spread by name.
///
/// # Errors
/// `Value` for a name that is not in [`SPREADS`].
pub fn joint_spread(name: &str) -> Result<&'static JointSpread, BodyError> {
    SPREADS.iter().find(|spread| spread.name == name).ok_or_else(|| unknown("spread of joints", name))
}

#[cfg(test)]
mod tests {
    use super::super::joint_sets::{COCO_NAMES, H36M_FROM_SMPL24, H36M_NAMES, SMPL_NAMES, mirror_of};
    use super::*;

    #[test]
    fn maps_stay_in_their_source_and_agree_by_name() {
        for map in MAPS {
            assert!(map.indices.iter().all(|at| *at < map.source), "{}", map.name);
        }
        for (target, source) in COCO_FROM_SMPL24.iter().enumerate().filter(|(_, source)| **source < 24) {
            assert_eq!(COCO_NAMES[target], SMPL_NAMES[*source]);
        }
        for (target, source) in
            H36M_FROM_SMPL24.iter().enumerate().skip(1).filter(|(_, source)| **source < 24)
        {
            let differs = ["spine", "thorax"].contains(&H36M_NAMES[target]);
            assert!(differs || H36M_NAMES[target] == SMPL_NAMES[*source], "{target}");
        }
        // Two ways from SPIN's joints to COCO's agree.
        let (spread, map) =
            (joint_spread("coco17_to_spin24").unwrap(), joint_map("spin24_to_coco17").unwrap());
        assert_eq!(spread.places, map.indices);
        let lsp = joint_map("smpl90_to_lsp14").unwrap();
        let through = joint_map("h36m17_to_lsp14").unwrap();
        assert!(lsp.indices.iter().zip(through.indices).all(|(direct, at)| *direct == at + 73));
    }

    #[test]
    fn mirrored_maps_commute() {
        // The mirror of a mapped set is the mapped mirror, for maps between sets whose mirrors are known.
        for (name, source, target) in [
            ("h36m17_to_lsp14", "h36m17", "lsp14"),
            ("spin24_to_coco17", "spin24", "coco17"),
            ("openpose25_to_coco17", "openpose25", "coco17"),
            ("smpl45_to_openpose25", "smpl45", "openpose25"),
        ] {
            let map = joint_map(name).unwrap();
            let (from, to) = (mirror_of(source).unwrap(), mirror_of(target).unwrap());
            for (at, other) in to.iter().enumerate() {
                assert_eq!(map.indices[*other], from[map.indices[at]], "{name} at {at}");
            }
        }
    }
}

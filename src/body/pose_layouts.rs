//! Rows of rotation vectors as files and published code hold them: which numbers are which joints, and turning
//! one family's poses into another's.

use super::error::BodyError;
use super::joint_sets::mirror_of;
use super::model::Family;

/// A pose taken apart, three numbers a joint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoseParts<T> {
    pub root: Vec<T>,
    /// Joints 1 to 21 (SMPL: to 23, its two hand joints included).
    pub body: Vec<T>,
    pub jaw: Vec<T>,
    pub eyes: Vec<T>,
    pub left_hand: Vec<T>,
    pub right_hand: Vec<T>,
}

/// Takes one pose apart.
///
/// # Errors
/// `Shape` for a number of numbers that is not the family's.
pub fn split_pose<T: Copy>(family: Family, pose: &[T]) -> Result<PoseParts<T>, BodyError> {
    check_width(family, pose.len())?;
    let part = |from: usize, to: usize| pose[from..to].to_vec();
    let nothing = Vec::new;
    Ok(match family {
        Family::Smpl => PoseParts {
            root: part(0, 3),
            body: part(3, 72),
            jaw: nothing(),
            eyes: nothing(),
            left_hand: nothing(),
            right_hand: nothing(),
        },
        Family::Smplh => PoseParts {
            root: part(0, 3),
            body: part(3, 66),
            jaw: nothing(),
            eyes: nothing(),
            left_hand: part(66, 111),
            right_hand: part(111, 156),
        },
        Family::Smplx => PoseParts {
            root: part(0, 3),
            body: part(3, 66),
            jaw: part(66, 69),
            eyes: part(69, 75),
            left_hand: part(75, 120),
            right_hand: part(120, 165),
        },
    })
}

/// One family's pose as another's. The first 22 joints are kept; fingers are kept between families that have
/// them; SMPL's hand joints, jaw and eyes are zero where the source has none.
///
/// # Errors
/// `Shape` for a number of numbers that is not the source family's.
pub fn convert_pose<T: Copy + Default>(
    source: Family,
    target: Family,
    pose: &[T],
) -> Result<Vec<T>, BodyError> {
    check_width(source, pose.len())?;
    if source == target {
        return Ok(pose.to_vec());
    }
    let mut out = pose[..66].to_vec();
    let hands = match source {
        Family::Smpl => None,
        Family::Smplh => Some(&pose[66..]),
        Family::Smplx => Some(&pose[75..]),
    };
    if target == Family::Smplx {
        out.resize(75, T::default());
    }
    if let (Some(hands), true) = (hands, target != Family::Smpl) {
        out.extend(hands);
    }
    out.resize(3 * target.joints(), T::default());
    Ok(out)
}

/// The pose of the mirror image (x → −x).
///
/// # Errors
/// `Shape` for a number of numbers that is not the family's.
pub fn flip_pose<T>(family: Family, pose: &[T]) -> Result<Vec<T>, BodyError>
where
    T: Copy + std::ops::Neg<Output = T>,
{
    check_width(family, pose.len())?;
    let set = match family {
        Family::Smpl => "smpl24",
        Family::Smplh => "smplh52",
        Family::Smplx => "smplx55",
    };
    Ok(mirror_of(set)?
        .into_iter()
        .flat_map(|from| [pose[3 * from], -pose[3 * from + 1], -pose[3 * from + 2]])
        .collect())
}

fn check_width(family: Family, found: usize) -> Result<(), BodyError> {
    let wanted = 3 * family.joints();
    if found == wanted {
        return Ok(());
    }
    Err(BodyError::Shape(format!("a pose of {found} numbers, {} poses have {wanted}", family.name())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole_pose() {
        for family in [Family::Smpl, Family::Smplh, Family::Smplx] {
            let pose: Vec<f32> = (0..3 * family.joints()).map(|at| at as f32).collect();
            let parts = split_pose(family, &pose).unwrap();
            let joined =
                [parts.root, parts.body, parts.jaw, parts.eyes, parts.left_hand, parts.right_hand].concat();
            assert_eq!(joined, pose);
            assert_eq!(flip_pose(family, &flip_pose(family, &pose).unwrap()).unwrap(), pose);
        }
        assert!(split_pose(Family::Smplh, &[0.0; 157]).is_err());
    }

    #[test]
    fn fingers_survive_a_round_trip_between_families_that_have_them() {
        let pose: Vec<f64> = (0..156).map(f64::from).collect();
        let there = convert_pose(Family::Smplh, Family::Smplx, &pose).unwrap();
        assert_eq!(there.len(), 165);
        assert_eq!(convert_pose(Family::Smplx, Family::Smplh, &there).unwrap(), pose);
        let smpl = convert_pose(Family::Smplh, Family::Smpl, &pose).unwrap();
        assert_eq!(smpl[..66], pose[..66]);
        assert_eq!(smpl[66..], [0.0; 6]);
    }
}

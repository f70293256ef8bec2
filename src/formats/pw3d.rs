//! Sequence files of 3DPW: a pickle of Python 2 with the people of a video, their poses, and its moving camera.

use std::path::Path;

use super::error::{FormatError, Limits, read_bytes};
use super::motion::{Family, Motion};
use super::pickle::parse_pickle;
use super::values::{Node, NodeId, Values};

/// Frames a second of the videos.
const FRAME_RATE: f64 = 30.0;

/// One person of a sequence.
#[derive(Clone, Debug)]
pub struct Pw3dPerson {
    /// In the world of the sequence, y up.
    pub motion: Motion,
    /// Whether the camera's pose is right in each frame.
    pub valid: Vec<bool>,
    /// F x 18 of OpenPose: x, y in pixels, confidence. Empty where the file has none.
    pub keypoints: Vec<[[f64; 3]; 18]>,
}

#[derive(Clone, Debug)]
pub struct Pw3dSequence {
    pub name: String,
    pub people: Vec<Pw3dPerson>,
    /// World to camera of each frame, row-major 4 x 4; the camera looks along +z, its y down.
    pub cameras: Vec<[f64; 16]>,
    /// Row-major 3 x 3.
    pub intrinsics: [f64; 9],
}

impl Pw3dSequence {
    /// # Errors
    /// `Missing` (no file, no poses), `Shape` (frame counts that differ), `Value` (NaN), else as pickles.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        read_bytes(path)
            .and_then(|bytes| parse_pickle(&bytes, &Limits::default()))
            .and_then(|values| Self::from_values(&values))
            .map_err(|error| error.at(path))
    }

    /// # Errors
    /// As [`Pw3dSequence::read`].
    pub fn from_values(values: &Values) -> Result<Self, FormatError> {
        let top = values.top();
        let need = |key: &str| {
            values
                .entry(top, key)
                .ok_or_else(|| FormatError::missing(format!("no `{key}`: this is no sequence of 3DPW")))
        };
        let list = |key: &str, id: NodeId| {
            let items = values.items(id).ok_or_else(|| FormatError::value(format!("`{key}` is no list")));
            items.map(<[NodeId]>::to_vec)
        };
        let cameras = rows::<16>(values, need("cam_poses")?, "cam_poses")?;
        let intrinsics = rows::<9>(values, need("cam_intrinsics")?, "cam_intrinsics")?;
        let intrinsics =
            *intrinsics.first().ok_or_else(|| FormatError::shape("`cam_intrinsics` is empty"))?;
        let poses = list("poses", need("poses")?)?;
        let (betas, trans) = (list("betas", need("betas")?)?, list("trans", need("trans")?)?);
        let optional = |key: &str| values.entry(top, key).and_then(|id| values.items(id)).unwrap_or_default();
        let (genders, valid, keypoints) =
            (optional("genders"), optional("campose_valid"), optional("poses2d"));
        let mut people = Vec::new();
        for (person, &pose) in poses.iter().enumerate() {
            let (Some(&betas), Some(&trans)) = (betas.get(person), trans.get(person)) else {
                return Err(FormatError::shape(format!("{} poses, fewer betas or places", poses.len())));
            };
            let rows72 = rows::<72>(values, pose, "poses")?;
            let trans = rows::<3>(values, trans, "trans")?;
            let frames = rows72.len();
            if trans.len() != frames || cameras.len() != frames {
                return Err(FormatError::shape(format!(
                    "{frames} poses, {} places and {} cameras",
                    trans.len(),
                    cameras.len()
                )));
            }
            let betas: Vec<f64> = values.array(betas)?.to_f64()?.into_iter().take(10).collect();
            let gender = match genders.get(person).and_then(|&id| values.text(id)) {
                Some("m" | "male") => "male",
                Some("f" | "female") => "female",
                _ => "neutral",
            };
            let valid = match valid.get(person) {
                None => vec![true; frames],
                Some(&id) => {
                    let flags: Vec<bool> =
                        values.array(id)?.to_f64()?.iter().map(|flag| *flag != 0.0).collect();
                    if flags.len() != frames {
                        return Err(FormatError::shape(format!("{} flags for {frames} frames", flags.len())));
                    }
                    flags
                }
            };
            let keypoints = match keypoints.get(person) {
                None => Vec::new(),
                Some(&id) => rows::<54>(values, id, "poses2d")?
                    .iter()
                    .map(|row| std::array::from_fn(|at| [row[at], row[18 + at], row[36 + at]]))
                    .collect(),
            };
            let motion = Motion {
                family: Family::Smpl,
                root: rows72.iter().map(|row| [row[0], row[1], row[2]]).collect(),
                body: rows72.iter().map(|row| std::array::from_fn(|at| row[3 + at])).collect(),
                hands: None,
                trans,
                betas,
                frame_rate: FRAME_RATE,
                gender: gender.to_owned(),
                z_up: false,
            };
            motion.check_finite()?;
            people.push(Pw3dPerson { motion, valid, keypoints });
        }
        let name =
            values.entry(top, "sequence").and_then(|id| values.text(id)).unwrap_or_default().to_owned();
        Ok(Self { name, people, cameras, intrinsics })
    }
}

/// Rows of `N` numbers: an array whose later axes have so many, or a list of such arrays.
fn rows<const N: usize>(values: &Values, id: NodeId, name: &str) -> Result<Vec<[f64; N]>, FormatError> {
    let numbers = match values.get(id) {
        Node::List(items) => {
            let mut all = Vec::new();
            for &item in items {
                let row = values.array(item)?.to_f64()?;
                if row.len() != N {
                    return Err(FormatError::shape(format!(
                        "`{name}` has rows of {} numbers, not {N}",
                        row.len()
                    )));
                }
                all.extend(row);
            }
            all
        }
        _ => {
            let array = values.array(id).map_err(|error| error.within(&format!("`{name}`")))?;
            // A single matrix is one row.
            let width = array.shape.iter().skip(1).try_fold(1usize, |all, &side| all.checked_mul(side));
            if width != Some(N) && array.len() != N {
                return Err(FormatError::shape(format!("`{name}` of shape {:?}: rows of {N}", array.shape)));
            }
            array.to_f64()?
        }
    };
    Ok(numbers.as_chunks::<N>().0.to_vec())
}

//! Captured poses in a user's npz, and how they are drawn for training: frequent poses more often (by the root of
//! their weight), upside-down and lying ones too, mirrored, with a little noise, wrists and toes filled in.

use std::path::{Path, PathBuf};

use glam::Vec3;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::poses::normal3;
use super::{SyntheticError, WorldPose};
use crate::body::state::BODY_JOINTS;
use crate::formats::npz::Npz;

/// Noise on every joint but the hands, degrees an axis: gives flat directions of captured data a width.
const NOISE_DEG: f32 = 1.5;
/// Additional noise on the limbs of every other sample, degrees an axis.
const LIMB_NOISE_DEG: f32 = 5.0;
/// How much oftener poses with the trunk upside down or level are drawn.
const RARE_FACTOR: f64 = 2.5;
const LIMBS: [usize; 12] = [1, 2, 4, 5, 7, 8, 16, 17, 18, 19, 20, 21];
const TOES: [usize; 2] = [10, 11];
const WRISTS: [usize; 2] = [20, 21];

/// Poses of a file, with weights and what is known of their making.
#[derive(Clone, Debug)]
pub struct PoseFile {
    path: PathBuf,
    poses: Vec<WorldPose>,
    /// Running sums of the drawing weights.
    cumulative: Vec<f64>,
    clips: Vec<usize>,
    /// Poses whose wrists and toes were captured.
    complete: Vec<usize>,
    is_complete: Vec<bool>,
}

impl PoseFile {
    /// Reads `pose_body` (N, 23 or 21, 3) or `poses` (N, at least 66 numbers, the root first), axis-angles in
    /// radians of SMPL's joints, world y up; optional `root_orient` (N, 3), `weight` (N), `clip` (N) and `clip_source`
    /// (poses of sources other than `asf` and `exp` lack wrists and toes).
    ///
    /// # Errors
    /// Where the file cannot be read, an array has another shape or a pose is not finite.
    pub fn read(path: &Path) -> Result<Self, SyntheticError> {
        let file = Npz::read(path)?;
        let wrong = |what: String| SyntheticError::Poses(format!("{what}: {}", path.display()));
        let (numbers, count, width, has_root) = if file.contains("pose_body") {
            let array = file.get("pose_body")?;
            let count = array.shape.first().copied().unwrap_or(0);
            let width = array.shape.iter().skip(1).product::<usize>();
            (array.to_f32()?, count, width, false)
        } else {
            let array = file.get("poses").map_err(|_| {
                wrong(
                    "neither 'pose_body' (N, 23, 3) nor 'poses' (N, 72) found; at least one is needed".into(),
                )
            })?;
            let count = array.shape.first().copied().unwrap_or(0);
            (array.to_f32()?, count, array.shape.iter().skip(1).product(), true)
        };
        let needed = if has_root { 66 } else { 63 };
        if count == 0 || width < needed || !width.is_multiple_of(3) || numbers.len() != count * width {
            return Err(wrong(format!("{count} poses of {width} numbers, expected at least 1 of {needed}")));
        }
        let roots =
            if file.contains("root_orient") { Some(file.get("root_orient")?.to_f32()?) } else { None };
        if roots.as_ref().is_some_and(|r| r.len() != count * 3) {
            return Err(wrong(format!("'root_orient' does not hold {count} x 3 numbers")));
        }
        let column = |name: &str| -> Result<Option<Vec<f32>>, SyntheticError> {
            if !file.contains(name) {
                return Ok(None);
            }
            let values = file.get(name)?.to_f32()?;
            if values.len() == count {
                Ok(Some(values))
            } else {
                Err(wrong(format!("'{name}' has {} values, expected {count}", values.len())))
            }
        };
        let weights = column("weight")?;
        let clips: Vec<usize> = column("clip")?
            .map_or_else(|| vec![0; count], |v| v.iter().map(|&c| c.max(0.0) as usize).collect());
        let sources: &[String] =
            if file.contains("clip_source") { file.get("clip_source")?.to_text()? } else { &[] };

        let mut poses = Vec::with_capacity(count);
        for (i, row) in numbers.chunks_exact(width).enumerate() {
            let (root, body) = if has_root { row.split_at(3) } else { (&[0.0; 3][..], row) };
            let root = roots.as_ref().map_or(root, |r| &r[i * 3..i * 3 + 3]);
            if !row.iter().chain(root).all(|v| v.is_finite()) {
                return Err(wrong(format!("pose {i} holds a number that is not finite")));
            }
            let mut pose = WorldPose { root_orient: Vec3::from_slice(root), ..WorldPose::rest() };
            // The hands (22, 23) are left at rest: what files hold there is no body joint's motion.
            for (joint, v) in pose.body_pose.iter_mut().zip(body.chunks_exact(3)).take(BODY_JOINTS - 2) {
                *joint = Vec3::from_slice(v);
            }
            poses.push(pose);
        }
        let is_complete: Vec<bool> = clips
            .iter()
            .map(|&clip| sources.get(clip).is_none_or(|source| source == "asf" || source == "exp"))
            .collect();
        let complete = (0..count).filter(|&i| is_complete[i]).collect();
        let mut total = 0.0;
        let cumulative = poses
            .iter()
            .enumerate()
            .map(|(i, pose)| {
                let weight = weights.as_ref().map_or(1.0, |w| f64::from(w[i].max(0.0)).sqrt());
                let rare = if pose.up().y < 0.35 { RARE_FACTOR } else { 1.0 };
                total += weight * rare;
                total
            })
            .collect();
        // Catches NaN too.
        if !(total > 0.0 && total.is_finite()) {
            return Err(wrong("the weights of the poses are all zero or not finite".into()));
        }
        Ok(Self { path: path.to_owned(), poses, cumulative, clips, complete, is_complete })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> usize {
        self.poses.len()
    }

    pub fn is_empty(&self) -> bool {
        self.poses.is_empty()
    }

    /// A pose as the file holds it, hands at rest. `index` below [`PoseFile::len`].
    pub fn pose(&self, index: usize) -> WorldPose {
        self.poses[index].clone()
    }

    /// The clip a pose belongs to (0 where the file names none).
    pub fn clip(&self, index: usize) -> usize {
        self.clips[index]
    }

    /// The drawing weight of a pose.
    pub fn weight(&self, index: usize) -> f64 {
        self.cumulative[index] - if index == 0 { 0.0 } else { self.cumulative[index - 1] }
    }

    /// The number of a random pose.
    pub fn draw(&self, rng: &mut ChaCha8Rng) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(0.0);
        let at = rng.random::<f64>() * total;
        self.cumulative.partition_point(|&sum| sum <= at).min(self.poses.len() - 1)
    }

    /// A random pose with all that training adds.
    pub fn sample(&self, rng: &mut ChaCha8Rng) -> WorldPose {
        let index = self.draw(rng);
        let mut pose = self.completed(index, rng);
        let joints: Vec<usize> = (1..=21).filter(|j| !TOES.contains(j)).collect();
        pose.disturb(rng, &joints, NOISE_DEG.to_radians());
        if rng.random::<bool>() {
            pose.disturb(rng, &LIMBS, LIMB_NOISE_DEG.to_radians());
        }
        pose.respect_hinges();
        if rng.random::<bool>() { pose.mirrored() } else { pose }
    }

    /// A pose of the file, its wrists and toes drawn where they were not captured.
    pub(super) fn completed(&self, index: usize, rng: &mut ChaCha8Rng) -> WorldPose {
        let mut pose = self.pose(index);
        if !self.is_complete[index] {
            let donor = (!self.complete.is_empty() && rng.random::<f32>() < 0.7)
                .then(|| &self.poses[self.complete[rng.random_range(0..self.complete.len())]]);
            for wrist in WRISTS {
                pose.body_pose[wrist - 1] = match donor {
                    Some(donor) => donor.body_pose[wrist - 1],
                    None => normal3(rng) * 12f32.to_radians(),
                };
            }
        }
        for toe in TOES {
            let bend: f32 = rng.sample(StandardNormal);
            pose.body_pose[toe - 1].x += bend * 5f32.to_radians();
        }
        pose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::array::Array;
    use crate::formats::npz::write_npz;
    use crate::synthetic::stream;

    fn written(arrays: &[(&str, &Array)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("poses.npz");
        write_npz(&path, arrays).unwrap();
        (folder, path)
    }

    #[test]
    fn heavy_and_upside_down_poses_come_oftener() {
        let body = Array::f32(&[3, 23, 3], vec![0.0; 3 * 69]);
        let pi = std::f32::consts::PI;
        let root = Array::f32(&[3, 3], vec![0.0, 0.0, 0.0, 0.0, 0.5, 0.0, pi, 0.0, 0.0]);
        let weight = Array::u16(&[3], vec![1, 9, 1]);
        let (_folder, path) = written(&[("pose_body", &body), ("root_orient", &root), ("weight", &weight)]);
        let file = PoseFile::read(&path).unwrap();
        let mut counts = [0.0; 3];
        let mut rng = stream(1, 0);
        for _ in 0..6500 {
            counts[file.draw(&mut rng)] += 1.0 / 1000.0;
        }
        for (count, expected) in counts.into_iter().zip([1.0, 3.0, 2.5]) {
            let count: f64 = count;
            assert!((count - expected).abs() < 0.15, "{counts:?}");
        }
        assert!((file.weight(1) - 3.0).abs() < 1e-9);
        let pose = file.sample(&mut rng);
        assert_eq!(pose.body_pose[22], Vec3::ZERO);
        assert!(pose.body_pose[0].length() > 0.0);
    }

    #[test]
    fn wrong_files_are_refused_with_the_reason() {
        let (_folder, path) = written(&[("other", &Array::f32(&[1], vec![0.0]))]);
        let message = PoseFile::read(&path).unwrap_err().to_string();
        assert!(message.contains("pose_body"), "{message}");
        let bad = Array::f32(&[1, 23, 3], vec![f32::NAN; 69]);
        let (_folder, path) = written(&[("pose_body", &bad)]);
        assert!(PoseFile::read(&path).unwrap_err().to_string().contains("not finite"));
        let short = Array::f32(&[2, 5, 3], vec![0.0; 30]);
        let (_folder, path) = written(&[("pose_body", &short)]);
        assert!(PoseFile::read(&path).unwrap_err().to_string().contains("15 numbers"));
    }

    #[test]
    fn rows_with_the_root_first_are_read() {
        let mut row = vec![0.0; 72];
        row[1] = 1.0;
        row[3] = 0.25;
        let (_folder, path) = written(&[("poses", &Array::f32(&[1, 72], row))]);
        let pose = PoseFile::read(&path).unwrap().pose(0);
        assert_eq!(pose.root_orient, Vec3::Y);
        assert_eq!(pose.body_pose[0].x, 0.25);
    }
}

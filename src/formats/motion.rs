//! Motion and pose files: AMASS (SMPL-H, SMPL-X), plain SMPL poses, Pose-NDF's samples.
//! Poses come out as rotation vectors of the root, the 21 body joints and, where there, the hands.

use std::path::Path;

use super::array::Array;
use super::error::FormatError;
use super::npz::{Npz, write_npz};

/// Numbers of the 21 body joints that all layouts share.
const BODY: usize = 63;

/// Whose layout a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Smpl,
    SmplH,
    SmplX,
}

/// A sequence (or a set) of poses as rotation vectors, in the frame of the file (AMASS: z up).
#[derive(Clone, Debug, PartialEq)]
pub struct Motion {
    pub family: Family,
    /// F x 3.
    pub root: Vec<[f64; 3]>,
    /// F x 63: joints 1..=21 of SMPL's tree.
    pub body: Vec<[f64; BODY]>,
    /// F x 90, left hand first, where the file has fingers.
    pub hands: Option<Vec<[f64; 90]>>,
    /// F x 3, metres.
    pub trans: Vec<[f64; 3]>,
    pub betas: Vec<f64>,
    /// Frames a second; 0 where the file does not say.
    pub frame_rate: f64,
    /// "neutral" where the file does not say.
    pub gender: String,
    /// Whether z points up (AMASS), not y.
    pub z_up: bool,
}

impl Motion {
    /// Writes AMASS' SMPL-H layout: `poses` of 156 numbers, 16 betas. Axes are left as they are and named in
    /// `up_axis`; AMASS' own readers take z for up.
    ///
    /// # Errors
    /// `Io`.
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        let frames = self.body.len();
        let mut poses = Vec::with_capacity(frames * 156);
        for (frame, (root, body)) in self.root.iter().zip(&self.body).enumerate() {
            poses.extend_from_slice(root);
            poses.extend_from_slice(body);
            match self.hands.as_ref().and_then(|hands| hands.get(frame)) {
                Some(hands) => poses.extend_from_slice(hands),
                None => poses.extend([0.0; 90]),
            }
        }
        let mut betas = self.betas.clone();
        betas.resize(16, 0.0);
        write_npz(
            path,
            &[
                ("poses", &Array::f64(&[frames, 156], poses)),
                ("trans", &Array::f64(&[frames, 3], self.trans.as_flattened().to_vec())),
                ("betas", &Array::f64(&[16], betas)),
                ("dmpls", &Array::f64(&[frames, 8], vec![0.0; frames * 8])),
                ("gender", &Array::scalar_text(&self.gender)),
                ("mocap_framerate", &Array::scalar_f64(self.frame_rate)),
                ("up_axis", &Array::scalar_text(if self.z_up { "z" } else { "y" })),
            ],
        )
    }

    /// # Errors
    /// `Missing` where there is no pose, `Shape` for other widths and unequal frame counts, `Value` for NaN.
    pub fn read(path: &Path) -> Result<Self, FormatError> {
        Self::from_npz(&Npz::read(path)?)
    }

    /// # Errors
    /// As [`Motion::read`].
    pub fn from_npz(npz: &Npz) -> Result<Self, FormatError> {
        Self::parse(npz).map_err(|error| error.at(npz.path()))
    }

    fn parse(npz: &Npz) -> Result<Self, FormatError> {
        let said = match npz.get_optional("surface_model_type")? {
            Some(name) => match name.to_text()?.first().map(String::as_str) {
                Some("smpl") => Some(Family::Smpl),
                Some("smplh") => Some(Family::SmplH),
                Some("smplx") => Some(Family::SmplX),
                _ => None,
            },
            None => None,
        };
        let (poses, by_width) = Poses::read(npz)?;
        let frames = poses.body.len();
        let trans = match npz.get_optional("trans")? {
            Some(array) => rows::<3>(array, "trans")?,
            None => vec![[0.0; 3]; frames],
        };
        for (name, count) in [("root", poses.root.len()), ("trans", trans.len())]
            .into_iter()
            .chain(poses.hands.as_ref().map(|hands| ("hands", hands.len())))
        {
            if count != frames {
                return Err(FormatError::shape(format!("{frames} poses, but {count} rows of `{name}`")));
            }
        }
        let betas = match npz.get_optional("betas")? {
            // Some files repeat the betas for every frame.
            Some(array) if array.shape.len() == 2 => {
                let width = array.shape[1];
                array.to_f64()?.into_iter().take(width).collect()
            }
            Some(array) => array.to_f64()?,
            None => vec![0.0; 10],
        };
        let frame_rate = match npz.get_optional("mocap_framerate")? {
            Some(rate) => rate.to_scalar()?,
            None => npz.get_optional("mocap_frame_rate")?.map_or(Ok(0.0), Array::to_scalar)?,
        };
        let gender = match npz.get_optional("gender")? {
            Some(text) => text.to_text()?.first().cloned().unwrap_or_default(),
            None => "neutral".to_owned(),
        };
        let motion = Self {
            family: said.or(by_width).unwrap_or(Family::SmplH),
            root: poses.root,
            body: poses.body,
            hands: poses.hands,
            trans,
            betas,
            frame_rate,
            gender,
            z_up: z_up(npz)?,
        };
        motion.check_finite()?;
        Ok(motion)
    }

    /// # Errors
    /// `Value`, with the frame, for a number that is not finite.
    pub(super) fn check_finite(&self) -> Result<(), FormatError> {
        let bad = |frame: usize, what: &str| {
            Err(FormatError::value(format!("`{what}` of frame {frame} holds a number that is not finite")))
        };
        for frame in 0..self.body.len() {
            let finite = |values: &[f64]| values.iter().all(|value| value.is_finite());
            if !finite(&self.root[frame]) || !finite(&self.body[frame]) {
                return bad(frame, "poses");
            }
            if !finite(&self.trans[frame]) {
                return bad(frame, "trans");
            }
            if self.hands.as_ref().is_some_and(|hands| !finite(&hands[frame])) {
                return bad(frame, "hands");
            }
        }
        if !self.betas.iter().all(|value| value.is_finite()) || !self.frame_rate.is_finite() {
            return Err(FormatError::value("`betas` or the frame rate is not finite"));
        }
        Ok(())
    }
}

/// AMASS has z up; files of single poses and this program's own have y up. `up_axis` says it outright.
fn z_up(npz: &Npz) -> Result<bool, FormatError> {
    if let Some(axis) = npz.get_optional("up_axis")? {
        return Ok(axis.to_text()?.first().is_some_and(|axis| axis == "z"));
    }
    let timed = npz.contains("mocap_framerate") || npz.contains("mocap_frame_rate");
    Ok(timed && !(npz.contains("source") && npz.contains("action")))
}

struct Poses {
    root: Vec<[f64; 3]>,
    body: Vec<[f64; BODY]>,
    hands: Option<Vec<[f64; 90]>>,
}

impl Poses {
    fn read(npz: &Npz) -> Result<(Self, Option<Family>), FormatError> {
        if let Some(array) = npz.get_optional("poses")? {
            return Self::from_full(array);
        }
        let Some(array) = npz.get_optional("pose_body")? else {
            return Err(FormatError::missing("neither `poses` nor `pose_body` is in the file"));
        };
        let body = match array.shape.as_slice() {
            [_, 21, 4] => quaternions_to_vectors(array)?,
            // Pose-NDF's samples may carry the two hand joints of SMPL behind the 21.
            [_, 63 | 69] => first_columns::<BODY>(array)?,
            // This program's own pose files, with or without the hands.
            &[frames, joints @ (21 | 23), 3] => {
                let flat = Array { shape: vec![frames, 3 * joints], data: array.data.clone() };
                first_columns::<BODY>(&flat)?
            }
            shape => {
                return Err(FormatError::shape(format!(
                    "`pose_body` of shape {shape:?}: frames x 63, x 69, x 21 x 3, x 23 x 3 or x 21 x 4 are read"
                )));
            }
        };
        let root = match npz.get_optional("root_orient")? {
            Some(root) => rows::<3>(root, "root_orient")?,
            None => vec![[0.0; 3]; body.len()],
        };
        let hands = npz.get_optional("pose_hand")?.map(|hands| rows::<90>(hands, "pose_hand")).transpose()?;
        Ok((Self { root, body, hands }, None))
    }

    fn from_full(array: &Array) -> Result<(Self, Option<Family>), FormatError> {
        let &[_, width] = array.shape.as_slice() else {
            return Err(FormatError::shape(format!(
                "`poses` of shape {:?}: two axes are expected",
                array.shape
            )));
        };
        let (family, hands_at) = match width {
            72 => (Family::Smpl, None),
            156 => (Family::SmplH, Some(66)),
            165 => (Family::SmplX, Some(75)),
            _ => {
                return Err(FormatError::shape(format!(
                    "`poses` of {width} numbers a frame: 72 (SMPL), 156 (SMPL-H) and 165 (SMPL-X) are read"
                )));
            }
        };
        let values = array.to_f64()?;
        let part = |row: &[f64], from: usize, to: &mut [f64]| to.copy_from_slice(&row[from..from + to.len()]);
        let mut poses = Self { root: Vec::new(), body: Vec::new(), hands: hands_at.map(|_| Vec::new()) };
        for row in values.chunks_exact(width) {
            let (mut root, mut body, mut hands) = ([0.0; 3], [0.0; BODY], [0.0; 90]);
            part(row, 0, &mut root);
            part(row, 3, &mut body);
            poses.root.push(root);
            poses.body.push(body);
            if let (Some(at), Some(list)) = (hands_at, &mut poses.hands) {
                part(row, at, &mut hands);
                list.push(hands);
            }
        }
        Ok((poses, Some(family)))
    }
}

fn rows<const N: usize>(array: &Array, name: &str) -> Result<Vec<[f64; N]>, FormatError> {
    array.expect_shape(&[None, Some(N)]).map_err(|error| error.within(&format!("array `{name}`")))?;
    Ok(array.to_f64()?.as_chunks::<N>().0.to_vec())
}

/// The first `N` columns of an array of two axes that has at least so many.
fn first_columns<const N: usize>(array: &Array) -> Result<Vec<[f64; N]>, FormatError> {
    let width = array.shape.get(1).copied().unwrap_or(0).max(1);
    Ok(array.to_f64()?.chunks_exact(width).filter_map(|row| row.first_chunk::<N>().copied()).collect())
}

/// F x 21 x 4 quaternions (w, x, y, z) of any length to rotation vectors with angles in [0, π].
fn quaternions_to_vectors(array: &Array) -> Result<Vec<[f64; BODY]>, FormatError> {
    let values = array.to_f64()?;
    let (quaternions, _) = values.as_chunks::<4>();
    let mut out = Vec::with_capacity(quaternions.len() / 21);
    for frame in quaternions.chunks_exact(21) {
        let mut body = [0.0; BODY];
        for (to, &[w, x, y, z]) in body.chunks_exact_mut(3).zip(frame) {
            let sign = if w < 0.0 { -1.0 } else { 1.0 };
            let length = (x * x + y * y + z * z).sqrt();
            if length == 0.0 && w == 0.0 {
                return Err(FormatError::value("a quaternion of length zero"));
            }
            let factor =
                if length < 1e-12 * w.abs() { 2.0 / w.abs() } else { 2.0 * length.atan2(w.abs()) / length };
            to.copy_from_slice(&[x, y, z].map(|part| part * sign * factor));
        }
        out.push(body);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::npz::npz_bytes;
    use super::*;

    fn npz(arrays: &[(&str, &Array)]) -> Npz {
        Npz::from_bytes(npz_bytes(arrays).unwrap(), "x.npz").unwrap()
    }

    #[test]
    fn quaternions_become_short_rotation_vectors() {
        let mut values = [1.0, 0.0, 0.0, 0.0].repeat(21);
        // -90 degrees about y, with the other sign and twice the length.
        let half = std::f64::consts::FRAC_PI_4;
        values[4..8].copy_from_slice(&[-2.0 * half.cos(), 0.0, 2.0 * half.sin(), 0.0]);
        let motion = Motion::from_npz(&npz(&[("pose_body", &Array::f64(&[1, 21, 4], values))])).unwrap();
        assert_eq!(motion.body[0][0], 0.0);
        assert!((motion.body[0][4] + std::f64::consts::FRAC_PI_2).abs() < 1e-12);
        assert_eq!((motion.gender.as_str(), motion.frame_rate), ("neutral", 0.0));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walk.npz");
        let motion = Motion {
            family: Family::SmplH,
            root: vec![[0.1, 0.2, 0.3]; 2],
            body: vec![[0.5; BODY]; 2],
            hands: Some(vec![[0.25; 90]; 2]),
            trans: vec![[1.0, 2.0, 3.0]; 2],
            betas: vec![0.5; 16],
            frame_rate: 120.0,
            gender: "female".to_owned(),
            z_up: true,
        };
        motion.write(&path).unwrap();
        assert_eq!(Motion::read(&path).unwrap(), motion);
    }

    #[test]
    fn wrong_frames_and_widths_are_refused() {
        let poses = Array::f64(&[2, 72], vec![0.0; 144]);
        let trans = Array::f64(&[3, 3], vec![0.0; 9]);
        assert_eq!(
            Motion::from_npz(&npz(&[("poses", &poses), ("trans", &trans)])).unwrap_err().word(),
            "shape"
        );
        let wide = Array::f64(&[1, 80], vec![0.0; 80]);
        assert_eq!(Motion::from_npz(&npz(&[("poses", &wide)])).unwrap_err().word(), "shape");
    }
}

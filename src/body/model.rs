//! A body: a mean mesh, how it varies with shape, its skeleton and how the skeleton moves it.
//!
//! file ──[`super::load`]──▶ `BodyModel` ──[`super::posing`]──▶ posed joints and points ──▶ joint sets
//! Sizes come from the file; nothing here assumes SMPL's 6890 points or the Mannequin's 7699.

use glam::Vec3;

use super::correctives::Correctives;
use super::extras::MannequinExtras;
use super::hands::{FaceLandmark, Hands};
use super::posing::Posed;
use super::sparse::SparseRows;
use super::state::{BodyState, JOINTS};

/// Joints of the largest family; scratch on the stack is sized by it.
pub(super) const MOST_JOINTS: usize = 55;

/// Which tree a body has. The first 22 joints are the same in all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 24 joints; the Mannequin is one.
    Smpl,
    /// 52 joints, with fingers.
    Smplh,
    /// 55 joints, with fingers, jaw and eyes.
    Smplx,
}

impl Family {
    pub fn joints(self) -> usize {
        match self {
            Self::Smpl => 24,
            Self::Smplh => 52,
            Self::Smplx => 55,
        }
    }

    pub fn from_joints(joints: usize) -> Option<Self> {
        [Self::Smpl, Self::Smplh, Self::Smplx].into_iter().find(|family| family.joints() == joints)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Smpl => "smpl",
            Self::Smplh => "smplh",
            Self::Smplx => "smplx",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Smpl, Self::Smplh, Self::Smplx].into_iter().find(|family| family.name() == name)
    }
}

/// A loaded body. Metres, y up, facing +z, left hand at +x.
#[derive(Clone, Debug)]
pub struct BodyModel {
    pub family: Family,
    /// Mean mesh in the T-pose, V points.
    pub v_template: Vec<Vec3>,
    /// Shape directions, 3V numbers each (x, y, z of point 0, of point 1, …), metres a unit of beta.
    pub shapedirs: Vec<Vec<f32>>,
    /// Triangles, counter-clockwise from outside.
    pub faces: Vec<[u32; 3]>,
    /// Parent of each joint; −1 for the root. Every parent comes before its children.
    pub parents: Vec<i32>,
    /// Skinning weights, a row a point over joints.
    pub weights: SparseRows,
    /// Rest joints from shaped points, a row a joint.
    pub joint_regressor: SparseRows,
    pub correctives: Correctives,
    /// Strongest joint of each point.
    pub joint_vertex: Vec<u8>,
    /// Strongest joint of each triangle.
    pub joint_face: Vec<u8>,
    /// COCO's 17 keypoints from posed points.
    pub coco17: SparseRows,
    /// Human3.6M's 17 joints from posed points, in the data set's order (right leg first).
    pub h36m17: SparseRows,
    /// The last 66 of the published networks' 90 joints from posed points, where the body has them.
    pub extra66: Option<SparseRows>,
    /// Whether the legs among the last 17 of the 90 joints come right first, as in Human3.6M itself;
    /// the published regressor has the left leg first.
    pub h36m90_right_first: bool,
    /// Hand poses of a body with fingers.
    pub hands: Option<Hands>,
    /// Points that a body with a face marks on it.
    pub landmarks: Vec<FaceLandmark>,
    /// What only the built-in body has: clothes, parts, texture, statistics.
    pub extras: Option<MannequinExtras>,
    /// Rest joints of the mean body, and how they move with each beta.
    pub(super) joints_template: Vec<Vec3>,
    pub(super) joints_shapedirs: Vec<Vec<Vec3>>,
}

impl BodyModel {
    pub fn num_vertices(&self) -> usize {
        self.v_template.len()
    }

    pub fn num_joints(&self) -> usize {
        self.parents.len()
    }

    pub fn num_betas(&self) -> usize {
        self.shapedirs.len()
    }

    /// Number of the parent of a joint; `None` for the root.
    pub fn parent(&self, joint: usize) -> Option<usize> {
        usize::try_from(*self.parents.get(joint)?).ok()
    }

    /// The T-pose of the mean body.
    pub fn rest_state(&self) -> BodyState {
        BodyState::rest(self.num_betas())
    }

    /// Rest joints of a shape; betas beyond the body's own are left out, missing ones are zero.
    pub fn rest_joints(&self, betas: &[f32]) -> Vec<Vec3> {
        let mut out = self.joints_template.clone();
        for (beta, directions) in betas.iter().zip(&self.joints_shapedirs) {
            for (joint, direction) in out.iter_mut().zip(directions) {
                *joint += *direction * *beta;
            }
        }
        out
    }

    /// Points of a shape in the T-pose, without correctives.
    pub fn shaped(&self, betas: &[f32]) -> Vec<Vec3> {
        let mut out = vec![Vec3::ZERO; self.num_vertices()];
        self.shape_into(betas, &mut out);
        out
    }

    /// COCO's 17 keypoints on posed points.
    pub fn coco17(&self, vertices: &[Vec3]) -> [Vec3; 17] {
        std::array::from_fn(|row| self.coco17.weigh(row, vertices))
    }

    /// Human3.6M's 17 joints on posed points, in the data set's order (right leg first).
    pub fn h36m17(&self, vertices: &[Vec3]) -> [Vec3; 17] {
        std::array::from_fn(|row| self.h36m17.weigh(row, vertices))
    }

    /// The published networks' 90 joints; `None` for a body that has no regressors for them.
    ///
    /// Regressed from the body before its translation, which is added after: published rows sum to one only roughly.
    pub fn joints90(&self, posed: &Posed, transl: Vec3) -> Option<Vec<Vec3>> {
        let extra = self.extra66.as_ref()?;
        let mut out = posed.joints.get(..JOINTS)?.to_vec();
        out.extend(
            (0..extra.rows())
                .map(|row| extra.weigh(row, &posed.vertices) + transl * (1.0 - extra.row_sum(row))),
        );
        Some(out)
    }

    /// The 14 joints of LSP (right ankle first, then neck and head top) that pose errors are measured on, from
    /// the 90; whichever leg comes first in them.
    pub fn lsp14(&self, joints90: &[Vec3]) -> Option<[Vec3; 14]> {
        // Places among the last 17: right ankle, knee, hip, left hip, knee, ankle, right wrist, elbow, shoulder,
        // left shoulder, elbow, wrist, neck, head top.
        let legs = if self.h36m90_right_first { [3, 2, 1, 4, 5, 6] } else { [6, 5, 4, 1, 2, 3] };
        let rest = [16, 15, 14, 11, 12, 13, 8, 10];
        let last = joints90.get(73..90)?;
        Some(std::array::from_fn(|at| last[if at < 6 { legs[at] } else { rest[at - 6] }]))
    }

    /// Smooth unit normals of a mesh with this body's triangles, each triangle weighing by its area.
    pub fn normals(&self, vertices: &[Vec3]) -> Vec<Vec3> {
        let mut out = Vec::new();
        self.normals_into(vertices, &mut out);
        out
    }

    /// As [`BodyModel::normals`], into a buffer.
    pub fn normals_into(&self, vertices: &[Vec3], out: &mut Vec<Vec3>) {
        out.clear();
        out.resize(vertices.len(), Vec3::ZERO);
        for face in &self.faces {
            let [a, b, c] = face.map(|at| at as usize);
            let normal = (vertices[b] - vertices[a]).cross(vertices[c] - vertices[a]);
            for at in [a, b, c] {
                out[at] += normal;
            }
        }
        for normal in out {
            *normal = normal.normalize_or(Vec3::Y);
        }
    }
}

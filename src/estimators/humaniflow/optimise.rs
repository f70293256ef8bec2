//! The published refinement of a prediction: plain gradient descent on reprojection and on the predicted density,
//! pose, global rotation, shape and camera moving at one rate.

use burn::tensor::{Device, Tensor, TensorData};

use super::losses::shape_log_prob;
use super::net::{FlowNet, HeadTensors, exp_map};
use super::stacked::PoseTargets;
use crate::body::BodyModel;
use crate::body::joint_maps::joint_map;
use crate::body::state::JOINTS;
use crate::body::tensor::TensorBody;
use crate::keypoints::COCO_KEYPOINTS;

/// The original's settings by default.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct OptimiseConfig {
    pub steps: usize,
    pub rate: f64,
    /// Weight of the mean squared distance of keypoints, pixels².
    pub joints2d: f64,
    /// Weight of the pose's log-density.
    pub pose_prior: f64,
    /// Weight of the shape's log-density.
    pub shape_prior: f64,
    /// Side of the crop that keypoints are measured in, pixels.
    pub crop: f64,
}

impl Default for OptimiseConfig {
    fn default() -> Self {
        Self { steps: 81, rate: 1e-4, joints2d: 1.0, pose_prior: 0.3, shape_prior: 1.0, crop: 256.0 }
    }
}

/// COCO's 17 joints of a body as the published network's wrapper takes them, with gradients.
#[derive(Clone, Debug)]
pub struct CocoBody {
    body: TensorBody,
    /// \[1, 17, joints\]
    of_joints: Tensor<3>,
    /// \[1, 17, points\]
    of_points: Tensor<3>,
}

impl CocoBody {
    pub fn new(model: &BodyModel, device: &Device) -> Self {
        let mut rows: Vec<Vec<(usize, f32)>> = vec![Vec::new(); COCO_KEYPOINTS];
        let mut of_joints = vec![0.0; COCO_KEYPOINTS * model.num_joints()];
        let of_90 = joint_map("smpl90_to_coco17").ok().zip(model.extra66.as_ref());
        for (k, row) in rows.iter_mut().enumerate() {
            match of_90.and_then(|(map, extra)| Some((*map.indices.get(k)?, extra))) {
                Some((joint, _)) if joint < JOINTS => of_joints[k * model.num_joints() + joint] = 1.0,
                Some((picked, extra)) => row.extend(extra.entries(picked - JOINTS)),
                None => row.extend(model.coco17.entries(k)),
            }
        }
        let mut used: Vec<usize> = rows.iter().flatten().map(|(point, _)| *point).collect();
        used.sort_unstable();
        used.dedup();
        let mut of_points = vec![0.0; COCO_KEYPOINTS * used.len()];
        for (k, row) in rows.iter().enumerate() {
            for (point, weight) in row {
                if let Ok(place) = used.binary_search(point) {
                    of_points[k * used.len() + place] += weight;
                }
            }
        }
        let table = |values: Vec<f32>, columns: usize| {
            Tensor::from_data(TensorData::new(values, [1, COCO_KEYPOINTS, columns]), device)
        };
        Self {
            body: TensorBody::new(model, device, Some(&used)),
            of_joints: table(of_joints, model.num_joints()),
            of_points: table(of_points, used.len()),
        }
    }

    /// \[n, 17, 3\] of shapes \[n, betas\] and rotations \[n, 24, 3, 3\], the root's first; no translation.
    pub fn joints(&self, shape: Tensor<2>, rotations: Tensor<4>) -> Tensor<3> {
        let n = shape.dims()[0];
        let transl = Tensor::zeros([n, 3], &shape.device());
        let (joints, points) = self.body.forward(shape, rotations, transl);
        let count = |table: &Tensor<3>| [n, COCO_KEYPOINTS, table.dims()[2]];
        self.of_joints.clone().expand(count(&self.of_joints)).matmul(joints)
            + self.of_points.clone().expand(count(&self.of_points)).matmul(points)
    }
}

/// What moves, for `n` people.
#[derive(Clone, Debug)]
pub struct Variables {
    /// \[n, 3 parts\], rotation vectors.
    pub pose: Tensor<2>,
    /// \[n, 3\], rotation vector.
    pub global: Tensor<2>,
    /// \[n, betas\]
    pub shape: Tensor<2>,
    /// \[n, 3\]
    pub camera: Tensor<2>,
}

impl Variables {
    fn each(self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        Self {
            pose: change(self.pose),
            global: change(self.global),
            shape: change(self.shape),
            camera: change(self.camera),
        }
    }

    fn gathered(&self, gradients: &burn::tensor::Gradients) -> Option<Self> {
        Some(Self {
            pose: self.pose.grad(gradients)?,
            global: self.global.grad(gradients)?,
            shape: self.shape.grad(gradients)?,
            camera: self.camera.grad(gradients)?,
        })
    }

    fn is_finite(&self) -> bool {
        [&self.pose, &self.global, &self.shape, &self.camera]
            .into_iter()
            .all(|t| t.clone().sum().into_scalar::<f32>().is_finite())
    }
}

/// What the descent agrees with.
pub struct Evidence {
    /// \[n, features\]
    pub features: Tensor<2>,
    /// What the heads predicted for these features.
    pub heads: HeadTensors,
    /// \[n, 17, 2\], pixels of the crop.
    pub keypoints: Tensor<3>,
    /// \[n, 17\], 1 for keypoints that count, else 0.
    pub visible: Tensor<2>,
}

/// The objective before a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    pub total: f32,
    /// Mean squared difference of coordinates, pixels².
    pub joints2d: f32,
    /// Mean over people.
    pub pose_log_prob: f32,
    /// Mean over people.
    pub shape_log_prob: f32,
}

struct Terms {
    total: Tensor<1>,
    joints2d: Tensor<1>,
    pose: Tensor<1>,
    shape: Tensor<1>,
}

fn terms(
    net: &FlowNet,
    body: &CocoBody,
    evidence: &Evidence,
    at: &Variables,
    config: &OptimiseConfig,
) -> Terms {
    let n = at.shape.dims()[0];
    let parts = net.config.parts();
    let pose = at.pose.clone().reshape([n, parts, 3]).swap_dims(0, 1);
    let targets = PoseTargets::of_vectors(&net.config, pose);
    let global = exp_map(at.global.clone().reshape([1, n, 3]));
    let joint = net.joint_features(
        evidence.features.clone(),
        at.shape.clone(),
        global.clone().reshape([n, 9]),
        evidence.heads.camera.clone().detach(),
    );
    let pose = net.stacked().log_prob(joint, &targets).sum() / n as f64;
    let (mean, log_std) =
        (evidence.heads.shape_mean.clone().detach(), evidence.heads.shape_log_std.clone().detach());
    let shape = shape_log_prob(mean, log_std, at.shape.clone()).sum() / n as f64;

    let rotations = Tensor::cat(vec![global, targets.rotations], 0).swap_dims(0, 1);
    let joints = body.joints(at.shape.clone(), rotations.reshape([n, parts + 1, 3, 3]));
    let along = |k: usize| joints.clone().narrow(2, k, 1);
    let camera = |k: usize| at.camera.clone().narrow(1, k, 1).reshape([n, 1, 1]);
    // The half turn about x between body and picture: y changes sign.
    let seen = Tensor::cat(vec![along(0) + camera(1), along(1).neg() + camera(2)], 2) * camera(0);
    let pixels = (seen + 1.0) * (0.5 * config.crop);
    let visible = evidence.visible.clone().unsqueeze_dim::<3>(2);
    let count = visible.clone().sum().clamp_min(1.0) * 2.0;
    let joints2d = ((evidence.keypoints.clone() - pixels).square() * visible).sum() / count;
    let total = joints2d.clone() * config.joints2d
        - pose.clone() * config.pose_prior
        - shape.clone() * config.shape_prior;
    Terms { total, joints2d, pose, shape }
}

/// The way down.
pub struct Descent {
    /// Where it ended.
    pub end: Variables,
    /// Before each step.
    pub objectives: Vec<Objective>,
    /// Variables before each step.
    pub path: Vec<Variables>,
    /// Gradients before the first step.
    pub first_gradients: Option<Variables>,
}

/// Descends from `start`. `net` and all tensors lie on one device with gradients. A step that leaves the finite
/// numbers is undone and ends the descent.
pub fn descend(
    net: &FlowNet,
    body: &CocoBody,
    evidence: &Evidence,
    start: Variables,
    config: &OptimiseConfig,
) -> Descent {
    let mut at = start.each(Tensor::detach);
    let (mut objectives, mut path, mut first_gradients) = (Vec::new(), Vec::new(), None);
    for _ in 0..config.steps {
        let leaf = at.clone().each(|t| t.detach().require_grad());
        let terms = terms(net, body, evidence, &leaf, config);
        let Some(slope) = leaf.gathered(&terms.total.backward()) else { break };
        objectives.push(Objective {
            total: terms.total.into_scalar(),
            joints2d: terms.joints2d.into_scalar(),
            pose_log_prob: terms.pose.into_scalar(),
            shape_log_prob: terms.shape.into_scalar(),
        });
        path.push(at.clone());
        let step = |x: &Tensor<2>, slope: &Tensor<2>| {
            x.clone() - Tensor::from_inner(slope.clone()).detach() * config.rate
        };
        let next = Variables {
            pose: step(&at.pose, &slope.pose),
            global: step(&at.global, &slope.global),
            shape: step(&at.shape, &slope.shape),
            camera: step(&at.camera, &slope.camera),
        };
        first_gradients.get_or_insert(slope);
        if !next.is_finite() {
            break;
        }
        at = next;
    }
    Descent { end: at, objectives, path, first_gradients }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;
    use crate::estimators::humaniflow::config::FlowConfig;
    use crate::estimators::humaniflow::flow::AtIdentity;
    use crate::estimators::humaniflow::so3;
    use crate::geometry::rotations::exp_so3_64;
    use glam::DVec3;

    #[test]
    fn targets_of_vectors_are_those_of_their_rotations() {
        let config = FlowConfig::default();
        let parts = config.parts();
        let vectors: Vec<DVec3> = (0..parts)
            .map(|part| {
                let length = 0.1 + 0.25 * part as f64 + if part % 5 == 0 { TAU } else { 0.0 };
                DVec3::new(0.48, -0.6, 0.64) * length
            })
            .collect();
        let rotations: Vec<[f64; 9]> = vectors.iter().map(|v| so3::to_rows(exp_so3_64(*v))).collect();
        let device = Device::flex();
        let want = PoseTargets::new(&config, &rotations, AtIdentity::Exact, &device);
        let flat = vectors.iter().flat_map(|v| v.as_vec3().to_array()).collect();
        let given = Tensor::from_data(TensorData::new::<f32, _>(flat, [parts, 1, 3]), &device);
        let got = PoseTargets::of_vectors(&config, given);
        let list = |t: Tensor<3>| t.into_data().try_to_vec::<f32>().expect("floats");
        let close = |a: Vec<f32>, b: Vec<f32>, within: f32| {
            a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= within * (1.0 + b.abs()))
        };
        assert!(close(list(got.rotations), list(want.rotations), 1e-5));
        let offset = list(got.offset.unsqueeze_dim(2));
        assert!(close(offset.clone(), list(want.offset.unsqueeze_dim(2)), 1e-3));
        // Where there is no second vector, anything may stand in its place.
        for (part, (got, want)) in
            list(got.squashed_from).chunks(6).zip(list(want.squashed_from).chunks(6)).enumerate()
        {
            let compared = if offset[2 * part + 1] < -1e20 { 3 } else { 6 };
            assert!(close(got[..compared].to_vec(), want[..compared].to_vec(), 1e-3), "{part}");
        }
    }
}

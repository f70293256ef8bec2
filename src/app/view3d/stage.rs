//! Poses bodies for the stage on a worker: the mesh in the middle with all its correctives, the matrices of the
//! samples, and where the floor is. The window thread only uploads what comes out.

use std::sync::Arc;

use bevy::prelude::{Resource, Vec3};
use glam::Mat3;

use super::rows;
use crate::app::session::{Figure, SIDE_BY_SIDE};
use crate::body::{BodyModel, BodyState, Posed};
use crate::estimators::Estimate;
use crate::progress::Slot;
use crate::tasks::{Latest, Wake};

/// What is to be shown.
#[derive(Clone)]
pub struct StageRequest {
    /// Comes back with the answer.
    pub revision: u64,
    /// The body in the middle; the relaxed mean body where there is none.
    pub body: Option<BodyState>,
    /// Where the floor and the samples come from.
    pub estimate: Option<Arc<Estimate>>,
    /// The estimate before the last edit, to be compared with.
    pub before: Option<Arc<Estimate>>,
    pub side_by_side: bool,
}

/// Bodies ready to be uploaded, in the stage's space: metres, y up, floor at 0, the point estimate's pelvis above the
/// origin.
pub struct Staged {
    pub revision: u64,
    pub model: Arc<BodyModel>,
    pub vertices: Vec<[f32; 3]>,
    pub normals: Vec<[f32; 3]>,
    pub joints: Vec<Vec3>,
    /// Points and normals of the estimate before, its pelvis where the point estimate's is.
    pub before: Option<Surface>,
    /// `None` where the samples are those of the answer before.
    pub crowd: Option<Arc<Crowd>>,
    pub extent: Extent,
    /// Whether another person, or another arrangement, is shown than before, so that the camera should look anew.
    pub changed_scene: bool,
}

/// What the camera should hold, metres.
#[derive(Clone, Copy)]
pub struct Extent {
    pub width: f32,
    pub height: f32,
    /// Height of its middle above the floor.
    pub middle: f32,
}

/// Points and normals of a body.
pub type Surface = (Vec<[f32; 3]>, Vec<[f32; 3]>);

/// The samples' numbers as the crowd's shader reads them.
#[derive(Default)]
pub struct Crowd {
    pub bodies: usize,
    /// Three rows a joint.
    pub transforms: Vec<[f32; 4]>,
    /// As many a body as the model has.
    pub betas: Vec<f32>,
    /// Joints of every sample, for small figures.
    pub figures: Arc<Vec<Figure>>,
}

#[derive(Resource)]
pub struct Stage {
    worker: Latest<StageRequest>,
    pub answers: Slot<Result<Staged, String>>,
}

impl Stage {
    /// # Errors
    /// Where no thread can be started.
    pub fn start(wake: Wake) -> std::io::Result<Self> {
        let answers = Slot::default();
        let (theirs, on_panic, wake_on_panic) = (answers.clone(), answers.clone(), wake.clone());
        let mut poser = Poser::default();
        let worker = Latest::start(
            "stage",
            move |request: StageRequest, _| {
                theirs.put(poser.answer(&request));
                wake();
            },
            move |text| {
                on_panic.put(Err(format!("internal error while posing: {text}")));
                wake_on_panic();
            },
        )?;
        Ok(Self { worker, answers })
    }

    pub fn request(&self, request: StageRequest) {
        self.worker.submit(request);
    }
}

/// The worker's memory.
#[derive(Default)]
struct Poser {
    model: Option<Arc<BodyModel>>,
    posed: Posed,
    normals: Vec<Vec3>,
    anchored: Option<Anchored>,
}

/// What depends on the estimate and not on the frame that is shown.
struct Anchored {
    estimate: Arc<Estimate>,
    side_by_side: bool,
    place: Place,
}

#[derive(Clone, Copy)]
struct Place {
    /// Added to the camera's space to get the stage's.
    offset: Vec3,
    /// Of the point estimate, metres.
    width: f32,
    height: f32,
    /// Distance of samples side by side, metres.
    apart: f32,
}

impl Poser {
    fn answer(&mut self, request: &StageRequest) -> Result<Staged, String> {
        let model = match &self.model {
            Some(model) => model.clone(),
            None => {
                let model = BodyModel::default_body().map_err(|error| error.to_string())?;
                self.model.insert(model).clone()
            }
        };
        let relaxed = relaxed_state(&model);
        let mode = request.estimate.as_ref().map_or(&relaxed, |estimate| &estimate.mode);
        let body = request.body.as_ref().unwrap_or(mode);

        let side_by_side = request.side_by_side;
        let arranged = self.anchored.as_ref().map(|anchored| anchored.side_by_side);
        let changed_scene = request.estimate.is_none() || arranged != Some(side_by_side);
        let same = |anchored: &&Anchored| {
            let estimate = request.estimate.as_ref();
            anchored.side_by_side == side_by_side
                && estimate.is_some_and(|estimate| Arc::ptr_eq(&anchored.estimate, estimate))
        };
        let (place, crowd) = match self.anchored.as_ref().filter(same) {
            Some(anchored) => (anchored.place, None),
            None => {
                let place = self.place(&model, mode, request.estimate.as_deref());
                let made = request.estimate.as_ref();
                let made = made.map(|estimate| make_crowd(&model, estimate, place, side_by_side));
                let anchor = |estimate| Anchored { estimate, side_by_side, place };
                self.anchored = request.estimate.clone().map(anchor);
                (place, Some(Arc::new(made.unwrap_or_default())))
            }
        };
        let offset = place.offset;

        let before = request.before.as_ref().map(|before| {
            model.pose_into(&before.mode, true, &mut self.posed);
            model.normals_into(&self.posed.vertices, &mut self.normals);
            let pelvis = model.posed_joints(mode)[0] - model.posed_joints(&before.mode)[0];
            let shift = offset + pelvis;
            (
                self.posed.vertices.iter().map(|v| (*v + shift).to_array()).collect(),
                self.normals.iter().map(|n| n.to_array()).collect(),
            )
        });
        model.pose_into(body, true, &mut self.posed);
        model.normals_into(&self.posed.vertices, &mut self.normals);
        let shown = request.estimate.as_ref().map_or(0, |estimate| estimate.samples.len()).min(SIDE_BY_SIDE);
        let extent = if side_by_side && shown > 0 {
            let tall = place.height.max(1.6);
            let (width, height) = rows::space(shown, place.apart, tall);
            Extent { width, height, middle: tall / 2.0 }
        } else {
            let height = place.height.max(0.8);
            Extent { width: place.width.max(1.2), height, middle: height / 2.0 }
        };
        Ok(Staged {
            revision: request.revision,
            vertices: self.posed.vertices.iter().map(|v| (*v + offset).to_array()).collect(),
            normals: self.normals.iter().map(|n| n.to_array()).collect(),
            joints: self.posed.joints.iter().map(|joint| *joint + offset).collect(),
            before,
            model,
            crowd,
            extent,
            changed_scene,
        })
    }

    fn place(&mut self, model: &BodyModel, mode: &BodyState, estimate: Option<&Estimate>) -> Place {
        model.pose_into(mode, true, &mut self.posed);
        let (low, high) = crate::raster::view::extent(&self.posed.vertices);
        let pelvis = self.posed.joints.first().copied().unwrap_or_default();
        Place {
            offset: Vec3::new(-pelvis.x, -low.y, -pelvis.z),
            width: 2.0 * (high.x - pelvis.x).max(pelvis.x - low.x),
            height: high.y - low.y,
            apart: estimate.map_or(rows::APART.0, |estimate| rows::distance_apart(model, estimate)),
        }
    }
}

/// The mean body with its arms down.
fn relaxed_state(model: &BodyModel) -> BodyState {
    let mut state = model.rest_state();
    let mut turn = |joint: usize, axis: Vec3, angle: f32| {
        if let Some(rotation) = state.body_pose.get_mut(joint - 1) {
            *rotation = Mat3::from_axis_angle(axis, angle);
        }
    };
    for (side, shoulder, elbow, hip) in [(1.0, 16, 18, 1), (-1.0, 17, 19, 2)] {
        turn(shoulder, Vec3::Z, -1.12 * side);
        turn(elbow, Vec3::Y, -0.22 * side);
        turn(hip, Vec3::Z, 0.05 * side);
    }
    state
}

/// Matrices and shapes of all samples; side by side the first of them in rows, else all at the point estimate's place.
fn make_crowd(model: &BodyModel, estimate: &Estimate, place: Place, side_by_side: bool) -> Crowd {
    let count = estimate.samples.len();
    let bodies = if side_by_side { count.min(SIDE_BY_SIDE) } else { count };
    let betas_each = model.num_betas();
    let depth = model.posed_joints(&estimate.mode)[0].z;
    let mut crowd = Crowd { bodies, ..Crowd::default() };
    let mut figures = Vec::with_capacity(count);
    for (index, sample) in estimate.samples.iter().enumerate() {
        let joints = model.posed_joints(sample);
        figures.push(joints);
        if index >= bodies {
            continue;
        }
        let offset = if side_by_side {
            let (low, high) = rows::reach(&joints);
            Vec3::new(-(low + high) / 2.0, place.offset.y, -joints[0].z)
                + rows::slot(index, bodies, place.apart)
        } else {
            // How far away the whole body is, a photo does not tell; samples stand at the point estimate's depth.
            place.offset + Vec3::Z * (depth - joints[0].z)
        };
        let rotations: Vec<Mat3> =
            std::iter::once(sample.global_orient).chain(sample.body_pose).take(model.num_joints()).collect();
        let rotations = padded(rotations, model.num_joints());
        for (rotation, shift) in model.skin_transforms(&sample.betas, &rotations) {
            let shift = shift + sample.transl + offset;
            for row in 0..3 {
                let r = rotation.row(row);
                crowd.transforms.push([r.x, r.y, r.z, shift[row]]);
            }
        }
        crowd.betas.extend((0..betas_each).map(|beta| sample.betas.get(beta).copied().unwrap_or(0.0)));
    }
    crowd.figures = Arc::new(figures);
    crowd
}

/// Hands of bodies with more joints than a state has stay as they rest.
fn padded(mut rotations: Vec<Mat3>, joints: usize) -> Vec<Mat3> {
    rotations.resize(joints, Mat3::IDENTITY);
    rotations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::camera::{Camera, Projection};

    fn estimate(model: &BodyModel, samples: usize) -> Estimate {
        let sample = |index: usize| {
            let angle = 0.1 * index as f32;
            let mut state = relaxed_state(model);
            state.global_orient = Mat3::from_rotation_y(angle);
            state.body_pose[3] = Mat3::from_rotation_x(2.0 * angle);
            state.betas.iter_mut().enumerate().for_each(|(i, beta)| *beta = (angle + i as f32).sin());
            state.transl = Vec3::new(angle, 0.3, -4.0);
            state
        };
        Estimate {
            mode: sample(1),
            camera: Camera {
                projection: Projection::WeakPerspective { scale_px: 100.0, origin_px: [50.0; 2] },
                size: [100.0; 2],
            },
            samples: (0..samples).map(sample).collect(),
            log_prob: vec![0.0; samples],
            evidence: Vec::new(),
            seed: 0,
            source: "made up".to_owned(),
            refinement: None,
            prior: None,
        }
    }

    /// What the crowd's vertex shader computes, on the CPU.
    fn skinned(model: &BodyModel, crowd: &Crowd, body: usize, vertex: usize) -> Vec3 {
        let betas = &crowd.betas[body * model.num_betas()..][..model.num_betas()];
        let rest = model.shaped(betas)[vertex].extend(1.0);
        let mut point = Vec3::ZERO;
        for (joint, weight) in model.weights.entries(vertex) {
            let first = (body * model.num_joints() + joint) * 3;
            let row = |row: usize| glam::Vec4::from_array(crowd.transforms[first + row]).dot(rest);
            point += weight * Vec3::new(row(0), row(1), row(2));
        }
        point
    }

    #[test]
    fn the_crowds_numbers_give_the_bodies_that_the_model_gives() {
        let model = BodyModel::default_body().expect("the built-in body");
        let estimate = estimate(&model, 3);
        let offset = Vec3::new(0.5, 1.0, 4.0);
        let place = Place { offset, width: 1.0, height: 1.7, apart: 1.0 };
        let crowd = make_crowd(&model, &estimate, place, false);
        assert_eq!((crowd.bodies, crowd.figures.len()), (3, 3));
        let depth = model.posed_joints(&estimate.mode)[0].z;
        for (body, sample) in estimate.samples.iter().enumerate() {
            let posed = model.pose(sample, false);
            let shift = offset + Vec3::Z * (depth - posed.joints[0].z);
            for vertex in (0..model.num_vertices()).step_by(997) {
                let wanted = posed.vertices[vertex] + shift;
                let got = skinned(&model, &crowd, body, vertex);
                assert!((wanted - got).length() < 1e-4, "body {body}, point {vertex}: {got} for {wanted}");
            }
        }
    }

    #[test]
    fn the_point_estimate_stands_on_the_floor_above_the_origin() {
        let model = BodyModel::default_body().expect("the built-in body");
        let estimate = Arc::new(estimate(&model, 2));
        let mut poser = Poser::default();
        let request = StageRequest {
            revision: 1,
            body: None,
            estimate: Some(estimate.clone()),
            before: Some(estimate.clone()),
            side_by_side: false,
        };
        let first = poser.answer(&request).expect("posed");
        let lowest = first.vertices.iter().map(|v| v[1]).fold(f32::INFINITY, f32::min);
        assert!(lowest.abs() < 1e-4, "{lowest}");
        assert!(first.joints[0].x.abs() < 1e-4 && first.joints[0].z.abs() < 1e-4);
        assert!(first.crowd.is_some() && first.changed_scene);
        let (ghost, _) = first.before.expect("the estimate before");
        let off = ghost.iter().zip(&first.vertices).map(|(a, b)| Vec3::from(*a).distance(Vec3::from(*b)));
        assert!(off.fold(0.0, f32::max) < 1e-4, "the same estimate stands elsewhere as a ghost");

        // A frame of a trajectory moves against the same floor, and the samples are not sent again.
        let mut lifted = estimate.mode.clone();
        lifted.transl.y += 0.25;
        let second =
            poser.answer(&StageRequest { revision: 2, body: Some(lifted), ..request }).expect("posed");
        let lowest = second.vertices.iter().map(|v| v[1]).fold(f32::INFINITY, f32::min);
        assert!((lowest - 0.25).abs() < 1e-4, "{lowest}");
        assert!(second.crowd.is_none() && !second.changed_scene);
    }
}

//! The default estimator: 17 keypoints with scores to a Gaussian over bodies, around a point estimate.
//!
//! Person ──[`input`]──▶ 51 numbers (+ Picture ──[`picture`]──▶ edges, heatmaps) ──[`network`]──▶ [`output::Point`] + triangle ──▶ `TangentGaussian` ──▶ samples
//!
//! The estimate's camera looks straight at the person's square from an assumed distance
//! ([`LifterConfig::distance_m`]): a photo without data on its lens says neither where its axis is nor how
//! far away the person stands, and both would only shift and scale what is seen of one person.

pub mod config;
pub mod input;
pub mod network;
pub mod output;
pub mod picture;
pub mod weights;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use glam::Vec2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

pub use config::LifterConfig;
use input::INPUTS;
use network::LifterNetwork;
use output::{POINT, Point, decode_triangle};
use picture::{EDGE_CHANNELS, HEAT_SIDE, HEATS, SIDE};

use super::tangent::{Coordinates, DIMS, TRIANGLE, TangentChart, TangentGaussian, pelvis_of};
use super::{Estimate, EstimateError, EstimateOptions, Estimator};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::{BodyModel, BodyState};
use crate::formats::{model_files, picture::Picture};
use crate::geometry::camera::{Camera, Projection};
use crate::keypoints::{COCO_KEYPOINTS, Crop, Keypoint, Person};
use crate::progress::Cancel;

/// Where the shipped weights lie among the model files.
pub const DEFAULT_WEIGHTS: &str = "humanifold/default.safetensors";
/// Visible keypoints without which nothing can be said.
const LEAST_KEYPOINTS: usize = 3;

/// Network, weights and the body they are for.
pub struct Lifter {
    network: LifterNetwork,
    config: LifterConfig,
    chain: Arc<KeypointChain>,
    name: String,
    device: Device,
}

impl Lifter {
    /// The shipped weights, or those of a file, for the built-in body.
    ///
    /// # Errors
    /// Where weights or body are missing or damaged.
    pub fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let body = BodyModel::default_body()?;
        Self::with_body(path, &body)
    }

    /// As [`Lifter::load`], for another body of SMPL's form.
    ///
    /// # Errors
    /// Where the weights are missing or damaged, or the body has other joints than SMPL's 24.
    pub fn with_body(path: Option<&Path>, body: &BodyModel) -> anyhow::Result<Self> {
        Self::on_device(path, body, Device::flex())
    }

    /// As [`Lifter::with_body`], the network running on this device.
    ///
    /// # Errors
    /// As [`Lifter::with_body`].
    pub fn on_device(path: Option<&Path>, body: &BodyModel, device: Device) -> anyhow::Result<Self> {
        let path = path.map_or_else(|| model_files::find(DEFAULT_WEIGHTS), |path| Ok(path.to_owned()))?;
        let (network, config) = weights::load(&path, &device)?;
        let name = format!("lifter ({})", path.file_name().unwrap_or_default().to_string_lossy());
        Ok(Self { network, config, chain: Arc::new(KeypointChain::new(body)?), name, device })
    }

    pub fn chain(&self) -> &Arc<KeypointChain> {
        &self.chain
    }

    /// Whether the picture plays a part besides the keypoints.
    pub fn reads_picture(&self) -> bool {
        self.config.input.reads_picture()
    }

    /// Point estimate (mean of the picture's and its mirror image's) and triangle for encoded keypoints and edges.
    fn run(&self, input: &[f32], edges: Option<&[f32]>) -> (Point, Vec<f32>) {
        let mut both = input.to_vec();
        both.extend(input::mirror(input));
        let picture = edges.map(|edges| {
            let mut heats = vec![0.0; 2 * HEATS];
            for (input, heats) in both.chunks_exact(INPUTS).zip(heats.chunks_exact_mut(HEATS)) {
                picture::heatmaps(input, heats);
            }
            let edges = [edges, &picture::mirror_edges(edges)].concat();
            let tensor = |values: Vec<f32>, channels: usize, side: usize| {
                Tensor::<4>::from_data(TensorData::new(values, [2, channels, side, side]), &self.device)
            };
            (tensor(edges, EDGE_CHANNELS, SIDE), tensor(heats, COCO_KEYPOINTS, HEAT_SIDE))
        });
        if !self.config.input.reads_numbers() {
            both.fill(0.0);
        }
        let input = Tensor::<2>::from_data(TensorData::new(both, [2, INPUTS]), &self.device);
        let features = self.network.features(input, picture);
        let points = floats(self.network.point(features.clone()));
        let point = Point::decode(&points[..POINT]).mean(&Point::decode(&points[POINT..]).mirrored());
        let mut triangle = floats(self.network.triangle(features.narrow(0, 0, 1)));
        triangle.truncate(TRIANGLE);
        decode_triangle(&mut triangle);
        (point, triangle)
    }

    /// The predicted distribution for keypoints in a photo, and the edges that were read, if any.
    fn distribution(
        &self,
        picture: &Picture,
        keypoints: &[Keypoint; COCO_KEYPOINTS],
    ) -> Result<(TangentGaussian, Option<Vec<f32>>), EstimateError> {
        let visible =
            keypoints.iter().filter(|k| k.score >= self.config.min_score && k.position().is_finite()).count();
        let too_few = EstimateError::TooFewKeypoints { visible, needed: LEAST_KEYPOINTS };
        if visible < LEAST_KEYPOINTS {
            return Err(too_few);
        }
        let crop = input::crop_of(keypoints, self.config.min_score).ok_or(too_few)?;
        let mut input = [0.0; INPUTS];
        input::encode(keypoints, &crop, self.config.min_score, &mut input);
        let edges = self.reads_picture().then(|| picture::edges_of(picture, &crop));
        let (point, triangle) = self.run(&input, edges.as_deref());
        let size = [picture.width as f32, picture.height as f32];
        let (state, camera) = place(&point, &crop, size, self.config.distance_m, &self.chain);
        let chart = TangentChart::new(self.chain.clone(), &state, camera, crop);
        Ok((TangentGaussian::new(chart, triangle), edges))
    }
}

fn floats(tensor: Tensor<2>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

/// A point estimate as a body before the camera that looks straight at the crop.
pub fn place(
    point: &Point,
    crop: &Crop,
    size: [f32; 2],
    distance_m: f32,
    chain: &KeypointChain,
) -> (BodyState, Camera) {
    let focal_px = distance_m * point.log_scale.exp() * crop.side;
    let camera = Camera {
        projection: Projection::Perspective { focal_px, principal_px: crop.center.to_array() },
        size,
    };
    let mut state = BodyState::rest(point.betas.len());
    state.betas.copy_from_slice(&point.betas);
    state.global_orient = point.rotations[0];
    for (own, rotation) in state.body_pose.iter_mut().zip(&point.rotations[1..]) {
        *own = *rotation;
    }
    let (mean, directions) = pelvis_of(chain);
    let rest = mean + point.betas.iter().zip(directions).map(|(beta, d)| d * *beta).sum::<glam::Vec3>();
    state.transl = camera.unproject(crop.center + point.at * crop.side, distance_m) - rest;
    (state, camera)
}

/// White noise of each sample, from a stream of its own.
pub fn base_noise(seed: u64, sample: usize, temperature: f32) -> Coordinates {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(sample as u64);
    let mut z = [0.0; DIMS];
    z.iter_mut().for_each(|z| *z = temperature * rng.sample::<f32, _>(StandardNormal));
    z
}

impl Estimator for Lifter {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn estimate(
        &self,
        picture: &Picture,
        person: &Person,
        options: &EstimateOptions,
        cancel: &Cancel,
    ) -> Result<Estimate, EstimateError> {
        let (gaussian, edges) = self.distribution(picture, &person.keypoints)?;
        if cancel.is_cancelled() {
            return Err(EstimateError::Cancelled);
        }
        let (samples, log_prob) = (0..options.samples)
            .map(|sample| {
                let z = base_noise(options.seed, sample, options.temperature);
                (gaussian.chart.state(&gaussian.color(&z)), gaussian.log_prob(&z))
            })
            .unzip();
        let seen = input_picture(&person.keypoints, &gaussian.chart.crop, self.config.min_score);
        let mut evidence = vec![("17 keypoints in the square".to_owned(), seen)];
        evidence.extend(edges.map(|edges| ("edges in the square".to_owned(), picture::edge_picture(&edges))));
        Ok(Estimate {
            mode: gaussian.chart.center.clone(),
            camera: gaussian.chart.camera,
            samples,
            log_prob,
            evidence,
            seed: options.seed,
            source: self.name(),
            refinement: None,
            prior: Some(Arc::new(gaussian)),
        })
    }
}

/// What the network saw: the keypoints in their square, as bright as they are sure.
fn input_picture(keypoints: &[Keypoint; COCO_KEYPOINTS], crop: &Crop, min_score: f32) -> Picture {
    const SIDE: usize = 256;
    let mut rgb = vec![16u8; SIDE * SIDE * 3];
    let mut add = |at: Vec2, radius: f32, colour: [f32; 3], strength: f32| {
        let reach = radius.ceil() as i32 + 1;
        for dy in -reach..=reach {
            for dx in -reach..=reach {
                let (x, y) = (at.x as i32 + dx, at.y as i32 + dy);
                if (0..SIDE as i32).contains(&x) && (0..SIDE as i32).contains(&y) {
                    let away = (Vec2::new(x as f32 + 0.5, y as f32 + 0.5) - at).length();
                    let share = strength * (radius + 0.5 - away).clamp(0.0, 1.0);
                    let first = (y as usize * SIDE + x as usize) * 3;
                    for (value, colour) in rgb[first..first + 3].iter_mut().zip(colour) {
                        *value = (f32::from(*value) * (1.0 - share) + 255.0 * colour * share) as u8;
                    }
                }
            }
        }
    };
    let place = |k: &Keypoint| crop.from_photo(k.position()) * SIDE as f32;
    let given = |k: &Keypoint| k.score >= min_score && k.position().is_finite();
    for (from, to) in crate::body::joint_sets::COCO_EDGES {
        let (from, to) = (&keypoints[from], &keypoints[to]);
        if given(from) && given(to) {
            let (a, b) = (place(from), place(to));
            let steps = ((b - a).length().ceil() as usize).clamp(1, 2 * SIDE);
            for step in 0..=steps {
                add(
                    a.lerp(b, step as f32 / steps as f32),
                    0.8,
                    [0.6, 0.65, 0.7],
                    0.6 * from.score.min(to.score).sqrt(),
                );
            }
        }
    }
    for (joint, keypoint) in keypoints.iter().enumerate().filter(|(_, k)| given(k)) {
        // Left warm, right cold, as in the figures.
        let colour = match joint {
            0 => [1.0, 1.0, 1.0],
            j if j % 2 == 1 => [1.0, 0.62, 0.25],
            _ => [0.3, 0.7, 1.0],
        };
        add(place(keypoint), 3.5, colour, keypoint.score.clamp(0.15, 1.0).sqrt());
    }
    Picture::new(SIDE, SIDE, rgb)
}

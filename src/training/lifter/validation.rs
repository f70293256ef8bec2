//! How good the point estimate is on people whose poses are not trained on.

use std::collections::BTreeMap;

use glam::Vec3;

use super::data::{ExampleMaker, Target, target, true_keypoints};
use super::plain::{Layout, Pass};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::state::JOINTS;
use crate::estimators::lifter::input::{INPUTS, crop_of, encode};
use crate::estimators::lifter::output::{POINT, Point};
use crate::estimators::tangent::ROTATIONS;
use crate::geometry::align::scale_align;
use crate::synthetic::stream;

/// People of the set.
const VALIDATION: u64 = 400;

/// A fixed set of people of other poses, with true and with disturbed keypoints.
pub struct Validation {
    layout: Layout,
    clean: Vec<(Vec<f32>, Target)>,
    detected: Vec<(Vec<f32>, Target)>,
}

impl Validation {
    pub fn new(maker: &ExampleMaker, layout: &Layout) -> Self {
        let (mut clean, mut detected) = (Vec::new(), Vec::new());
        for item in 0..VALIDATION {
            let mut rng = stream(77, item);
            let view = maker.plain_view(&mut rng);
            let disturbed = maker.detected(&view, &mut rng);
            for (keypoints, out) in [(true_keypoints(&view), &mut clean), (disturbed, &mut detected)] {
                let Some(crop) = crop_of(&keypoints, maker.network.min_score) else { continue };
                let mut input = vec![0.0; INPUTS];
                encode(&keypoints, &crop, maker.network.min_score, &mut input);
                out.push((input, target(&view, &crop)));
            }
        }
        Self { layout: layout.clone(), clean, detected }
    }

    /// Mean scale-corrected joint error of the point estimate, millimetres.
    pub fn run(&self, weights: &[f32], chain: &KeypointChain) -> BTreeMap<String, f64> {
        let mut out = BTreeMap::new();
        for (name, set) in [("validation_sc_mm_clean", &self.clean), ("validation_sc_mm", &self.detected)] {
            let mut pass = Pass::new(&self.layout, set.len());
            for (row, (input, _)) in pass.input.chunks_exact_mut(INPUTS).zip(set) {
                row.copy_from_slice(input);
            }
            pass.forward(weights, false);
            let values = &pass.points;
            let mut points = chain.points();
            let mut sum = 0.0;
            for (values, (_, target)) in values.chunks_exact(POINT).zip(set) {
                let point = Point::decode(values);
                let mut rotations = [glam::Mat3::IDENTITY; JOINTS];
                rotations[..ROTATIONS].copy_from_slice(&point.rotations);
                chain.forward(&point.betas, &rotations, Vec3::ZERO, &mut points);
                let fit = scale_align(&points.joints, &target.joints);
                sum += points
                    .joints
                    .iter()
                    .zip(&target.joints)
                    .map(|(own, wanted)| f64::from((fit.apply(*own) - *wanted).length()))
                    .sum::<f64>()
                    / JOINTS as f64;
            }
            out.insert(name.to_owned(), 1000.0 * sum / set.len().max(1) as f64);
        }
        out
    }
}

//! A fixed set of people of other poses to measure the point estimate on during training.

use std::collections::BTreeMap;

use glam::Vec3;

use super::data::{self, ExampleMaker, Target};
use super::pictures::PictureBank;
use super::plain::{Layout, Pass};
use crate::body::keypoint_chain::KeypointChain;
use crate::body::state::JOINTS;
use crate::estimators::lifter::input::{INPUTS, crop_of, encode};
use crate::estimators::lifter::output::{POINT, Point};
use crate::estimators::tangent::ROTATIONS;
use crate::geometry::align::scale_align;
use crate::keypoints::{COCO_KEYPOINTS, Keypoint};
use crate::synthetic::stream;

/// Seed of the people, and how many.
pub(super) const SEED: u64 = 77;
pub(super) const PEOPLE: usize = 400;

/// Inputs, edges where there are pictures, and what should be said.
type Set = Vec<(Vec<f32>, Vec<f32>, Target)>;

/// People with true and with disturbed keypoints.
pub(super) struct Validation {
    layout: Layout,
    clean: Set,
    detected: Set,
}

impl Validation {
    /// People that are not rendered, or those of `pictures`.
    pub(super) fn new(maker: &ExampleMaker, layout: &Layout, pictures: Option<&PictureBank>) -> Self {
        let (mut clean, mut detected) = (Vec::new(), Vec::new());
        for item in 0..pictures.map_or(PEOPLE, |bank| bank.people.len()) {
            let mut rng = stream(SEED, item as u64);
            let view = match pictures {
                Some(bank) => bank.people[item].clone(),
                None => maker.plain_view(&mut rng),
            };
            let disturbed = maker.detected(&view, &mut rng);
            let add = |keypoints: &[Keypoint; COCO_KEYPOINTS], out: &mut Set| {
                let Some(crop) = crop_of(keypoints, maker.network.min_score) else { return };
                let mut input = vec![0.0; INPUTS];
                encode(keypoints, &crop, maker.network.min_score, &mut input);
                let edges = pictures.map_or_else(Vec::new, |bank| bank.edges(item, &crop));
                out.push((input, edges, data::target(&view, &crop)));
            };
            add(&data::true_keypoints(&view), &mut clean);
            add(&disturbed, &mut detected);
        }
        Self { layout: layout.clone(), clean, detected }
    }

    /// Mean scale-corrected joint error of the point estimate, millimetres.
    pub(super) fn run(&self, weights: &[f32], chain: &KeypointChain) -> BTreeMap<String, f64> {
        let mut out = BTreeMap::new();
        for (name, set) in [("validation_sc_mm_clean", &self.clean), ("validation_sc_mm", &self.detected)] {
            let mut pass = Pass::new(&self.layout, set.len());
            for (row, (input, edges, _)) in set.iter().enumerate() {
                pass.set(row, input, edges);
            }
            pass.forward(weights, false);
            let values = &pass.points;
            let mut points = chain.points();
            let mut sum = 0.0;
            for (values, (.., target)) in values.chunks_exact(POINT).zip(set) {
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

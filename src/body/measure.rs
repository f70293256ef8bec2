//! Measurements of an unposed body, as a tailor takes them, after ANSUR II's names. Shown beside the sliders.

use glam::{DVec2, DVec3};
use serde::{Deserialize, Serialize};

use super::model::BodyModel;
use crate::geometry::mesh::{area, height, hull_perimeter, volume};

/// Mean density of a body in kg/m³.
pub const DENSITY: f64 = 985.0;

/// Lengths in metres, weight in kilograms, volume in m³, surface in m².
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BodyMeasures {
    pub stature: f64,
    pub weight: f64,
    pub volume: f64,
    pub surface: f64,
    pub span: f64,
    /// What needs landmarks; the built-in body has them.
    pub tapes: Option<Tapes>,
    pub limbs: LimbLengths,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tapes {
    pub crotch_height: f64,
    pub chest: f64,
    pub waist: f64,
    pub buttock: f64,
    pub thigh: f64,
    pub calf: f64,
}

/// Lengths along the joints.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LimbLengths {
    pub left_arm: f64,
    pub right_arm: f64,
    pub left_leg: f64,
    pub right_leg: f64,
    pub left_upper_arm: f64,
    pub left_forearm: f64,
    pub left_thigh: f64,
    pub left_calf: f64,
    pub spine: f64,
    pub shoulder_breadth: f64,
    pub hip_breadth: f64,
}

impl LimbLengths {
    /// From SMPL's first 22 joints; `None` where there are fewer.
    pub fn of(joints: &[DVec3]) -> Option<Self> {
        if joints.len() < 22 {
            return None;
        }
        let along =
            |path: &[usize]| path.windows(2).map(|pair| joints[pair[0]].distance(joints[pair[1]])).sum();
        Some(Self {
            left_arm: along(&[16, 18, 20]),
            right_arm: along(&[17, 19, 21]),
            left_leg: along(&[1, 4, 7]),
            right_leg: along(&[2, 5, 8]),
            left_upper_arm: along(&[16, 18]),
            left_forearm: along(&[18, 20]),
            left_thigh: along(&[1, 4]),
            left_calf: along(&[4, 7]),
            spine: along(&[0, 3, 6, 9, 12]),
            shoulder_breadth: along(&[16, 17]),
            hip_breadth: along(&[1, 2]),
        })
    }
}

/// Shoulders to hands: never inside a tape round the trunk.
const ARMS: [u8; 8] = [16, 17, 18, 19, 20, 21, 22, 23];
/// Pelvis and left leg.
const LEFT_LEG: [u8; 5] = [0, 1, 4, 7, 10];

impl BodyModel {
    /// Measures a shape in the T-pose, without correctives.
    pub fn measure(&self, betas: &[f32]) -> BodyMeasures {
        let points: Vec<DVec3> = self.shaped(betas).iter().map(|p| p.as_dvec3()).collect();
        let joints: Vec<DVec3> = self.rest_joints(betas).iter().map(|p| p.as_dvec3()).collect();
        // The triangles were checked when the body was loaded.
        let volume = volume(&points, &self.faces).unwrap_or(f64::NAN);
        let stature = height(&points);
        let across = |axis: fn(&DVec3) -> f64| extent(points.iter().map(axis));
        BodyMeasures {
            stature,
            weight: DENSITY * volume,
            volume,
            surface: area(&points, &self.faces).unwrap_or(f64::NAN),
            span: across(|p| p.x),
            tapes: self.tapes(&points, &joints, stature),
            limbs: LimbLengths::of(&joints).expect("every family has SMPL's first 22 joints"),
        }
    }

    fn tapes(&self, points: &[DVec3], joints: &[DVec3], stature: f64) -> Option<Tapes> {
        let [chest, navel, crotch] = self.measured_points()?.map(|point| points[point].y);
        let floor = points.iter().map(|p| p.y).fold(f64::INFINITY, f64::min);
        let label = |point: u32| self.joint_vertex[point as usize];
        let trunk = |a: u32, b: u32| !(ARMS.contains(&label(a)) && ARMS.contains(&label(b)));
        let leg = |a: u32, b: u32| LEFT_LEG.contains(&label(a)) && LEFT_LEG.contains(&label(b));

        let round_trunk = |y: f64| self.cut(points, y, trunk);
        let buttock = [-0.02, -0.005, 0.01, 0.025]
            .map(|d| round_trunk(joints[1].y + d * stature))
            .into_iter()
            .map(|cut| (extent(cut.iter().map(|p| p.y)), cut))
            .reduce(|best, next| if next.0 > best.0 { next } else { best })
            .map_or(0.0, |(_, cut)| hull_perimeter(cut));
        let round_leg = |y: f64, inner: f64| {
            hull_perimeter(self.cut(points, y, leg).into_iter().filter(|p| p.x > inner).collect())
        };
        let shin = joints[4].y - joints[7].y;
        Some(Tapes {
            crotch_height: crotch - floor,
            chest: hull_perimeter(round_trunk(chest)),
            waist: hull_perimeter(round_trunk(navel)),
            buttock,
            thigh: round_leg(crotch - 0.012, -0.005),
            calf: [0.24, 0.31, 0.38]
                .map(|t| round_leg(joints[4].y - t * shin, 0.0))
                .into_iter()
                .fold(0.0, f64::max),
        })
    }

    /// Points at chest, navel and crotch, by which the built-in body's statistics were made.
    ///
    /// The chest is the file's landmark. Navel and crotch are found on the mean body's midline: the file's own
    /// landmarks of these names were picked before its last smoothing and lie some millimetres off.
    fn measured_points(&self) -> Option<[usize; 3]> {
        let extras = self.extras.as_ref()?;
        let joints = &self.joints_template;
        let midline = || {
            let own = extras.mirror.iter().enumerate().filter(|(at, mirror)| *at == **mirror as usize);
            own.map(|(at, _)| (at, self.v_template[at]))
        };
        let crotch = midline()
            .filter(|(_, point)| point.y < joints[0].y + 0.02)
            .min_by(|a, b| a.1.y.total_cmp(&b.1.y))?;
        let level = 0.55 * joints[3].y + 0.45 * joints[0].y;
        let navel = midline()
            .filter(|(_, point)| point.z > joints[0].z + 0.02)
            .min_by(|a, b| (a.1.y - level).abs().total_cmp(&(b.1.y - level).abs()))?;
        Some([*extras.landmarks.get("chest")?, navel.0, crotch.0])
    }

    /// (x, z) where the level plane at `y` cuts the edges for which `wanted` (given both ends) holds.
    fn cut(&self, points: &[DVec3], y: f64, wanted: impl Fn(u32, u32) -> bool) -> Vec<DVec2> {
        let mut out = Vec::new();
        for face in &self.faces {
            for at in 0..3 {
                let (a, b) = (face[at], face[(at + 1) % 3]);
                let (p, q) = (points[a as usize], points[b as usize]);
                // In a closed surface every edge comes in both directions; one is enough.
                if a < b && ((p.y - y > 0.0) != (q.y - y > 0.0)) && wanted(a, b) {
                    let at = p.lerp(q, (p.y - y) / (p.y - q.y));
                    out.push(DVec2::new(at.x, at.z));
                }
            }
        }
        out
    }
}

fn extent(values: impl Iterator<Item = f64>) -> f64 {
    let (low, high) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    (high - low).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_agree_with_what_the_statistics_predict() {
        let model = BodyModel::default_body().unwrap();
        let statistics = &model.extras.as_ref().unwrap().statistics;
        for betas in [[0.0f32; 10], [1.0, -0.5, 0.7, 0.0, 0.3, 0.0, 0.0, -0.4, 0.0, 0.0]] {
            let measured = model.measure(&betas);
            let tapes = measured.tapes.unwrap();
            let predicted = statistics.predict(&betas);
            for (name, value, within) in [
                ("stature", measured.stature, 0.005),
                ("weightkg", measured.weight, 2.0),
                ("span", measured.span, 0.01),
                ("crotchheight", tapes.crotch_height, 0.01),
                ("chestcircumference", tapes.chest, 0.03),
                ("waistcircumference", tapes.waist, 0.03),
                ("buttockcircumference", tapes.buttock, 0.03),
                ("thighcircumference", tapes.thigh, 0.02),
                ("calfcircumference", tapes.calf, 0.02),
            ] {
                let at = statistics.measure_names.iter().position(|own| own == name).unwrap();
                let want = f64::from(predicted[at]);
                assert!((value - want).abs() < within, "{name}: {value} for {want}");
            }
            assert!((measured.limbs.left_leg - measured.limbs.right_leg).abs() < 1e-5);
        }
    }
}
